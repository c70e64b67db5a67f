"""Images of the plain format without an exposure about them: one is read, one or several are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pixtrace.exceptions import DataError, ParameterError
from pixtrace.io.fits import DEFAULT_PRESET, FitsExposure
from pixtrace.io.fits_write import write_images
from pixtrace.trace.image import SpectralImage
from pixtrace.trace.params import TraceParams

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["read_image", "write_image"]


def read_image(path: str | os.PathLike[str], *, preset: str | None = None) -> tuple[SpectralImage, TraceParams]:
    """Read a file of the plain format that holds one image.

    Parameters
    ----------
    path : path-like
        The file, packed with gzip or not.
    preset : str, optional
        Name of the parameter set; None takes the file's PIXPRSET, or "generic".

    Returns
    -------
    image : SpectralImage
        The image, dispersion along axis 1 whatever it is in the file.
    params : TraceParams
        The parameters of the preset.

    Raises
    ------
    FileReadError, DataError, ShapeError, DtypeError, ParameterError
        See `FitsExposure.open`; DataError also if it holds several images.
    """
    exposure = FitsExposure.open(path, preset=preset)
    if len(exposure.images) != 1:
        msg = f"{path} holds {len(exposure.images)} images; open it with pixtrace.io.open_exposure"
        raise DataError(msg)
    return exposure.images[0], exposure.params


def write_image(
    path: str | os.PathLike[str],
    image: SpectralImage | Sequence[SpectralImage],
    *,
    preset: str = DEFAULT_PRESET,
    dispersion_axis: int = 1,
    overwrite: bool = False,
) -> None:
    """Write an image, or several, as a file of the plain format.

    Parameters
    ----------
    path : path-like
        The file; one that ends in ``.gz`` is packed.
    image : SpectralImage or sequence of SpectralImage
        What is to be written; EXTVER counts several images from 1.
    preset : str, optional
        Name of the parameter set, for PIXPRSET.
    dispersion_axis : {1, 0}, optional
        Axis of the arrays in the file along which the light is dispersed; 0 writes the planes transposed.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Raises
    ------
    ParameterError
        There is no such preset, or `dispersion_axis` is neither 0 nor 1.
    OutputExistsError, OutputError
        It cannot be written.
    """
    TraceParams.preset(preset)
    if dispersion_axis not in {0, 1}:
        msg = f"dispersion_axis = {dispersion_axis}; it must be 0 or 1"
        raise ParameterError(msg)
    write_images(
        Path(path),
        [image] if isinstance(image, SpectralImage) else list(image),
        dispersion_axis=dispersion_axis,
        keywords={"PIXPRSET": (preset, "pixtrace parameter set")},
        overwrite=overwrite,
    )
