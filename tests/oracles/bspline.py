"""A cubic B-spline and its least-squares fit with rejection, by dense linear algebra."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tests.oracles.statistics import clipped

FloatArray = npt.NDArray[np.floating[Any]]
Float64Array = npt.NDArray[np.float64]

DEGREE = 3


class Spline(NamedTuple):
    """Knots and coefficients."""

    t: Float64Array
    c: Float64Array


def basis(t: Float64Array, x: FloatArray) -> Float64Array:
    """Return the value of every basis function at every point, shape (n_points, n_knots - 4), by the recursion formula.

    Beyond the base interval the polynomials of the first and last interval go on.
    """
    n = t.size - DEGREE - 1
    interval = np.clip(np.searchsorted(t, x, side="right") - 1, DEGREE, n - 1)
    while np.any(empty := (t[interval + 1] <= t[interval]) & (interval > DEGREE)):
        interval = interval - empty
    values = np.zeros((x.size, t.size - 1))
    values[np.arange(x.size), interval] = 1.0
    for degree in range(1, DEGREE + 1):
        lower = values
        values = np.zeros_like(lower)
        for j in range(t.size - 1 - degree):
            rise, fall = t[j + degree] - t[j], t[j + degree + 1] - t[j + 1]
            if rise > 0:
                values[:, j] += (x - t[j]) / rise * lower[:, j]
            if fall > 0:
                values[:, j] += (t[j + degree + 1] - x) / fall * lower[:, j + 1]
    return values[:, :n]


def evaluate(spline: Spline, x: FloatArray) -> Float64Array:
    """Return the spline at `x`, extrapolating."""
    return basis(spline.t, np.asarray(x, dtype=np.float64)) @ spline.c


def knots(x: FloatArray, n_intervals: int) -> Float64Array:
    """Return the knots for sorted `x`: half intervals at both ends.

    The first two interior knots are computed in the precision of `x`, the others from them in float64.
    """
    step = (x[-1] - x[0]) / x.dtype.type(n_intervals)
    half = step / x.dtype.type(2)
    inner = np.arange(x[0] + half, x[-1] - half, step)
    ends = np.ones(DEGREE + 1, dtype=x.dtype)
    return np.concatenate([ends * x[0], inner, ends * x[-1]]).astype(np.float64)


def fit(
    x: FloatArray,
    y: FloatArray,
    n_intervals: int,
    *,
    sigma_low: float = 2.5,
    sigma_high: float = 2.5,
    n_rounds: int = 3,
    space_ratio: float = 1.2,
) -> Spline | None:
    """Fit a spline to sorted points, rejecting outliers; None where the points do not support one.

    Raises
    ------
    ValueError
        With fewer than ten finite points.
    """
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    spacing = np.abs(np.diff(x.astype(np.float64), prepend=0.0))
    statistics = clipped(spacing)
    if spacing.size < 10:
        msg = "fewer than ten points"
        raise ValueError(msg)
    tenth = np.sort(spacing)[-10]
    if np.isfinite(statistics.std):
        kept = spacing <= statistics.mean + 5 * statistics.std
        x, y = x[kept], y[kept]
    if tenth > space_ratio * (x[-1] - x[0]) / x.dtype.type(n_intervals):
        return None

    n_first = x.size
    best: Spline | None = None
    for round_number in range(n_rounds):
        if x.size < DEGREE + 1:
            break
        t = knots(x, n_intervals)
        design = basis(t, x.astype(np.float64))
        if np.any(design.max(axis=0) == 0):
            break
        c, _, rank, _ = np.linalg.lstsq(design, y.astype(np.float64), rcond=None)
        if rank < c.size:
            break
        best = Spline(t, np.asarray(c, dtype=np.float64))
        if round_number == n_rounds - 1:
            break
        residual = y - design @ c
        rms = np.std(residual)
        good = (residual >= -sigma_low * rms) & (residual <= sigma_high * rms)
        if np.count_nonzero(good) < 0.8 * n_first or good.all():
            break
        x, y = x[good], y[good]
    return best
