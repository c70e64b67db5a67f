"""Fits of trace models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixtrace import _native
from pixtrace._arrays import (
    LARGEST_LABEL,
    as_count,
    as_double,
    as_flag,
    as_floating,
    as_labels,
    as_real,
    check_callable,
    check_shape,
)
from pixtrace.exceptions import ParameterError, ShapeError
from pixtrace.trace.model import RegionTrace, TraceModel

if TYPE_CHECKING:
    from pixtrace._native import _FitArguments as FitArguments

__all__ = ["fit_2d_spline_trace", "fit_all_regions"]


def fit_all_regions(
    flux: npt.ArrayLike,
    error: npt.ArrayLike | None,
    alpha: npt.ArrayLike,
    region_map: npt.ArrayLike,
    *,
    peak_threshold: Mapping[int, float] | None = None,
    snr_threshold: float | None = None,
    covariance: bool = False,
    variances: Sequence[npt.ArrayLike] = (),
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    lrange: int = 50,
    col_index: Sequence[int] | npt.NDArray[np.integer] | None = None,
    space_ratio: float = 1.2,
    sigma_low: float = 2.5,
    sigma_high: float = 2.5,
    fit_iter: int = 3,
    require_ngood: int | None = None,
    spline_bkpt: int | None = None,
    auto_ngood_factor: float = 0.5,
    auto_bkpt_factor: float = 2.0,
) -> TraceModel:
    """Fit the spatial profile of every slice or slit with cubic B-splines, column by column.

    A region is fitted if its cross-dispersion profile passes a threshold. Edges of the slit with large errors and no
    signal are left out, each column is normalised to a sum of one, and a spline is fitted to the columns around each
    column, with rejection of outliers. Where that fails, the spline of the column fitted before is taken over.

    Parameters
    ----------
    flux : array_like, shape (n_y, n_x)
        Flux, in any unit. Axis 0 is the spatial axis, axis 1 the dispersion axis. NaN and infinities are missing data.
        Its precision (float32 or float64) is that of knots, sums and alpha, as in jwst.
    error : array_like, shape (n_y, n_x), or None
        Error of the flux. Pixels without a finite positive error stay out of the profile, though not of the fit.
        With None all pixels count as equally good, with an error of one.
    alpha : array_like, shape (n_y, n_x)
        Coordinate along the slice [arcsec, or any unit]; NaN and infinities are missing data.
    region_map : array_like of int, shape (n_y, n_x)
        Number of the slice or slit of each pixel; zero and below are between regions.
    peak_threshold : mapping of int to float, optional
        Fit a region if its profile is brighter than this somewhere, by region number [unit of `flux`].
    snr_threshold : float, optional
        Fit a region if the signal-to-noise ratio of its profile is higher than this somewhere. With neither threshold
        all regions are fitted.
    covariance : bool
        Whether to record where each spline comes from and its covariance (`TraceModel.record`); the model is the same.
        It takes about half as long again.
    variances : sequence of array_like, shape (n_y, n_x)
        Components of the variance of the flux, for which covariances are wanted one by one.
    n_threads : int, optional
        Number of threads; by default one for each core, or the environment variable ``RAYON_NUM_THREADS``. The result
        does not depend on it.
    progress : callable, optional
        Called now and then as ``progress(columns_done, columns_in_all)``, in the calling thread. An exception that it
        raises ends the fit, and is passed on.
    lrange : int
        Half-width of the window: a column is fitted together with `lrange` columns to the left and one less to the
        right.
    col_index : sequence of int, optional
        Columns to fit, in this order; by default all, from left to right. Of a column that is there twice the last
        fit counts.
    space_ratio : float
        Refuse a fit if its points have gaps wider than this many knot spacings.
    sigma_low, sigma_high : float
        Reject points this many standard deviations below and above the fit.
    fit_iter : int
        Number of rounds of fitting, with a rejection between each two.
    require_ngood : int, optional
        Fit columns with more good pixels than this; by default `auto_ngood_factor` times the length of the slice in
        pixels.
    spline_bkpt : int, optional
        Number of knot spacings along the slice; by default `auto_bkpt_factor` times its length in pixels.
    auto_ngood_factor, auto_bkpt_factor : float
        See `require_ngood` and `spline_bkpt`.

    Returns
    -------
    TraceModel
        Region number to `RegionTrace`; regions below the thresholds are there, and empty.

    Raises
    ------
    ShapeError, DtypeError
        If the planes differ in shape, or are not numbers.
    ParameterError
        If a parameter lies outside its range, or a region has no entry in `peak_threshold`.
    DataError
        If covariances are asked for without an error.

    Notes
    -----
    The method is that of Law & Clarke (2026, AJ 171, 304).
    """
    native_flux = as_floating(flux, "flux")
    native_error = None if error is None else as_floating(error, "error", dtype=native_flux.dtype)
    check_callable(progress, "progress")
    fit = _native.fit_all_regions
    if as_flag(covariance, "covariance"):
        native_variances = [as_floating(plane, "variance", dtype=native_flux.dtype) for plane in variances]
        fit = partial(_native.fit_all_regions_recorded, variances=native_variances)
    native = fit(
        native_flux,
        native_error,
        as_double(alpha, "alpha"),
        as_labels(region_map, "region_map"),
        peak_threshold=_peaks(peak_threshold),
        snr_threshold=None if snr_threshold is None else _threshold(snr_threshold, "snr_threshold"),
        fit=_arguments(
            lrange=lrange,
            col_index=col_index,
            space_ratio=space_ratio,
            sigma_low=sigma_low,
            sigma_high=sigma_high,
            fit_iter=fit_iter,
            require_ngood=require_ngood,
            spline_bkpt=spline_bkpt,
            auto_ngood_factor=auto_ngood_factor,
            auto_bkpt_factor=auto_bkpt_factor,
        ),
        n_threads=None if n_threads is None else as_count(n_threads, "n_threads", least=1),
        progress=progress,
    )
    return TraceModel(native)


def fit_2d_spline_trace(
    flux: npt.ArrayLike,
    alpha: npt.ArrayLike,
    fit_scale: npt.ArrayLike | None = None,
    lrange: int = 50,
    col_index: Sequence[int] | npt.NDArray[np.integer] | None = None,
    space_ratio: float = 1.2,
    sigma_low: float = 2.5,
    sigma_high: float = 2.5,
    fit_iter: int = 3,
    require_ngood: int | None = None,
    spline_bkpt: int | None = None,
    auto_ngood_factor: float = 0.5,
    auto_bkpt_factor: float = 2.0,
) -> RegionTrace:
    """Fit the trace of one slice or slit: no profile, no threshold, no trimming of edges.

    Parameters
    ----------
    flux, alpha : array_like, shape (n_y, n_x)
        Flux, and coordinate along the slice; NaN outside of the slice and where data are missing.
    fit_scale : array_like, shape (n_x,), optional
        What to divide each column by before the fit; without it, as in jwst, the flux is taken as it is. For columns
        of different brightness give their sums, ``np.nansum(flux, axis=0)``, as `fit_all_regions` does. Zero or NaN
        leaves the column's data out.
    lrange, col_index, space_ratio, sigma_low, sigma_high, fit_iter, require_ngood, spline_bkpt : optional
        As in `fit_all_regions`.
    auto_ngood_factor, auto_bkpt_factor : float
        As in `fit_all_regions`.

    Returns
    -------
    RegionTrace
        Column index to `ColumnTrace`.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        As in `fit_all_regions`.
    """
    native_flux = as_floating(flux, "flux")
    native_alpha = as_double(alpha, "alpha")
    check_shape(native_alpha, native_flux.shape, "alpha", "flux")
    sums = None
    if fit_scale is not None:
        sums = as_double(fit_scale, "fit_scale", ndim=1)
        check_shape(sums, native_flux.shape[1:], "fit_scale", "flux")
    native = _native.fit_region(
        native_flux,
        native_alpha,
        sums,
        fit=_arguments(
            lrange=lrange,
            col_index=col_index,
            space_ratio=space_ratio,
            sigma_low=sigma_low,
            sigma_high=sigma_high,
            fit_iter=fit_iter,
            require_ngood=require_ngood,
            spline_bkpt=spline_bkpt,
            auto_ngood_factor=auto_ngood_factor,
            auto_bkpt_factor=auto_bkpt_factor,
        ),
        n_threads=None,
        progress=None,
    )
    return RegionTrace(native.table(1))


def _peaks(peak_threshold: object) -> dict[int, float] | None:
    if peak_threshold is None:
        return None
    if not isinstance(peak_threshold, Mapping):
        msg = f"`peak_threshold` is a {type(peak_threshold).__name__}; expected a mapping of region number to flux"
        raise ParameterError(msg)
    return {
        as_count(label, "region in `peak_threshold`", most=LARGEST_LABEL): _threshold(value, f"peak_threshold[{label}]")
        for label, value in peak_threshold.items()
    }


def _threshold(value: float, name: str) -> float:
    number = as_real(value, name)
    if math.isnan(number):
        msg = f"`{name}` is NaN, which no profile is above or below; it must be a number"
        raise ParameterError(msg)
    return number


def _columns(col_index: Sequence[int] | npt.NDArray[np.integer]) -> list[int]:
    try:
        array = np.asarray(col_index)
    except ValueError as error:
        msg = f"`col_index` is not a sequence of column numbers: {error}"
        raise ShapeError(msg) from error
    if array.ndim != 1:
        msg = f"`col_index` has shape {array.shape}; expected a sequence of column numbers"
        raise ShapeError(msg)
    return [as_count(column, "col_index") for column in array.tolist()]


def _arguments(
    *,
    lrange: int,
    col_index: Sequence[int] | npt.NDArray[np.integer] | None,
    space_ratio: float,
    sigma_low: float,
    sigma_high: float,
    fit_iter: int,
    require_ngood: int | None,
    spline_bkpt: int | None,
    auto_ngood_factor: float,
    auto_bkpt_factor: float,
) -> FitArguments:
    return {
        "lrange": as_count(lrange, "lrange", least=1),
        "col_index": None if col_index is None else _columns(col_index),
        "space_ratio": as_real(space_ratio, "space_ratio"),
        "sigma_low": as_real(sigma_low, "sigma_low"),
        "sigma_high": as_real(sigma_high, "sigma_high"),
        "fit_iter": as_count(fit_iter, "fit_iter", least=1),
        "require_ngood": None if require_ngood is None else as_count(require_ngood, "require_ngood", least=0),
        "spline_bkpt": None if spline_bkpt is None else as_count(spline_bkpt, "spline_bkpt", least=1),
        "auto_ngood_factor": as_real(auto_ngood_factor, "auto_ngood_factor"),
        "auto_bkpt_factor": as_real(auto_bkpt_factor, "auto_bkpt_factor"),
    }
