"""From the planes of an exposure to its trace model: fitted, or taken from elsewhere and scaled."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from pixtrace._arrays import as_real, check_callable
from pixtrace.exceptions import DataError, ParameterError
from pixtrace.trace.companions import usable_flux
from pixtrace.trace.fit import fit_all_regions
from pixtrace.trace.oversample import trace_planes
from pixtrace.trace.params import TraceParams
from pixtrace.trace.result import FittedImage
from pixtrace.trace.robust import fit_robust
from pixtrace.trace.thresholds import Thresholds, negative_mean, prepared_flux, thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pixtrace.trace.image import FloatPlane, SpectralImage
    from pixtrace.trace.model import TraceModel

    Progress = Callable[[int, int], object]

__all__ = ["apply_model", "check_call", "fit_image", "residual_width"]

#: Median absolute deviation of a normal distribution, inverted.
_MAD = 1.4826


def fit_image(
    image: SpectralImage, params: TraceParams, *, n_threads: int | None = None, progress: Progress | None = None
) -> FittedImage:
    """Fit the spline model of every region of an image that is bright enough.

    Parameters
    ----------
    image : SpectralImage
        The image. Pixels with DO_NOT_USE are left out, whatever their flux.
    params : TraceParams
        How.
    n_threads : int, optional
        Number of threads; None uses as many as there are cores. The result does not depend on it.
    progress : callable, optional
        Called with the number of columns done and of columns to do.

    Returns
    -------
    FittedImage
        The model; empty if no region is bright enough.

    Raises
    ------
    DataError
        A threshold on signal to noise is asked for, and the image has no error plane.
    """
    check_call(params, progress)
    start = perf_counter()
    flux, offset = prepared_flux(image)
    is_propagated = params.errors == "propagated" and image.error is not None
    variances = list(image.variances.values()) if is_propagated else []
    if params.method == "robust":
        levels = Thresholds(None, None)
        model = fit_robust(
            flux,
            image.error,
            image.alpha,
            image.region_map,
            variances=variances,
            n_threads=n_threads,
            progress=progress,
        )
    else:
        levels = _thresholds(image, flux, params)
        model = fit_all_regions(
            flux,
            image.error,
            image.alpha,
            image.region_map,
            peak_threshold=levels.peak,
            snr_threshold=levels.snr,
            covariance=is_propagated,
            variances=variances,
            n_threads=n_threads,
            progress=progress,
            **params.fit_kwargs(image.shape[1]),
        )
    return FittedImage(model=model, offset=offset, thresholds=levels, seconds=perf_counter() - start)


def apply_model(
    image: SpectralImage,
    model: TraceModel,
    params: TraceParams,
    *,
    rescale: bool = True,
    offset: float | None = None,
    n_threads: int | None = None,
) -> FittedImage:
    """Take a model that is there already for an image, in the place of a fit.

    Parameters
    ----------
    image : SpectralImage
        The image.
    model : TraceModel
        Its model, or that of another exposure of the same source at the same place in the slices.
    params : TraceParams
        The parameters that the model is to be used with.
    rescale : bool, optional
        Whether the splines are scaled to the flux of this image. Without it the scales are those of the model, as they
        should be if it was fitted to this very image.
    offset : float, optional
        Negative mean that was taken off the flux before the fit; None works it out from this image.
    n_threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    FittedImage
        For `oversample_image` and `trace_image_planes`.

    Raises
    ------
    DataError
        The image has none of the regions that the model has.
    """
    check_call(params, None)
    start = perf_counter()
    if not set(model) & set(image.regions):
        msg = (
            f"{image.label} has regions {_some(image.regions)}, and the model {_some(model)}: none in common; "
            "take the model of an exposure of the same mode"
        )
        raise DataError(msg)
    good = usable_flux(image)
    offset = negative_mean(good, image.region_map) if offset is None else as_real(offset, "offset")
    if rescale:
        flux = good - good.dtype.type(offset) if offset else good
        model = model.rescaled(flux, image.alpha, image.region_map, error=image.error, n_threads=n_threads)
    return FittedImage(model=model, offset=offset, thresholds=Thresholds(None, None), seconds=perf_counter() - start)


def residual_width(image: SpectralImage, fitted: FittedImage) -> float:
    """Return how far the pixels of an image lie from its model, in units of their errors.

    Parameters
    ----------
    image : SpectralImage
        The image.
    fitted : FittedImage
        Its model.

    Returns
    -------
    float
        The median of the absolute residuals, as a standard deviation: 1 for a model that leaves nothing but noise. NaN
        without errors, and where no pixel has a model.
    """
    if image.error is None:
        return float("nan")
    flux = usable_flux(image)
    trace = trace_planes(fitted.model, image.region_map, image.alpha, slope_limit=0.0, dtype=flux.dtype).full_trace
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(flux - flux.dtype.type(fitted.offset) - trace) / image.error
    off = off[np.isfinite(off)]
    return _MAD * float(np.median(off)) if off.size else float("nan")


def check_call(params: object, progress: object) -> None:
    """Complain about parameters and a progress function that are something else.

    Parameters
    ----------
    params : object
        What was given as parameters.
    progress : object
        What was given as progress.

    Raises
    ------
    ParameterError
        They are no `TraceParams`, or it can neither be called nor is None.
    """
    if not isinstance(params, TraceParams):
        msg = f"`params` is a {type(params).__name__}; expected a TraceParams, such as TraceParams.preset('generic')"
        raise ParameterError(msg)
    if progress is not None:
        check_callable(progress, "progress")


def _some(labels: Iterable[int]) -> str:
    """Return the first few of some labels."""
    known = list(labels)
    return ", ".join(map(str, known[:6])) + (f" ... ({len(known)} in all)" if len(known) > 6 else "")  # noqa: PLR2004


def _thresholds(image: SpectralImage, flux: FloatPlane, params: TraceParams) -> Thresholds:
    """Return the levels that a region has to pass."""
    levels = thresholds(flux, image.region_map, params, name=image.label)
    if levels.snr is not None and image.error is None:
        msg = (
            f"{image.label} has no error plane, and the fit threshold is one on signal to noise; give the "
            "errors, or choose threshold='peak' or fit_threshold=0"
        )
        raise DataError(msg)
    return levels
