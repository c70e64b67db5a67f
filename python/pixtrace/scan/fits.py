"""Where the source stands in each map: fits of many maps at once, in columns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.scan._units import arcsec
from pixtrace.scan.configuration import setting
from pixtrace.scan.flags import FitFlag, MapFlag
from pixtrace.scan.peak_sources import PeakSources

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from pixtrace.scan.block import MapBlock

__all__ = ["PixelFit", "PixelFits", "fit_maps"]

#: Maps that are copied at a time where a fit needs them smoothed: the maps themselves stay as they are.
COPIES = 64
_X, _Y, _AMPLITUDE, _MAJOR, _MINOR, _ANGLE, _LEVEL = range(7)


@dataclass(frozen=True)
class PixelFit:
    """The source in one map.

    Attributes
    ----------
    fixed_index : int
        Number of the pixel.
    x, y, x_error, y_error : float
        Offset of the source on the focal plane, and standard errors [arcsec]; NaN where unknown.
    peak, peak_error : float
        Amplitude, in units of the map, and its standard error.
    fwhm_major, fwhm_minor, angle : float
        Widths [arcsec], and angle of the major axis from x towards y [degrees].
    flag : FitFlag
        What is to be said against it.
    """

    fixed_index: int
    x: float
    y: float
    x_error: float
    y_error: float
    peak: float
    peak_error: float
    fwhm_major: float
    fwhm_minor: float
    angle: float
    flag: FitFlag

    @property
    def coordinates(self) -> Any:
        """Offset (x, y) of the source as a quantity [arcsec]."""
        return arcsec(np.array([self.x, self.y]))

    @property
    def fwhm(self) -> float:
        """FWHM of a round Gaussian of the same area [arcsec]."""
        return float(np.sqrt(self.fwhm_major * self.fwhm_minor))

    @property
    def significance(self) -> float:
        """Amplitude over its error."""
        return abs(self.peak) / self.peak_error


@dataclass(frozen=True, eq=False)
class PixelFits:
    """The source in the maps of many pixels; all arrays have the shape (n,).

    Attributes
    ----------
    method : str
        How it was found: see the option ``pointing.method``.
    fixed_index : ndarray of int64
        Numbers of the pixels.
    flag : ndarray of int64
        `FitFlag` bits.
    x, y, x_error, y_error : ndarray of float64
        Offset of the source on the focal plane [arcsec].
    peak, peak_error, level, level_error : ndarray of float64
        Amplitude and level of the map about it, in its units.
    fwhm_major, fwhm_minor, angle, fwhm_major_error, fwhm_minor_error, angle_error : ndarray of float64
        Shape [arcsec, degrees].
    chi2 : ndarray of float64
        Of the fit.
    dof, n_cells : ndarray of int64
        Degrees of freedom, and cells that were fitted.
    """

    method: str
    fixed_index: npt.NDArray[np.int64]
    flag: npt.NDArray[np.int64]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    x_error: npt.NDArray[np.float64]
    y_error: npt.NDArray[np.float64]
    peak: npt.NDArray[np.float64]
    peak_error: npt.NDArray[np.float64]
    fwhm_major: npt.NDArray[np.float64]
    fwhm_minor: npt.NDArray[np.float64]
    angle: npt.NDArray[np.float64]
    fwhm_major_error: npt.NDArray[np.float64]
    fwhm_minor_error: npt.NDArray[np.float64]
    angle_error: npt.NDArray[np.float64]
    level: npt.NDArray[np.float64]
    level_error: npt.NDArray[np.float64]
    chi2: npt.NDArray[np.float64]
    dof: npt.NDArray[np.int64]
    n_cells: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return self.fixed_index.size

    @property
    def is_found(self) -> npt.NDArray[np.bool_]:
        """Whether the source was found in each map."""
        found: npt.NDArray[np.bool_] = (self.flag & int(FitFlag.NOT_FOUND)) == 0
        return found

    def places_of(self, fixed_index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where pixels stand here.

        Parameters
        ----------
        fixed_index : ndarray of int64, shape (m,)
            Their numbers.

        Returns
        -------
        ndarray of int64, shape (m,)
            Places, -1 for those that are not here.
        """
        place = {int(number): i for i, number in enumerate(self.fixed_index)}
        return np.array([place.get(int(number), -1) for number in fixed_index], dtype=np.int64)

    def fit(self, number: int) -> PixelFit:
        """Return the fit of one map, by its place."""
        values = {name.name: getattr(self, name.name) for name in fields(PixelFit)}
        numbers = {name: value[number].item() for name, value in values.items()}
        return PixelFit(**{**numbers, "flag": FitFlag(numbers["flag"])})

    @staticmethod
    def join(parts: list[PixelFits], method: str) -> PixelFits:
        """Return fits one after the other."""
        columns = [entry.name for entry in fields(PixelFits) if entry.name != "method"]
        whole = {"fixed_index", "flag", "dof", "n_cells"}
        joined: dict[str, Any] = {
            name: np.concatenate(
                [np.zeros(0, np.int64 if name in whole else np.float64), *(getattr(part, name) for part in parts)]
            )
            for name in columns
        }
        return PixelFits(method, **joined)


