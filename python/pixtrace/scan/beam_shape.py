"""Maps beside the Gaussians that were fitted to them: what a beam is beyond a Gaussian."""

from __future__ import annotations

import copy as copying
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pixtrace.scan.block import MapBlock
    from pixtrace.scan.fits import PixelFits

__all__ = ["CellPlaces", "misfit"]

_Number = float | np.float64 | npt.NDArray[np.float64]
_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_CORE, _N_RINGS = 0.75, 8  # FWHM of the source within which a beam is compared with its Gaussian, and in how many rings
_CLEARLY = 3.0  # standard errors by which it must be another
_MOST, _TOGETHER = 300, 30  # pixels that tell enough, and how many are looked at in one go


class CellPlaces:
    """Where the samples of each cell of the maps lie: their mean, and how they scatter about it.

    Parameters
    ----------
    block : MapBlock
        The maps.
    row : int, optional
        Of one map, by its number in the block, with the samples that it misses; by default of all that maps share.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n_y, n_x)
        Mean offset of the samples [arcsec]; the middle of cells without any.
    """

    def __init__(self, block: MapBlock, row: int | None = None) -> None:
        self._size, self._reference = size, reference = block.grid.resolution, block.grid.reference_index
        n_y, n_x = block.grid.shape
        moments = block.stack.moments if row is None else block.stack.sample_moments.of_pixel(row)
        means = np.zeros((5, n_y, n_x))
        np.divide(moments[1:], moments[0], out=means, where=moments[0] > 0.0)
        x, y, xx, xy, yy = means
        self.x = np.asarray((np.arange(n_x) - reference[0] + x) * size[0])
        self.y = np.asarray((np.arange(n_y)[:, None] - reference[1] + y) * size[1])
        self._scatter: tuple[npt.NDArray[np.float64], ...] = (
            (xx - x**2) * size[0] ** 2,
            (xy - x * y) * size[0] * size[1],
            (yy - y**2) * size[1] ** 2,
        )

    def around(
        self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], reach: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the cells that hold all samples within a distance of some places, as many for each of them.

        Parameters
        ----------
        x, y : ndarray of float64, shape (n, 1, 1)
            The places [arcsec].
        reach : float
            The distance [arcsec].

        Returns
        -------
        rows : ndarray of int64, shape (n, n_rows, 1)
        columns : ndarray of int64, shape (n, 1, n_columns)
            Those beyond the maps stand for the nearest ones on them.
        is_there : ndarray of bool, shape (n, n_rows, n_columns)
            False for cells beyond the maps.
        """
        ends = []
        for middle, size, reference, n, shape in zip(
            (x, y), self._size, self._reference, self.x.shape[::-1], ((1, 1, -1), (1, -1, 1)), strict=True
        ):
            half = int(np.ceil(reach / size)) + 1
            wanted = np.rint(middle / size + reference).astype(np.int64) + np.arange(-half, half + 1).reshape(shape)
            there = np.clip(wanted, 0, n - 1)
            ends.append((there, there == wanted))
        (columns, on_x), (rows, on_y) = ends
        return rows, columns, on_x & on_y

    def part(self, place: tuple[npt.NDArray[np.int64] | slice, npt.NDArray[np.int64] | slice]) -> CellPlaces:
        """Return the places of some cells."""
        other = copying.copy(self)
        other.x, other.y = self.x[place], self.y[place]
        other._scatter = tuple(plane[place] for plane in self._scatter)  # noqa: SLF001 - our own
        return other

    def gaussian(
        self, centre: tuple[_Number, _Number], fwhm: tuple[_Number, _Number], angle: _Number
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return a Gaussian of height 1 where the samples lie, and what their scatter adds to it.

        Parameters
        ----------
        centre : (float, float), or arrays
            x and y [arcsec].
        fwhm : (float, float), or arrays
            Along the major and the minor axis [arcsec].
        angle : float or array
            Of the major axis, from x towards y [deg]; NaN for a round one.

        Returns
        -------
        value : ndarray of float64
            The Gaussian at the mean place of the samples, of the shape of `x` and of the numbers together.
        blur : ndarray of float64
            Its mean over the samples is `value` and this together, to fourth order in the size of a cell.
        """
        turn = np.deg2rad(np.nan_to_num(angle, nan=0.0))
        dx, dy = self.x - centre[0], self.y - centre[1]
        major, minor = (_PER_SIGMA / width for width in fwhm)
        cosine, sine = np.cos(turn), np.sin(turn)
        along, across = (dx * cosine + dy * sine) * major, (dy * cosine - dx * sine) * minor
        value = np.exp(-0.5 * (along**2 + across**2))
        # Half the trace of the covariance of the samples times the second derivatives.
        xx, xy, yy = self._scatter
        along_2 = (xx * cosine**2 + 2.0 * xy * cosine * sine + yy * sine**2) * major**2
        across_2 = (yy * cosine**2 - 2.0 * xy * cosine * sine + xx * sine**2) * minor**2
        mixed = (xy * (cosine**2 - sine**2) + (yy - xx) * cosine * sine) * major * minor
        blur = along_2 * (along**2 - 1.0) + across_2 * (across**2 - 1.0) + 2.0 * mixed * along * across
        return value, 0.5 * value * blur


