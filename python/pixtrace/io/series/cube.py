"""Cubes of files: integrations read when they are asked for, in the orientation of the computation."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from pixtrace.io.jwst.container import Unit

__all__ = ["FileCube"]

_N_AXES = 3


class FileCube:
    """An image extension with integrations along its first axis; one without it stands for all integrations.

    Parameters
    ----------
    unit : Unit
        The extension.
    orient : callable
        Turns arrays of the file into the orientation of the computation, their last two axes.
    n_integrations : int
        Number of integrations of the series.
    dtype : dtype, optional
        What numbers are converted to; None keeps them, in the byte order of the machine.

    Attributes
    ----------
    shape : tuple of int
        (n_integrations, n_y, n_x).
    dtype : dtype
        Type of the numbers.
    """

    def __init__(
        self,
        unit: Unit,
        orient: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
        n_integrations: int,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        self._unit = unit
        self._orient = orient
        self._is_plane = len(unit.shape) < _N_AXES
        self._n = n_integrations
        self._wanted = dtype
        none = self._read(0, 0)
        self.dtype = none.dtype
        self.shape = (n_integrations if self._is_plane else unit.shape[0], *none.shape[1:])

    def __getitem__(self, key: slice) -> npt.NDArray[Any]:
        """Return some integrations."""
        start, stop, _ = key.indices(self.shape[0])
        array = self._read(start, stop)
        self._forget(start, stop)
        return array

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        if self._is_plane:
            plane = self._unit.array()
            raw = np.broadcast_to(plane, (stop - start, *plane.shape))
        else:
            raw = self._unit.part(start, stop)
        turned = self._orient(raw)
        dtype = turned.dtype.newbyteorder("=") if self._wanted is None else np.dtype(self._wanted)
        with np.errstate(over="ignore"):  # a float64 beyond the range of float32
            return np.ascontiguousarray(turned, dtype=dtype)

    def _forget(self, start: int, stop: int) -> None:
        """Tell the system that pages of a memory-mapped file that have been read are not needed in memory."""
        data = self._unit.data
        source = data.obj
        if self._is_plane or not isinstance(source, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
            return
        whole = np.frombuffer(source, dtype=np.uint8)
        begin = np.frombuffer(data, dtype=np.uint8).ctypes.data - whole.ctypes.data
        per_integration = len(data) // max(self.shape[0], 1)
        first = (begin + start * per_integration) // mmap.PAGESIZE * mmap.PAGESIZE
        length = begin + stop * per_integration - first
        if length > 0:
            source.madvise(mmap.MADV_DONTNEED, first, length)
