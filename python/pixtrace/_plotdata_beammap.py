"""The numbers behind the pictures of a beam map: cut-outs, the mean beam, which pixels to show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixtrace.scan.beam_shape import CellPlaces
from pixtrace.scan.map_view import MapView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pixtrace.scan.beam_map import BeamMap
    from pixtrace.scan.block import MapBlock

__all__ = [
    "MeanBeam",
    "PixelPage",
    "chosen_pixels",
    "cut_out_side",
    "cut_outs",
    "displacement",
    "gallery_pixels",
    "mean_beam",
    "page_of",
]

_GALLERY = 64
_REACH = 1.6  # FWHM from the centre to the edge of a cut-out
_N_SIDE = 41
_COARSE = 0.3  # FWHM: cells in which what a fit leaves is shown
_FAR, _N_RINGS = 2.5, 40  # FWHM to which the profile goes, and its rings
_MOST_STACKED, _TOGETHER = 1000, 30  # pixels in the mean beam, and how many are looked at in one go
_LEAST_SMOOTHING = 0.3  # sigma of a kernel [cells]
_KERNEL = 6.0  # sigma to which a kernel goes
_LEAST_WEIGHT = 0.02  # of the largest: less is too far from any cell


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanBeam:
    """The beams of all good pixels, laid over each other, each in units of its height.

    Attributes
    ----------
    image : ndarray of float64, shape (n, n)
        The mean.
    half : float
        Half its side [arcsec].
    radius, profile, scatter : ndarray of float64
        Distance from the centre [arcsec], mean and scatter of the cells in rings. Unlike the image, the profile is not
        blurred by the cells: they count where their samples lie, and less what the scatter of these does to a Gaussian.
    fwhm : float
        Median of the fitted widths [arcsec].
    """

    image: npt.NDArray[np.float64]
    half: float
    radius: npt.NDArray[np.float64]
    profile: npt.NDArray[np.float64]
    scatter: npt.NDArray[np.float64]
    fwhm: float

    def gaussian(self, radius: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the Gaussian of the median width at some distances [arcsec], 1 in the centre."""
        return np.asarray(np.exp(-4.0 * math.log(2.0) * (radius / self.fwhm) ** 2))


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelPage:
    """The map of one pixel, and what was fitted to it.

    Attributes
    ----------
    number : int
        Its fixed index.
    image, model : ndarray of float64, shape (n_y, n_x)
        Map, and the Gaussian on its level where the samples of each cell lie.
    rest : ndarray of float64
        What the Gaussian leaves, in cells of about a third of the beam: weighted means, NaN without data.
    rest_extent : tuple of float
        Edges of these cells.
    extent : tuple of float
        Edges of the map: left, right, bottom, top [arcsec].
    centre : tuple of float
        Where the source stands in the map, x and y [arcsec].
    unit : str
        Of the map.
    facts : tuple of (str, str)
        Numbers with their names.
    """

    number: int
    image: npt.NDArray[np.float64]
    model: npt.NDArray[np.float64]
    rest: npt.NDArray[np.float64]
    rest_extent: tuple[float, float, float, float]
    extent: tuple[float, float, float, float]
    centre: tuple[float, float]
    unit: str
    facts: tuple[tuple[str, str], ...]


def displacement(found: BeamMap) -> npt.NDArray[np.float64]:
    """Return measured less nominal positions, less their median.

    Parameters
    ----------
    found : BeamMap
        The result.

    Returns
    -------
    ndarray of float64, shape (2, n_pixels)
        [arcsec]; NaN for pixels that were not measured.
    """
    table = found.table
    away = np.stack([table.x - table.extra["nominal_x"].values, table.y - table.extra["nominal_y"].values])
    return away - common_offset(away)[:, None]


