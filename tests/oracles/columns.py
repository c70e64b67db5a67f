"""Column fits of one region: sliding windows, fallback, scales."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tests.oracles import bspline
from tests.oracles.profile import column_sums, native_spacing, profile, trimmed
from tests.oracles.statistics import clipped

FloatArray = npt.NDArray[np.floating[Any]]


class Settings(NamedTuple):
    """How a region is fitted; None stands for a number derived from the height of the region."""

    lrange: int = 50
    n_intervals: int | None = None
    require_ngood: int | None = None
    space_ratio: float = 1.2
    sigma: float = 2.5
    n_rounds: int = 3
    auto_ngood_factor: float = 0.5
    auto_bkpt_factor: float = 2.0


class Column(NamedTuple):
    """The fit of one column: equal `fit_number` means the very same spline."""

    spline: bspline.Spline
    scale: float
    bounds: tuple[float, float]
    fit_number: int


def scale(flux: FloatArray, alpha: FloatArray, spline: bspline.Spline, bounds: tuple[float, float]) -> float:
    """Return the factor from the spline to the flux of a column, from its five (or more) highest pixels."""
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = (alpha >= bounds[0]) & (alpha <= bounds[1])
        model = bspline.evaluate(spline, alpha[inside])
        ratio = flux[inside] / model
        weight = np.where(np.isfinite(ratio) & (ratio >= 0) & (model >= 0), model, 0.0)
        high = (weight >= np.sort(weight)[-5]) & np.isfinite(ratio)
        statistics = clipped(ratio[high])
        weight[np.abs(statistics.mean - ratio) > 2 * statistics.std] = 0
        total = weight.sum()
        return float(np.nansum(ratio * (weight / total))) if total > 0 else 0.0


def window(values: FloatArray, column: int, lrange: int) -> FloatArray:
    """Return the columns that are fitted together: `lrange` to the left, one fewer to the right."""
    return values[:, max(column - lrange, 0) : min(column + lrange, values.shape[1])]


def fit_region(
    flux: FloatArray, error: FloatArray, alpha: FloatArray, order: list[int], settings: Settings
) -> dict[int, Column]:
    """Fit every column of a region that passes; planes are NaN outside the region, alpha in the precision of flux."""
    found = profile(flux, error, alpha)
    if found is None:
        return {}
    flux = np.where(trimmed(alpha, found), np.nan, flux).astype(flux.dtype)
    found = profile(flux, error, alpha)
    if found is None:
        return {}
    normalised = flux / column_sums(flux, found)
    rows = float((np.nanmax(alpha) - np.nanmin(alpha)) / flux.dtype.type(native_spacing(alpha)))
    n_intervals = int(settings.auto_bkpt_factor * rows) if settings.n_intervals is None else settings.n_intervals
    n_good = int(settings.auto_ngood_factor * rows) if settings.require_ngood is None else settings.require_ngood

    columns: dict[int, Column] = {}
    last: Column | None = None
    for number, i in enumerate(order):
        if np.count_nonzero(np.isfinite(flux[:, i]) & np.isfinite(alpha[:, i])) <= n_good:
            continue
        x = window(alpha, i, settings.lrange).ravel()
        y = window(normalised, i, settings.lrange).ravel()
        use = np.isfinite(x) & np.isfinite(y)
        x, y = x[use], y[use]
        in_order = np.argsort(x, kind="stable")
        x, y = x[in_order], y[in_order]
        spline = _fit_or_none(x, y, n_intervals, settings, first=last is None)
        if spline is not None:
            bounds, fit_number = (float(x[0]), float(x[-1])), number
        elif last is not None:
            spline, bounds, fit_number = last.spline, last.bounds, last.fit_number
        else:
            continue
        last = columns[i] = Column(spline, scale(flux[:, i], alpha[:, i], spline, bounds), bounds, fit_number)
    return columns


def _fit_or_none(
    x: FloatArray, y: FloatArray, n_intervals: int, settings: Settings, *, first: bool
) -> bspline.Spline | None:
    def attempt(n: int) -> bspline.Spline | None:
        return bspline.fit(
            x,
            y,
            n,
            sigma_low=settings.sigma,
            sigma_high=settings.sigma,
            n_rounds=settings.n_rounds,
            space_ratio=settings.space_ratio,
        )

    try:
        spline = attempt(n_intervals)
        if spline is None and first and n_intervals > 3:
            spline = attempt(n_intervals - 3)
    except ValueError:
        return None
    return spline
