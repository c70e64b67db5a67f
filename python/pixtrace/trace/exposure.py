"""From the planes of an exposure to its oversampled planes: thresholds, fit, oversampling, errors, data quality.

This is what the ``adaptive_trace_model`` step of jwst does between reading and writing, on arrays. Where the two differ
on purpose: a negative mean is given back once to every plane that it was taken from; all planes of a flux-density image
are scaled; a pixel that data quality marks DO_NOT_USE is not used even if its flux is finite; and a pixel filled by the
model is marked FLUX_ESTIMATED whether or not its missing flux had been marked.
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from pixtrace._arrays import as_double, as_real, check_callable
from pixtrace.exceptions import DataError, ParameterError, ShapeError
from pixtrace.trace.companions import companions, native_dq, usable_flux
from pixtrace.trace.fit import fit_all_regions
from pixtrace.trace.oversample import alpha_on_grid, check_memory, nearest_rows, trace_planes
from pixtrace.trace.params import TraceParams
from pixtrace.trace.refine import refined
from pixtrace.trace.result import FittedImage, OversampledImage, TraceSummary, summarise
from pixtrace.trace.robust import fit_robust
from pixtrace.trace.thresholds import Thresholds, negative_mean, prepared_flux, thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from pixtrace.trace.image import FloatPlane, SpectralImage
    from pixtrace.trace.model import TraceModel

    Progress = Callable[[int, int], object]

__all__ = [
    "FittedImage",
    "OversampledImage",
    "TraceSummary",
    "apply_model",
    "fit_image",
    "oversample_image",
    "trace_image_planes",
]


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
    _check_call(params, progress)
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
    _check_call(params, None)
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
        model = model.rescaled(flux, image.alpha, image.region_map, n_threads=n_threads)
    return FittedImage(model=model, offset=offset, thresholds=Thresholds(None, None), seconds=perf_counter() - start)


def trace_image_planes(
    image: SpectralImage,
    params: TraceParams,
    *,
    fitted: FittedImage | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> OversampledImage:
    """Make the trace of an image at its own pixels (factor 1); the data stay as they are.

    Parameters
    ----------
    image : SpectralImage
        The image; may be a time series.
    params : TraceParams
        How.
    fitted : FittedImage, optional
        What `fit_image` made of this image with these parameters, if it is there already.
    n_threads : int, optional
        Number of threads; None uses as many as there are cores. The result does not depend on it.
    progress : callable, optional
        Called with the number of steps done and of steps to do.

    Returns
    -------
    OversampledImage
        With `trace_used` and `full_trace` (float32), and for the rest the planes of the input.

    Raises
    ------
    DataError
        See `fit_image`.
    """
    fitted = fitted or fit_image(image, params, n_threads=n_threads, progress=progress)
    start = perf_counter()
    trace = trace_planes(
        fitted.model,
        image.region_map,
        image.alpha,
        slope_limit=params.oversample_kwargs()["slope_limit"],
        pad=params.pad,
        dtype=np.float32,
        n_threads=n_threads,
    )
    _add_to_all(fitted.offset, trace.trace_used, trace.full_trace)
    return OversampledImage(
        name=image.name,
        factor=1.0,
        params=params,
        flux=image.flux,
        error=image.error,
        dq=native_dq(image, usable_flux(image)) if image.dq is None else image.dq,
        region_map=image.region_map,
        alpha=image.alpha,
        wavelength=image.wavelength,
        variances=image.variances,
        trace_used=trace.trace_used,
        full_trace=trace.full_trace,
        model=fitted.model,
        summary=summarise(image, fitted, 0, perf_counter() - start),
        offset=fitted.offset,
    )


def oversample_image(
    image: SpectralImage,
    factor: float,
    params: TraceParams,
    *,
    alpha_os: npt.NDArray[np.float64] | None = None,
    fitted: FittedImage | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
    intermediate: bool = False,
) -> OversampledImage:
    """Fit an image and oversample it along its slices, with errors, variances and data quality.

    Parameters
    ----------
    image : SpectralImage
        The image.
    factor : float
        Oversampling factor, at least 1, not necessarily an integer. With 1 the flux is not touched and only the trace
        is made, as by `trace_image_planes`.
    params : TraceParams
        How.
    alpha_os : ndarray of float64, shape (ceil(n_y * factor), n_x), optional
        Alpha at the centres of the oversampled pixels; None interpolates the image's alpha along each column.
    fitted : FittedImage, optional
        What `fit_image` made of this image with these parameters, if it is there already.
    n_threads : int, optional
        Number of threads; None uses as many as there are cores. The result does not depend on it.
    progress : callable, optional
        Called with the number of steps done and of steps to do.
    intermediate : bool, optional
        Whether the full trace, the linear image and the residual are kept.

    Returns
    -------
    OversampledImage
        The planes. An image without regions gives NaN everywhere.

    Raises
    ------
    ParameterError
        `factor` is not a finite number of at least 1, or the image is a time series and `factor` is not 1.
    ShapeError
        `alpha_os` does not have the shape of the result.
    MemoryLimitError
        The result would be larger than any ordinary machine's memory.
    DataError
        See `fit_image`.

    Notes
    -----
    With ``params.errors == "jwst"`` the error of a pixel is interpolated linearly, and multiplied by ``0.23 factor +
    0.77`` to make up for the correlation of neighbouring pixels, which is not recorded; variances are treated alike,
    through their square roots. With "propagated", errors and variances are those of
    `pixtrace.trace.oversample_with_errors`, and `params.n_covariances` covariances are kept.
    """
    _check_call(params, progress)
    factor = check_factor(image, factor)
    if factor == 1:
        return trace_image_planes(image, params, fitted=fitted, n_threads=n_threads, progress=progress)
    shape_os = (nearest_rows(image.shape[0], factor, flipped=image.flipped).size, image.shape[1])
    if alpha_os is None:
        alpha_os = alpha_on_grid(image.alpha, image.region_map, factor, flipped=image.flipped, n_threads=n_threads)
    alpha_os = as_double(alpha_os, "alpha_os", ndim=None)
    if alpha_os.shape != shape_os:
        msg = f"alpha_os of {image.label} has shape {alpha_os.shape}; expected {shape_os} for factor {factor:g}"
        raise ShapeError(msg)
    stages = _Stages(progress, 1 if fitted else 2)
    fitted = fitted or fit_image(image, params, n_threads=n_threads, progress=stages.next())
    start = perf_counter()
    good = usable_flux(image)
    planes, errors = refined(
        image,
        fitted,
        good - good.dtype.type(fitted.offset) if fitted.offset else good,
        factor,
        alpha_os,
        params,
        want=("trace_used", "full_trace", "linear_flux", "residual_flux") if intermediate else ("trace_used",),
        n_threads=n_threads,
        progress=stages.next(),
    )
    _add_to_all(fitted.offset, planes.flux_os, planes.trace_used, planes.full_trace, planes.linear_flux)
    if image.flux_is_density:
        _divide_all(
            factor, planes.flux_os, planes.trace_used, planes.full_trace, planes.linear_flux, planes.residual_flux
        )
    rest = companions(
        image,
        good,
        planes.flux_os,
        factor,
        require_ngood=params.oversample_require_ngood,
        errors=errors,
        n_threads=n_threads,
    )
    wavelength = image.wavelength
    if wavelength is not None:
        wavelength = alpha_on_grid(wavelength, image.region_map, factor, flipped=image.flipped)
    return OversampledImage(
        name=image.name,
        factor=float(factor),
        params=params,
        flux=planes.flux_os,
        error=rest.error,
        dq=rest.dq,
        region_map=rest.region_map,
        alpha=alpha_os,
        wavelength=wavelength,
        variances=rest.variances,
        covariances=rest.covariances,
        trace_used=planes.trace_used,
        full_trace=planes.full_trace if intermediate else None,
        linear_flux=planes.linear_flux if intermediate else None,
        residual_flux=planes.residual_flux if intermediate else None,
        model=fitted.model,
        summary=summarise(image, fitted, rest.n_filled, perf_counter() - start),
        offset=fitted.offset,
    )


class _Stages:
    """Shows a caller who watches one bar the progress of several calls."""

    def __init__(self, progress: Progress | None, n_stages: int) -> None:
        self._progress = progress
        self._n_stages = n_stages
        self._stage = 0

    def next(self) -> Progress | None:
        """Return what to hand to the next call."""
        progress, stage = self._progress, self._stage
        self._stage += 1
        if progress is None:
            return None

        def report(done: int, total: int) -> None:
            progress(stage * total + done, self._n_stages * total)

        return report


def _check_call(params: object, progress: object) -> None:
    """Complain about parameters and a progress function that are something else."""
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


def check_factor(image: SpectralImage, factor: float) -> float:
    """Return a factor as a float; complain about one that makes no sense, or no image that fits into memory."""
    factor = as_real(factor, "factor")
    if not math.isfinite(factor) or factor < 1:
        msg = f"factor = {factor}; it must be a finite number of at least 1"
        raise ParameterError(msg)
    if factor != 1 and image.n_integrations > 1:
        msg = (
            f"{image.label} is a time series of {image.n_integrations} integrations; only the trace of their median "
            f"can be made here (factor 1). To oversample all of them by {factor:g} take oversample_cube, or "
            "--integrations on the command line"
        )
        raise ParameterError(msg)
    # flux, trace, region numbers and data quality in 4 bytes each, alpha in 8; and the rest
    n_planes = 6 + (image.error is not None) + len(image.variances) + 2 * (image.wavelength is not None)
    check_memory(image.flux, factor, itemsize=4, n_planes=n_planes)
    return factor


def _add_to_all(offset: float, *planes: FloatPlane) -> None:
    """Add a number to planes in place, to each once even if two names stand for one array."""
    if offset:
        for plane in {id(plane): plane for plane in planes}.values():
            np.add(plane, plane.dtype.type(offset), out=plane)


def _divide_all(divisor: float, *planes: FloatPlane) -> None:
    """Divide planes in place, each once even if two names stand for one array."""
    for plane in {id(plane): plane for plane in planes}.values():
        np.divide(plane, plane.dtype.type(divisor), out=plane)