def fit_maps(
    block: MapBlock,
    fixed_indices: Iterable[int],
    *,
    smooth_fwhm: float | None = None,
    point_size: float | None = None,
    method: str | None = None,
    degree: int | None = None,
    reduce_degrees: bool | None = None,
    level: bool = True,
) -> PixelFits:
    """Find the source in maps, which stay as they are.

    Parameters
    ----------
    block : MapBlock
        The maps.
    fixed_indices : iterable of int
        Pixels; all must have maps.
    smooth_fwhm : float, optional
        FWHM to smooth copies of the maps to before [arcsec].
    point_size : float, optional
        FWHM of the beam to begin with [arcsec].
    method, degree, reduce_degrees : optional
        Instead of the options ``pointing...``.
    level : bool, optional
        For the methods of the reference: level copies of the maps before. The Gaussian has a level of its own.

    Returns
    -------
    PixelFits
        One entry for each pixel.
    """
    configuration = block.configuration
    chosen = str(setting(configuration, "pointing.method") if method is None else method)
    numbers = [int(number) for number in fixed_indices]
    if degree is None:
        degree = int(setting(configuration, "pointing.degree"))
    if reduce_degrees is None:
        reduce_degrees = bool(setting(configuration, "pointing.reduce_degrees"))
    spline = (degree, reduce_degrees, level)
    if smooth_fwhm is None:
        return _fit(block, numbers, chosen, point_size, spline)
    parts: list[PixelFits] = []
    for first in range(0, len(numbers), COPIES):
        some = numbers[first : first + COPIES]
        copy = block.select(some)
        copy.end_accumulation()
        copy.stack.smooth_to(smooth_fwhm, n_threads=block.n_threads)
        parts.append(_fit(copy, some, chosen, point_size, spline))
    return PixelFits.join(parts, chosen)


def _fit(
    block: MapBlock, numbers: list[int], method: str, point_size: float | None, spline: tuple[int, bool, bool]
) -> PixelFits:
    rows = block.rows(numbers)
    if method == "gaussian":
        return _gaussian(block, rows, numbers, point_size)
    return _peak(block, rows, numbers, method, point_size, spline)


def _gaussian(block: MapBlock, rows: list[int], numbers: list[int], point_size: float | None) -> PixelFits:
    found = block.stack.fit_gaussians(
        pixels=rows,
        beam_fwhm=point_size,
        sign=str(setting(block.configuration, "source.sign")),
        significance=float(setting(block.configuration, "pointing.significance") or 0.0),
        round_significance=float(setting(block.configuration, "pointing.round") or 0.0),
        n_threads=block.n_threads,
    )
    position, fwhm, covariance = (np.asarray(getattr(found, name)) for name in ("position", "fwhm", "covariance"))
    error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    x, y = _on_focal_plane(block, position)
    return PixelFits(
        method="gaussian",
        fixed_index=np.array(numbers, dtype=np.int64),
        flag=np.asarray(found.flags).astype(np.int64),
        x=x,
        y=y,
        x_error=error[:, _X],
        y_error=error[:, _Y],
        peak=np.asarray(found.amplitude),
        peak_error=error[:, _AMPLITUDE],
        fwhm_major=fwhm[:, 0],
        fwhm_minor=fwhm[:, 1],
        angle=np.asarray(found.angle),
        fwhm_major_error=error[:, _MAJOR],
        fwhm_minor_error=error[:, _MINOR],
        angle_error=error[:, _ANGLE],
        level=np.asarray(found.level),
        level_error=error[:, _LEVEL],
        chi2=np.asarray(found.chi2),
        dof=np.asarray(found.degrees_of_freedom).astype(np.int64),
        n_cells=np.asarray(found.n_cells).astype(np.int64),
    )


