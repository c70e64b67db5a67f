"""From the flux of a whole image: which level counts as signal, and whether the sky was oversubtracted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.exceptions import DataError
from pixtrace.trace.companions import usable_flux

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.trace.image import FloatPlane, LabelPlane, SpectralImage
    from pixtrace.trace.params import TraceParams

__all__ = ["Thresholds", "clipped_mean_std", "negative_mean", "prepared_flux", "thresholds"]

_CLIP_SIGMA = 3.0
_CLIP_ROUNDS = 5
_LABELS_PER_CHANNEL = 100


@dataclass(frozen=True)
class Thresholds:
    """What the profile of a region has to exceed for the region to be fitted; None where that test is not made.

    Attributes
    ----------
    peak : dict of int to float, or None
        By region, flux that the profile has to exceed, in the unit of the flux.
    snr : float or None
        Signal to noise that it has to exceed.
    """

    peak: dict[int, float] | None
    snr: float | None


def clipped_mean_std(values: FloatPlane) -> tuple[float, float]:
    """Return mean and population standard deviation of the values within 3 sigma of their median.

    In each of at most five rounds the values farther than three standard deviations from the median of those left
    are dropped, until none is: the defaults of `astropy.stats.sigma_clipped_stats`, whose numbers these are.

    Parameters
    ----------
    values : ndarray of float32 or float64, any shape
        NaN and infinities are left out. Mean and standard deviation are computed in the precision of the array, the
        bounds in double precision.

    Returns
    -------
    mean, std : float
        NaN if nothing is finite; infinite or NaN if squares of the values overflow.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is seen to at the end
        finite = values[np.isfinite(values)]
        if finite.size == 0:
            return float("nan"), float("nan")
        low, high = _bounds(np.sort(finite).astype(np.float64))
        # The bounds hold for all values, also for those that an earlier round dropped. The sums follow the order of the
        # image: in single precision the last digit depends on it, and the thresholds are to be those of jwst.
        precise = values.dtype.type
        inside = values[(values >= precise(low)) & (values <= precise(high))]
        mean, std = float(inside.mean()), float(inside.std())
        if not (np.isfinite(mean) and np.isfinite(std)):  # squares beyond single precision
            inside = inside.astype(np.float64)
            mean, std = float(inside.mean()), float(inside.std())
        return mean, std


def _bounds(ordered: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the last bounds of the clipping of sorted values."""
    first, last = 0, ordered.size  # the survivors are ordered[first:last]
    low, high = ordered[0], ordered[-1]
    for _ in range(_CLIP_ROUNDS):
        survivors = ordered[first:last]
        half = survivors.size // 2
        median = survivors[half] if survivors.size % 2 else 0.5 * survivors[half - 1] + 0.5 * survivors[half]
        reach = _CLIP_SIGMA * survivors.std()
        if not np.isfinite(reach):
            return float(ordered[0]), float(ordered[-1])
        low, high = median - reach, median + reach
        kept = (
            max(first, int(np.searchsorted(ordered, low, side="left"))),
            min(last, int(np.searchsorted(ordered, high, side="right"))),
        )
        if kept == (first, last):
            break
        first, last = kept
    return float(low), float(high)


def thresholds(flux: FloatPlane, region_map: LabelPlane, params: TraceParams, *, name: str = "the image") -> Thresholds:
    """Return the thresholds that `params` asks for.

    Parameters
    ----------
    flux : ndarray, shape (n_y, n_x)
        Flux, with a negative mean already taken off.
    region_map : ndarray of int, shape (n_y, n_x)
        Region numbers; 0 and less outside.
    params : TraceParams
        `threshold` and `fit_threshold` are used.
    name : str, optional
        What the message calls the image.

    Returns
    -------
    Thresholds
        Both None if every region is to be fitted. Where no pixel is finite a peak threshold is 0, which no region can
        pass either.

    Raises
    ------
    DataError
        The threshold overflows.
    """
    if params.fits_every_region:
        return Thresholds(None, None)
    if params.threshold == "snr":
        return Thresholds(None, params.fit_threshold)
    inside = region_map > 0
    labels, fluxes = region_map[inside], flux[inside]
    regions = [int(label) for label in np.unique(labels)]
    if params.threshold == "peak":
        level = _level(fluxes, params.fit_threshold, name)
        return Thresholds(dict.fromkeys(regions, level), None)
    channels = labels // _LABELS_PER_CHANNEL
    levels = {
        int(channel): _level(fluxes[channels == channel], params.fit_threshold, name) for channel in np.unique(channels)
    }
    return Thresholds({region: levels[region // _LABELS_PER_CHANNEL] for region in regions}, None)


def _level(fluxes: FloatPlane, fit_threshold: float, name: str) -> float:
    """Return the clipped mean plus `fit_threshold` standard deviations, in the precision of the flux."""
    mean, std = clipped_mean_std(fluxes)
    if not np.isfinite(fluxes).any():
        return 0.0
    precise = fluxes.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):  # and what overflows is an error
        level = float(precise(mean) + precise(fit_threshold) * precise(std))
    if not np.isfinite(level):
        msg = f"the fit threshold of {name} overflows: mean {mean:g} + {fit_threshold:g} x {std:g}"
        raise DataError(msg)
    return level


def negative_mean(flux: FloatPlane, region_map: LabelPlane) -> float:
    """Return the clipped mean of the flux in all regions if it is negative, else 0.

    Parameters
    ----------
    flux : ndarray, shape (n_y, n_x)
        The flux; NaN and infinities are left out.
    region_map : ndarray of int, shape (n_y, n_x)
        Region numbers, 0 between the regions.

    Returns
    -------
    float
        Finite.
    """
    mean, _ = clipped_mean_std(flux[region_map > 0])
    return min(mean, 0.0) if math.isfinite(mean) else 0.0


def prepared_flux(image: SpectralImage) -> tuple[FloatPlane, float]:
    """Return the flux of an image as it is fitted.

    Parameters
    ----------
    image : SpectralImage
        The image.

    Returns
    -------
    flux : ndarray, shape (n_y, n_x)
        With NaN in pixels that are not to be used, less `offset`; the image's own plane where nothing changes.
    offset : float
        Clipped mean of the flux in all regions if that is negative, else 0.
    """
    good = usable_flux(image)
    offset = negative_mean(good, image.region_map)
    return good - good.dtype.type(offset) if offset else good, offset
