"""The flux of an image on the finer grid, by either method, and its errors if they are to be propagated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.trace.oversample import OversampledFlux, oversample_planes, trace_planes
from pixtrace.trace.robust import oversample_with_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import numpy.typing as npt

    from pixtrace.trace.image import FloatPlane, SpectralImage
    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.result import FittedImage

__all__ = ["PropagatedErrors", "refined", "spread_about_model"]

#: Median absolute deviation of a normal distribution, inverted.
_MAD = 1.4826
#: Pixels of about the same brightness whose scatter is taken together.
_PER_GROUP = 100
#: Share of its noise that the scale can have taken from a pixel at most.
_MOST_TAKEN = 0.9


@dataclass(frozen=True, kw_only=True, eq=False)
class PropagatedErrors:
    """Errors of an oversampled flux, of its shape and in the unit that it had before it was divided by the factor.

    Attributes
    ----------
    variance : ndarray
        Variance of the flux.
    variances : mapping of str to ndarray
        What the variances of the image contribute, by name.
    covariances : tuple of ndarray
        Covariance with the pixels 1, 2, ... rows further on.
    """

    variance: FloatPlane
    variances: Mapping[str, FloatPlane]
    covariances: tuple[FloatPlane, ...]


def refined(
    image: SpectralImage,
    fitted: FittedImage,
    flux: FloatPlane,
    factor: float,
    alpha_os: npt.NDArray[np.float64],
    params: TraceParams,
    *,
    want: Collection[str],
    n_threads: int | None,
    progress: Callable[[int, int], object] | None,
) -> tuple[OversampledFlux, PropagatedErrors | None]:
    """Oversample the flux of an image.

    Parameters
    ----------
    image : SpectralImage
        The image.
    fitted : FittedImage
        Its model.
    flux : ndarray, shape (n_y, n_x)
        Its usable flux, as it was fitted.
    factor : float
        Oversampling factor.
    alpha_os : ndarray of float64
        Alpha at the fine pixels.
    params : TraceParams
        How.
    want : collection of str
        Planes that are wanted beside the flux.
    n_threads, progress : optional
        See `pixtrace.trace.oversample_image`.

    Returns
    -------
    planes : OversampledFlux
        The flux and what it is made of.
    errors : PropagatedErrors or None
        None if errors are not to be propagated, or there are none.

    Raises
    ------
    DataError
        The record of the fit is one with other variances.

    Notes
    -----
    The profile of a model without a record, such as that of another exposure, counts as known exactly.
    """
    is_robust = params.method == "robust"
    is_propagated = params.errors == "propagated" and image.error is not None
    planes: OversampledFlux | None = None
    if not is_robust:
        planes = oversample_planes(
            fitted.model,
            flux,
            image.alpha,
            image.region_map,
            factor,
            alpha_os,
            **params.oversample_kwargs(),
            flipped=image.flipped,
            dtype=image.flux.dtype,
            want=want,
            n_threads=n_threads,
            progress=progress,
        )
        if not is_propagated:
            return planes, None
    found = oversample_with_errors(
        fitted.model,
        flux,
        spread_about_model(image, fitted, flux) if image.error is None else image.error,
        image.alpha,
        image.region_map,
        factor,
        alpha_os,
        variances=list(image.variances.values()) if is_propagated else [],
        significant=is_robust,
        profile_errors=fitted.model.has_record,
        n_covariances=params.n_covariances if is_propagated else 0,
        **params.oversample_kwargs(),
        flipped=image.flipped,
        dtype=image.flux.dtype,
        want=want if is_robust else (),
        n_threads=n_threads,
        progress=progress if is_robust else None,
    )
    if not is_propagated:
        return found.planes, None
    errors = PropagatedErrors(
        variance=found.variance,
        variances=dict(zip(image.variances, found.variances, strict=True)),
        covariances=tuple(found.covariances),
    )
    return found.planes if planes is None else planes, errors


def spread_about_model(image: SpectralImage, fitted: FittedImage, flux: FloatPlane) -> FloatPlane:
    """Return the standard deviation of the data about the model, for an image without errors.

    It is that of the pixels of the same region that are about as bright in the model.

    Parameters
    ----------
    image : SpectralImage
        The image.
    fitted : FittedImage
        Its model.
    flux : ndarray, shape (n_y, n_x)
        Its usable flux, as it was fitted.

    Returns
    -------
    ndarray, shape (n_y, n_x)
        From the median absolute deviation; NaN outside the regions.
    """
    trace = trace_planes(fitted.model, image.region_map, image.alpha, slope_limit=0.0, dtype=flux.dtype).full_trace
    spread = np.full(flux.shape, np.nan, dtype=flux.dtype)
    for region in image.regions:
        inside = image.region_map == region
        level = trace[inside]
        residual = np.abs(flux[inside] - level)
        # The scale of a column follows its bright pixels, and leaves so much less of their noise.
        square = np.where(inside & np.isfinite(flux), trace, 0.0).astype(np.float64) ** 2
        total = np.nansum(square, axis=0, keepdims=True)
        taken = np.divide(square, total, out=np.zeros_like(square), where=total > 0)[inside]
        spread[inside] = _spread_by_level(residual / np.sqrt(1.0 - np.minimum(taken, _MOST_TAKEN)), level)
    return spread


def _spread_by_level(residual: FloatPlane, level: FloatPlane) -> npt.NDArray[np.float64]:
    """Return the standard deviation of residuals, given as absolute values, at each level; NaN where that is."""
    known = np.flatnonzero(np.isfinite(residual))
    if not known.size:
        return np.full(level.shape, np.nan)
    by_level = known[np.argsort(level[known], kind="stable")]
    groups = np.array_split(by_level, max(1, known.size // _PER_GROUP))
    places = [float(np.median(level[group])) for group in groups]
    spreads = [_MAD * float(np.median(residual[group])) for group in groups]
    return np.asarray(np.interp(level, places, spreads))
