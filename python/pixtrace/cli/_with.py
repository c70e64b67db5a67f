"""``pixtrace with jwst PROGRAM ...``: a program of someone else's as it is, with ours in place."""

from __future__ import annotations

import logging
import runpy
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pixtrace.cli._exit import Exit
from pixtrace.cli._terminal import Terminal
from pixtrace.exceptions import PixtraceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixtrace.adapters.jwst import Enabled

__all__ = ["run_with"]

_log = logging.getLogger(__name__)


def run_with(peer: str, program: Sequence[str]) -> Exit:
    """Run a Python program as ``python`` itself would, with one of the adapters enabled.

    Parameters
    ----------
    peer : {"jwst", "sofia"}
        The adapter.
    program : sequence of str
        File of the program, its name on the path, or ``-m`` and the name of a module; then its arguments.

    Returns
    -------
    Exit
        OK if the program came to its end; USAGE if there is none, or the adapter cannot be enabled.

    Raises
    ------
    SystemExit
        The program asked for it.
    """
    first, *rest = [*program] or [""]
    is_module = first == "-m" and bool(rest)
    found = rest[0] if is_module else (first if Path(first).is_file() else shutil.which(first))
    with Terminal(verbosity=0, quiet=False).logging():  # not around the program, which has a log of its own
        if found is None:
            _log.error("%s: there is no such file, and no such program on the path", first or "no program is given")
            return Exit.USAGE
        try:
            block = _enable(peer)
        except PixtraceError as error:
            _log.error("%s", error)
            return Exit.USAGE
    words, place = sys.argv, sys.path[0]
    try:
        with block:
            if is_module:
                sys.argv, sys.path[0] = rest, str(Path.cwd())
                runpy.run_module(found, run_name="__main__", alter_sys=True)
            else:
                sys.argv, sys.path[0] = [found, *rest], str(Path(found).resolve().parent)
                runpy.run_path(found, run_name="__main__")
    finally:
        sys.argv, sys.path[0] = words, place
    return Exit.OK


def _enable(peer: str) -> Enabled:
    if peer == "jwst":
        from pixtrace.adapters.jwst import enable
    else:
        from pixtrace.adapters.sofia import enable
    return enable()
