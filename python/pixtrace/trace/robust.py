"""Fits that weigh every pixel by its error, and oversampling that knows how uncertain its result is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pixtrace import _native
from pixtrace._arrays import (
    as_count,
    as_double,
    as_flag,
    as_floating,
    as_labels,
    as_real,
    check_callable,
)
from pixtrace.trace.model import TraceModel
from pixtrace.trace.oversample import OversampledFlux, check_memory, core_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy.typing as npt

__all__ = ["OversampledErrors", "fit_robust", "oversample_with_errors"]

#: Half-widths of the window that `fit_robust` chooses from.
HALF_WINDOWS = (4, 8, 16, 32, 64)
#: Knot spacings per pixel that it chooses from.
KNOTS_PER_PIXEL = (1.0, 1.5, 2.0, 3.0)


class OversampledErrors(NamedTuple):
    """An oversampled flux, and how uncertain it is; every array of shape ``(ceil(n_y * factor), n_x)``.

    Attributes
    ----------
    planes : OversampledFlux
        The flux and what it is made of.
    variance : ndarray
        Variance of the flux: the square of the error, propagated, and for a weighted fit the error of smoothing too,
        and the square of what the model may be wrong by.
    variances : list of ndarray
        What each of the variances given contributes.
    covariances : list of ndarray
        Covariance of each pixel with the one 1, 2, ... rows further on in the same column, as far as it is noise.
    adequate : ndarray of bool or None
        Where the model is used, and the data do not show that it is wrong by more than its error; None if that was not
        asked for. See `oversample_with_errors`.
    """

    planes: OversampledFlux
    variance: npt.NDArray[np.floating]
    variances: list[npt.NDArray[np.floating]]
    covariances: list[npt.NDArray[np.floating]]
    adequate: npt.NDArray[np.bool_] | None = None


def fit_robust(
    flux: npt.ArrayLike,
    error: npt.ArrayLike | None,
    alpha: npt.ArrayLike,
    region_map: npt.ArrayLike,
    *,
    variances: Sequence[npt.ArrayLike] = (),
    half_windows: Sequence[int] = HALF_WINDOWS,
    knots_per_pixel: Sequence[float] = KNOTS_PER_PIXEL,
    clip_sigma: float = 5.0,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> TraceModel:
    """Fit the profile of every slice or slit with weights, with knots and windows chosen by the data.

    No slice is too faint and no slit end is cut off: what is noisy has little weight. The model records where each
    spline comes from and its covariance (`TraceModel.record`).

    Parameters
    ----------
    flux : array_like, shape (n_y, n_x)
        Flux, in any unit. NaN and infinities are missing data.
    error : array_like, shape (n_y, n_x), or None
        Standard deviation of the flux; pixels where it is not positive and finite take no part. With None all pixels
        count alike, and their spread about the model is taken for their error.
    alpha : array_like, shape (n_y, n_x)
        Coordinate along the slice; NaN and infinities are missing data.
    region_map : array_like of int, shape (n_y, n_x)
        Number of the slice or slit of each pixel; zero and below are between regions.
    variances : sequence of array_like, shape (n_y, n_x)
        Components of the variance of the flux, for which covariances are wanted one by one.
    half_windows : sequence of int
        Half-widths of the window of columns to choose from, by slice.
    knots_per_pixel : sequence of float
        Knot spacings per native pixel to choose from, by slice.
    clip_sigma : float
        Pixels this many errors off the model, and this many times what is usual at their place, are outliers.
    n_threads, progress : optional
        As in `pixtrace.trace.fit_all_regions`; the result does not depend on them.

    Returns
    -------
    TraceModel
        Region number to `RegionTrace`. Regions shorter than four pixels are there, and empty.

    Raises
    ------
    ShapeError, DtypeError
        If the planes differ in shape, or are not numbers.
    ParameterError
        If a parameter lies outside its range.
    """
    native_flux = as_floating(flux, "flux")
    check_callable(progress, "progress")
    native = _native.fit_robust(
        native_flux,
        None if error is None else as_floating(error, "error", dtype=native_flux.dtype),
        as_double(alpha, "alpha"),
        as_labels(region_map, "region_map"),
        variances=[as_floating(plane, "variance", dtype=native_flux.dtype) for plane in variances],
        fit={
            "half_windows": [as_count(half, "half_windows", least=1, most=1 << 20) for half in half_windows],
            "knots_per_pixel": [as_real(number, "knots_per_pixel") for number in knots_per_pixel],
            "clip_sigma": as_real(clip_sigma, "clip_sigma"),
        },
        n_threads=None if n_threads is None else as_count(n_threads, "n_threads", least=1),
        progress=progress,
    )
    return TraceModel(native)


def oversample_with_errors(
    model: TraceModel,
    flux: npt.ArrayLike,
    error: npt.ArrayLike,
    alpha: npt.ArrayLike,
    region_map: npt.ArrayLike,
    factor: float,
    alpha_os: npt.ArrayLike,
    *,
    variances: Sequence[npt.ArrayLike] = (),
    significant: bool = True,
    n_covariances: int = 0,
    adequate: bool = False,
    require_ngood: int = 3,
    slope_limit: float = 0.0,
    psf_optimal: bool = False,
    trim_ends: bool = False,
    pad: float = 3,
    flipped: bool = False,
    dtype: npt.DTypeLike = np.float64,
    want: Collection[str] = ("trace_used", "full_trace", "linear_flux", "residual_flux"),
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> OversampledErrors:
    """Oversample a flux image with a model that knows its covariances, and propagate the errors.

    With all decisions made (outliers, where the model is used, how much of each residual is kept) the flux of a fine
    pixel is a linear function of the pixels of the window: through the spline, the scale, and the residuals or the
    linear interpolation. Its variance follows from theirs, with the correlation between the model and the residuals of
    the pixels that it was fitted to. A pixel that was missing has the error of the model and of its neighbours.

    To the variance of a weighted fit comes the square of what the model may be wrong by, as far as the fits tell:
    where the profile bends faster than the knots follow, and where it changes along the spectrum while the columns of
    the window see one place after the other. Its sign is not known, and it counts as independent from pixel to pixel.

    The model is adequate at a pixel if three things hold. That part of the variance is no larger than the rest. Sums
    of the residuals over boxes around the pixel, from 3 x 5 pixels to most of a slice, and sums of their squares, are
    within three standard deviations of noise; isolated outliers do not count. And misfits elsewhere in the window, of
    more than four standard deviations, move the model by no more than 0.1 of its error. Where the model is right,
    1 per cent of the pixels fail.

    Parameters
    ----------
    model : TraceModel
        Fitted to this exposure by `fit_robust`, or by `pixtrace.trace.fit_all_regions` with ``covariance=True``, with
        the same `variances`.
    flux, error, alpha, region_map, factor, alpha_os
        As in `pixtrace.trace.oversample_flux`; `error` is the standard deviation of the flux.
    variances : sequence of array_like, shape (n_y, n_x)
        Components of the variance of the flux, each propagated by itself.
    significant : bool
        Add of each residual that share that its neighbours show to be more than noise, and nothing of outliers.
        False adds all residuals whole, as jwst does.
    n_covariances : int
        Number of following rows with which covariances are wanted.
    adequate : bool
        Tell where the model is adequate.
    require_ngood, slope_limit, psf_optimal, trim_ends, pad
        As in `pixtrace.trace.oversample_flux`.
    flipped, dtype, want, n_threads, progress : optional
        As in `pixtrace.trace.oversample.oversample_planes`.

    Returns
    -------
    OversampledErrors
        Flux, variances and covariances; NaN where the flux is, and where a pixel without an error is needed.

    Raises
    ------
    ShapeError, DtypeError, ParameterError, MemoryLimitError
        As in `pixtrace.trace.oversample_flux`.
    DataError
        The model has no record of its fit with these variances.
    """
    core = core_of(model)
    check_callable(progress, "progress")
    single = np.dtype(dtype) == np.float32
    n_covariances = as_count(n_covariances, "n_covariances", most=100)
    wants_adequate = as_flag(adequate, "adequate")
    n_planes = 2 + len(want) + len(variances) + n_covariances + wants_adequate
    check_memory(flux, factor, itemsize=4 if single else 8, n_planes=n_planes)
    native_flux = as_floating(flux, "flux")
    planes, found, covariances, is_adequate = _native.oversample_with_errors(
        core,
        native_flux,
        as_floating(error, "error", dtype=native_flux.dtype),
        as_double(alpha, "alpha"),
        as_labels(region_map, "region_map"),
        as_double(alpha_os, "alpha_os"),
        variances=[as_floating(plane, "variance", dtype=native_flux.dtype) for plane in variances],
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
        significant=as_flag(significant, "significant"),
        n_covariances=n_covariances,
        adequacy=wants_adequate,
        single=single,
        n_threads=None if n_threads is None else as_count(n_threads, "n_threads", least=1),
        progress=progress,
    )
    flags = is_adequate[0] == 1 if wants_adequate else None
    return OversampledErrors(OversampledFlux(*planes), found[0], found[1:], covariances, flags)
