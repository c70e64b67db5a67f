"""The spectrum in one row of a rectified slice, and how much it wiggles about a smooth continuum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import as_double, as_floating, as_labels, as_real, check_shape
from pixtrace.exceptions import ParameterError

if TYPE_CHECKING:
    from typing import Any

__all__ = ["point_spectrum", "profile_peak", "smooth_continuum", "wiggle_rms"]

#: Columns for each degree of the continuum's polynomial beyond the second.
_COLUMNS_PER_DEGREE = 256
_CLIP_SIGMA = 4.0
_CLIP_ROUNDS = 10
_MAD = 1.4826
#: Relative to the largest value, what may be rounding.
_ROUNDING = 1e-12
#: Where the continuum is below this part of its median, a ratio to it says little.
_FAINT = 0.1
#: Bins of the profile per native pixel.
_BINS_PER_PIXEL = 4


def point_spectrum(
    flux: npt.ArrayLike, alpha: npt.ArrayLike, region_map: npt.ArrayLike, *, region: int, at: float
) -> npt.NDArray[np.float64]:
    """Return the spectrum along one row of the rectified slice.

    Each column is interpolated linearly at the same along-slice coordinate; building a cube comes down to that.

    Parameters
    ----------
    flux, alpha : array_like of float, shape (n_y, n_x)
        Image and along-slice coordinate; pixels where either is not finite are left out.
    region_map : array_like of int, shape (n_y, n_x)
        Slice numbers.
    region : int
        The slice.
    at : float
        Along-slice coordinate of the row, in the unit of `alpha`.

    Returns
    -------
    ndarray of float64, shape (n_x,)
        NaN in columns where `at` is not between two finite pixels.

    Raises
    ------
    ParameterError
        The region map does not hold the region.
    ShapeError, DtypeError
        The planes differ in shape, or are not numbers.
    """
    at = as_real(at, "at")
    values, places = _slice_of(flux, alpha, region_map, region)
    spectrum = np.full(values.shape[1], np.nan)
    for column in range(len(spectrum)):
        good = np.isfinite(values[:, column]) & np.isfinite(places[:, column])
        if good.any():
            x, y = places[good, column], values[good, column]
            order = np.argsort(x)
            spectrum[column] = np.interp(at, x[order], y[order], left=np.nan, right=np.nan)
    return spectrum


def profile_peak(
    flux: npt.ArrayLike, alpha: npt.ArrayLike, region_map: npt.ArrayLike, *, region: int
) -> tuple[float, float]:
    """Return where along a slice its profile is highest, and how high.

    The profile is the median flux of all columns in bins of a quarter of a pixel, and the mean of three bins of that:
    no single column, emission line or cosmic ray decides.

    Parameters
    ----------
    flux, alpha, region_map, region
        As in `point_spectrum`.

    Returns
    -------
    at : float
        Along-slice coordinate of the peak, in the unit of `alpha`; NaN if no pixel is finite.
    peak : float
        The profile there, in the unit of `flux`; NaN if no pixel is finite.

    Raises
    ------
    ParameterError, ShapeError, DtypeError
        As in `point_spectrum`.
    """
    values, places = _slice_of(flux, alpha, region_map, region)
    good = np.isfinite(values) & np.isfinite(places)
    if not good.any():
        return math.nan, math.nan
    steps = np.abs(np.diff(places, axis=0))
    steps = steps[np.isfinite(steps) & (steps > 0.0)]
    values, places = values[good], places[good]
    if not steps.size:
        return float(np.median(places)), float(np.median(values))
    width = float(np.median(steps)) / _BINS_PER_PIXEL
    low = float(places.min())
    bins = np.floor((places - low) / width).astype(np.int64)
    order = np.argsort(bins, kind="stable")
    found, starts = np.unique(bins[order], return_index=True)
    profile = np.array([np.median(part) for part in np.split(values[order], starts[1:])])
    smooth = _mean_of_three(found, profile)
    best = int(np.argmax(smooth))
    return low + (float(found[best]) + 0.5) * width, float(smooth[best])


def smooth_continuum(spectrum: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the continuum of a spectrum: a polynomial that lines and outliers do not pull.

    Its degree is 2, and one more for every 256 columns, so that it follows what takes some 200 columns and more to
    rise and fall, and nothing faster. Points more than four robust standard deviations off are left out, in rounds.

    Parameters
    ----------
    spectrum : array_like of float, shape (n_x,)
        The spectrum; what is not finite is missing.

    Returns
    -------
    ndarray of float64, shape (n_x,)
        NaN before the first and after the last finite value, and everywhere if there are too few of them (no more than
        twice the number of coefficients).

    Raises
    ------
    ShapeError, DtypeError
        `spectrum` has more than one axis, or does not hold numbers.
    """
    return _smooth(as_double(spectrum, "spectrum", ndim=1))[0]


