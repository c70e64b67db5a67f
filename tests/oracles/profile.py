"""Cross-dispersion profile of one region, edge trimming and column sums, pixel by pixel."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tests.oracles.statistics import clipped

FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]


class Profile(NamedTuple):
    """Medians of all pixels in bins of half a native pixel."""

    alpha: FloatArray
    flux: FloatArray
    error: FloatArray
    snr: FloatArray


def native_spacing(alpha: FloatArray) -> float:
    """Return the median distance in alpha from one row to the next."""
    step = np.diff(alpha, axis=0)
    return float(abs(np.median(step[np.isfinite(step)])))


def profile(flux: FloatArray, error: FloatArray, alpha: FloatArray) -> Profile | None:
    """Return the profile of a region whose planes are NaN elsewhere; None where no pixel is valid."""
    valid = np.isfinite(flux) & np.isfinite(error) & np.isfinite(alpha) & (error > 0)
    if not valid.any():
        return None
    step = alpha.dtype.type(native_spacing(alpha)) / alpha.dtype.type(2)
    centres = np.arange(np.nanmin(alpha), np.nanmax(alpha), step)
    rows = np.full((3, centres.size), np.nan, dtype=flux.dtype)
    for k, centre in enumerate(centres):
        inside = valid & (alpha >= centre - step / 2) & (alpha < centre + step / 2)
        if inside.any():
            rows[:, k] = [np.median(flux[inside]), np.median(error[inside]), np.median(flux[inside] / error[inside])]
    return Profile(centres, *rows)


def trimmed(alpha: FloatArray, found: Profile) -> BoolArray:
    """Return the pixels that the edge trimming blanks: faint and suspiciously noisy bins, and all beyond them."""
    seen = np.isfinite(found.snr)
    statistics = clipped(found.error[seen])
    with np.errstate(invalid="ignore"):
        bad = (np.abs(found.snr) < 5) & (found.error > statistics.mean + 5 * statistics.std)
    blank = np.zeros(alpha.shape, dtype=np.bool_)
    if not bad.any() or bad[seen].all():
        return blank
    centres = found.alpha[bad]
    with np.errstate(invalid="ignore"):
        if np.any(centres < 0):
            blank |= alpha <= centres[centres < 0].max()
        if np.any(centres > 0):
            blank |= alpha >= centres[centres > 0].min()
    return blank


def column_sums(flux: FloatArray, found: Profile) -> FloatArray:
    """Return the sum of each column; of its positive pixels alone if the profile has a negative source."""
    if np.nanmin(found.snr) < -5:
        return np.asarray(np.sum(flux, axis=0, where=flux > 0))
    return np.asarray(np.nansum(flux, axis=0))
