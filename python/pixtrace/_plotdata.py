"""The numbers behind the pictures of `pixtrace.plots`: which slice, which column, what to show of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.model import ColumnTrace
    from pixtrace.trace.result import OversampledImage

__all__ = ["Cutouts", "Profile", "Views", "as_shown", "block_mean", "native_residual", "profile_of", "robust_range"]

_ZOOM_COLUMNS = 56
_WINDOW = 50
_MOST_POINTS = 6000


@dataclass(frozen=True, kw_only=True)
class Views:
    """What the picture of an exposure looks at.

    Attributes
    ----------
    region : int
        The brightest slice, of those with a fit if there are any; 0 if the image has no region at all.
    column : int
        The column whose profile is shown: one with a fit if there is any, with as much light as can be.
    rows, columns : slice
        The cut-out around them.
    band : slice
        All rows of the slice.
    """

    region: int
    column: int
    rows: slice
    columns: slice
    band: slice

    @classmethod
    def of(cls, image: SpectralImage, result: OversampledImage) -> Views:
        """Choose the slice and the column.

        Parameters
        ----------
        image, result : SpectralImage, OversampledImage
            Before and after.

        Returns
        -------
        Views
            What to look at.
        """
        n_y, n_x = image.shape
        region = _brightest_region(image, {label for label, trace in result.model.items() if len(trace)})
        inside = image.region_map == region
        if region == 0:
            everything = slice(0, n_y)
            return cls(region=0, column=n_x // 2, rows=everything, columns=slice(0, n_x), band=everything)
        column = _bright_column(image, inside, result.model.get(region, {}))
        first = min(max(column - _ZOOM_COLUMNS // 2, 0), max(n_x - _ZOOM_COLUMNS, 0))
        columns = slice(first, min(first + _ZOOM_COLUMNS, n_x))
        return cls(region=region, column=column, rows=_span(inside[:, columns]), columns=columns, band=_span(inside))


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The profile of one column with all that the spline was fitted to; flux in per cent of the sum of its column.

    Attributes
    ----------
    window_alpha, window_flux : ndarray of float64, shape (n,)
        Pixels of the neighbouring columns (a selection, if there are many).
    alpha, flux : ndarray of float64, shape (m,)
        Pixels of the column itself.
    model_at : ndarray of float64, shape (m,)
        The spline at these pixels; NaN without a fit.
    fine_alpha, fine_flux : ndarray of float64
        Oversampled pixels of the column.
    spline_alpha, spline_flux : ndarray of float64
        The spline as a smooth curve; empty without a fit.
    """

    window_alpha: npt.NDArray[np.float64]
    window_flux: npt.NDArray[np.float64]
    alpha: npt.NDArray[np.float64]
    flux: npt.NDArray[np.float64]
    model_at: npt.NDArray[np.float64]
    fine_alpha: npt.NDArray[np.float64]
    fine_flux: npt.NDArray[np.float64]
    spline_alpha: npt.NDArray[np.float64]
    spline_flux: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Cutouts:
    """Pieces of the brightest slice; extents are (left, right, bottom, top) in detector pixels.

    Attributes
    ----------
    native : ndarray of float64
        Detector pixels, NaN outside the slice.
    fine, trace, rest : ndarray of float64
        Oversampled flux, trace where it is used, and their difference (zero trace where it is not used).
    native_extent, fine_extent : tuple of float
        What the pixels cover.
    name : str
        What `fine` is.
    """

    native: npt.NDArray[np.float64]
    fine: npt.NDArray[np.float64]
    trace: npt.NDArray[np.float64]
    rest: npt.NDArray[np.float64]
    native_extent: tuple[float, float, float, float]
    fine_extent: tuple[float, float, float, float]
    name: str

    @classmethod
    def of(cls, image: SpectralImage, result: OversampledImage, views: Views) -> Cutouts:
        """Cut the pieces out.

        Parameters
        ----------
        image, result : SpectralImage, OversampledImage
            Before and after.
        views : Views
            Where.

        Returns
        -------
        Cutouts
            The pieces.
        """
        rows, columns = views.rows, views.columns
        left, right = columns.start - 0.5, columns.stop - 0.5
        inside = image.region_map[rows, columns] == views.region
        factor, n_y = result.factor, image.shape[0]
        # A grid anchored at the far end is shifted by what the last oversampled row sticks out.
        shift = n_y * factor - math.ceil(n_y * factor) if image.flipped else 0.0
        first = max(math.floor(rows.start * factor - shift), 0)
        last = min(math.ceil(rows.stop * factor - shift), len(result.flux))
        cut = (slice(first, last), columns)
        inside_os = result.region_map[cut] == views.region
        fine = np.where(inside_os, result.flux[cut], np.nan).astype(np.float64) * as_shown(image, result)
        trace = np.where(inside_os, result.trace_used[cut], np.nan).astype(np.float64) * as_shown(image, result)
        return cls(
            native=np.where(inside, image.flux[rows, columns], np.nan).astype(np.float64),
            fine=fine,
            trace=trace,
            rest=fine - np.where(np.isfinite(trace), trace, 0.0),
            native_extent=(left, right, rows.start - 0.5, rows.stop - 0.5),
            fine_extent=(left, right, (first + shift) / factor - 0.5, (last + shift) / factor - 0.5),
            name="Flux" if factor == 1.0 else f"Oversampled x {factor:g}",
        )


