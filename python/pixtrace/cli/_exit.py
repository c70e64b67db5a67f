"""The exit codes, which are part of the interface."""

from enum import IntEnum

__all__ = ["Exit"]


class Exit(IntEnum):
    """What the command returns to the shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130
    TERMINATED = 143
