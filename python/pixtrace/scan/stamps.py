"""What the map of each pixel shows of the source beyond the Gaussian that was fitted to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.scan.beam_shape import CellPlaces

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.scan.block import MapBlock
    from pixtrace.scan.fits import PixelFits

__all__ = ["Stamps", "cut_stamps"]

_SURE = 3.0  # standard errors: less than that is noise
_KERNEL = 0.5  # standard deviation of the kernel with which values are taken to the middles of cells [cells]
_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0), (0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True, eq=False)
class Stamps:
    """The sources in the maps of all pixels less their Gaussians, cut out cell by cell.

    Attributes
    ----------
    values : ndarray of float32, shape (n, n_y, n_x)
        Maps less levels and Gaussians; 0 beyond the source, in cells without data, where it is not clear that there is
        anything, and along the edges; in the order of the fits.
    corner : ndarray of int64, shape (2, n)
        Cell (x, y) of the map that is the first of each stamp.
    resolution, reference_index : tuple of float
        Of the maps, x and y [arcsec, cells].
    """

    values: npt.NDArray[np.float32]
    corner: npt.NDArray[np.int64]
    resolution: tuple[float, float]
    reference_index: tuple[float, float]

    def select(self, rows: npt.NDArray[np.int64]) -> Stamps:
        """Return some of them."""
        return Stamps(self.values[rows], self.corner[:, rows], self.resolution, self.reference_index)

    def moved(self, step: npt.NDArray[np.float64]) -> Stamps:
        """Return the same sources, all of them moved by x and y [arcsec]."""
        x, y = (index - by / size for index, by, size in zip(self.reference_index, step, self.resolution, strict=True))
        return Stamps(self.values, self.corner, self.resolution, (float(x), float(y)))

    def at(self, offset: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return what is there under some frames, between the middles of cells along straight lines.

        Parameters
        ----------
        offset : ndarray of float64, shape (2, n_frames)
            Where the boresight looks, on the focal plane [arcsec]; not finite: nowhere.

        Returns
        -------
        ndarray of float32, shape (n_frames, n)
            Values, 0 beyond the stamps.
        """
        n, n_y, n_x = self.values.shape
        size, reference = np.array(self.resolution)[:, None], np.array(self.reference_index)[:, None]
        known = np.isfinite(offset).all(axis=0)
        place = np.where(known, np.where(known, offset, 0.0) / size + reference, -(2.0**31))
        before = np.floor(place)
        cell = before.astype(np.int64)
        x, y = (cell[axis, :, None] - self.corner[axis] for axis in range(2))
        inside = (x >= 0) & (x < n_x - 1) & (y >= 0) & (y < n_y - 1)
        frame, pixel = np.nonzero(inside)
        u, v = (place - before)[:, frame].astype(np.float32)
        x, y = x[frame, pixel], y[frame, pixel]
        values = self.values
        result = np.zeros((offset.shape[1], n), dtype=np.float32)
        result[frame, pixel] = (1.0 - v) * ((1.0 - u) * values[pixel, y, x] + u * values[pixel, y, x + 1])
        result[frame, pixel] += v * ((1.0 - u) * values[pixel, y + 1, x] + u * values[pixel, y + 1, x + 1])
        return result


def cut_stamps(block: MapBlock, fits: PixelFits, reach: float) -> Stamps:
    """Cut the sources out of maps, without their Gaussians.

    Parameters
    ----------
    block : MapBlock
        The maps, which hold means.
    fits : PixelFits
        What was fitted to them, or to their samples.
    reach : float
        How far the source goes [FWHM].

    Returns
    -------
    Stamps
        Zeros for pixels in which no source was found.
    """
    found = np.flatnonzero(fits.is_found)
    size, reference = np.array(block.grid.resolution), np.array(block.grid.reference_index)
    widest = float(np.max(fits.fwhm_major[found], initial=0.0))
    half = np.ceil(reach * widest / size).astype(np.int64) + 1
    values = np.zeros((len(fits), 2 * int(half[1]) + 1, 2 * int(half[0]) + 1), dtype=np.float32)
    corner = np.zeros((2, len(fits)), dtype=np.int64)
    n_y, n_x = block.grid.shape
    places = CellPlaces(block)
    for k in found:
        centre, width = (float(fits.x[k]), float(fits.y[k])), (float(fits.fwhm_major[k]), float(fits.fwhm_minor[k]))
        corner[:, k] = first = np.rint(np.array(centre) / size + reference).astype(np.int64) - half
        # The part of the stamp that lies on the map, in cells of either.
        low, high = np.maximum(first, 0), np.minimum(first + 2 * half + 1, (n_x, n_y))
        if (low >= high).any():
            continue
        on_map = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
        row = block.row(int(fits.fixed_index[k]))
        cells = places.part(on_map)
        value, blur = cells.gaussian(centre, width, float(fits.angle[k]))
        rest = block.stack.data[row][on_map] - fits.level[k] - fits.peak[k] * (value + blur)
        weight = np.where(block.stack.valid_in(row, *on_map), block.stack.weight[row][on_map], 0.0)
        middle = [(np.arange(side.start, side.stop) - reference[1 - i]) * size[1 - i] for i, side in enumerate(on_map)]
        away = (cells.x - middle[1]) / size[0], (cells.y - middle[0][:, None]) / size[1]
        smooth = _at_middles(np.where(weight > 0.0, rest, 0.0), weight, away)
        near = np.hypot(middle[1] - centre[0], middle[0][:, None] - centre[1]) < reach * math.sqrt(width[0] * width[1])
        from_y, from_x = int(low[1] - first[1]), int(low[0] - first[0])
        values[k, from_y : from_y + rest.shape[0], from_x : from_x + rest.shape[1]] = np.where(near, smooth, 0.0)
    return Stamps(values, corner, block.grid.resolution, block.grid.reference_index)


def _at_middles(
    rest: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], away: tuple[npt.NDArray[np.float64], ...]
) -> npt.NDArray[np.float64]:
    """Return values at the middles of cells from those where the samples lie, 0 where they are not clear.

    Parameters
    ----------
    rest, weight : ndarray of float64, shape (n_y, n_x)
        Means of the samples in the cells, and one over their variances; 0 for cells without any.
    away : tuple of ndarray
        Mean places of the samples, x and y from the middles [cells].

    Returns
    -------
    ndarray of float64, shape (n_y, n_x)
        Means over cells and their neighbours, weighted by how near the samples are; the less sure, the more they are
        drawn to 0, so that rounds do not swing between a value and none.
    """
    n_y, n_x = rest.shape
    wide = [np.pad(array, 1) for array in (rest, weight, *away)]
    sums = np.zeros((3, n_y, n_x))
    for dy, dx in _AROUND:
        value, inverse, x, y = (array[1 + dy : 1 + dy + n_y, 1 + dx : 1 + dx + n_x] for array in wide)
        kernel = np.exp(-0.5 * ((x + dx) ** 2 + (y + dy) ** 2) / _KERNEL**2)
        sums += [inverse * kernel * value, inverse * kernel, inverse * kernel**2]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, error = sums[0] / sums[1], np.sqrt(sums[2]) / sums[1]
        part = 1.0 - (_SURE * error / mean) ** 2
    return np.where(part > 0.0, mean * part, 0.0)
