"""Time series: one profile for all integrations, scaled to each of them, with errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace import _native
from pixtrace._arrays import as_count, as_flag, as_real, check_callable
from pixtrace.exceptions import ParameterError
from pixtrace.trace.fitting import fit_image
from pixtrace.trace.params import TraceParams
from pixtrace.trace.series_cube import SpectralSeries, chunk_length, chunks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from pixtrace._arrays import FloatArray
    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.result import FittedImage
    from pixtrace.trace.series_cube import NativeChunk

    Progress = Callable[[int, int], object]
    Float64 = npt.NDArray[np.float64]

__all__ = ["RegionSeries", "ScaleTables", "Steps", "TimeSeriesModel", "fit_time_series"]

#: Integrations that the first profile is the median of.
N_SAMPLE = 15
#: What a caller who watches the progress is told of one integration.
_UNITS = 1000


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RegionSeries:
    """The scales of one region in all integrations; arrays of shape (n_integrations, n_columns) unless said otherwise.

    Attributes
    ----------
    columns : ndarray of int, shape (n_columns,)
        Columns of the image that the region reaches over.
    scales : ndarray of float64
        Brightness relative to the mean of all integrations, column by column. NaN where nothing is known: no pixel of
        the column can be used, or it has no spline.
    errors : ndarray of float64
        Standard deviation of the scale, from the errors of the integration. That of the profile, which is common to all
        integrations, is not in it.
    chi2 : ndarray of float64
        Sum of squared residuals in units of their errors, of the pixels that were used.
    n_used, n_rejected : ndarray of uint32
        Pixels used, and outliers.
    shifts : ndarray of float64, shape (n_integrations,)
        Shift of the source along the slice against the shared profile [unit of alpha]; 0 if no shifts were fitted, NaN
        if the fit failed (the scales are then without a shift).
    shift_errors : ndarray of float64, shape (n_integrations,)
        Their standard deviations.
    reference : ndarray of float64, shape (n_columns,)
        Flux of a column for a scale of 1: the scale of its spline in the model. NaN for columns without a spline.
    """

    columns: npt.NDArray[np.int64]
    scales: Float64
    errors: Float64
    chi2: Float64
    n_used: npt.NDArray[np.uint32]
    n_rejected: npt.NDArray[np.uint32]
    shifts: Float64
    shift_errors: Float64
    reference: Float64

    def __repr__(self) -> str:
        n, n_columns = self.scales.shape
        return f"<RegionSeries: {n} integrations, {n_columns} columns>"

    def white_light(self, columns: slice | None = None) -> tuple[Float64, Float64]:
        """Return the brightness of all columns together, relative to the mean of all integrations.

        Parameters
        ----------
        columns : slice, optional
            Of the columns of the region, those that are wanted.

        Returns
        -------
        values, errors : ndarray of float64, shape (n_integrations,)
            Flux of all columns whose scale is known, over what these have for a scale of 1; NaN where none is known.
            Errors of columns are taken as independent; where shifts were fitted, what they have in common is left out.
        """
        chosen = slice(None) if columns is None else columns
        scales, errors, weights = self.scales[:, chosen], self.errors[:, chosen], self.reference[chosen]
        known = np.isfinite(scales) & np.isfinite(errors) & np.isfinite(weights)
        parts = np.where(known, weights, 0.0)
        total = parts.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):  # no known column: NaN
            values = np.where(known, scales * parts, 0.0).sum(axis=1) / total
            spread = np.sqrt(np.where(known, (errors * parts) ** 2, 0.0).sum(axis=1)) / np.abs(total)
        unknown = ~known.any(axis=1)
        values[unknown] = spread[unknown] = np.nan
        return values, spread


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TimeSeriesModel:
    """The shared profile of a time series, and its scales.

    Attributes
    ----------
    mean : SpectralImage
        Mean of all integrations, each scaled by its brightness and without outliers, with its error.
    fitted : FittedImage
        The trace model of that mean.
    params : TraceParams
        How it was fitted.
    noise : ndarray of float64, shape (n_y, n_x)
        Mean variance of a pixel in an integration; the scales are weighted with it.
    usual : ndarray of float64, shape (n_y, n_x)
        Residual that is usual at the place of a pixel, in units of its error, at least 1.
    n_used, n_rejected : ndarray of uint32, shape (n_y, n_x)
        Integrations in which a pixel was used, and in which it was an outlier.
    regions : dict of int to RegionSeries
        Scales by region.
    clip_sigma : float
        See `fit_time_series`.
    max_shift : float or None
        Largest shift [native pixels]; None if no shifts were fitted.
    """

    mean: SpectralImage
    fitted: FittedImage
    params: TraceParams
    noise: Float64
    usual: Float64
    n_used: npt.NDArray[np.uint32]
    n_rejected: npt.NDArray[np.uint32]
    regions: Mapping[int, RegionSeries]
    clip_sigma: float
    max_shift: float | None

    def __repr__(self) -> str:
        n = next((len(region.shifts) for region in self.regions.values()), 0)
        return f"<TimeSeriesModel: {n} integrations; {self.fitted.model!r}>"

    @property
    def mean_for_core(self) -> tuple[FloatArray, FloatArray | None, list[FloatArray]]:
        """Flux of the mean as it was fitted, its error, and its variances.

        Returns
        -------
        tuple
            The planes, of one precision.
        """
        mean: Any = self.mean
        offset = self.fitted.offset
        flux = mean.flux - mean.flux.dtype.type(offset) if offset else mean.flux
        return flux, mean.error, list(mean.variances.values())

    def profile(self, n_threads: int | None = None) -> _native.SeriesProfile:
        """Return the shared profile as the core holds it.

        Parameters
        ----------
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        pixtrace._native.SeriesProfile
            The profile.
        """
        return _native.SeriesProfile(
            self.fitted.model.native,
            self.mean_for_core,
            self.noise,
            self.usual,
            self.mean.alpha,
            self.mean.region_map,
            clip_sigma=self.clip_sigma,
            significant=self.params.method == "robust",
            n_threads=n_threads,
        )


def fit_time_series(
    series: SpectralSeries,
    params: TraceParams | None = None,
    *,
    shift: bool = False,
    max_shift: float = 1.0,
    clip_sigma: float = 5.0,
    chunk: int | None = None,
    memory: int | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> TimeSeriesModel:
    """Fit one profile to all integrations of a time series, and its scale in every column of each.

    The series is read twice. First, all integrations are added up, each scaled by its brightness, without the pixels
    that are outliers in it; the trace model is fitted to their mean as to any image. Then that model, with the
    residuals that all integrations share, is scaled to every column of every integration by weighted least squares.
    Weights are those of the mean variance of a pixel over all integrations, so that no pixel weighs less because its
    noise made it bright; the errors of the scales are from the errors of the integration.

    Parameters
    ----------
    series : SpectralSeries
        The time series; an array in memory or on disk.
    params : TraceParams, optional
        How the mean is fitted; None takes `TraceParams.robust`.
    shift : bool, optional
        Fit a shift of the source along the slice too, one for each integration and region.
    max_shift : float, optional
        Shifts that come out larger than this [native pixels] count as failed: NaN.
    clip_sigma : float, optional
        A pixel this many errors off the scaled profile, and this many times what is usual at its place, is an outlier.
        At most half of the pixels of a column are left out.
    chunk : int, optional
        Integrations that are in memory at a time. The result does not depend on it.
    memory : int, optional
        Without `chunk`, bytes that they may take; None allows 128 MB.
    n_threads : int, optional
        Number of threads; None uses as many as there are cores. The result does not depend on it.
    progress : callable, optional
        Called with the number of steps done and of steps to do.

    Returns
    -------
    TimeSeriesModel
        Model and scales.

    Raises
    ------
    ShapeError, DtypeError, DataError
        A cube cannot be read as its shape says; see `SpectralSeries`, and `pixtrace.trace.fit_image`.
    ParameterError
        A parameter lies outside its range.
    """
    params = TraceParams.robust() if params is None else params
    _check_call(series, params, progress)
    most = as_real(max_shift, "max_shift") if as_flag(shift, "shift") else None
    clip = as_real(clip_sigma, "clip_sigma")
    n_threads = None if n_threads is None else as_count(n_threads, "n_threads", least=1)
    length = chunk_length(series, chunk, memory)
    steps = Steps(progress, 2 * series.n_integrations)
    mean, noise, usual, n_used, n_rejected = _combine(series, clip, length, n_threads, steps)
    fitted = fit_image(mean, params, n_threads=n_threads)
    found = TimeSeriesModel(
        mean=mean,
        fitted=fitted,
        params=params,
        noise=noise,
        usual=usual,
        n_used=n_used,
        n_rejected=n_rejected,
        regions={},
        clip_sigma=clip,
        max_shift=most,
    )
    profile = found.profile(n_threads)
    scales = ScaleTables(found, series.n_integrations)
    for part in chunks_of(series, length):
        tables = profile.fit(
            part.native,
            offset=fitted.offset,
            max_shift=most,
            n_threads=n_threads,
            progress=steps.part(part.stop - part.start),
        )
        scales.put(part.start, tables)
    return replace(found, regions=scales.regions())


def _check_call(series: object, params: object, progress: object) -> None:
    """Complain of arguments that are something else."""
    if not isinstance(series, SpectralSeries):
        msg = f"`series` is a {type(series).__name__}; expected a SpectralSeries"
        raise ParameterError(msg)
    if not isinstance(params, TraceParams):
        msg = f"`params` is a {type(params).__name__}; expected a TraceParams, such as TraceParams.robust()"
        raise ParameterError(msg)
    check_callable(progress, "progress")


def _combine(
    series: SpectralSeries, clip: float, length: int, n_threads: int | None, steps: Steps
) -> tuple[SpectralImage, Float64, Float64, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Return the mean of all integrations, the mean variance of its pixels, what is usual, and two counts."""
    sample = series.sample(N_SAMPLE)
    first: NativeChunk = (sample.flux, sample.error, [])
    look = _native.SeriesProfile.first_look(first, series.region_map, clip_sigma=clip, n_threads=n_threads)
    sums = _native.SeriesCombination(look)
    for part in chunks_of(series, length):
        sums.add(part.native, n_threads=n_threads, progress=steps.part(part.stop - part.start))
    flux, variances, noise, usual, n_used, n_rejected = sums.finish()
    dtype: Any = sample.flux.dtype
    mean = series.image(
        flux.astype(dtype),
        np.sqrt(variances[0]).astype(dtype),
        {name: plane.astype(dtype) for name, plane in zip(series.variances, variances[1:], strict=True)},
    )
    return mean, noise, usual, n_used, n_rejected


