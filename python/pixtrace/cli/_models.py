"""The work of ``pixtrace fit`` and ``pixtrace apply``: trace models into files, and out of them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from pixtrace.cli._run import new_target, summarise

if TYPE_CHECKING:
    from pathlib import Path

    from pixtrace.cli._joint import JointFits
    from pixtrace.cli._options import Options
    from pixtrace.cli._terminal import Terminal
    from pixtrace.io import Exposure, StoredModel
    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.result import FittedImage

__all__ = ["fit_one", "prepared"]

_log = logging.getLogger(__name__)

_POOR = 2.0
"""Width of the residuals, in errors, from which on a model is not taken for one of this exposure."""


def fit_one(
    path: Path, options: Options, terminal: Terminal, written: dict[Path, Path], joint: JointFits | None
) -> str:
    """Fit one file, write its models, and return the line about it.

    Parameters
    ----------
    path : Path
        The exposure.
    options : Options
        What the user wants.
    terminal : Terminal
        Where to show progress.
    written : dict of Path to Path
        Inputs by the names of their results; this one is added.
    joint : JointFits or None
        Where it finds the fit that it shares with other files.

    Returns
    -------
    str
        What was fitted, how long it took, and where it lies.
    """
    from pixtrace.io import fit_exposure, open_exposure, save_models
    from pixtrace.trace.result import summarise as count

    started = time.perf_counter()
    fitted, words = (None, "") if joint is None else joint.of(path, terminal)
    with terminal.progress(path.name) as progress, open_exposure(path, preset=options.preset) as exposure:
        stem = path.name.removesuffix(".gz").removesuffix(".fits")
        target = options.output / f"{stem}_tracemodel.{options.format}"
        new_target(target, written, overwrite=options.overwrite)
        params = options.params_for(exposure.params)
        _log.debug("%s: %s", exposure.name, params)
        models = fit_exposure(exposure, params, fitted=fitted, n_threads=options.threads, progress=progress)
        save_models(target, models, overwrite=options.overwrite)
        written[target] = path
        parts = [
            count(image, _as_fitted(stored), 0, 0.0, params=params)
            for image, stored in zip(exposure.images, models, strict=True)
        ]
    return f"{path.name}: {summarise(parts)}{words}, {time.perf_counter() - started:.2f} s -> {target}"


def _as_fitted(stored: StoredModel) -> FittedImage:
    """Return a stored model as one that was just fitted."""
    from pixtrace.trace.result import FittedImage
    from pixtrace.trace.thresholds import Thresholds

    return FittedImage(model=stored.model, offset=stored.offset, thresholds=Thresholds(None, None))


def prepared(exposure: Exposure, options: Options) -> tuple[TraceParams, list[FittedImage]]:
    """Return parameters and models for an exposure to be oversampled with models that are there already.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    options : Options
        What the user wants; `model` names the file.

    Returns
    -------
    params : TraceParams
        Those of the file, unless a preset is asked for, with the changes asked for.
    fitted : list of FittedImage
        One per image.
    """
    from pixtrace.io import apply_models, load_models
    from pixtrace.io.models import fingerprint
    from pixtrace.trace.fitting import residual_width

    assert options.model is not None  # noqa: S101 - whoever calls this has looked
    models = load_models(options.model)
    kept = exposure.params if options.preset is not None else models[0].params or exposure.params
    params = options.params_for(kept)
    fitted = apply_models(exposure, models, params, rescale=options.rescale, n_threads=options.threads)
    for image, model, stored in zip(exposure.images, fitted, models * (len(fitted) // len(models)), strict=True):
        if stored.fingerprint != fingerprint(image) and (width := residual_width(image, model)) > _POOR:
            _log.warning(
                "%s: the model does not describe it, residuals are %.2g times their errors; take the model of an "
                "exposure of the same source, at the same place of the same slices",
                exposure.name if len(fitted) == 1 else f"{exposure.name}, {image.label}",
                width,
            )
    return params, fitted
