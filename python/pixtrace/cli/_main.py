"""From the words of the command line to an exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from pixtrace.cli._exit import Exit
from pixtrace.cli._parser import build_parser
from pixtrace.cli._terminal import Terminal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Sequence
    from types import FrameType

    from pixtrace.cli._run import Process

__all__ = ["main"]

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``pixtrace``; None takes those the program was started with.

    Returns
    -------
    int
        Exit code, see ``pixtrace --help``.

    Raises
    ------
    SystemExit
        Help or version was asked for (0), the words make no sense (2), or SIGTERM came (143); or the program that
        `pixtrace with` runs asked for it.
    """
    arguments = build_parser().parse_args(argv)
    if arguments.command == "with":
        from pixtrace.cli._with import run_with

        return run_with(arguments.peer, arguments.program)
    terminal = Terminal(verbosity=arguments.verbose, quiet=arguments.quiet)
    with terminal.logging(), _terminable():
        try:
            return _dispatch(arguments, terminal)
        except KeyboardInterrupt:
            _log.error("interrupted; nothing is half-written")
            return Exit.INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has seen enough (`| head`). Python would complain when it flushes at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.OK


def _dispatch(arguments: argparse.Namespace, terminal: Terminal) -> Exit:
    """Run the subcommand; what is wrong with its options ends here."""
    from pixtrace.exceptions import PixtraceError

    if arguments.command == "inspect":
        from pixtrace.cli._inspect import inspect

        return inspect(arguments.files, terminal, as_json=getattr(arguments, "json", False))

    if arguments.command == "compare":
        from pixtrace.cli._compare import compare

        return compare(arguments, terminal)

    from pixtrace.cli._options import Options

    try:
        if arguments.command == "demo":
            return _demo(arguments, terminal)
        if arguments.command == "beammap":
            from pixtrace.cli._beammap import BeamMapOptions, beammap

            return beammap(arguments.files, BeamMapOptions.gather(arguments), terminal)
        from pixtrace.cli._models import fit_one
        from pixtrace.cli._run import run

        options: Options
        process: Process | None
        if arguments.command in {"extract", "replace", "subtract"}:
            from pixtrace.cli._uses import UseOptions, process_for

            options, process = UseOptions.gather(arguments), process_for(arguments.command)
        else:
            process = fit_one if arguments.command == "fit" else None
            options = Options.gather(arguments, **({"factor": 1.0} if arguments.command == "trace" else {}))
        return run(arguments.files, options, terminal, process)
    except PixtraceError as error:
        _log.error("%s", error, exc_info=error if _log.isEnabledFor(logging.DEBUG) else None)
        return Exit.USAGE


def _demo(arguments: argparse.Namespace, terminal: Terminal) -> Exit:
    """Run a demonstration."""
    if arguments.demo == "beammap":
        from pixtrace.cli._demo_beammap import demo_beammap

        return demo_beammap(arguments.output, arguments.seed, getattr(arguments, "threads", None), terminal)
    from pixtrace.cli._demo import demo_oversample
    from pixtrace.cli._options import Options

    return demo_oversample(Options.gather(arguments, overwrite=True), arguments.seed, terminal)


@contextmanager
def _terminable() -> Generator[None]:
    """Let SIGTERM end the program through its clean-up, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(Exit.TERMINATED)
