"""Exposures on disk that belong together: those of one source, detector and setting, and their joint fit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pixtrace.exceptions import DataError
from pixtrace.io.dispatch import inspect
from pixtrace.trace.dithers import fit_dithers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pixtrace.io.exposure import Exposure, ImageInfo
    from pixtrace.trace.dithers import DitherFit
    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.params import TraceParams

__all__ = ["fit_exposures", "matching"]

#: What must be the same, of what `inspect` says about a file.
_SETTING = ("instrument", "exposure type", "detector", "channel", "band", "filter", "grating", "subarray", "target")


def matching(paths: Sequence[Path]) -> list[list[Path]]:
    """Sort files into sets that can be fitted together.

    Parameters
    ----------
    paths : sequence of Path
        Exposures of either kind.

    Returns
    -------
    list of list of Path
        Files of the same instrument, exposure type, detector, channel, band, filter, grating, subarray and target, with
        images of the same shapes and, if there are several, names; sets and files in the order given.

    Raises
    ------
    FileReadError
        A file cannot be read.
    """
    sets: dict[object, list[Path]] = {}
    for path in paths:
        info = inspect(path)
        images = tuple(zip(_names(info.images), (image.shape for image in info.images), strict=True))
        setting = tuple(info.details.get(name, "") for name in _SETTING)
        sets.setdefault((info.kind, setting, images), []).append(path)
    return list(sets.values())


def fit_exposures(
    exposures: Sequence[Exposure],
    params: TraceParams | None = None,
    *,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[DitherFit]:
    """Fit all images of opened exposures together, each slit with the same one of the other exposures.

    Offsets are found from the data, for MIRI MRS one for each channel; so is by how many slices of an IFU the source
    has moved.

    Parameters
    ----------
    exposures : sequence of Exposure
        Exposures of one set of `matching`.
    params : TraceParams, optional
        How; the method must be "robust". None takes `TraceParams.robust`.
    n_threads, progress : optional
        See `pixtrace.trace.fit_dithers`.

    Returns
    -------
    list of DitherFit
        One for each image of an exposure.

    Raises
    ------
    DataError
        The exposures have other images, or see `pixtrace.trace.fit_dithers`.
    ShapeError, ParameterError
        See `pixtrace.trace.fit_dithers`.
    """
    first = exposures[0]
    names = _names(first.images)
    for exposure in exposures:
        found = _names(exposure.images)
        if found != names:
            msg = f"{exposure.name} has the images {found}; expected {names}, those of {first.name}"
            raise DataError(msg)
    return [
        fit_dithers(
            [_with_wavelength(first, index, images[0]), *images[1:]],
            params,
            offsets_by="channel" if first.params.threshold == "peak_by_channel" else "exposure",
            n_threads=n_threads,
            progress=progress,
        )
        for index, images in enumerate(zip(*(exposure.images for exposure in exposures), strict=True))
    ]


def _with_wavelength(exposure: Exposure, index: int, image: SpectralImage) -> SpectralImage:
    """Return an image of several slices with its wavelengths, which tell which columns of theirs belong together."""
    if image.wavelength is not None or len(image.regions) == 1:
        return image
    return replace(image, wavelength=exposure.wavelength(index))


def _names(images: Sequence[ImageInfo] | Sequence[SpectralImage]) -> list[str]:
    """Return what tells the images of a file apart; the only one may be called anything."""
    return [image.name for image in images] if len(images) > 1 else [""]
