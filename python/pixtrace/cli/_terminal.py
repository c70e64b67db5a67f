"""What the user sees: one line per file on stdout; progress, warnings and errors on stderr."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.progress import Progress, TaskID

__all__ = ["Terminal"]

_LEVELS = {0: logging.WARNING, 1: logging.INFO}


class Terminal:
    """Where words go to.

    Parameters
    ----------
    verbosity : int, optional
        0: warnings and errors; 1: what is being done; 2 and more: everything.
    quiet : bool, optional
        Nothing but errors.
    """

    def __init__(self, *, verbosity: int = 0, quiet: bool = False) -> None:
        self.quiet = quiet
        self._level = logging.ERROR if quiet else _LEVELS.get(verbosity, logging.DEBUG)
        self._taken: list[logging.Handler] = []

    def say(self, text: str) -> None:
        """Print a line on stdout, unless quiet.

        Parameters
        ----------
        text : str
            The line.
        """
        if not self.quiet:
            print(text, flush=True)

    @contextmanager
    def logging(self) -> Generator[None]:
        """Send log records and warnings to stderr while the block runs; afterwards all is as it was."""
        handler = _StderrHandler()
        handler.setFormatter(_Formatter())
        root, own = logging.getLogger(), logging.getLogger("pixtrace")
        before = own.level
        self._taken = []
        handler.setLevel(self._level)
        own.setLevel(self._level)
        root.addHandler(handler)
        logging.captureWarnings(capture=True)
        try:
            yield
        finally:
            logging.captureWarnings(capture=False)
            root.removeHandler(handler)
            own.setLevel(before)
            for taken in self._taken:
                logging.getLogger("astropy").addHandler(taken)

    def take_over_astropy(self) -> None:
        """Let what astropy has to say come through our handler alone: on its import it installs one of its own."""
        from importlib import import_module

        import_module("astropy")  # whatever follows needs it anyway
        logger = logging.getLogger("astropy")
        self._taken += logger.handlers
        logger.handlers.clear()

    @contextmanager
    def progress(self, name: str) -> Generator[Callable[[int, int], None] | None]:
        """Show a progress bar on stderr while the block runs, if that is a terminal; it vanishes at the end.

        Parameters
        ----------
        name : str
            What is being worked on.

        Yields
        ------
        callable or None
            To be called with what is done and what there is to do; None where nobody is looking, which costs nothing.
        """
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        bar = _bar()
        with bar:
            task = bar.add_task(name, total=None)

            def show(done: int, total: int) -> None:
                # What follows the last step is the writing, which does not count its steps.
                text = name if done < total else f"{name}: writing"
                bar.update(task, description=text, completed=done, total=total)

            yield show

    @contextmanager
    def stages(self) -> Generator[Callable[[str, int, int], None] | None]:
        """Show a progress bar for each stage of one long job, as `progress` does.

        Yields
        ------
        callable or None
            To be called with the name of the stage, what is done and what there is to do.
        """
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        bar = _bar()
        with bar:
            tasks: dict[str, TaskID] = {}

            def show(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = bar.add_task(stage, total=total)
                bar.update(tasks[stage], completed=done, total=total)

            yield show


def _bar() -> Progress:
    """Return a progress bar on stderr that vanishes at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # the result lines are for stdout, wherever that leads
    )


class _StderrHandler(logging.StreamHandler[TextIO]):
    """A handler that looks stderr up anew each time, so that lines go above a progress bar and not through it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class _Formatter(logging.Formatter):
    """``pixtrace: error: message``; a warning from another package as one line; a traceback only where asked for."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().strip()
        if record.name == "py.warnings":
            # "file:line: Category: message\n  source line" is for developers.
            message = message.splitlines()[0].split(": ", 1)[-1]
        level = "" if record.levelno in {logging.INFO, logging.DEBUG} else f"{record.levelname.lower()}: "
        text = f"pixtrace: {level}{message}"
        if record.exc_info:
            text += f"\n{self.formatException(record.exc_info)}"
        return text