def common_offset(away: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the median of displacements, 0 where there are none."""
    known = np.isfinite(away).all(axis=0)
    return np.median(away[:, known], axis=1) if known.any() else np.zeros(2)


def gallery_pixels(found: BeamMap) -> npt.NDArray[np.int64]:
    """Return rows of the table to be shown side by side: all good ones, or a choice through the whole array."""
    rows = np.flatnonzero(found.is_good)
    if rows.size <= _GALLERY:
        return rows
    return rows[np.linspace(0, rows.size - 1, _GALLERY).round().astype(np.int64)]


def chosen_pixels(found: BeamMap) -> list[int]:
    """Return the numbers of three pixels that tell most: the median one, the faintest, and the worst fit."""
    rows = np.flatnonzero(found.is_good)
    if rows.size == 0:
        return []
    table = found.table
    snr = table.snr[rows]
    badness = table.chi2[rows] / np.maximum(table.dof[rows], 1)
    order = np.argsort(snr)
    chosen = [order[order.size // 2], order[0], int(np.argmax(np.nan_to_num(badness)))]
    return list(dict.fromkeys(int(table.fixed_index[rows[k]]) for k in chosen))


def _width(found: BeamMap) -> float:
    table, good = found.table, found.is_good
    if not good.any():
        return math.nan
    return float(np.median(np.sqrt(table.fwhm_major[good] * table.fwhm_minor[good])))


def _plane(found: BeamMap, number: int) -> npt.NDArray[np.float64] | None:
    """Return the map of a pixel, NaN where it holds nothing; None if there is none."""
    block = found.maps.block
    if block is None or number not in block.notes:
        return None
    row = block.row(number)
    values = np.array(block.stack.data[row], dtype=np.float64)
    values[~MapView(block, number).valid] = np.nan  # of this map alone: the stack would look at all of them
    return values


def cut_out_side(found: BeamMap) -> float:
    """Return how long a side of a cut-out is [arcsec]; NaN if nothing was found."""
    return 2.0 * _REACH * _width(found)


def cut_outs(
    found: BeamMap, rows: npt.NDArray[np.int64], *, smoothing: float = 0.12
) -> list[npt.NDArray[np.float64] | None]:
    """Return the surroundings of the source in the maps of pixels, less their levels, in units of their heights.

    Parameters
    ----------
    found : BeamMap
        The result.
    rows : ndarray of int64
        Rows of the table.
    smoothing : float, optional
        Width (sigma) of the kernel that closes the gaps between cells [FWHM of the beam].

    Returns
    -------
    list of ndarray of float64, shape (41, 41), or None
        Maps with the source in the middle, 3.2 FWHM from side to side; NaN far from any data. None for pixels that were
        not measured.
    """
    sums = _kernel_sums(found, rows, smoothing)
    return [None if some is None else _quotient(*some) for some in sums]


def _quotient(total: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    enough = weight > _LEAST_WEIGHT * float(weight.max(initial=0.0))
    quotient = np.full(total.shape, np.nan)
    np.divide(total, weight, out=quotient, where=enough)
    return quotient


def _kernel_sums(
    found: BeamMap, rows: npt.NDArray[np.int64], smoothing: float
) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None]:
    """Yield sums of weighted values and of weights about the sources of pixels, with a Gaussian kernel."""
    table, block, is_good, width = found.table, found.maps.block, found.is_good, _width(found)
    axis = np.linspace(-_REACH * width, _REACH * width, _N_SIDE)
    for row in rows:
        number = int(table.fixed_index[row])
        if block is None or not is_good[row] or number not in block.notes:
            yield None
            continue
        # The Gaussian of the distance is a product of one in x and one in y; cells beyond its reach are not looked at.
        kernels: list[npt.NDArray[np.float64]] = []
        place: list[slice] = []
        sizes, references = block.grid.resolution[::-1], block.grid.reference_index[::-1]
        centres = (table.y[row], table.x[row])
        for n, size, reference, centre in zip(block.grid.shape, sizes, references, centres, strict=True):
            cells = (np.arange(n) - reference) * size + centre
            sigma = max(smoothing * width, _LEAST_SMOOTHING * size)
            near = np.flatnonzero(np.abs(cells) < axis[-1] + _KERNEL * sigma)
            place.append(slice(near[0], near[-1] + 1) if near.size else slice(0))
            kernels.append(np.exp(-0.5 * ((axis[:, None] - cells[place[-1]]) / sigma) ** 2))
        values, weight = _part(block, number, (place[0], place[1]))
        values = (values - table.level[row]) / table.amplitude[row]
        along_y, along_x = kernels
        yield along_y @ (weight * values) @ along_x.T, along_y @ weight @ along_x.T


def _part(
    block: MapBlock, number: int, place: tuple[slice, slice]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return values and weights of some cells of the map of a pixel, both 0 where they hold nothing."""
    row, stack = block.row(number), block.stack
    valid = stack.valid_in(row, *place)
    return np.where(valid, stack.data[row][place], 0.0), np.where(valid, stack.weight[row][place], 0.0)


def mean_beam(found: BeamMap) -> MeanBeam | None:
    """Lay the beams of all good pixels over each other.

    Parameters
    ----------
    found : BeamMap
        The result.

    Returns
    -------
    MeanBeam or None
        None if no pixel was measured.
    """
    total, weight = np.zeros((_N_SIDE, _N_SIDE)), np.zeros((_N_SIDE, _N_SIDE))
    rows = np.flatnonzero(found.is_good)[:_MOST_STACKED]
    for sums in _kernel_sums(found, rows, 0.0):
        if sums is not None:
            total, weight = total + sums[0], weight + sums[1]
    if not weight.any():
        return None
    radius, profile, scatter = _profile(found, rows)
    width = _width(found)
    return MeanBeam(
        image=_quotient(total, weight),
        half=_REACH * width,
        radius=radius,
        profile=profile,
        scatter=scatter,
        fwhm=width,
    )


def _profile(
    found: BeamMap, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return distance from the source, mean and scatter of the cells of all maps in rings."""
    table, block, width = found.table, found.maps.need_block(), _width(found)
    reach, places, stack = _FAR * width, CellPlaces(block), block.stack
    rows = rows[[int(number) in block.notes for number in table.fixed_index[rows]]]
    sums = np.zeros((4, _N_RINGS))
    for first in range(0, rows.size, _TOGETHER):
        some = rows[first : first + _TOGETHER, None, None]
        at_y, at_x, is_there = places.around(-table.x[some], -table.y[some], reach)
        cells = places.part((at_y, at_x))
        row = np.array(block.rows(table.fixed_index[some.ravel()].tolist()))[:, None, None]
        distance = np.hypot(cells.x + table.x[some], cells.y + table.y[some])
        inside = is_there & stack.valid_in(row, at_y, at_x) & (distance < reach)
        _, blur = _gaussian(cells, found, some)
        relative = ((stack.data[row, at_y, at_x] - table.level[some]) / table.amplitude[some] - blur)[inside]
        weight = (stack.weight[row, at_y, at_x] * table.amplitude[some] ** 2)[inside]
        distance = distance[inside]
        ring = np.minimum(distance * (_N_RINGS / reach), _N_RINGS - 1).astype(np.int64)
        terms = (weight, weight * distance, weight * relative, weight * relative**2)
        sums += [np.bincount(ring, term, _N_RINGS) for term in terms]
    with np.errstate(invalid="ignore", divide="ignore"):
        radius, mean, square = sums[1:] / sums[0]
    known = sums[0] > 0.0
    return radius[known], mean[known], np.sqrt(np.maximum(square - mean**2, 0.0))[known]


def _gaussian(
    cells: CellPlaces, found: BeamMap, row: int | npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the Gaussian of pixels in their maps, of height 1, and what the scatter of samples in cells adds to it."""
    table = found.table
    return cells.gaussian(
        (-table.x[row], -table.y[row]), (table.fwhm_major[row], table.fwhm_minor[row]), table.angle[row]
    )


def page_of(found: BeamMap, number: int) -> PixelPage | None:
    """Return the map of a pixel with its fit.

    Parameters
    ----------
    found : BeamMap
        The result.
    number : int
        Fixed index of the pixel.

    Returns
    -------
    PixelPage or None
        None if the pixel has no map; the model is NaN if nothing was found in it.
    """
    values, block, table = _plane(found, number), found.maps.block, found.table
    rows = np.flatnonzero(table.fixed_index == number)
    if values is None or block is None or rows.size == 0:
        return None
    row = int(rows[0])
    size, reference = block.grid.resolution, block.grid.reference_index
    # Samples do not lie in the middle of their cells; the fit knows where they lie, and so must its picture.
    cells = CellPlaces(block, block.row(number))
    model = table.level[row] + table.amplitude[row] * np.sum(_gaussian(cells, found, row), axis=0)
    coarse = max(1, round(_COARSE * float(np.nan_to_num(_width(found))) / max(size)))
    rest = _binned(values - model, np.array(block.stack.weight[block.row(number)]), coarse)
    facts = (
        ("x", f"{table.x[row]:.3f} +- {table.x_error[row]:.3f} arcsec"),
        ("y", f"{table.y[row]:.3f} +- {table.y_error[row]:.3f} arcsec"),
        ("amplitude", f"{table.amplitude[row]:.5g} +- {table.amplitude_error[row]:.2g} {table.unit}"),
        ("coupling", f"{table.coupling[row]:.4f} +- {table.coupling_error[row]:.4f}"),
        ("FWHM", f"{table.fwhm_major[row]:.2f} x {table.fwhm_minor[row]:.2f} arcsec"),
        ("noise", f"{table.extra['noise'].values[row]:.4g} {table.unit}"),
        ("chi2 / dof", f"{table.chi2[row]:.0f} / {table.dof[row]}"),
    )
    return PixelPage(
        number=number,
        image=values,
        model=model,
        rest=rest,
        rest_extent=_extent(rest.shape, size, reference, coarse),
        extent=_extent(values.shape, size, reference, 1),
        centre=(-float(table.x[row]), -float(table.y[row])),
        unit=table.unit,
        facts=facts,
    )


def _extent(
    shape: tuple[int, ...], size: tuple[float, float], reference: tuple[float, float], coarse: int
) -> tuple[float, float, float, float]:
    """Return the edges of a map whose cells are some times as wide as those of the grid."""
    left, bottom = (-(0.5 + index) * width for index, width in zip(reference, size, strict=True))
    return (left, left + shape[1] * coarse * size[0], bottom, bottom + shape[0] * coarse * size[1])


def _binned(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], coarse: int) -> npt.NDArray[np.float64]:
    """Return weighted means over squares of cells."""
    weight = np.where(np.isfinite(values), weight, 0.0)
    pad = [(0, -n % coarse) for n in values.shape]
    sums = []
    for plane in (weight * np.nan_to_num(values), weight):
        full = np.pad(plane, pad)
        sums.append(full.reshape(full.shape[0] // coarse, coarse, full.shape[1] // coarse, coarse).sum(axis=(1, 3)))
    mean = np.full(sums[0].shape, np.nan)
    np.divide(sums[0], sums[1], out=mean, where=sums[1] > 0.0)
    return mean
