"""Reading one image of the plain format that `pixtrace.io.fits` describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError, FileReadError, PixtraceError
from pixtrace.io.fitsfile import extension_label, find_extension, read_array
from pixtrace.trace.image import DO_NOT_USE, SpectralImage

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

__all__ = [
    "NEEDED_EXTENSIONS",
    "axis_of",
    "check_regions",
    "index_of",
    "name_of",
    "read_version",
    "refuse_oversampled",
]

#: Extensions without which there is no image.
NEEDED_EXTENSIONS = ("SCI", "ALPHA", "REGIONS")

#: Axis of the arrays by DISPAXIS: numpy counts the axes from the other end.
_AXES = {1: 1, 2: 0}


def refuse_oversampled(path: Path, header: Any) -> None:  # noqa: ANN401 - astropy has no types
    """Complain about a file that has been oversampled already.

    Parameters
    ----------
    path : Path
        Name of the file, for the message.
    header : astropy.io.fits.Header
        Its primary header.

    Raises
    ------
    DataError
        PIXFACT is there and not 1.
    """
    factor = header.get("PIXFACT", 1.0)
    if factor != 1:
        msg = f"{path} has been oversampled already, by {factor} (PIXFACT); give the exposure it was made from"
        raise DataError(msg)


def read_version(hdus: Any, version: int, path: Path, *, several: bool) -> tuple[SpectralImage, int]:  # noqa: ANN401
    """Read the image of one EXTVER.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The file; it has a SCI of that EXTVER.
    version : int
        EXTVER.
    path : Path
        Name of the file, for messages.
    several : bool
        Whether the file holds other images, so that this one needs a name.

    Returns
    -------
    image : SpectralImage
        The image, dispersion along axis 1.
    axis : {1, 0}
        Axis of the arrays in the file along which the light is dispersed.

    Raises
    ------
    FileReadError
        An extension is missing or cannot be read.
    DataError, ShapeError, DtypeError
        A keyword or an extension holds what it should not.
    """
    sci, primary = hdus[index_of(hdus, "SCI", version, path)].header, hdus[0].header
    axis = axis_of(sci, primary, path)
    needed = {name: read_array(hdus, index_of(hdus, name, version, path), path) for name in NEEDED_EXTENSIONS}
    others: dict[str, npt.NDArray[Any]] = {}
    is_cube = needed["SCI"].ndim > 2  # noqa: PLR2004 - an image has two axes
    for index, hdu in enumerate(hdus):
        name = hdu.name.upper()
        wanted = name in {"ERR", "DQ", "WAVELENGTH"} or (name.startswith("VAR_") and not is_cube)
        if hdu.ver == version and wanted and name not in others:
            others[name] = read_array(hdus, index, path)
    planes = {key: np.swapaxes(plane, -1, -2) if axis == 0 else plane for key, plane in (needed | others).items()}
    label = extension_label("SCI", version)
    name = name_of(sci, primary) or (label if several else "")
    density = sci.get("FLUXDENS", primary.get("FLUXDENS", False)) is True
    try:
        image = (_from_cube if is_cube else _from_planes)(planes, name=name, flux_is_density=density)
    except PixtraceError as error:
        msg = f"{path}, {label} and what belongs to it: {error}"
        raise type(error)(msg) from error
    check_regions(image.region_map, image.alpha, path, version)
    return image, axis


def index_of(hdus: Any, name: str, version: int, path: Path) -> int:  # noqa: ANN401
    """Return the place of an extension that has to be there.

    Parameters
    ----------
    hdus : HDUList
        The file.
    name : str
        EXTNAME.
    version : int
        EXTVER.
    path : Path
        Name of the file, for messages.

    Returns
    -------
    int
        Its index.

    Raises
    ------
    FileReadError
        It is not there.
    """
    index = find_extension(hdus, name, version)
    if index is None:
        found = ", ".join(extension_label(hdu.name, hdu.ver) for hdu in hdus[1:]) or "none at all"
        msg = f"{path} has no extension {extension_label(name, version)} (found: {found}); {_WHAT_IS_NEEDED}"
        raise FileReadError(msg)
    return index


_WHAT_IS_NEEDED = f"a file needs {', '.join(NEEDED_EXTENSIONS)}, see the documentation of pixtrace.io.fits"


def _from_planes(planes: dict[str, npt.NDArray[Any]], *, name: str, flux_is_density: bool) -> SpectralImage:
    """Return a single image."""
    return SpectralImage(
        flux=planes["SCI"],
        alpha=planes["ALPHA"],
        region_map=planes["REGIONS"],
        error=planes.get("ERR"),
        dq=planes.get("DQ"),
        wavelength=planes.get("WAVELENGTH"),
        variances={key.lower(): plane for key, plane in planes.items() if key.startswith("VAR_")},
        flux_is_density=flux_is_density,
        name=name,
    )


def _from_cube(planes: dict[str, npt.NDArray[Any]], *, name: str, flux_is_density: bool) -> SpectralImage:
    """Return the median image of a time series, without the pixels that data quality excludes."""
    cube, dq = planes["SCI"], planes.get("DQ")
    if dq is not None and dq.dtype.kind in "iu" and dq.shape == cube.shape:
        cube = np.where((dq & DO_NOT_USE).astype(bool), np.nan, cube).astype(cube.dtype, copy=False)
    return SpectralImage.from_cube(
        cube,
        planes["ALPHA"],
        planes["REGIONS"],
        error=planes.get("ERR"),
        wavelength=planes.get("WAVELENGTH"),
        flux_is_density=flux_is_density,
        name=name,
    )


def axis_of(sci: Any, primary: Any, path: Path) -> int:  # noqa: ANN401
    """Return the axis of arrays along which the light is dispersed, from DISPAXIS.

    Parameters
    ----------
    sci, primary : astropy.io.fits.Header
        Headers of SCI and of the file.
    path : Path
        Name of the file, for the message.

    Returns
    -------
    {1, 0}
        The axis.

    Raises
    ------
    DataError
        DISPAXIS is neither 1 nor 2.
    """
    axis = _AXES.get(sci.get("DISPAXIS", primary.get("DISPAXIS", 1)))
    if axis is None:
        msg = f"{path}: DISPAXIS is {sci.get('DISPAXIS', primary.get('DISPAXIS'))!r}; it must be 1 (x) or 2 (y)"
        raise DataError(msg)
    return axis


def name_of(sci: Any, primary: Any) -> str:  # noqa: ANN401
    """Return the name of an image, from SLTNAME; "" if it has none.

    Parameters
    ----------
    sci, primary : astropy.io.fits.Header
        Headers of SCI and of the file.

    Returns
    -------
    str
        The name.
    """
    return str(sci.get("SLTNAME", primary.get("SLTNAME", ""))).strip()


def check_regions(region_map: npt.NDArray[np.int32], alpha: npt.NDArray[np.float64], path: Path, version: int) -> None:
    """Complain about an image in which nothing can be done.

    Parameters
    ----------
    region_map : ndarray of int
        Numbers of the slices or slits.
    alpha : ndarray of float64
        Coordinate along the slice.
    path : Path
        Name of the file, for the message.
    version : int
        EXTVER.

    Raises
    ------
    DataError
        There is no region, or no finite alpha in any.
    """
    inside = region_map > 0
    if not inside.any():
        msg = f"{path}, {extension_label('REGIONS', version)}: no pixel has a number above 0, so there is no region"
        raise DataError(msg)
    if not np.isfinite(alpha[inside]).any():
        msg = f"{path}, {extension_label('ALPHA', version)}: no pixel of a region has a finite alpha"
        raise DataError(msg)
