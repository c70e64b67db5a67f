"""Time series: `pixtrace oversample` on all integrations of a file."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.cli._report import Report
from pixtrace.cli._run import new_target
from pixtrace.exceptions import DataError, ParameterError

if TYPE_CHECKING:
    from pathlib import Path

    from pixtrace.cli._options import Options
    from pixtrace.cli._terminal import Terminal
    from pixtrace.trace.series import TimeSeriesModel

__all__ = ["oversample_integrations", "wants_integrations"]

_log = logging.getLogger(__name__)


def wants_integrations(path: Path, options: Options) -> bool:
    """Whether all integrations of a file are to be oversampled, and not only the trace of their median made.

    Parameters
    ----------
    path : Path
        The file.
    options : Options
        What the user wants. Without a word about it, the method "robust" does it where it can.

    Returns
    -------
    bool
        False for files that are no time series, unless it was asked for.
    """
    if options.integrations is not None:
        return options.integrations
    if options.preset != "robust" or options.factor == 1 or options.model is not None:
        return False
    from pixtrace.io.dispatch import is_series

    return is_series(path)


def _n_without_scale(model: TimeSeriesModel) -> int:
    """Return the number of integrations that no scale is known of."""
    known = [np.isfinite(region.scales).any(axis=1) for region in model.regions.values()]
    return int(np.count_nonzero(~np.logical_or.reduce(known)))


def oversample_integrations(path: Path, options: Options, terminal: Terminal, written: dict[Path, Path]) -> str:
    """Oversample all integrations of a file and return the line about it.

    Parameters
    ----------
    path : Path
        A file with a time series.
    options : Options
        What the user wants.
    terminal : Terminal
        Where to show progress.
    written : dict of Path to Path
        Inputs by the names of their results; this one is added.

    Returns
    -------
    str
        What was fitted, how long it took, and where it lies.

    Raises
    ------
    ParameterError
        An option does not go with time series.
    DataError
        The file is no time series.
    """
    from pixtrace.io.dispatch import is_series
    from pixtrace.io.series import open_series, oversample_series
    from pixtrace.trace.exposure import oversample_image

    for name, is_there in (
        ("--plot", options.plot),
        ("--covariances", options.n_covariances),
        ("a model (apply)", options.model is not None),
    ):
        if is_there:
            msg = f"{name} does not go with the integrations of a time series; leave it out, or say --no-integrations"
            raise ParameterError(msg)
    if options.factor == 1:
        msg = "--integrations needs a factor above 1; `pixtrace trace` makes the trace of the median of a time series"
        raise ParameterError(msg)
    if not is_series(path):
        msg = f"{path} is no time series: its SCI is an image; leave out --integrations"
        raise DataError(msg)
    started = time.perf_counter()
    with terminal.progress(path.name) as progress:
        file = open_series(path, preset=options.preset)
        target = options.output / file.output_name(options.factor)
        new_target(target, written, overwrite=options.overwrite)
        report = Report(target, options)
        report.check()
        params = options.params_for(file.params)
        _log.debug("%s: %s", file.name, params)
        found = oversample_series(
            file,
            target,
            options.factor,
            params,
            shift=options.shift,
            n_threads=options.threads,
            progress=progress,
            overwrite=options.overwrite,
            intermediate=options.save_intermediate_results,
        )
        written[target] = path
        _log.info("%s: wrote %s", path, ", ".join(map(str, found.files)))
        if report.is_wanted:
            # Of the mean, which all integrations have their profile from.
            images = [model.mean for model in found.models]
            results = [
                oversample_image(model.mean, options.factor, params, fitted=model.fitted, n_threads=options.threads)
                for model in found.models
            ]
            integrations = max(series.n_integrations for series in file.series)
            title = f"{file.name}, mean of {integrations} integrations"
            report.write(images, results, title=title, files=found.files)
    n = sum(series.n_integrations for series in file.series)
    n_dark = sum(_n_without_scale(model) for model in found.models)
    if n_dark:
        _log.warning(
            "%s: %d of %d integrations have no scale in any column, because none of their pixels has a flux and an "
            "error above zero; nothing of the model is in them",
            path,
            n_dark,
            n,
        )
    regions = [region for model in found.models for region in model.regions.values()]
    rejected = sum(int(region.n_rejected.sum()) for region in regions)
    return (
        f"{path.name}: {n} integrations, {len(regions)} regions; {rejected} outliers, {found.n_filled} pixels filled, "
        f"{time.perf_counter() - started:.2f} s -> {target}"
    )