def misfit(block: MapBlock, fits: PixelFits) -> float:
    """Return by how much beams differ from the Gaussians that were fitted to them, as a part of these.

    The beams of all pixels are laid over each other; what counts is the ring in which they differ most.

    Parameters
    ----------
    block : MapBlock
        The maps, which hold means.
    fits : PixelFits
        What was fitted to them, or to their samples.

    Returns
    -------
    float
        The largest difference within three quarters of the width, over the Gaussian there; 0 if it is not clear.
    """
    chosen = np.flatnonzero(fits.is_found & (fits.peak != 0.0))[:_MOST]
    places, sums = CellPlaces(block), np.zeros((2, _N_RINGS))
    for first in range(0, chosen.size, _TOGETHER):
        sums += _ring_sums(block, places, fits, chosen[first : first + _TOGETHER])
    some = sums[1] > 0.0
    part, error = sums[0, some] / sums[1, some], sums[1, some] ** -0.5
    clear = np.abs(part) > _CLEARLY * error
    return float(np.abs(part[clear]).max(initial=0.0))


def _ring_sums(
    block: MapBlock, places: CellPlaces, fits: PixelFits, chosen: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return weighted differences of some beams from their Gaussians, and the weights, summed over rings."""
    # Pixels along the first axis, then rows and columns of the cells about their sources.
    x, y, major, minor, angle, peak, level = (
        getattr(fits, name)[chosen, None, None]
        for name in ("x", "y", "fwhm_major", "fwhm_minor", "angle", "peak", "level")
    )
    width = np.sqrt(major * minor)
    stack = block.stack
    at_y, at_x, is_there = places.around(x, y, _CORE * float(width.max()))
    cells = places.part((at_y, at_x))
    row = np.array(block.rows(fits.fixed_index[chosen].tolist()))[:, None, None]
    value, blur = cells.gaussian((x, y), (major, minor), angle)
    distance = np.hypot(cells.x - x, cells.y - y) / width
    inside = is_there & stack.valid_in(row, at_y, at_x) & (distance < _CORE)
    rest = ((stack.data[row, at_y, at_x] - level) / peak - value - blur)[inside]
    ring = np.minimum(distance[inside] * (_N_RINGS / _CORE), _N_RINGS - 1).astype(np.int64)
    # Differences as parts of the Gaussian, each with its weight.
    weight = (stack.weight[row, at_y, at_x] * peak**2 * value)[inside]
    terms = (weight * rest, weight * value[inside])
    return np.array([np.bincount(ring, term, _N_RINGS) for term in terms], dtype=np.float64)
