"""The same pixels in several scans: one answer with weights, and which answers are no sources at all."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.scan.fits import PixelFits
from pixtrace.scan.flags import FitFlag

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["combine_fits", "pointing_between", "without_strangers"]

_VALUES = (
    ("x", "x_error"),
    ("y", "y_error"),
    ("peak", "peak_error"),
    ("fwhm_major", "fwhm_major_error"),
    ("fwhm_minor", "fwhm_minor_error"),
    ("level", "level_error"),
)
_LEAST = 5  # pixels that make a crowd
_WIDTHS = (0.6, 1.6)  # of the median width
_BEAMS = (0.4, 3.0)  # of the width that is expected
_FAINTEST = 0.05  # of the median amplitude
_CLEARLY = 5.0  # standard errors


def without_strangers(fits: PixelFits, expected_fwhm: float = math.nan) -> PixelFits:
    """Mark fits whose width or amplitude are not those of the source.

    Drifts and interference rise above the noise too, but not with the width that all other pixels see.

    Parameters
    ----------
    fits : PixelFits
        Fits of all pixels.
    expected_fwhm : float, optional
        Width that the source should have [arcsec]; NaN if it is not known.

    Returns
    -------
    PixelFits
        The same, with `FitFlag.OUT_OF_LINE` where the width is clearly not within 0.6 and 1.6 of the median (or,
        where only a few sources were found, within 0.4 and 3 of what is expected), or the amplitude is less than a
        twentieth of the median.
    """
    found = fits.is_found
    width = np.sqrt(fits.fwhm_major * fits.fwhm_minor)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = 0.5 * width * np.hypot(fits.fwhm_major_error / fits.fwhm_major, fits.fwhm_minor_error / fits.fwhm_minor)
    error = np.nan_to_num(error, nan=0.0, posinf=0.0)
    strange = np.zeros(found.shape, dtype=bool)

    def compare(usual: float, limits: tuple[float, float]) -> None:
        low, high = (limit * usual for limit in limits)
        strange[...] |= (width + _CLEARLY * error < low) | (width - _CLEARLY * error > high)

    if math.isfinite(expected_fwhm):
        compare(expected_fwhm, _BEAMS)
    crowd = found & ~strange
    if crowd.sum() >= _LEAST:
        compare(float(np.median(width[crowd])), _WIDTHS)
        usual = float(np.median(fits.peak[crowd]))
        with np.errstate(invalid="ignore"):
            strange |= fits.peak / usual + _CLEARLY * np.abs(fits.peak_error / usual) < _FAINTEST
    flag = np.where(found & strange, fits.flag | int(FitFlag.OUT_OF_LINE), fits.flag)
    return replace(fits, flag=flag)


def pointing_between(fits: PixelFits, reference: PixelFits) -> npt.NDArray[np.float64]:
    """Return by how much sources stand elsewhere than in another scan, as the median over the pixels of both.

    Parameters
    ----------
    fits, reference : PixelFits
        Fits of the same camera.

    Returns
    -------
    ndarray of float64, shape (2,)
        x and y [arcsec]; zero without a common pixel.
    """
    _, ours, theirs = np.intersect1d(
        fits.fixed_index[fits.is_found], reference.fixed_index[reference.is_found], return_indices=True
    )
    if ours.size == 0:
        return np.zeros(2)
    ours, theirs = np.flatnonzero(fits.is_found)[ours], np.flatnonzero(reference.is_found)[theirs]
    return np.array(
        [float(np.median(getattr(fits, axis)[ours] - getattr(reference, axis)[theirs])) for axis in ("x", "y")]
    )


def combine_fits(parts: Sequence[PixelFits]) -> tuple[PixelFits, npt.NDArray[np.int64]]:
    """Combine fits of the same pixels, each value weighted by its inverse variance.

    Amplitudes are brought to the scale of the first part before, by the median ratio over common pixels: the source may
    have been observed through another air mass.

    Parameters
    ----------
    parts : sequence of PixelFits
        One for each scan, not necessarily of the same pixels.

    Returns
    -------
    PixelFits
        All pixels of any part. A pixel that was found in no part keeps the flags of all of them.
    ndarray of int64, shape (n,)
        In how many parts each was found.
    """
    if len(parts) == 1:
        return parts[0], parts[0].is_found.astype(np.int64)
    numbers = np.unique(np.concatenate([part.fixed_index for part in parts]))
    n = numbers.size
    at = [np.searchsorted(numbers, part.fixed_index) for part in parts]
    found = np.zeros((len(parts), n), dtype=bool)
    flags = np.zeros((len(parts), n), dtype=np.int64)
    for k, part in enumerate(parts):
        found[k, at[k]] = part.is_found
        flags[k, at[k]] = part.flag
    n_found = found.sum(axis=0)
    some = n_found > 0
    counts = found | ~some  # where it was found nowhere, all that was tried is shown
    flag = np.bitwise_or.reduce(np.where(counts, flags, 0), axis=0)
    values: dict[str, npt.NDArray[np.float64]] = {}
    scales = _scales(parts)
    for name, error_name in _VALUES:
        value, error = np.full((len(parts), n), np.nan), np.full((len(parts), n), np.nan)
        for k, part in enumerate(parts):
            scale = scales[k] if name in {"peak", "level"} else 1.0
            value[k, at[k]] = getattr(part, name) / scale
            error[k, at[k]] = getattr(part, error_name) / scale
        values[name], values[error_name] = _weighted(value, error, counts)
    best = np.full((len(parts), n), -np.inf)
    for k, part in enumerate(parts):
        with np.errstate(invalid="ignore", divide="ignore"):
            significance = np.abs(part.peak / part.peak_error)
        best[k, at[k]] = np.where(np.isfinite(significance), significance, -1.0)
    best[~counts] = -np.inf
    leader = best.argmax(axis=0)

    def of_leader(name: str) -> npt.NDArray[np.float64]:
        result = np.full(n, np.nan)
        for k, part in enumerate(parts):
            mine = leader[at[k]] == k
            result[at[k][mine]] = getattr(part, name)[mine]
        return result

    def total(name: str) -> npt.NDArray[np.float64]:
        result = np.zeros(n)
        for k, part in enumerate(parts):
            np.add.at(result, at[k], np.where(counts[k, at[k]], np.nan_to_num(getattr(part, name)), 0.0))
        return result

    combined = PixelFits(
        method=parts[0].method,
        fixed_index=numbers,
        flag=flag,
        angle=of_leader("angle"),
        angle_error=of_leader("angle_error"),
        chi2=total("chi2"),
        dof=total("dof").astype(np.int64),
        n_cells=total("n_cells").astype(np.int64),
        **values,
    )
    return combined, n_found


def _scales(parts: Sequence[PixelFits]) -> list[float]:
    """Return the brightness of the source in each part, in units of that in the first."""
    scales = [1.0]
    first = parts[0]
    for part in parts[1:]:
        _, ours, theirs = np.intersect1d(
            part.fixed_index[part.is_found], first.fixed_index[first.is_found], return_indices=True
        )
        if ours.size == 0:
            scales.append(1.0)
            continue
        ratio = part.peak[part.is_found][ours] / first.peak[first.is_found][theirs]
        middle = float(np.median(ratio))
        scales.append(middle if math.isfinite(middle) and middle != 0.0 else 1.0)
    return scales


def _weighted(
    value: npt.NDArray[np.float64], error: npt.NDArray[np.float64], counts: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return weighted means over the first axis, and their errors; values without an error count alone only."""
    good = counts & np.isfinite(value) & np.isfinite(error) & (error > 0.0)
    weight = np.where(good, 1.0 / np.where(good, error, 1.0) ** 2, 0.0)
    total = weight.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (weight * np.where(good, value, 0.0)).sum(axis=0) / total
        spread = total**-0.5
    plain = np.where(counts, value, np.nan)
    lonely = (total == 0.0) & np.isfinite(plain).any(axis=0)
    if lonely.any():
        mean[lonely] = np.nanmean(plain[:, lonely], axis=0)
    spread[total == 0.0] = np.nan
    return mean, spread
