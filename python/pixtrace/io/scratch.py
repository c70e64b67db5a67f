"""Room on a disk for what does not fit into memory, and how much memory there is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pixtrace.exceptions import DataError, OutputError
from pixtrace.io.atomic import remedy_for

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Scratch", "open_scratch", "usual_memory"]

_SHARE = 0.5  # of the memory of the machine
_ELSEWHERE = 8 << 30  # bytes of a machine that does not tell
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Scratch:
    """A file without a name, which is gone when it is closed, or when the process ends, however it ends.

    Parameters
    ----------
    folder : path-like, optional
        Where; by default where the system keeps temporary files (TMPDIR).

    Raises
    ------
    OutputError
        No file can be made there.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._folder = tempfile.gettempdir() if folder is None else os.fspath(folder)
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - it stays open
        except OSError as error:
            raise self._cannot(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot keep cleaned signals in {self._folder} while they do not fit into memory: {remedy_for(error)}"
        )

    def write(self, at: int, values: npt.NDArray[Any]) -> None:
        """Keep an array.

        Parameters
        ----------
        at : int
            From this byte on.
        values : ndarray
            The array.

        Raises
        ------
        OutputError
            The disk is full, or cannot be written to.
        """
        left = _bytes_of(np.ascontiguousarray(values))
        try:
            self._file.seek(at)
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            raise self._cannot(error) from error

    def read_into(self, at: int, values: npt.NDArray[Any]) -> None:
        """Fill an array with what was kept.

        Parameters
        ----------
        at : int
            From this byte on.
        values : ndarray
            The array; it must be contiguous.

        Raises
        ------
        OutputError
            It cannot be read, or there is less than that.
        DataError
            The array is not contiguous.
        """
        if not values.flags.c_contiguous:
            msg = f"`values` has strides {values.strides}; a contiguous array is needed to be filled from a file"
            raise DataError(msg)
        left = _bytes_of(values)
        try:
            self._file.seek(at)
            while left:
                n = self._file.readinto(left)
                if not n:
                    msg = f"the scratch file in {self._folder} ends {len(left)} bytes too early; run it again"
                    raise OutputError(msg)
                left = left[n:]
        except OSError as error:
            raise self._cannot(error) from error

    def close(self) -> None:
        """Give the room back."""
        self._file.close()


def _bytes_of(values: npt.NDArray[Any]) -> memoryview:
    """Return the bytes of a contiguous array, itself and no copy."""
    flat: Any = values.reshape(-1).view(np.uint8)
    return memoryview(flat)


def open_scratch(folder: str | os.PathLike[str] | None) -> Scratch:
    """Return room in a folder.

    Parameters
    ----------
    folder : path-like or None
        Where; None: where the system keeps temporary files.

    Returns
    -------
    Scratch
        The room.
    """
    return Scratch(folder)


def usual_memory() -> int:
    """Return the bytes that a reduction may take if nobody says otherwise.

    Returns
    -------
    int
        Half of what the machine has, or of what the group of processes may have, if that is less.
    """
    sizes = [_ELSEWHERE]
    if hasattr(os, "sysconf"):
        sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _LIMITS:
        try:
            sizes.append(int(Path(name).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue  # no such group, or no limit ("max")
    return int(_SHARE * min(sizes))
