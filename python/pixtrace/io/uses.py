"""Uses of trace models on whole exposures: spectra, bad pixels replaced, the source taken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixtrace.exceptions import DataError
from pixtrace.trace.extract import extract
from pixtrace.trace.fitting import fit_image
from pixtrace.trace.replace import replace_bad_pixels, subtract_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pixtrace.io.exposure import Exposure
    from pixtrace.trace.extract import Extraction
    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.replace import ChangedImage
    from pixtrace.trace.result import FittedImage

    Progress = Callable[[int, int], object]

__all__ = ["extract_exposure", "fit_for_use", "replace_exposure", "subtract_exposure"]


def fit_for_use(
    exposure: Exposure,
    params: TraceParams | None = None,
    *,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> list[FittedImage]:
    """Fit all images of an opened exposure.

    Parameters
    ----------
    exposure : Exposure
        What `pixtrace.io.open_exposure` returned.
    params : TraceParams, optional
        How; None takes those of its mode, with a record of the fits (``errors="propagated"``).
    n_threads, progress : optional
        See `pixtrace.trace.fit_image`.

    Returns
    -------
    list of FittedImage
        One per image. `pixtrace.io.apply_models` returns the same for models that are there already.

    Raises
    ------
    DataError
        See `pixtrace.trace.fit_image`.
    """
    params = exposure.params.replace(errors="propagated") if params is None else params
    return [fit_image(image, params, n_threads=n_threads, progress=progress) for image in exposure.images]


def extract_exposure(
    exposure: Exposure,
    fitted: Sequence[FittedImage] | None = None,
    *,
    source: tuple[float, float] | None = None,
    profile_errors: bool | None = None,
    reject_outliers: bool = True,
    groups: Mapping[str, Sequence[int]] | None = None,
    n_threads: int | None = None,
) -> list[Extraction]:
    """Extract the spectra of all images of an opened exposure.

    Parameters
    ----------
    exposure : Exposure
        What `pixtrace.io.open_exposure` returned.
    fitted : sequence of FittedImage, optional
        Its models, one per image; None fits the images.
    source, profile_errors, reject_outliers, groups, n_threads : optional
        See `pixtrace.trace.extract`.

    Returns
    -------
    list of Extraction
        One per image, for `pixtrace.io.write_spectra`; units and wavelengths are those of the exposure.

    Raises
    ------
    DataError, ParameterError
        See `pixtrace.trace.extract`; DataError also if no pixel lies within `source`.
    """
    _check_source(exposure, source)
    return [
        extract(
            image,
            model,
            source=source,
            profile_errors=profile_errors,
            reject_outliers=reject_outliers,
            groups=groups,
            wavelength=exposure.wavelength(index),
            unit=exposure.unit,
            n_threads=n_threads,
        )
        for index, (image, model) in enumerate(_with_models(exposure, fitted, n_threads))
    ]


def replace_exposure(
    exposure: Exposure, fitted: Sequence[FittedImage] | None = None, *, n_threads: int | None = None
) -> list[ChangedImage]:
    """Replace the bad pixels of all images of an opened exposure by their models.

    Parameters
    ----------
    exposure : Exposure
        What `pixtrace.io.open_exposure` returned.
    fitted : sequence of FittedImage, optional
        Its models, one per image; None fits the images.
    n_threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    list of ChangedImage
        One per image, for `Exposure.save_changed`.

    Raises
    ------
    DataError
        See `pixtrace.trace.replace_bad_pixels`.
    """
    return [
        replace_bad_pixels(image, model, n_threads=n_threads)
        for image, model in _with_models(exposure, fitted, n_threads)
    ]


def subtract_exposure(
    exposure: Exposure,
    fitted: Sequence[FittedImage] | None = None,
    *,
    source: tuple[float, float] | None = None,
    profile_errors: bool | None = None,
    reject_outliers: bool = True,
    n_threads: int | None = None,
) -> list[ChangedImage]:
    """Take the source off all images of an opened exposure.

    Parameters
    ----------
    exposure : Exposure
        What `pixtrace.io.open_exposure` returned.
    fitted : sequence of FittedImage, optional
        Its models, one per image; None fits the images.
    source, profile_errors, reject_outliers, n_threads : optional
        See `pixtrace.trace.subtract_source`.

    Returns
    -------
    list of ChangedImage
        One per image, for `Exposure.save_changed`.

    Raises
    ------
    DataError, ParameterError
        See `pixtrace.trace.extract`; DataError also if no pixel lies within `source`.
    """
    _check_source(exposure, source)
    return [
        subtract_source(
            image,
            model,
            source=source,
            profile_errors=profile_errors,
            reject_outliers=reject_outliers,
            n_threads=n_threads,
        )
        for image, model in _with_models(exposure, fitted, n_threads)
    ]


def _check_source(exposure: Exposure, source: tuple[float, float] | None) -> None:
    """Complain about a range that holds no pixel of any image."""
    if source is None:
        return
    low, high = source
    ends: list[float] = []
    for image in exposure.images:
        alpha = image.alpha[(image.region_map > 0) & np.isfinite(image.alpha)]
        if np.any((alpha >= low) & (alpha <= high)):
            return
        ends += [float(alpha.min()), float(alpha.max())] if alpha.size else []
    reach = f"its slices reach from {min(ends):g} to {max(ends):g}" if ends else "it has none"
    msg = f"no pixel of {exposure.name} lies in the source, between alpha {low:g} and {high:g}; {reach}"
    raise DataError(msg)


def _with_models(
    exposure: Exposure, fitted: Sequence[FittedImage] | None, n_threads: int | None
) -> list[tuple[SpectralImage, FittedImage]]:
    """Return each image with its model, fitted if there is none."""
    fitted = fit_for_use(exposure, n_threads=n_threads) if fitted is None else fitted
    return list(zip(exposure.images, fitted, strict=True))
