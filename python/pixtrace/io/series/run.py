"""From a file with a time series to its product and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixtrace.io.atomic import check_output
from pixtrace.io.series.base import SeriesFile
from pixtrace.io.series.table import write_light_curves, write_scales
from pixtrace.trace.series import fit_time_series
from pixtrace.trace.series_oversample import oversample_cube

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.series import TimeSeriesModel

__all__ = ["SeriesFile", "SeriesResult", "open_series", "oversample_series"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesResult:
    """What was made of a time series.

    Attributes
    ----------
    files : list of Path
        The files written: the product, the light curves, the scales.
    models : list of TimeSeriesModel
        One per series of the file.
    n_filled : int
        Pixels that the model filled.
    """

    files: list[Path]
    models: list[TimeSeriesModel]
    n_filled: int


def open_series(path: str | os.PathLike[str], *, preset: str | None = None) -> SeriesFile:
    """Open a file with a time series; no cube is read before it is needed, and then some integrations at a time.

    Parameters
    ----------
    path : path-like
        A JWST time series with a WCS (extra ``jwst``), or a file of the plain format whose SCI is a cube. One that is
        packed with gzip is unpacked into memory.
    preset : str, optional
        Name of the parameter set; None takes that of the observing mode or of the file.

    Returns
    -------
    SeriesFile
        The file.

    Raises
    ------
    FileReadError, DataError, UnsupportedModeError, MissingExtraError, ParameterError
        See `pixtrace.io.open_exposure`; DataError also if it is no time series.
    """
    from pixtrace.io.dispatch import jwst_container
    from pixtrace.io.series.jwst import JwstSeries
    from pixtrace.io.series.plain import PlainSeries

    container = jwst_container(Path(path))
    return PlainSeries(Path(path), preset) if container is None else JwstSeries(container, preset)


def oversample_series(
    file: SeriesFile,
    output: str | os.PathLike[str],
    factor: float,
    params: TraceParams | None = None,
    *,
    shift: bool = False,
    chunk: int | None = None,
    memory: int | None = None,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    overwrite: bool = False,
    intermediate: bool = False,
) -> SeriesResult:
    """Fit the time series of a file, and write all integrations oversampled, with their light curves and scales.

    Parameters
    ----------
    file : SeriesFile
        What `open_series` returned.
    output : path-like
        The product, or a folder, in which it gets its usual name. Beside it come the light curves
        (``..._lightcurve.ecsv``, see `light_curves`) and the scales of all columns (``..._scales.fits``).
    factor : float
        Oversampling factor, above 1.
    params : TraceParams, optional
        How; None takes those of the file.
    shift : bool, optional
        See `pixtrace.trace.fit_time_series`.
    chunk, memory, n_threads, progress : optional
        See `pixtrace.trace.fit_time_series`.
    overwrite : bool, optional
        Whether files that are there already may be replaced.
    intermediate : bool, optional
        Whether the full trace, the linear image and the residual are written too (plain format only).

    Returns
    -------
    SeriesResult
        What was written.

    Raises
    ------
    OutputExistsError, OutputError
        A file is there and may not be replaced, or cannot be written.
    ParameterError, DataError, MemoryLimitError
        See `pixtrace.trace.fit_time_series` and `pixtrace.trace.oversample_cube`.
    """
    params = file.params if params is None else params
    target = Path(output)
    if target.is_dir():
        target /= file.output_name(factor)
    stem = target.name.removesuffix(".fits")
    curves, scales = target.with_name(f"{stem}_lightcurve.ecsv"), target.with_name(f"{stem}_scales.fits")
    for path in (target, curves, scales):
        check_output(path, overwrite=overwrite)
    options: dict[str, Any] = {"chunk": chunk, "memory": memory, "n_threads": n_threads, "progress": progress}
    models = [fit_time_series(series, params, shift=shift, **options) for series in file.series]
    n_filled = 0
    with file.product(target, models, factor, overwrite=overwrite, intermediate=intermediate) as put:
        for index, (series, model) in enumerate(zip(file.series, models, strict=True)):
            for part in oversample_cube(
                series,
                model,
                factor,
                alpha_os=file.alpha_os(index, factor),
                intermediate=intermediate,
                **options,
            ):
                put(index, part)
                n_filled += part.n_filled
    write_light_curves(curves, models, overwrite=overwrite)
    write_scales(scales, models, overwrite=overwrite)
    return SeriesResult(files=[target, curves, scales], models=models, n_filled=n_filled)
