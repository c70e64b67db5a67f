"""Time series on a finer grid, some integrations at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pixtrace import _native
from pixtrace._arrays import as_count, as_double, as_real, check_callable
from pixtrace.exceptions import ParameterError, ShapeError
from pixtrace.trace.ahead import work_ahead
from pixtrace.trace.companions import inflation
from pixtrace.trace.oversample import PLANES, alpha_on_grid, nearest_rows
from pixtrace.trace.robust import oversample_with_errors
from pixtrace.trace.series import ScaleTables, Steps, TimeSeriesModel
from pixtrace.trace.series_cube import SpectralSeries, chunk_length, chunks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    from pixtrace.trace.image import FloatPlane
    from pixtrace.trace.series import RegionSeries
    from pixtrace.trace.series_cube import SeriesChunk

    Progress = Callable[[int, int], object]

__all__ = ["OversampledChunk", "oversample_cube"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class OversampledChunk:
    """Some integrations on the finer grid; arrays of shape (stop - start, ceil(n_y * factor), n_x).

    In flux, error and variances NaN stands exactly where `dq` has DO_NOT_USE.

    Attributes
    ----------
    start, stop : int
        The first integration, and one past the last.
    flux : ndarray
        Flux in the unit and precision of the input.
    error : ndarray of float32, or None
        Its error, None if the input has none.
    dq : ndarray of uint32
        Data quality of the nearest native pixel; FLUX_ESTIMATED in the place of DO_NOT_USE where the model filled in.
    variances : mapping of str to ndarray of float32
        Variances by name.
    trace_used : ndarray
        The spline model where it was used, in the unit of the flux; NaN elsewhere.
    full_trace, linear_flux, residual_flux : ndarray, or None
        The spline model everywhere, the flux interpolated linearly, and flux minus model; None unless asked for.
    regions : mapping of int to RegionSeries
        Scales of these integrations by region.
    n_filled : int
        Pixels that the model filled.
    """

    start: int
    stop: int
    flux: FloatPlane
    error: FloatPlane | None
    dq: npt.NDArray[np.uint32]
    variances: Mapping[str, FloatPlane]
    trace_used: FloatPlane
    full_trace: FloatPlane | None
    linear_flux: FloatPlane | None
    residual_flux: FloatPlane | None
    regions: Mapping[int, RegionSeries]
    n_filled: int

    def __repr__(self) -> str:
        _, n_y, n_x = self.flux.shape
        return f"<OversampledChunk: integrations {self.start} to {self.stop - 1}, {n_y} x {n_x} pixels>"


def oversample_cube(
    series: SpectralSeries,
    model: TimeSeriesModel,
    factor: float,
    *,
    alpha_os: npt.ArrayLike | None = None,
    chunk: int | None = None,
    memory: int | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
    intermediate: bool = False,
) -> Iterator[OversampledChunk]:
    """Put all integrations of a time series on a finer grid, one chunk after another.

    Each integration is what `pixtrace.trace.oversample_image` would make of it with the shared model scaled to it. With
    the method "robust", the residuals that all integrations share belong to the model, and of those of its own an
    integration keeps what is more than noise.

    Parameters
    ----------
    series : SpectralSeries
        The time series.
    model : TimeSeriesModel
        What `fit_time_series` made of it. Its parameters are used. The scales are fitted once more on the way, with
        the same result; nothing of the model but the shared profile is looked at, so that a series can be oversampled
        with that of another one of the same source.
    factor : float
        Oversampling factor, more than 1.
    alpha_os : array_like, shape (ceil(n_y * factor), n_x), optional
        Alpha at the centres of the oversampled pixels; None interpolates that of the series along each column.
    chunk, memory, n_threads, progress : optional
        As in `fit_time_series`.
    intermediate : bool, optional
        Whether the full trace, the linear image and the residual are made.

    Yields
    ------
    OversampledChunk
        The integrations, in order. Write them where they are to go, and forget them: then the memory is bounded. The
        next chunk is made meanwhile, in another thread.

    Raises
    ------
    ParameterError
        `factor` is not a finite number above 1, or a parameter lies outside its range.
    ShapeError
        `alpha_os` does not have the shape of the result, or the series not that of the model.
    DtypeError, DataError, MemoryLimitError
        See `fit_time_series` and `pixtrace.trace.oversample_image`.

    Notes
    -----
    With ``params.errors == "jwst"`` errors and variances are interpolated and multiplied by ``0.23 factor + 0.77``.
    With "propagated", the variance of an integration is followed through its scale, its shift and its residuals, and
    that of the mean of all integrations through the shared profile. Covariances are not made.
    """
    _check_call(series, model, progress)
    factor = as_real(factor, "factor")
    if not math.isfinite(factor) or factor <= 1:
        msg = f"factor = {factor}; it must be a finite number above 1 (for 1 there is the trace of the mean image)"
        raise ParameterError(msg)
    n_threads = None if n_threads is None else as_count(n_threads, "n_threads", least=1)
    want = PLANES if intermediate else ("trace_used",)
    n_errors = (1 + len(series.variances)) if series.error is not None else 0
    n_fine = nearest_rows(series.shape[0], factor, flipped=series.flipped).size
    length = chunk_length(series, chunk, memory, n_fine=n_fine, n_planes=1 + len(want) + n_errors)
    grid = _grid(series, model, factor, alpha_os, (n_fine, series.shape[1]), want, n_threads)
    return _chunks(series, model, grid, length, want, n_threads, progress)


def _chunks(
    series: SpectralSeries,
    model: TimeSeriesModel,
    grid: _native.SeriesGrid,
    length: int,
    want: tuple[str, ...],
    n_threads: int | None,
    progress: Progress | None,
) -> Iterator[OversampledChunk]:
    steps = Steps(progress, series.n_integrations)

    def oversampled(part: SeriesChunk, note: Progress) -> OversampledChunk:
        planes, errors, dq, n_filled, tables = grid.oversample(
            part.native,
            part.dq,
            offset=model.fitted.offset,
            max_shift=model.max_shift,
            n_threads=n_threads,
            progress=note,
        )
        scales = ScaleTables(model, part.stop - part.start)
        scales.put(0, tables)
        made = {name: plane if name in want else None for name, plane in zip(PLANES, planes[1:], strict=True)}
        return OversampledChunk(
            start=part.start,
            stop=part.stop,
            flux=planes[0],
            error=errors[0] if errors else None,
            dq=dq,
            variances=dict(zip(series.variances, errors[1:], strict=False)),
            regions=scales.regions(),
            n_filled=n_filled,
            **made,  # type: ignore[arg-type]
        )

    # While the caller writes a chunk, the next one is made.
    yield from work_ahead(oversampled, chunks_of(series, length), lambda part: steps.part(part.stop - part.start))


def _check_call(series: object, model: object, progress: object) -> None:
    """Complain of arguments that are something else, or do not go together."""
    if not isinstance(series, SpectralSeries):
        msg = f"`series` is a {type(series).__name__}; expected a SpectralSeries"
        raise ParameterError(msg)
    if not isinstance(model, TimeSeriesModel):
        msg = f"`model` is a {type(model).__name__}; expected a TimeSeriesModel, as `fit_time_series` makes it"
        raise ParameterError(msg)
    if series.shape != model.mean.shape:
        msg = f"{series.label} has images of shape {series.shape}; the model is for {model.mean.shape}"
        raise ShapeError(msg)
    check_callable(progress, "progress")


def _grid(
    series: SpectralSeries,
    model: TimeSeriesModel,
    factor: float,
    alpha_os: npt.ArrayLike | None,
    shape: tuple[int, int],
    want: tuple[str, ...],
    n_threads: int | None,
) -> _native.SeriesGrid:
    """Return the finer grid with what all integrations share."""
    params, mean = model.params, model.mean
    if alpha_os is None:
        alpha_os = alpha_on_grid(mean.alpha, mean.region_map, factor, flipped=series.flipped, n_threads=n_threads)
    alpha_os = as_double(alpha_os, "alpha_os")
    if alpha_os.shape != shape:
        msg = f"alpha_os of {series.label} has shape {alpha_os.shape}; expected {shape} for factor {factor:g}"
        raise ShapeError(msg)
    flux, error, variances = model.mean_for_core
    found: list[npt.NDArray[Any]] = []
    is_propagated = params.errors == "propagated" and series.error is not None
    if is_propagated and error is not None:
        errors = oversample_with_errors(
            model.fitted.model,
            flux,
            error,
            mean.alpha,
            mean.region_map,
            factor,
            alpha_os,
            variances=variances,
            significant=params.method == "robust",
            **params.oversample_kwargs(),
            flipped=series.flipped,
            want=(),
            n_threads=n_threads,
        )
        found = [errors.variance, *errors.variances]
    return _native.SeriesGrid(
        model.profile(n_threads),
        model.fitted.model.native,
        (flux, error, variances),
        mean.alpha,
        mean.region_map,
        alpha_os,
        found,
        params={
            "oversample_factor": factor,
            **params.oversample_kwargs(),
            "flipped": series.flipped,
            "trace_used": "trace_used" in want,
            "full_trace": "full_trace" in want,
            "linear_flux": "linear_flux" in want,
            "residual_flux": "residual_flux" in want,
        },
        grid={
            "significant": params.method == "robust",
            "propagated": is_propagated,
            "density": series.flux_is_density,
            "inflation": inflation(factor, is_density=series.flux_is_density),
        },
        n_threads=n_threads,
    )
