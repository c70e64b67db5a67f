"""What a stack of maps knows of where in their cells its samples stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixtrace import _native
from pixtrace.exceptions import ShapeError
from pixtrace.scan.sample_moments import N_MOMENTS, SampleMoments
from pixtrace.scan.stack_memory import StackMemory

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["StackMoments"]


class StackMoments(StackMemory):
    """Maps with the moments of their samples; see `MapStack`."""

    _moments: _native.SampleMoments

    @property
    def n_pixels(self) -> int:
        """Number of maps."""
        return int(self._data.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one map, (n_y, n_x)."""
        _, n_y, n_x = self._data.shape
        return n_y, n_x

    @property
    def moments(self) -> npt.NDArray[np.float64]:
        """Where in their cells the samples stand, shape (6, n_y, n_x); made anew at each call.

        Sums over the frames of weight and of weight times x, y, x x, x y and y y, with x and y in cells about the
        centre of the cell; zeros where nothing is known. They are those of a map that misses no sample; what single
        maps miss is in `sample_moments`.
        """
        return np.asarray(self.sample_moments.sums.sum(axis=0))

    @property
    def sample_moments(self) -> SampleMoments:
        """Where in their cells the samples of each map stand; copies. They can be set, to others of as many maps."""
        sums, factors, missed_at, missed = self._moments.parts()
        shape = (sums.shape[0], N_MOMENTS, *self.shape)
        return SampleMoments(sums=sums.reshape(shape), factors=factors, missed_at=missed_at, missed=missed)

    @sample_moments.setter
    def sample_moments(self, moments: SampleMoments) -> None:
        expected = (self.n_pixels, *self.shape)
        if (moments.n_pixels, *moments.sums.shape[2:]) != expected:
            found = (moments.n_pixels, *moments.sums.shape[2:])
            msg = f"`sample_moments` are of maps of shape {found}; expected {expected}"
            raise ShapeError(msg)
        n_cells = self.shape[0] * self.shape[1]
        sums = np.ascontiguousarray(moments.sums).reshape(len(moments.sums), N_MOMENTS, n_cells)
        self._moments = _native.SampleMoments.from_parts(sums, moments.factors, moments.missed_at, moments.missed)

    def copy_moments(self, row: int, other: StackMoments, source: int) -> None:
        """Take for a map what is known of the samples of another one, instead of what was known of its own.

        Parameters
        ----------
        row : int
            Number of the map.
        other : MapStack
            Maps of the same shape.
        source : int
            Number of the other map among them.
        """
        rest = self._moments.selected([None if k == row else k for k in range(self.n_pixels)])
        self._moments = rest.merged(other._moments, [(row, source)], 1.0)

    def _forget_moments(self) -> None:
        """Know nothing of the samples of any map."""
        n_y, n_x = self.shape
        self._moments = _native.SampleMoments(self.n_pixels, n_y * n_x)