class ScaleTables:
    """Collects the scales of chunks.

    Parameters
    ----------
    model : TimeSeriesModel
        The model that is scaled.
    n_integrations : int
        Number of integrations.
    """

    def __init__(self, model: TimeSeriesModel, n_integrations: int) -> None:
        self._model = model
        self._n = n_integrations
        self._arrays: dict[int, dict[str, npt.NDArray[Any]]] = {}

    def put(self, start: int, tables: list[Any]) -> None:
        """Take the scales of some integrations.

        Parameters
        ----------
        start : int
            The first of them.
        tables : list of tuple
            What the core has found, by region.
        """
        for label, (first, end), *rest in tables:
            arrays: list[npt.NDArray[Any]] = rest
            names = ("scales", "errors", "chi2", "n_used", "n_rejected", "shifts", "shift_errors")
            known = self._arrays.setdefault(label, {"columns": np.arange(first, end, dtype=np.int64)})
            for name, array in zip(names, arrays, strict=True):
                whole = known.setdefault(name, np.empty((self._n, *array.shape[1:]), dtype=array.dtype))
                is_variance = name in {"errors", "shift_errors"}
                whole[start : start + len(array)] = np.sqrt(array) if is_variance else array

    def regions(self) -> dict[int, RegionSeries]:
        """Return what has been collected.

        Returns
        -------
        dict of int to RegionSeries
            Scales by region.
        """
        found: dict[int, RegionSeries] = {}
        for label, arrays in self._arrays.items():
            columns = arrays["columns"]
            scales = self._model.fitted.model[label].scales if label in self._model.fitted.model else {}
            reference = np.array([scales.get(int(column), np.nan) for column in columns])
            found[label] = RegionSeries(**arrays, reference=reference)
        return found


class Steps:
    """Shows a caller who watches one bar the progress of all chunks.

    Parameters
    ----------
    progress : callable or None
        What the caller gave.
    n_integrations : int
        Integrations to be worked on, all passes together.
    """

    def __init__(self, progress: Progress | None, n_integrations: int) -> None:
        self._progress = progress
        self._total = n_integrations * _UNITS
        self._before = 0

    def part(self, n: int) -> Progress | None:
        """Return what to hand to the work on some more integrations.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        callable or None
            A progress function.
        """
        progress, before = self._progress, self._before
        self._before += n * _UNITS
        if progress is None:
            return None

        def report(done: int, total: int) -> None:
            progress(before + (n * _UNITS * done // total if total else 0), self._total)

        return report