def wiggle_rms(spectrum: npt.ArrayLike) -> float:
    """Return the relative rms of a spectrum about its smooth continuum.

    For the spectrum of a compact source in one row of a rectified slice (`point_spectrum` at its `profile_peak`), or in
    one spaxel of a cube, that is how much it wiggles, and its noise. Without the points that `smooth_continuum` leaves
    out, such as lines and cosmic rays, and without those where the continuum is below a tenth of its median.

    Parameters
    ----------
    spectrum : array_like of float, shape (n_x,)
        The spectrum; what is not finite is missing.

    Returns
    -------
    float
        Root of the mean square of spectrum / continuum - 1; NaN without a continuum, and if its median is not positive.

    Raises
    ------
    ShapeError, DtypeError
        As in `smooth_continuum`.
    """
    values = as_double(spectrum, "spectrum", ndim=1)
    continuum, kept = _smooth(values)
    level = float(np.median(continuum[kept])) if kept.any() else 0.0
    kept &= continuum > _FAINT * level
    if not level > 0.0:
        return math.nan
    relative = values[kept] / continuum[kept] - 1.0
    return float(np.sqrt(np.mean(relative**2)))


def _slice_of(
    flux: npt.ArrayLike, alpha: npt.ArrayLike, region_map: npt.ArrayLike, region: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return flux and alpha of the rows that a slice reaches over, alpha NaN outside the slice."""
    labels = as_labels(region_map, "region_map")
    values, places = as_floating(flux, "flux"), as_double(alpha, "alpha")
    check_shape(values, labels.shape, "flux", "region_map")
    check_shape(places, labels.shape, "alpha", "region_map")
    rows = np.flatnonzero((labels == region).any(axis=1))
    if not rows.size:
        msg = f"`region` = {region}; the region map holds no such number"
        raise ParameterError(msg)
    cut = slice(int(rows[0]), int(rows[-1]) + 1)
    return values[cut].astype(np.float64), np.where(labels[cut] == region, places[cut], np.nan)


def _mean_of_three(bins: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean of each bin and those next to it, as far as they hold anything."""
    plane: npt.NDArray[Any] = np.zeros((2, int(bins[-1]) + 3))
    plane[:, bins + 1] = np.stack([values, np.ones_like(values)])
    sums = plane[:, :-2] + plane[:, 1:-1] + plane[:, 2:]
    mean: npt.NDArray[np.float64] = sums[0, bins] / sums[1, bins]
    return mean


def _smooth(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the continuum, and which points it was fitted to."""
    continuum = np.full(values.shape, np.nan)
    kept = np.isfinite(values)
    known = np.flatnonzero(kept)
    degree = 2 + (int(known[-1] - known[0]) + 1) // _COLUMNS_PER_DEGREE if known.size else 2
    if known.size <= 2 * (degree + 1):
        return continuum, np.zeros_like(kept)
    span = slice(int(known[0]), int(known[-1]) + 1)
    x = np.linspace(-1.0, 1.0, span.stop - span.start)
    basis = np.polynomial.legendre.legvander(x, degree)
    y, good = values[span], kept[span]
    fit = np.zeros_like(y)
    # Squares of what is scaled to one can neither overflow nor vanish.
    size = float(np.abs(y[good]).max()) or 1.0
    for _ in range(_CLIP_ROUNDS):
        coefficients = np.linalg.lstsq(basis[good], y[good] / size, rcond=None)[0]
        fit = basis @ coefficients * size
        with np.errstate(over="ignore"):
            off = np.abs(y - fit)
        spread = max(_MAD * float(np.median(off[good])), _ROUNDING * size)
        inside = kept[span] & (off <= _CLIP_SIGMA * spread)
        if np.array_equal(inside, good) or np.count_nonzero(inside) <= 2 * (degree + 1):
            break
        good = inside
    continuum[span] = fit
    used = np.zeros_like(kept)
    used[span] = good
    return continuum, used
