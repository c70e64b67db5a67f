"""The vocabulary of jwst's ``maximum_cores``, in threads."""

from __future__ import annotations

import logging
import os
import threading
from typing import Final

__all__ = ["last_asked_for", "remember", "threads_for"]

_log = logging.getLogger("jwst.adaptive_trace_model")  # a name that stpipe shows and records
_SHARES: Final = {"none": 0.0, "quarter": 0.25, "half": 0.5, "all": 1.0}


class _Local(threading.local):
    threads: int = 1


_local = _Local()


def threads_for(maximum_cores: str | int | None) -> int:
    """Return the number of threads that stands for a number of cores.

    Parameters
    ----------
    maximum_cores : {"none", "quarter", "half", "all"} or int, or such a text
        A share of the cores of this machine, or a number of them, at most all. "none" is one thread, and so, as in
        jwst but with a warning, is anything else.

    Returns
    -------
    int
        At least 1.
    """
    available = os.cpu_count() or 1
    word = str(maximum_cores).strip().lower()
    if word in _SHARES:
        return max(1, int(_SHARES[word] * available))
    if word.isdecimal():
        return min(max(1, int(word)), available)
    _log.warning(
        "maximum_cores = %r is none of 'none', 'quarter', 'half', 'all' and no number: one thread is used",
        maximum_cores,
    )
    return 1


def remember(threads: int) -> None:
    """Keep the number of threads of a fit: what follows it in the same thread of the program takes as many.

    Of the step's functions the fit alone is told how many.
    """
    _local.threads = threads


def last_asked_for() -> int:
    """Return the number of threads of the last fit in this thread of the program; 1 before the first one."""
    return _local.threads
