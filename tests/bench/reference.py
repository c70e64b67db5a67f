"""jwst 3.0.0 and sofia_redux 1.5.2, each in an environment of its own, and processes in them that answer requests."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench.proc import memory
from tests.reference import PROJECT

JWST = "jwst==3.0.0"
SOFIA = "sofia_redux==1.5.2"
RUNNERS = {JWST: "tests.bench.reference_runner", SOFIA: "tests.bench.scan_runner"}


def environment(folder: Path, release: str) -> Path:
    """Return the interpreter of an environment with a reference; make it if it is not there.

    Parameters
    ----------
    folder : Path
        Where it is, or is to be.
    release : str
        One of `RUNNERS`.

    Returns
    -------
    Path
        The interpreter.
    """
    python = folder / "bin" / "python"
    if not python.is_file():
        print(f"installing {release} in {folder.name}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", release], check=True)
    return python


class Reference:
    """A process that calls functions of a reference on request.

    Parameters
    ----------
    python : Path
        Interpreter of the environment with the reference.
    log : Path
        File that takes what the reference says.
    release : str, optional
        One of `RUNNERS`.
    """

    def __init__(self, python: Path, log: Path, release: str = JWST) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [str(python), "-m", RUNNERS[release]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=PROJECT,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Parameters
        ----------
        do : str
            What to do, a name in the runner's ``DOINGS``.
        **request
            Its details.

        Returns
        -------
        dict
            The answer, with ``seconds`` if something was timed.

        Raises
        ------
        RuntimeError
            The process ended instead of answering.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            msg = f"the process of the reference ended while doing {do!r}; see {self._log.name}"
            raise RuntimeError(msg)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def peak(self) -> float:
        """Return the peak of the memory of the process so far [MB]."""
        return memory("VmHWM", self._process.pid)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        self._log.close()
