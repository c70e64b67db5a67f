"""Reading the map of one pixel, in the layout that `pixtrace.io.pixelmap_fits` describes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import FileReadError
from pixtrace.io.fitsfile import open_fits, read_array

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

__all__ = ["PixelImage", "read_pixel_fits"]

_ARCSEC = 1 / 3600  # in degrees
_NEEDED = ("Exposure", "Noise")
_UNITS = {"deg": 1.0, "degree": 1.0, "arcmin": 1 / 60, "arcsec": _ARCSEC}


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelImage:
    """The map of one pixel as it was read from a file.

    Attributes
    ----------
    data, weight, exposure : ndarray of float64, shape (n_y, n_x)
        Map, inverse variance and integration time [s]; NaN, 0 and 0 where there are no data.
    valid : ndarray of bool, shape (n_y, n_x)
        Where there are data.
    resolution : tuple of float
        Size of a cell, (x, y) [arcsec].
    reference_index : tuple of float
        Map index of the reference position, (x, y), counted from 0.
    unit : str
        Unit of the data; empty if the file does not tell.
    smoothing_fwhm : float
        FWHM of the beam that it was smoothed with [arcsec]; NaN if the file does not tell.
    header : astropy.io.fits.Header
        Primary header.
    """

    data: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    exposure: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]
    resolution: tuple[float, float]
    reference_index: tuple[float, float]
    unit: str
    smoothing_fwhm: float
    header: Any


def read_pixel_fits(path: str | os.PathLike[str]) -> PixelImage:
    """Read the map of one pixel, ours or one of sofia_redux.

    Parameters
    ----------
    path : path-like
        The file, packed with gzip or not.

    Returns
    -------
    PixelImage
        The map.

    Raises
    ------
    FileReadError
        It does not exist, is not FITS, is damaged, lacks an extension or its grid, or holds images of several shapes.
    """
    path = Path(path)
    with open_fits(path) as hdus:
        names = {hdu.name.upper(): number for number, hdu in enumerate(hdus)}
        missing = [name for name in _NEEDED if name.upper() not in names]
        if missing:
            found = ", ".join(hdu.name or "(unnamed)" for hdu in hdus)
            msg = f"{path} has no extension {' nor '.join(missing)}; it has {found}: not the map of a pixel"
            raise FileReadError(msg)
        planes = [read_array(hdus, number, path) for number in (0, names["EXPOSURE"], names["NOISE"])]
        header = hdus[0].header.copy()
    data, exposure, noise = (plane.astype(np.float64, copy=False) for plane in planes)
    for plane, name in ((data, "data"), (exposure, "Exposure"), (noise, "Noise")):
        if plane.ndim != 2 or plane.shape != data.shape:  # noqa: PLR2004 - an image
            msg = f"{path}: {name} has shape {plane.shape}; expected one image of {data.shape}"
            raise FileReadError(msg)
    valid = np.isfinite(data) & np.isfinite(noise) & (noise > 0)
    weight = np.zeros(data.shape)
    weight[valid] = noise[valid] ** -2.0
    scale = [_unit_scale(header, axis, path) / _ARCSEC for axis in (1, 2)]
    return PixelImage(
        data=np.where(valid, data, np.nan),
        weight=weight,
        exposure=np.where(valid, np.nan_to_num(exposure), 0.0),
        valid=valid,
        resolution=(_card(header, "CDELT1", path) * scale[0], _card(header, "CDELT2", path) * scale[1]),
        reference_index=(_card(header, "CRPIX1", path) - 1, _card(header, "CRPIX2", path) - 1),
        unit=str(header.get("BUNIT", "")).strip(),
        smoothing_fwhm=float(header.get("SBMAJ", math.nan)) / _ARCSEC,
        header=header,
    )


def _card(header: Any, name: str, path: Path) -> float:  # noqa: ANN401
    """Return the number that a card holds."""
    value = header.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        msg = f"{path}: {name} = {value!r}; expected a number that describes the grid"
        raise FileReadError(msg)
    return float(value)


def _unit_scale(header: Any, axis: int, path: Path) -> float:  # noqa: ANN401
    """Return the unit of an axis in degrees."""
    unit = str(header.get(f"CUNIT{axis}", "deg")).strip()
    if unit not in _UNITS:
        msg = f"{path}: CUNIT{axis} = {unit!r}; expected {', '.join(_UNITS)}"
        raise FileReadError(msg)
    return _UNITS[unit]
