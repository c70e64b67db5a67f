"""Oversampling one image, column by column, and the trace image at native sampling."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tests.oracles import bspline
from tests.oracles.columns import Column
from tests.oracles.compact import compact
from tests.oracles.profile import native_spacing

FloatArray = npt.NDArray[np.floating[Any]]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]
Models = Mapping[int, Mapping[int, Column]]


class Planes(NamedTuple):
    """The five planes of an oversampled image."""

    flux: Float64Array
    used: Float64Array
    full: Float64Array
    linear: Float64Array
    residual: Float64Array


def native_rows(n_rows: int, factor: float) -> Float64Array:
    """Return the native row coordinate of the centre of each oversampled row."""
    return np.asarray((np.arange(np.ceil(n_rows * factor - 1e-9)) + 0.5) / factor - 0.5, dtype=np.float64)


def nearest(rows: Float64Array) -> npt.NDArray[np.intp]:
    """Return the nearest native row; exactly between two, which rounding must not decide, the even one."""
    return np.rint(np.round(rows, 9)).astype(np.intp)


def region_rows(inside: npt.NDArray[np.bool_], rows: Float64Array) -> npt.NDArray[np.intp]:
    """Return the oversampled rows whose centres lie within the first to the last row of a region in one column.

    Where there is a centre exactly on both ends, the one on the upper end does not belong: so many native rows, so many
    times the factor of oversampled ones.
    """
    (native,) = np.nonzero(inside)
    low, high = native[0] - 0.5, native[-1] + 0.5
    both = np.any(np.abs(rows - low) < 1e-9) and np.any(np.abs(rows - high) < 1e-9)
    return np.nonzero((rows > low - 1e-9) & (rows < high + (-1e-9 if both else 1e-9)))[0]


def n_bins(models: Models) -> int:
    """Return the number of knot intervals of the first model there is."""
    for region in sorted(models):
        for column in sorted(models[region]):
            return int(np.unique(models[region][column].spline.t).size) - 1
    return 0


def interpolate(values: FloatArray, rows: Float64Array) -> Float64Array:
    """Interpolate the finite values of a column linearly, constant beyond the first and the last."""
    (finite,) = np.nonzero(np.isfinite(values))
    return np.asarray(np.interp(rows, finite, values[finite]), dtype=np.float64)


def linear(values: FloatArray, rows: Float64Array, edge: int, *, preserve_nan: bool) -> Float64Array:
    """Interpolate a column; NaN for the first and last `edge` values and, if asked, on pixels that were NaN."""
    result = interpolate(values, rows)
    if preserve_nan:
        result[~np.isfinite(values[nearest(rows)])] = np.nan
    result[:edge] = np.nan
    result[result.size - edge :] = np.nan
    return result


def within(alpha: FloatArray, bounds: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Return where alpha lies within the bounds, both included."""
    with np.errstate(invalid="ignore"):
        return np.asarray((alpha >= bounds[0]) & (alpha <= bounds[1]))


def oversample(
    flux: FloatArray,
    alpha: FloatArray,
    region_map: IntArray,
    models: Models,
    factor: float,
    alpha_os: Float64Array,
    *,
    require_ngood: int = 10,
    slope_limit: float = 0.1,
    psf_optimal: bool = False,
    trim_ends: bool = False,
    pad: int = 3,
) -> Planes:
    """Put an image on a finer grid along its rows."""
    alpha = alpha.astype(flux.dtype)
    rows = native_rows(flux.shape[0], factor)
    edge = int(factor)
    planes = Planes(*(np.full((rows.size, flux.shape[1]), np.nan) for _ in Planes._fields))
    bins = n_bins(models)

    for region in sorted(set(region_map[region_map > 0].tolist())):
        member = region_map == region
        steep: list[FloatArray] = []
        spots: list[tuple[int, npt.NDArray[np.intp]]] = []
        for i in range(flux.shape[1]):
            inside = member[:, i]
            values = np.where(inside, flux[:, i], np.nan).astype(flux.dtype)
            if np.count_nonzero(np.isfinite(values)) <= require_ngood:
                continue
            fine = region_rows(inside, rows)
            planes.linear[fine, i] = linear(values, rows[fine], edge, preserve_nan=True)
            column = models.get(region, {}).get(i)
            if column is None:
                continue
            a = np.where(inside, alpha[:, i], np.nan).astype(flux.dtype)
            near = within(a, column.bounds)
            model = bspline.evaluate(column.spline, a[near])

            residual = np.full(values.shape, np.nan, dtype=flux.dtype)
            residual[near] = values[near] - model * column.scale
            planes.residual[fine, i] = linear(residual, rows[fine], edge, preserve_nan=False)

            slope = np.abs(np.diff(model, prepend=0.0))
            slope[:edge] = 0
            slope[max(slope.size - edge, 0) :] = 0
            steep.append(a[near][slope > slope_limit])

            a_fine = alpha_os[fine, i]
            valid = fine[within(a_fine, column.bounds)]
            planes.full[valid, i] = bspline.evaluate(column.spline, alpha_os[valid, i]) * column.scale
            if trim_ends:
                planes.full[valid[:edge], i] = np.nan
                planes.full[valid[max(valid.size - edge, 0) :], i] = np.nan
            spots.append((i, fine))

        native = native_spacing(np.where(member, alpha, np.nan))
        for i, fine in spots:
            if slope_limit <= 0:
                source = np.ones(fine.size, dtype=np.bool_)
            else:
                source = compact(alpha_os[fine, i], np.concatenate(steep), native, bins, pad)
            planes.used[fine[source], i] = planes.full[fine[source], i]

    planes.flux[:] = planes.linear
    use = np.isfinite(planes.used)
    planes.flux[use] = planes.used[use]
    if not psf_optimal:
        use &= np.isfinite(planes.residual)
        planes.flux[use] += planes.residual[use]
    return planes


def trace_image(
    alpha: FloatArray, region_map: IntArray, models: Models, *, slope_limit: float = 0.1, pad: int = 3
) -> tuple[FloatArray, FloatArray]:
    """Return the used and the full trace at native sampling, in float32."""
    alpha = alpha.astype(np.float32)
    used = np.full(alpha.shape, np.nan, dtype=np.float32)
    full = used.copy()
    bins = n_bins(models)
    for region, columns in models.items():
        member = region_map == region
        steep: list[FloatArray] = []
        for i, column in columns.items():
            near = np.nonzero(member[:, i] & within(alpha[:, i], column.bounds))[0]
            model = bspline.evaluate(column.spline, alpha[near, i])
            model[[0, -1]] = np.nan
            full[near, i] = model * column.scale
            slope = np.abs(np.diff(model, prepend=0.0))
            slope[[0, -1]] = 0
            steep.append(alpha[near, i][slope > slope_limit])
        if not columns:
            continue
        here = member & np.isin(np.arange(alpha.shape[1]), list(columns))
        if slope_limit > 0:
            native = native_spacing(np.where(member, alpha, np.nan))
            here &= compact(alpha, np.concatenate(steep), native, bins, pad)
        used[here] = full[here]
    return used, full
