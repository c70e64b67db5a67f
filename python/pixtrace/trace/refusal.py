"""Why a region of an image has no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixtrace import _native
from pixtrace.trace.thresholds import thresholds

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.trace.image import FloatPlane, SpectralImage
    from pixtrace.trace.params import TraceParams

__all__ = ["good_pixels_needed", "why_refused"]

_FLUX, _SNR = 1, 3  # places in what `_native.crossdisp_profile` returns


def why_refused(
    image: SpectralImage, flux: FloatPlane, offset: float, params: TraceParams, region: int, band: slice
) -> str:
    """Return why a region was not fitted, in words; the tests of the fit are made again.

    Parameters
    ----------
    image : SpectralImage
        The image.
    flux : ndarray, shape (n_y, n_x)
        Its usable flux.
    offset : float
        Negative mean that was taken off before the fit.
    params : TraceParams
        How it was fitted.
    region : int
        The region.
    band : slice
        Its rows.

    Returns
    -------
    str
        The reason.
    """
    inside = image.region_map[band] == region
    good = inside & np.isfinite(flux[band]) & np.isfinite(image.alpha[band])
    if not good.any():
        return "no good pixel"
    needs_errors = params.method == "robust" or not params.fits_every_region
    if needs_errors and image.error is not None and not np.any(image.error[band][good] > 0):
        return "no good pixel has an error above zero"
    if params.method == "robust":
        return "too short: too few good pixels in every column"
    fitted = flux - flux.dtype.type(offset) if offset else flux
    levels = thresholds(fitted, image.region_map, params, name=image.label)
    level = levels.snr if levels.peak is None else levels.peak[region]
    error = np.ones_like(flux[band]) if image.error is None else image.error[band]
    planes = (
        np.where(inside, fitted[band], np.nan).astype(flux.dtype),
        np.where(inside, error, np.nan).astype(flux.dtype),
        np.where(inside, image.alpha[band], np.nan),
    )
    place, what = (_SNR, "signal to noise") if levels.peak is None else (_FLUX, "flux")
    if level is not None and not (highest := _highest(planes, place)) > level:
        return f"below the threshold: highest {what} {highest:.4g}, threshold {level:.4g}"
    trimmed = _native.trim_edges(*planes)
    share = np.count_nonzero(trimmed & good) / np.count_nonzero(good)
    edges = f"{share:.0%} of its good pixels were trimmed away as bad edges" if share > 0.0 else ""
    left = np.where(trimmed, np.nan, planes[0]).astype(flux.dtype)
    if level is not None and edges and not (highest := _highest((left, *planes[1:]), place)) > level:
        return f"{edges}; of what is left the highest {what} is {highest:.4g}, threshold {level:.4g}"
    return "; ".join(filter(None, (edges, "too few good pixels in every column, or no fit succeeded")))


def good_pixels_needed(alpha: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_], params: TraceParams) -> float:
    """Return the number of good pixels that a column has to exceed to be fitted.

    Parameters
    ----------
    alpha : ndarray of float64
        Coordinate along the slice.
    inside : ndarray of bool
        Pixels of the region, same shape.
    params : TraceParams
        `require_ngood`, or where that is left to the slice its length in pixels times `auto_ngood_factor`.

    Returns
    -------
    float
        The number; 0 if the length is not known.
    """
    if params.require_ngood is not None:
        return float(params.require_ngood)
    places = np.where(inside, alpha, np.nan)
    steps = np.abs(np.diff(places, axis=0))
    steps = steps[np.isfinite(steps)]
    known = places[np.isfinite(places)]
    if not steps.size or not (pitch := float(np.median(steps))) > 0.0:
        return 0.0
    return float(int(params.auto_ngood_factor * float(np.ptp(known)) / pitch))


def _highest(planes: tuple[FloatPlane, FloatPlane, npt.NDArray[np.float64]], place: int) -> float:
    """Return the highest point of a profile, NaN without one."""
    found = _native.crossdisp_profile(*planes)
    if found is None:
        return float("nan")
    values = found[place][np.isfinite(found[place])]
    return float(values.max()) if values.size else float("nan")
