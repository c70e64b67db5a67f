"""From a file to its product: open, fit or take a model that is there, oversample, write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pixtrace.exceptions import DataError
from pixtrace.io.dispatch import open_exposure
from pixtrace.io.models import StoredModel, fingerprint, load_models
from pixtrace.trace.exposure import oversample_image
from pixtrace.trace.fitting import apply_model, fit_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pixtrace.io.exposure import Exposure
    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.result import FittedImage, OversampledImage

__all__ = ["apply_models", "fit_exposure", "oversample_exposure", "oversample_file"]


def fit_exposure(
    exposure: Exposure,
    params: TraceParams | None = None,
    *,
    fitted: Sequence[FittedImage] | None = None,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[StoredModel]:
    """Fit all images of an opened exposure, and keep what is needed to use the models later.

    Parameters
    ----------
    exposure : Exposure
        What `open_exposure` returned.
    params : TraceParams, optional
        How; None takes the exposure's own, those of its mode.
    fitted : sequence of FittedImage, optional
        Fits of the images that are there already, as `fit_exposures` makes them; None makes them.
    n_threads, progress : optional
        See `pixtrace.trace.fit_image`.

    Returns
    -------
    list of StoredModel
        One per image, for `pixtrace.io.save_models`.

    Raises
    ------
    DataError
        See `pixtrace.trace.fit_image`.
    """
    params = exposure.params if params is None else params
    stored: list[StoredModel] = []
    for index, image in enumerate(exposure.images):
        found = fit_image(image, params, n_threads=n_threads, progress=progress) if fitted is None else fitted[index]
        stored.append(
            StoredModel(
                model=found.model,
                name=image.name,
                offset=found.offset,
                params=params,
                source=exposure.path.name,
                fingerprint=fingerprint(image),
            )
        )
    return stored


def apply_models(
    exposure: Exposure,
    models: str | os.PathLike[str] | Sequence[StoredModel],
    params: TraceParams | None = None,
    *,
    rescale: bool | None = None,
    n_threads: int | None = None,
) -> list[FittedImage]:
    """Put models that are there already in the place of fits of an opened exposure.

    Parameters
    ----------
    exposure : Exposure
        What `open_exposure` returned.
    models : path-like, or sequence of StoredModel
        A file that `pixtrace fit` has written, or what it holds: as many models as the exposure has images, in their
        order; or a single model, for each of them.
    params : TraceParams, optional
        How the models are used; None takes the exposure's own.
    rescale : bool, optional
        Whether the splines are scaled to the flux of this exposure. None scales them to every image but the one that
        they were fitted to.
    n_threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    list of FittedImage
        One per image, for `oversample_exposure`.

    Raises
    ------
    DataError
        The models do not belong to such an exposure: there is another number of them, they bear other names, or have
        no region in common with it.
    FileReadError, MissingExtraError
        The file cannot be read; see `pixtrace.io.load_models`.
    """
    stored = load_models(models) if isinstance(models, (str, os.PathLike)) else list(models)
    images = exposure.images
    names, expected = [model.name for model in stored], [image.name for image in images]
    if len(stored) == 1:
        stored *= len(images)
    elif names != expected:
        msg = (
            f"{exposure.name} has the images {expected}, and there are models for {names}; "
            "take the models of an exposure with the same slits"
        )
        raise DataError(msg)
    params = exposure.params if params is None else params
    fitted: list[FittedImage] = []
    for image, model in zip(images, stored, strict=True):
        is_same = bool(model.fingerprint) and model.fingerprint == fingerprint(image)
        fitted.append(
            apply_model(
                image,
                model.model,
                params,
                rescale=not is_same if rescale is None else rescale,
                offset=model.offset if is_same else None,
                n_threads=n_threads,
            )
        )
    return fitted


def oversample_exposure(
    exposure: Exposure,
    factor: float,
    params: TraceParams | None = None,
    *,
    fitted: Sequence[FittedImage] | None = None,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    intermediate: bool = False,
) -> list[OversampledImage]:
    """Oversample all images of an opened exposure.

    Parameters
    ----------
    exposure : Exposure
        What `open_exposure` returned.
    factor : float
        Oversampling factor, at least 1; 1 makes the trace alone.
    params : TraceParams, optional
        How; None takes the exposure's own, those of its mode.
    fitted : sequence of FittedImage, optional
        Models that are there already, one per image, as `apply_models` returns them; None fits the images.
    n_threads, progress, intermediate : optional
        See `pixtrace.trace.oversample_image`.

    Returns
    -------
    list of OversampledImage
        One per image, for `Exposure.save`.

    Raises
    ------
    ParameterError, DataError, MemoryLimitError
        See `pixtrace.trace.oversample_image`.
    """
    return [
        oversample_image(
            image,
            factor,
            exposure.params if params is None else params,
            alpha_os=None if factor == 1 else exposure.alpha_os(index, factor),
            fitted=None if fitted is None else fitted[index],
            n_threads=n_threads,
            progress=progress,
            intermediate=intermediate,
        )
        for index, image in enumerate(exposure.images)
    ]


def oversample_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    factor: float,
    params: TraceParams | None = None,
    *,
    n_threads: int | None = None,
    overwrite: bool = False,
    intermediate: bool = False,
) -> Path:
    """Oversample an exposure on disk, as ``pixtrace oversample`` does.

    Parameters
    ----------
    path : path-like
        JWST exposure (extra ``jwst``) or file of the plain format.
    output : path-like
        File to write, or a folder, in which the product gets its usual name.
    factor : float
        Oversampling factor, at least 1; 1 makes the trace alone.
    params : TraceParams, optional
        How; None takes those of the exposure's mode.
    n_threads : int, optional
        Number of threads; None uses as many as there are cores. The result does not depend on it.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.
    intermediate : bool, optional
        Whether the full trace, the linear image and the residual are written too.

    Returns
    -------
    Path
        The product.

    Raises
    ------
    FileReadError, UnsupportedModeError, MissingExtraError
        It cannot be read; see `open_exposure`.
    OutputError, OutputExistsError
        It cannot be written.
    ParameterError, DataError, MemoryLimitError
        See `pixtrace.trace.oversample_image`.
    """
    with open_exposure(path) as exposure:
        target = Path(output)
        if target.is_dir():
            target /= exposure.output_name(factor)
        results = oversample_exposure(exposure, factor, params, n_threads=n_threads, intermediate=intermediate)
        return exposure.save(results, target, overwrite=overwrite, intermediate=intermediate)[0]
