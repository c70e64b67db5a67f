"""The memory of a stack of maps, and who may look at it when.

All maps that samples are added to at once share the weights of the frames, but for a factor and the samples that they
miss. `add_points` therefore adds the data only, and leaves weights, exposures and flags waiting in the extension: most
of what it would read and write is saved. They are brought up to date before anything looks at them. Arrays that were
handed out share the memory for ever. So once weights, exposures or flags have been handed out, nothing is left waiting
any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pixtrace import _native
from pixtrace.exceptions import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace._native import MapStack as Window

__all__ = ["StackMemory", "check_writeable"]

DISCARD: Final = 1
MASK: Final = 2


def check_writeable(*planes: npt.NDArray[Any]) -> None:
    """Raise `DataError` if somebody has made a plane read-only."""
    if not all(plane.flags.writeable for plane in planes):
        msg = "the planes of the stack cannot be changed: one was made read-only; make them writeable"
        raise DataError(msg)


class StackMemory:
    """Planes of maps, one map for each pixel; see `MapStack`."""

    _native: Window
    _data: npt.NDArray[np.float64]
    #: Weights, exposures and flags; they may lag behind.
    _late: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.uint8]]
    _base: npt.NDArray[np.float64] | None
    _resolution: tuple[float, float]
    _reference_index: tuple[float, float]

    def _new_native(self) -> Window:
        """Return a window of the extension on the planes as they are."""
        return _native.MapStack(self._data, *self._late, self._resolution, self._reference_index)

    @property
    def _weight(self) -> npt.NDArray[np.float64]:
        """Weights, up to date until samples are added; not to be handed out."""
        self._native.settle()
        return self._late[0]

    @property
    def _exposure(self) -> npt.NDArray[np.float64]:
        """Exposures, likewise."""
        self._native.settle()
        return self._late[1]

    @property
    def _flag(self) -> npt.NDArray[np.uint8]:
        """Flags, likewise."""
        self._native.settle()
        return self._late[2]

    def _empty(self) -> None:
        """Empty all maps and forget what was done to them, and what waits."""
        weight, exposure, flag = self._late
        check_writeable(self._data, weight, exposure, flag)
        self._data[...], weight[...], exposure[...] = 0.0, 0.0, 0.0
        flag[...] = DISCARD
        is_handed_out = self._native.is_handed_out
        self._native = self._new_native()
        if is_handed_out:
            self._native.hand_out()

    @property
    def data(self) -> npt.NDArray[np.float64]:
        """Sums or means, as `content` says, shape (n_pixels, n_y, n_x); the memory of the stack itself."""
        return self._data

    @property
    def weight(self) -> npt.NDArray[np.float64]:
        """Inverse variances, shape (n_pixels, n_y, n_x); the memory of the stack itself."""
        self._native.hand_out()
        return self._late[0]

    @property
    def exposure(self) -> npt.NDArray[np.float64]:
        """Integration times [s], shape (n_pixels, n_y, n_x); the memory of the stack itself."""
        self._native.hand_out()
        return self._late[1]

    @property
    def flag(self) -> npt.NDArray[np.uint8]:
        """Flags of the cells, 1 = DISCARD and 2 = MASK, shape (n_pixels, n_y, n_x); the memory of the stack itself."""
        self._native.hand_out()
        return self._late[2]

    @property
    def base(self) -> npt.NDArray[np.float64]:
        """Maps of the round before, NaN where there is no prior, shape (n_pixels, n_y, n_x); the memory itself.

        It is made when it is first asked for.
        """
        if self._base is None:
            self._base = np.full(self._data.shape, np.nan)
        return self._base

    @property
    def has_base(self) -> bool:
        """Whether there is a map of the round before; asking makes none."""
        return self._base is not None

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Cells that hold data: not NaN, not discarded, weight finite and positive; made anew at each call.

        Of all maps: whoever goes through them one by one asks `valid_in`.
        """
        return self.valid_in(...)

    def valid_in(self, *place: Any) -> npt.NDArray[np.bool_]:
        """Return which cells hold data, as `valid` does of all.

        Parameters
        ----------
        *place : index
            Which cells of which maps, as an array of shape (n_pixels, n_y, n_x) is indexed.

        Returns
        -------
        ndarray of bool
            Of the shape that such an array has there.
        """
        weight = self._weight[place]
        is_weighed: npt.NDArray[np.bool_] = (weight > 0) & (weight < np.inf)
        is_kept: npt.NDArray[np.bool_] = (self._flag[place] & DISCARD) == 0
        is_known: npt.NDArray[np.bool_] = ~np.isnan(self._data[place])
        return is_weighed & is_kept & is_known
