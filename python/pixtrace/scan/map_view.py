"""The planes of one map, as they lie in the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixtrace.scan.flags import MapFlag

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.scan.block import MapBlock
    from pixtrace.scan.projection import MapGrid

__all__ = ["MapView"]


class MapView:
    """The planes of one map, shape (n_y, n_x), as they lie in the stack.

    What is asked for is looked up in the stack at that moment, so that a view stays good when the stack grows. Arrays
    can be written to, but for those that are computed: `valid`, `noise`, `significance`.

    Parameters
    ----------
    block : MapBlock
        The maps.
    fixed_index : int
        Number of the pixel.
    """

    def __init__(self, block: MapBlock, fixed_index: int) -> None:
        self._block = block
        self._fixed_index = fixed_index

    @property
    def _row(self) -> int:
        return self._block.row(self._fixed_index)

    @property
    def data(self) -> npt.NDArray[np.float64]:
        """Sums of weight x gain x value, or means, as `content` says."""
        plane: npt.NDArray[np.float64] = self._block.stack.data[self._row]
        return plane

    @property
    def weight(self) -> npt.NDArray[np.float64]:
        """Inverse variances of the means."""
        plane: npt.NDArray[np.float64] = self._block.stack.weight[self._row]
        return plane

    @property
    def exposure(self) -> npt.NDArray[np.float64]:
        """Integration times [s]."""
        plane: npt.NDArray[np.float64] = self._block.stack.exposure[self._row]
        return plane

    @property
    def flag(self) -> npt.NDArray[np.uint8]:
        """`MapFlag` bits."""
        plane: npt.NDArray[np.uint8] = self._block.stack.flag[self._row]
        return plane

    @property
    def content(self) -> str:
        """What the numbers are: "given", "sums" or "means"."""
        return str(self._block.stack.content[self._row])

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Cells that hold data: not NaN, not discarded, of positive and finite weight."""
        kept = (self.flag & np.uint8(MapFlag.DISCARD)) == 0
        valid: npt.NDArray[np.bool_] = ~np.isnan(self.data) & kept & (self.weight > 0) & np.isfinite(self.weight)
        return valid

    @property
    def noise(self) -> npt.NDArray[np.float64]:
        """Standard deviations of the means; NaN where the cell is not valid."""
        noise = np.full(self.shape, np.nan)
        np.sqrt(np.divide(1.0, self.weight, out=noise, where=self.valid), out=noise)
        return noise

    @property
    def significance(self) -> npt.NDArray[np.float64]:
        """Signal to noise; NaN where the cell is not valid."""
        valid = self.valid
        ratio = np.full(self.shape, np.nan)
        ratio[valid] = self.data[valid] * np.sqrt(self.weight[valid])
        return ratio

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_y, n_x)``."""
        return self._block.grid.shape

    @property
    def grid(self) -> MapGrid:
        """The grid."""
        return self._block.grid

    @property
    def smoothing_fwhm(self) -> float:
        """FWHM of the beam that it was smoothed with [arcsec], to begin with that of the cells."""
        return self._record("smoothing_fwhm")

    @property
    def filter_fwhm(self) -> float:
        """Scale of the filter [arcsec]; NaN without one."""
        return self._record("filter_fwhm")

    @property
    def correcting_fwhm(self) -> float:
        """FWHM of the source for which filtering was corrected [arcsec]; NaN without a correction."""
        return self._record("correcting_fwhm")

    @property
    def noise_rescale(self) -> float:
        """Factor by which the noise was found to be larger than the weights said."""
        return self._record("noise_rescale")

    def _record(self, name: str) -> float:
        return float(getattr(self._block.stack, name)[self._row])

    def count_points(self) -> int:
        """Return the number of valid cells."""
        return int(self.valid.sum())

    def end_accumulation(self) -> None:
        """Divide sums by their weights, if that was not done yet."""
        self._block.end_accumulation([self._row], given=True)
