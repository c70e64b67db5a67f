"""Evaluation of trace models: the flux on a finer grid, and the trace on the detector's own pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pixtrace import _native
from pixtrace._arrays import as_count, as_double, as_flag, as_floating, as_labels, as_real, check_callable
from pixtrace.exceptions import ParameterError
from pixtrace.trace.fine_grid import (
    alpha_on_grid,
    check_memory,
    fine_rows,
    linear_oversample,
    linear_planes,
    nearest_rows,
)
from pixtrace.trace.given import native_model
from pixtrace.trace.model import TraceModel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = [
    "PLANES",
    "OversampledFlux",
    "TraceImage",
    "alpha_on_grid",
    "check_memory",
    "core_of",
    "fine_rows",
    "linear_oversample",
    "linear_planes",
    "nearest_rows",
    "oversample_flux",
    "oversample_planes",
    "trace_image",
    "trace_planes",
]

#: Planes that oversampling makes beside the flux.
PLANES = ("trace_used", "full_trace", "linear_flux", "residual_flux")


class OversampledFlux(NamedTuple):
    """An oversampled flux image and what it is made of; each of shape ``(ceil(n_y * factor), n_x)``.

    Attributes
    ----------
    flux_os : ndarray
        The oversampled flux: spline models, residuals and linear interpolation. NaN where there is no answer.
    trace_used : ndarray
        The trace model near compact sources; NaN elsewhere.
    full_trace : ndarray
        The trace model wherever a column has a spline.
    linear_flux : ndarray
        The flux, interpolated linearly.
    residual_flux : ndarray
        Data less model, interpolated linearly.
    """

    flux_os: npt.NDArray[np.floating]
    trace_used: npt.NDArray[np.floating]
    full_trace: npt.NDArray[np.floating]
    linear_flux: npt.NDArray[np.floating]
    residual_flux: npt.NDArray[np.floating]


class TraceImage(NamedTuple):
    """A trace model on the detector's own pixels, each of shape ``(n_y, n_x)``; NaN where there is no trace.

    Attributes
    ----------
    trace_used : ndarray
        The trace near compact sources.
    full_trace : ndarray
        The trace wherever a column has a spline.
    """

    trace_used: npt.NDArray[np.floating]
    full_trace: npt.NDArray[np.floating]


def oversample_flux(
    flux: npt.ArrayLike,
    alpha: npt.ArrayLike,
    region_map: npt.ArrayLike,
    spline_models: Mapping[int, Mapping[int, Any]],
    spline_scales: Mapping[int, Mapping[int, float]] | None,
    oversample_factor: float,
    alpha_os: npt.ArrayLike,
    require_ngood: int = 10,
    slope_limit: float = 0.1,
    psf_optimal: bool = False,  # noqa: FBT001, FBT002 - the signature of the specification
    trim_ends: bool = False,  # noqa: FBT001, FBT002
    pad: float = 3,
) -> OversampledFlux:
    """Oversample a flux image with spline models of its traces.

    Where a model is steep there is a compact source: there the flux is the model on the finer grid plus the residuals
    of the data, interpolated linearly. Elsewhere the flux itself is interpolated linearly.

    Parameters
    ----------
    flux : array_like, shape (n_y, n_x)
        Flux, in any unit; axis 0 is the spatial axis. NaN and infinities are missing data: they stay NaN where the flux
        is interpolated, and are filled where the model is used. Alpha and residuals are rounded to its precision.
    alpha : array_like, shape (n_y, n_x)
        Coordinate along the slice of each pixel.
    region_map : array_like of int, shape (n_y, n_x)
        Number of the slice or slit of each pixel; zero and below are between regions.
    spline_models : mapping of int to mapping of int to spline
        Splines by region and column: ours, or `scipy.interpolate.BSpline`. A value may also be a mapping with "model",
        "bounds" and "scale". Without bounds a spline is valid on its base interval, ``t[k]`` to ``t[-k - 1]``. A
        column without a spline is interpolated linearly, and so is one whose scale is NaN. Regions and columns that
        the image does not have are passed over.
    spline_scales : mapping of int to mapping of int to float, or None
        Scale of each spline. With None they are taken from the values of `spline_models`.
    oversample_factor : float
        Fine pixels per native pixel; finite and at least 1, not necessarily whole.
    alpha_os : array_like, shape (ceil(n_y * oversample_factor), n_x)
        Coordinate along the slice at the centres of the fine pixels: fine row m lies at the native row
        ``(m + 0.5) / oversample_factor - 0.5``.
    require_ngood : int
        Leave columns NaN that do not have more finite pixels than this.
    slope_limit : float
        Difference of the normalised model from one pixel to the next above which it counts as steep. With zero or
        less the model is used everywhere.
    psf_optimal : bool
        Leave the residuals out.
    trim_ends : bool
        Do not use the model in the first and last native pixel of a column.
    pad : float
        How far a compact source reaches to either side [native pixels].

    Returns
    -------
    OversampledFlux
        Five float64 arrays: flux_os, trace_used, full_trace, linear_flux, residual_flux.

    Raises
    ------
    ShapeError, DtypeError
        If the planes differ in shape, or are not numbers.
    ParameterError
        If a parameter lies outside its range.
    DataError
        If a model is not a cubic spline, or lacks its scale; the message names region and column.
    MemoryLimitError
        If the result would not fit into the machine's memory.
    """
    # First of all, because a factor that is a slip of the finger must not cost a conversion of all models.
    check_memory(flux, oversample_factor, itemsize=8, n_planes=1 + len(PLANES))
    model = native_model(spline_models, spline_scales)
    return _oversample(
        model,
        flux,
        alpha,
        region_map,
        oversample_factor,
        alpha_os,
        require_ngood=require_ngood,
        slope_limit=slope_limit,
        psf_optimal=psf_optimal,
        trim_ends=trim_ends,
        pad=pad,
    )


def oversample_planes(
    model: TraceModel,
    flux: npt.ArrayLike,
    alpha: npt.ArrayLike,
    region_map: npt.ArrayLike,
    factor: float,
    alpha_os: npt.ArrayLike,
    *,
    require_ngood: int = 10,
    slope_limit: float = 0.1,
    psf_optimal: bool = False,
    trim_ends: bool = False,
    pad: float = 3,
    flipped: bool = False,
    dtype: npt.DTypeLike = np.float64,
    want: Collection[str] = PLANES,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> OversampledFlux:
    """Oversample with a model that knows its bounds, making only the planes that are wanted.

    Parameters
    ----------
    model : TraceModel
        Splines, scales and bounds.
    flux, alpha, region_map, factor, alpha_os, require_ngood, slope_limit, psf_optimal, trim_ends, pad
        As in `oversample_flux`.
    flipped : bool
        Whether axis 0 runs against the pixel numbers of the detector (as in MIRI images turned by a right angle), so
        that the finer grid begins at its far end. It makes a difference where ``n_y * factor`` is not whole.
    dtype : dtype
        Precision of the planes that are returned, float64 or float32; the arithmetic is float64 in any case.
    want : collection of str
        Names out of `PLANES`; the other planes come back with shape ``(0, n_x)``.
    n_threads, progress : optional
        As in `fit_all_regions`.

    Returns
    -------
    OversampledFlux
        The planes.

    Raises
    ------
    ShapeError, DtypeError, ParameterError, MemoryLimitError
        As in `oversample_flux`.
    """
    return _oversample(
        core_of(model),
        flux,
        alpha,
        region_map,
        factor,
        alpha_os,
        require_ngood=require_ngood,
        slope_limit=slope_limit,
        psf_optimal=psf_optimal,
        trim_ends=trim_ends,
        pad=pad,
        flipped=flipped,
        dtype=dtype,
        want=want,
        n_threads=n_threads,
        progress=progress,
    )


def _oversample(
    model: _native.TraceModel,
    flux: npt.ArrayLike,
    alpha: npt.ArrayLike,
    region_map: npt.ArrayLike,
    factor: float,
    alpha_os: npt.ArrayLike,
    *,
    require_ngood: int,
    slope_limit: float,
    psf_optimal: bool,
    trim_ends: bool,
    pad: float,
    flipped: bool = False,
    dtype: npt.DTypeLike = np.float64,
    want: Collection[str] = PLANES,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> OversampledFlux:
    check_callable(progress, "progress")
    unknown = set(want) - set(PLANES)
    if unknown:
        msg = f"unknown planes {sorted(unknown)}; there are {list(PLANES)}"
        raise ParameterError(msg)
    single = np.dtype(dtype) == np.float32
    check_memory(flux, factor, itemsize=4 if single else 8, n_planes=1 + len(want))
    planes = _native.oversample(
        model,
        as_floating(flux, "flux"),
        as_double(alpha, "alpha"),
        as_labels(region_map, "region_map"),
        as_double(alpha_os, "alpha_os"),
        params={
            "oversample_factor": as_real(factor, "oversample_factor"),
            "require_ngood": as_count(require_ngood, "require_ngood"),
            "slope_limit": as_real(slope_limit, "slope_limit"),
            "psf_optimal": as_flag(psf_optimal, "psf_optimal"),
            "trim_ends": as_flag(trim_ends, "trim_ends"),
            "pad": as_real(pad, "pad"),
            "flipped": bool(flipped),
            "trace_used": "trace_used" in want,
            "full_trace": "full_trace" in want,
            "linear_flux": "linear_flux" in want,
            "residual_flux": "residual_flux" in want,
        },
        single=single,
        n_threads=None if n_threads is None else as_count(n_threads, "n_threads", least=1),
        progress=progress,
    )
    return OversampledFlux(*planes)


def trace_image(
    model: TraceModel, region_map: npt.ArrayLike, alpha: npt.ArrayLike, *, slope_limit: float = 0.1, pad: float = 3
) -> TraceImage:
    """Evaluate a trace model on the detector's own pixels.

    Parameters
    ----------
    model : TraceModel
        Splines, scales and bounds.
    region_map : array_like of int, shape (n_y, n_x)
        Number of the slice or slit of each pixel.
    alpha : array_like, shape (n_y, n_x)
        Coordinate along the slice; rounded to float32.
    slope_limit, pad : float
        As in `oversample_flux`.

    Returns
    -------
    TraceImage
        Two float32 arrays: trace_used, full_trace. The first and last pixel of each column are NaN.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        As in `oversample_flux`.
    """
    return trace_planes(model, region_map, alpha, slope_limit=slope_limit, pad=pad)


def trace_planes(
    model: TraceModel,
    region_map: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    slope_limit: float = 0.1,
    pad: float = 3,
    dtype: npt.DTypeLike = np.float32,
    n_threads: int | None = None,
) -> TraceImage:
    """Evaluate a model as `trace_image` does, in float32 or in float64."""
    planes = _native.trace_image(
        core_of(model),
        as_labels(region_map, "region_map"),
        as_double(alpha, "alpha"),
        slope_limit=as_real(slope_limit, "slope_limit"),
        pad=as_real(pad, "pad"),
        single=np.dtype(dtype) == np.float32,
        n_threads=None if n_threads is None else as_count(n_threads, "n_threads", least=1),
    )
    return TraceImage(*planes)


def core_of(model: object) -> _native.TraceModel:
    """Return the core's model, and complain of what is none."""
    if not isinstance(model, TraceModel):
        msg = f"`model` is a {type(model).__name__}; expected a TraceModel, as `fit_all_regions` makes it"
        raise ParameterError(msg)
    return model.native