def _peak(
    block: MapBlock,
    rows: list[int],
    numbers: list[int],
    method: str,
    point_size: float | None,
    spline: tuple[int, bool, bool],
) -> PixelFits:
    degree, reduce_degrees, level = spline

    def find(some: list[int], *, is_reduced: bool) -> PeakSources:
        return block.stack.find_peaks(
            pixels=some,
            method=method,
            has_fit=bool(setting(block.configuration, "pointing.lsq")),
            degree=degree,
            reduce_degrees=is_reduced,
            significance=float(setting(block.configuration, "pointing.significance") or 0.0),
            beam_fwhm=0.0 if point_size is None else point_size,
            is_levelled=level,
            n_threads=block.n_threads,
        )

    found = find(rows, is_reduced=True)
    if not reduce_degrees:
        known = [_has_cells(block, row, index, degree) for row, index in zip(rows, found.center_index, strict=True)]
        enough = np.array(known, dtype=bool)
        unknown_peak = PeakSources(*(np.full_like(column, np.nan) for column in found))
        strict = find([row for row, is_known in zip(rows, known, strict=True) if is_known], is_reduced=False)
        for whole, column in zip(unknown_peak, strict, strict=True):
            whole[enough] = column
        found = unknown_peak
    n = len(numbers)
    unknown = np.full(n, np.nan)
    x, y = _on_focal_plane(block, np.asarray(found.position))
    weight, peak = np.asarray(found.peak_weight), np.asarray(found.peak)
    elongation, fwhm = np.asarray(found.elongation), np.asarray(found.fwhm)
    with np.errstate(invalid="ignore", divide="ignore"):
        peak_error = np.where(weight > 0, weight**-0.5, np.nan)
        stretch = np.sqrt((1.0 + elongation) / (1.0 - elongation))
    return PixelFits(
        method=method,
        fixed_index=np.array(numbers, dtype=np.int64),
        flag=np.where(np.isnan(peak), int(FitFlag.NOT_SIGNIFICANT), 0).astype(np.int64),
        x=x,
        y=y,
        x_error=unknown,
        y_error=unknown,
        peak=peak,
        peak_error=peak_error,
        fwhm_major=fwhm * stretch,
        fwhm_minor=fwhm / stretch,
        angle=np.asarray(found.angle),
        fwhm_major_error=unknown,
        fwhm_minor_error=unknown,
        angle_error=unknown,
        level=unknown,
        level_error=unknown,
        chi2=unknown,
        dof=np.zeros(n, dtype=np.int64),
        n_cells=np.asarray(block.stack.n_valid)[rows],
    )


def _has_cells(block: MapBlock, row: int, index: npt.NDArray[np.float64], degree: int) -> bool:
    """Tell whether there are as many valid cells around a peak as a spline surface of a degree needs."""
    if not np.isfinite(index).all():
        return False
    shape = np.array(block.grid.shape)
    at = index[::-1]
    if (at == np.floor(at)).all():  # at the centre of a cell the value is that of the cell
        return True
    first = np.clip(np.floor(at) - degree - 1, 0, shape).astype(int)
    last = np.clip(np.ceil(at) + degree + 1, 0, shape).astype(int)
    stack = block.stack
    flag, weight, data = (
        plane[row, first[0] : last[0], first[1] : last[1]] for plane in (stack.flag, stack.weight, stack.data)
    )
    valid = ((flag.astype(np.uint8) & np.uint8(MapFlag.DISCARD)) == 0) & (weight > 0) & ~np.isnan(data)
    return bool(((last - first) > degree).all() and valid.sum() >= (degree + 1) ** 2)


def _on_focal_plane(block: MapBlock, position: npt.NDArray[np.float64]) -> Any:
    """Return offsets in the plane of the map, (n, 2), as offsets on the sphere, (2, n) [arcsec]."""
    size, reference = np.array(block.grid.resolution), np.array(block.grid.reference_index)
    return block.grid.offset_of((position / size + reference).T).value
