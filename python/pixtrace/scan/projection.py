"""The grid of a map: cells on the focal plane, projected about the source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from pixtrace.exceptions import DataError, ParameterError
from pixtrace.scan._units import arcsec, as_positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["LARGEST_SIDE", "MapGrid", "Projection", "round_half_away"]

Projection = Literal["tan", "sfl"]

#: Cells along a side from which a map needs the option ``large``: one such map takes 0.8 GB.
LARGEST_SIDE = 5000
#: What a position without a cell has for an index.
NO_CELL = -1
_DEGREE = 3600.0


@dataclass(frozen=True)
class MapGrid:
    """Cells of equal size about the reference position, which is the source.

    Attributes
    ----------
    shape : tuple of int
        ``(n_y, n_x)``.
    resolution : tuple of float
        Size of a cell, ``(x, y)`` [arcsec].
    reference_index : tuple of float
        Map index of the reference position, ``(x, y)``; the centre of the first cell is (0, 0).
    projection : {"tan", "sfl"}
        Gnomonic, or Sanson-Flamsteed.

    Raises
    ------
    ParameterError
        If a number does not make sense.
    """

    shape: tuple[int, int]
    resolution: tuple[float, float]
    reference_index: tuple[float, float]
    projection: Projection = "tan"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if min(self.shape) < 1:
            msg = f"`shape` = {self.shape}; a map needs at least one cell along each axis"
            raise ParameterError(msg)
        if not all(math.isfinite(size) and size > 0 for size in self.resolution):
            msg = f"`resolution` = {self.resolution}; cells must have a positive size, x and y [arcsec]"
            raise ParameterError(msg)
        if not all(math.isfinite(index) for index in self.reference_index):
            msg = f"`reference_index` = {self.reference_index}; it must be finite"
            raise ParameterError(msg)
        if self.projection not in get_args(Projection):
            msg = f"`projection` = {self.projection!r}; it must be one of {', '.join(get_args(Projection))}"
            raise ParameterError(msg)

    @classmethod
    def around(
        cls,
        lowest: Sequence[float],
        highest: Sequence[float],
        resolution: Sequence[float],
        *,
        projection: Projection = "tan",
        large: bool = False,
    ) -> MapGrid:
        """Return the grid that holds a range of projected offsets; the reference lies on a corner of cells.

        Parameters
        ----------
        lowest, highest : sequence of float
            Smallest and largest offset, ``(x, y)`` [arcsec].
        resolution : sequence of float
            Size of a cell, ``(x, y)`` [arcsec].
        projection : {"tan", "sfl"}, optional
            Gnomonic, or Sanson-Flamsteed.
        large : bool, optional
            Allow sides of `LARGEST_SIDE` cells and more.

        Returns
        -------
        MapGrid
            The grid.

        Raises
        ------
        DataError
            If the range is empty or not finite, or the map is too large.
        """
        reference: list[float] = []
        sides: list[int] = []
        for axis, low, high, size in zip("xy", lowest, highest, resolution, strict=True):
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                msg = f"offsets along {axis} go from {low} to {high} arcsec; there is nothing to map"
                raise DataError(msg)
            index = 0.5 - float(round_half_away(np.array(low / size)))
            side = 1 + math.ceil(index + high / size)
            if side < 1:
                msg = f"offsets along {axis} go from {low} to {high} arcsec: the source is outside of the map"
                raise DataError(msg)
            if side >= LARGEST_SIDE and not large:
                msg = (
                    f"offsets along {axis} go from {low:g} to {high:g} arcsec, which takes {side} cells of {size:g} "
                    f"arcsec; set `grid` or `map.size`, or set `large` to allow {LARGEST_SIDE} cells and more"
                )
                raise DataError(msg)
            reference.append(index)
            sides.append(side)
        x, y = (float(size) for size in resolution)
        return cls((sides[1], sides[0]), (x, y), (reference[0], reference[1]), projection)

    def wcs(self) -> Any:
        """Return the transformation as an `astropy.wcs.WCS` [degree].

        Its axes are FLON and FLAT, offsets on the focal plane along x and y; x grows to the right.

        Returns
        -------
        astropy.wcs.WCS
            With `array_shape` set.
        """
        from astropy.wcs import WCS

        code = self.projection.upper()
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = [f"FLON-{code}", f"FLAT-{code}"]
        wcs.wcs.cunit = ["deg", "deg"]
        wcs.wcs.crpix = [index + 1.0 for index in self.reference_index]
        wcs.wcs.cdelt = [size / _DEGREE for size in self.resolution]
        wcs.wcs.crval = [0.0, 0.0]
        wcs.array_shape = self.shape
        return wcs

    def position_of(self, offset: Any) -> npt.NDArray[np.float64]:
        """Return where offsets lie on the map.

        Parameters
        ----------
        offset : Quantity or array_like, shape (2, n)
            On the focal plane, x and y from the reference [arcsec].

        Returns
        -------
        ndarray of float64, shape (2, n)
            Map index, x and y, with fractions; NaN where the offset is not finite or cannot be projected.
        """
        offsets = as_positions(offset, "offset")
        good = np.isfinite(offsets).all(axis=0)
        position = np.full(offsets.shape, np.nan)
        if good.any():
            position[:, good] = self.wcs().wcs_world2pix(offsets[:, good].T / _DEGREE, 0).T
        return position

    def offset_of(self, position: npt.ArrayLike) -> Any:
        """Return the offsets of places on the map.

        Parameters
        ----------
        position : array_like, shape (2, n)
            Map index, x and y.

        Returns
        -------
        Quantity, shape (2, n)
            Offset on the focal plane [arcsec]; NaN where the index is not finite.
        """
        index = as_positions(position, "position")
        good = np.isfinite(index).all(axis=0)
        offsets = np.full(index.shape, np.nan)
        if good.any():
            degrees = self.wcs().wcs_pix2world(index[:, good].T, 0).T
            offsets[:, good] = (np.mod(degrees + 180.0, 360.0) - 180.0) * _DEGREE
        return arcsec(offsets)

    def project(self, offset: Any) -> npt.NDArray[np.float64]:
        """Return offsets in the plane of the map, shape (2, n) [arcsec]; that is, `position_of` without the grid."""
        reference, size = (np.array(pair)[:, None] for pair in (self.reference_index, self.resolution))
        projected: npt.NDArray[np.float64] = (self.position_of(offset) - reference) * size
        return projected

    def contains(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Tell which cells (x, y), along the first axis, are on the map."""
        n_y, n_x = self.shape
        inside: npt.NDArray[np.bool_] = (index[0] >= 0) & (index[0] < n_x) & (index[1] >= 0) & (index[1] < n_y)
        return inside


def round_half_away(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round to whole numbers, halves away from zero, as the reference does with map indices; NaN stays NaN."""
    whole = np.trunc(values)
    # Not floor(x + 0.5): adding a half to the number below a half gives 1.
    rounded: npt.NDArray[np.float64] = whole + np.copysign(np.abs(values - whole) >= 0.5, values)  # noqa: PLR2004
    return rounded