def as_shown(image: SpectralImage, result: OversampledImage) -> float:
    """Return what an oversampled flux is multiplied by to be compared with a detector pixel's.

    Of a flux density per pixel, an oversampled pixel holds only its part.

    Parameters
    ----------
    image, result : SpectralImage, OversampledImage
        Before and after.

    Returns
    -------
    float
        The factor of the oversampling for a flux density, else 1.
    """
    return result.factor if image.flux_is_density else 1.0


def profile_of(image: SpectralImage, result: OversampledImage, views: Views) -> Profile:
    """Return the profile of the column that the picture looks at.

    Parameters
    ----------
    image, result : SpectralImage, OversampledImage
        Before and after.
    views : Views
        Which column of which slice.

    Returns
    -------
    Profile
        Its numbers; empty arrays where there is no data.
    """
    n_x = image.shape[1]
    first, last = max(views.column - _WINDOW, 0), min(views.column + _WINDOW, n_x)
    inside = image.region_map[views.band, first:last] == views.region
    flux = np.where(inside, image.flux[views.band, first:last], np.nan).astype(np.float64)
    alpha = np.where(inside, image.alpha[views.band, first:last], np.nan)
    sums = 0.01 * np.nansum(flux, axis=0)
    relative = np.divide(flux, sums, out=np.full_like(flux, np.nan), where=sums != 0.0)
    good = np.isfinite(relative) & np.isfinite(alpha)
    window_alpha, window_flux = alpha[good], relative[good]
    step = max(len(window_alpha) // _MOST_POINTS, 1)

    here = views.column - first
    own = good[:, here] if good.size else np.zeros(0, dtype=np.bool_)
    own_alpha, own_flux = alpha[own, here], relative[own, here]
    model_at = np.full(len(own_alpha), np.nan)
    curve = np.zeros(0)
    curve_flux = np.zeros(0)
    total = float(sums[here]) if sums.size else 0.0
    fit = _fit(result, views)
    if fit is not None and total != 0.0:
        low, high = fit.bounds
        curve = np.linspace(low, high, 600)
        offset = _offset(image, result, views)
        curve_flux = (np.asarray(fit.model(curve)) * fit.scale + offset) / total
        within = (own_alpha >= low) & (own_alpha <= high)
        model_at[within] = (np.asarray(fit.model(own_alpha[within])) * fit.scale + offset) / total
    fine = result.region_map[:, views.column] == views.region
    fine_flux = result.flux[fine, views.column].astype(np.float64) * as_shown(image, result)
    return Profile(
        window_alpha=window_alpha[::step],
        window_flux=window_flux[::step],
        alpha=own_alpha,
        flux=own_flux,
        model_at=model_at,
        fine_alpha=result.alpha[fine, views.column],
        fine_flux=fine_flux / total if total != 0.0 else np.full_like(fine_flux, np.nan),
        spline_alpha=curve,
        spline_flux=curve_flux,
    )


def native_residual(image: SpectralImage, result: OversampledImage, views: Views) -> npt.NDArray[np.float64]:
    """Return data minus spline in the detector pixels of the slice, in units of the error where there is one.

    Parameters
    ----------
    image, result : SpectralImage, OversampledImage
        Before and after.
    views : Views
        Which slice.

    Returns
    -------
    ndarray of float64, shape (rows of the slice, n_x)
        NaN outside the slice, in bad pixels and in columns without a fit. Without an error plane it is divided by a
        robust standard deviation of the residual itself.
    """
    inside = image.region_map[views.band] == views.region
    residual = np.where(inside, image.flux[views.band], np.nan).astype(np.float64)
    alpha = image.alpha[views.band]
    fits: Mapping[int, ColumnTrace] = result.model.get(views.region, {})
    without = np.ones(residual.shape[1], dtype=np.bool_)
    offset = _offset(image, result, views)
    for column, fit in fits.items():
        rows = np.flatnonzero(inside[:, column] & np.isfinite(alpha[:, column]))
        low, high = fit.bounds
        at = alpha[rows, column]
        model = np.asarray(fit.model(at)) * fit.scale + offset
        residual[rows, column] -= np.where((at >= low) & (at <= high), model, np.nan)
        without[column] = False
    residual[:, without] = np.nan
    if image.error is not None:
        error = image.error[views.band].astype(np.float64)
        return np.divide(residual, error, out=np.full_like(residual, np.nan), where=error > 0.0)
    finite = np.abs(residual[np.isfinite(residual)])
    scale = 1.4826 * float(np.median(finite)) if finite.size else 0.0
    return residual / scale if scale > 0.0 else residual


def block_mean(plane: npt.NDArray[Any], most: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return an image no larger than `most`, each pixel the mean of the finite pixels in its block.

    Parameters
    ----------
    plane : ndarray of float, shape (n_y, n_x)
        Image; NaN is left out.
    most : tuple of int
        Largest shape of the result.

    Returns
    -------
    ndarray of float64
        NaN where a block has no finite pixel.
    """
    rows, columns = (-(-size // largest) for size, largest in zip(plane.shape, most, strict=True))
    if rows == columns == 1:
        return plane.astype(np.float64)
    n_y, n_x = (-(-plane.shape[0] // rows), -(-plane.shape[1] // columns))
    padded = np.full((n_y * rows, n_x * columns), np.nan)
    padded[: plane.shape[0], : plane.shape[1]] = plane
    blocks = padded.reshape(n_y, rows, n_x, columns)
    finite = np.isfinite(blocks)
    count = finite.sum(axis=(1, 3))
    total = np.where(finite, blocks, 0.0).sum(axis=(1, 3))
    mean: npt.NDArray[np.float64] = np.full(count.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def robust_range(plane: npt.NDArray[Any], *, highest: float = 99.8) -> tuple[float, float, float]:
    """Return the lowest and the highest value worth showing, and the scatter of the faint pixels.

    Parameters
    ----------
    plane : ndarray of float
        Image; what is not finite is left out.
    highest : float, optional
        Percentile of the pixels that counts as the highest value.

    Returns
    -------
    tuple of float
        Low < high, and scatter > 0, whatever the image holds.
    """
    values = plane[np.isfinite(plane)].astype(np.float64)
    if not values.size:
        return 0.0, 1.0, 0.1
    low, quarter, middle, high = (float(value) for value in np.percentile(values, (1.0, 25.0, 50.0, highest)))
    if not high > low:
        return low - 0.5, low + 0.5, 0.1
    scatter = max(1.48 * (middle - quarter), 1e-3 * (high - low))
    return low, high, scatter


def _brightest_region(image: SpectralImage, fitted: set[int]) -> int:
    """Return the region with the most light in its brightest pixels, preferring the fitted ones; 0 if there is none."""
    labels, index = np.unique(image.region_map, return_inverse=True)
    values = np.where(np.isfinite(image.flux), image.flux, -np.inf).ravel()
    order = np.lexsort((values, index.ravel()))
    ends = np.cumsum(np.bincount(index.ravel()))
    candidates: list[tuple[bool, float, int]] = []
    for label, start, end in zip(labels.tolist(), [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        if label > 0:
            # The two per cent brightest, without the very brightest, which may be a cosmic ray.
            sample = values[order[max(start, end - (end - start) // 50 - 1) : end]]
            candidates.append((label in fitted, float(np.median(sample)), label))
    return max(candidates)[2] if candidates else 0


def _bright_column(image: SpectralImage, inside: npt.NDArray[np.bool_], fits: Mapping[int, ColumnTrace]) -> int:
    """Return a bright column of a region that is not the very brightest: an emission line is a poor example."""
    light = np.nansum(np.where(inside, image.flux, np.nan), axis=0)
    fresh: dict[int, int] = {}  # columns that share a fit share the spline; the first of them is the fit's own
    for column, fit in fits.items():
        fresh.setdefault(id(fit.model), column)
    columns = np.array(sorted(fresh.values()), dtype=np.intp) if fits else np.flatnonzero(inside.any(axis=0))
    return int(columns[np.argsort(light[columns])[int(0.8 * (len(columns) - 1))]])


def _span(inside: npt.NDArray[np.bool_]) -> slice:
    """Return the rows that a region covers, with one more on each side."""
    rows = np.flatnonzero(inside.any(axis=1))
    if not rows.size:
        return slice(0, inside.shape[0])
    return slice(max(int(rows[0]) - 1, 0), min(int(rows[-1]) + 2, inside.shape[0]))


def _fit(result: OversampledImage, views: Views) -> ColumnTrace | None:
    trace = result.model.get(views.region)
    return None if trace is None else trace.get(views.column)


def _offset(image: SpectralImage, result: OversampledImage, views: Views) -> float:
    """Return the negative mean that was taken off before the fit: what the trace has and the splines have not."""
    fit = _fit(result, views)
    if fit is None:
        return 0.0
    trace = result.trace_used[:, views.column].astype(np.float64) * as_shown(image, result)
    here = np.isfinite(trace) & (result.region_map[:, views.column] == views.region)
    if not here.any():
        return 0.0
    return float(np.median(trace[here] - np.asarray(fit.model(result.alpha[here, views.column])) * fit.scale))
