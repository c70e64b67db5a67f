"""Writing a file of the plain format again, with the planes of its images changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.io.atomic import atomic_path
from pixtrace.io.fits_write import image_extensions, variance_extension
from pixtrace.io.fitsfile import open_fits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pixtrace.trace.replace import ChangedImage

__all__ = ["write_changed"]

#: Cards that hold for the numbers as they were stored.
_OF_STORAGE = ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM")


def write_changed(
    path: Path,
    changed: Sequence[ChangedImage],
    *,
    source: Path,
    dispersion_axes: Sequence[int],
    history: str,
    overwrite: bool,
) -> None:
    """Write a copy of a file with the planes of its images changed.

    Parameters
    ----------
    path : Path
        The file to be written.
    changed : sequence of ChangedImage
        The images, in the order of their EXTVER.
    source : Path
        The file that the images were read from; all else in it is copied.
    dispersion_axes : sequence of {1, 0}
        Axis of the arrays of each image in the file along which the light is dispersed.
    history : str
        What was done, for the primary header.
    overwrite : bool
        Whether a file that is there already may be replaced.

    Raises
    ------
    FileReadError
        The source cannot be read any more.
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    from astropy.io import fits

    with open_fits(source) as old:
        hdus = list(old)
        hdus[0].header.add_history(history)
        versions = sorted({int(hdu.ver) for hdu in hdus if hdu.name.upper() == "SCI"})
        for version, image, axis in zip(versions, changed, dispersion_axes, strict=True):
            for array, header in image_extensions(iter(_planes(image)), version, fits.Header(), axis):
                _put(hdus, array, header)
        with atomic_path(path, overwrite=overwrite) as partial:
            fits.HDUList(hdus).writeto(partial, output_verify="silentfix")


def _planes(image: ChangedImage) -> list[tuple[str, npt.NDArray[Any] | None]]:
    """Return the planes of an image by the names of their extensions."""
    planes = [("SCI", image.flux), ("ERR", image.error), ("DQ", image.dq), ("TRACE", image.source)]
    return [*planes, *((variance_extension(name), plane) for name, plane in image.variances.items())]


def _put(hdus: list[Any], array: npt.NDArray[Any], header: Any) -> None:  # noqa: ANN401 - astropy has no types
    """Put a plane in the place of the extension of its name, or behind all others; one that has not changed stays."""
    from astropy.io import fits

    name, version = header["EXTNAME"], header["EXTVER"]
    for index, hdu in enumerate(hdus[1:], start=1):
        if hdu.name.upper() == name and hdu.ver == version:
            if not _is_same(hdu.data, array):
                kept = hdu.header.copy()
                for keyword in _OF_STORAGE:
                    kept.remove(keyword, ignore_missing=True)
                hdus[index] = fits.ImageHDU(array, kept)
            return
    hdus.append(fits.ImageHDU(array, header))


def _is_same(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> bool:
    """Whether two planes hold the same numbers, NaN at the same pixels."""
    is_float = old.dtype.kind == "f" and new.dtype.kind == "f"
    return old.shape == new.shape and np.array_equal(old, new, equal_nan=is_float)
