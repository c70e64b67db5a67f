"""From the planes of an exposure to its oversampled planes: fit, oversampling, errors, data quality.

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

from pixtrace._arrays import as_double, as_real
from pixtrace.exceptions import DataError, ParameterError, ShapeError
from pixtrace.trace.companions import companions, native_dq, usable_flux
from pixtrace.trace.fitting import check_call, fit_image
from pixtrace.trace.oversample import alpha_on_grid, check_memory, nearest_rows, trace_planes
from pixtrace.trace.refine import refined
from pixtrace.trace.result import FittedImage, OversampledImage, TraceSummary, summarise

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from pixtrace.trace.image import FloatPlane, SpectralImage
    from pixtrace.trace.params import TraceParams

    Progress = Callable[[int, int], object]

__all__ = [
    "FittedImage",
    "OversampledImage",
    "TraceSummary",
    "oversample_image",
    "trace_image_planes",
]


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
        summary=summarise(image, fitted, 0, perf_counter() - start, params=params),
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
    check_call(params, progress)
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
    if params.n_covariances and image.error is None:
        msg = f"{image.label} has no error plane, and so no covariances; give the errors, or n_covariances=0"
        raise DataError(msg)
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
        summary=summarise(image, fitted, rest.n_filled, perf_counter() - start, params=params),
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
