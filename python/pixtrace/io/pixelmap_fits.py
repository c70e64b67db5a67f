"""The map of one pixel as FITS, laid out as sofia_redux lays it out.

==========  ================  =====================================================================================
unit        content           unit of the numbers
==========  ================  =====================================================================================
(primary)   data              that of the data (BUNIT)
Exposure    integration time  s
Noise       1/sqrt(weight)    that of the data
S/N         data/noise        none
Scan-...    table, optional   one row on each scan that went into the map
==========  ================  =====================================================================================

Images are float64 of shape (n_y, n_x); cells without data are NaN in all of them. Every unit has the WCS: offsets from
the source in the focal plane (FLON-TAN, FLAT-TAN) unless another one is given. Beams are noted as the reference does:
BMAJ, BMIN, BPA [deg] of the image, with the prefixes I, S, X and C of the instrument, the smoothing, the filter and
the source for which filtering was corrected.

The files of the reference itself differ in BUNIT, which is that of the data everywhere, DATAMIN and DATAMAX, which are
those of the data everywhere, and INTEGRTN, which is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._arrays import as_double, check_shape
from pixtrace.exceptions import DataError, ParameterError
from pixtrace.io.atomic import atomic_path
from pixtrace.scan._units import unit_name
from pixtrace.scan.processing import GAUSSIAN_AREA

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = ["ScanRecord", "focal_plane_header", "focal_plane_wcs", "write_pixel_fits"]

_ARCSEC = 1 / 3600  # in degrees
_DISCARD = 1


@dataclass(frozen=True, kw_only=True)
class ScanRecord:
    """One scan that went into a map.

    Attributes
    ----------
    scan_id : str
        Name of the scan.
    serial : int
        Number of the observation.
    integration_time : float
        Integration time [s].
    n_frames : int
        Number of frames.
    relative_gain : float
        Gain of the scan.
    nefd : float
        Noise-equivalent flux density [Jy s^1/2].
    hipass_timescale : float
        Time scale of the drift filter [s].
    filter_resolution : float
        Resolution of the filter [Hz].
    """

    scan_id: str
    serial: int = 0
    integration_time: float = math.nan
    n_frames: int = 0
    relative_gain: float = math.nan
    nefd: float = math.nan
    hipass_timescale: float = math.nan
    filter_resolution: float = math.nan


def focal_plane_wcs(resolution: tuple[float, float], reference_index: tuple[float, float]) -> Any:  # noqa: ANN401
    """Return the WCS of offsets from the source in the focal plane, gnomonic projection.

    Parameters
    ----------
    resolution : tuple of float
        Size of a cell, (x, y) [arcsec].
    reference_index : tuple of float
        Map index of the reference position, (x, y), counted from 0.

    Returns
    -------
    astropy.wcs.WCS
        The WCS; what it counts from 1 is counted from 1.

    Raises
    ------
    ParameterError
        A size is not a positive number, or the reference is not finite.
    """
    from astropy.wcs import WCS

    if not all(math.isfinite(size) and size > 0 for size in resolution):
        msg = f"`resolution` = {tuple(resolution)}; it must be two positive numbers [arcsec]"
        raise ParameterError(msg)
    if not all(math.isfinite(index) for index in reference_index):
        msg = f"`reference_index` = {tuple(reference_index)}; it must be two finite numbers"
        raise ParameterError(msg)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["FLON-TAN", "FLAT-TAN"]
    wcs.wcs.crpix = [reference_index[0] + 1, reference_index[1] + 1]
    wcs.wcs.crval = [0.0, 0.0]
    wcs.wcs.cdelt = [resolution[0] * _ARCSEC, resolution[1] * _ARCSEC]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.name = "Focal Plane Coordinates"
    return wcs


def focal_plane_header(resolution: tuple[float, float], reference_index: tuple[float, float]) -> Any:  # noqa: ANN401
    """Return the WCS of offsets in the focal plane as cards, the numbers of the grid to the last bit.

    Parameters
    ----------
    resolution : tuple of float
        Size of a cell, (x, y) [arcsec].
    reference_index : tuple of float
        Map index of the reference position, (x, y), counted from 0.

    Returns
    -------
    astropy.io.fits.Header
        The cards; astropy's own rounds to twelve digits.

    Raises
    ------
    ParameterError
        See `focal_plane_wcs`.
    """
    header = focal_plane_wcs(resolution, reference_index).to_header()
    header.remove("MJDREF", ignore_missing=True)  # there are no dates here that it would refer to
    for axis, name in enumerate("xy"):
        header[f"CRPIX{axis + 1}"] = (reference_index[axis] + 1, f"reference position along {name}, from 1")
        header[f"CDELT{axis + 1}"] = (resolution[axis] * _ARCSEC, f"[deg] size of a cell along {name}")
        header[f"CRVAL{axis + 1}"] = (0.0, "[deg] offset at the reference position")
    return header


def write_pixel_fits(
    path: str | os.PathLike[str],
    data: npt.ArrayLike,
    weight: npt.ArrayLike,
    exposure: npt.ArrayLike,
    flag: npt.ArrayLike,
    *,
    resolution: tuple[float, float],
    reference_index: tuple[float, float],
    unit: str = "",
    smoothing_fwhm: float | None = None,
    instrument_fwhm: float = math.nan,
    map_beam_fwhm: float = math.nan,
    filter_fwhm: float = math.nan,
    correcting_fwhm: float = math.nan,
    integration_time: float | None = None,
    jansky: float = math.nan,
    n_scans: int | None = None,
    scans: Sequence[ScanRecord] = (),
    wcs: Any = None,  # noqa: ANN401 - astropy has no types
    header: Mapping[str, Any] | None = None,
    history: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write the map of one pixel.

    Parameters
    ----------
    path : path-like
        The file; one that ends in ``.gz`` is packed.
    data : array_like of float, shape (n_y, n_x)
        Means (not sums) in `unit`.
    weight : array_like of float, shape (n_y, n_x)
        Inverse variances. A cell has data where data is not NaN, the weight is positive and finite, and the flag has
        no DISCARD; elsewhere NaN is written.
    exposure : array_like of float, shape (n_y, n_x)
        Integration time [s].
    flag : array_like of int, shape (n_y, n_x)
        Flags of the cells: 1 = DISCARD, 2 = MASK.
    resolution : tuple of float
        Size of a cell, (x, y) [arcsec].
    reference_index : tuple of float
        Map index of the reference position, (x, y), counted from 0.
    unit : str, optional
        Unit of the data; empty: none is written.
    smoothing_fwhm : float, optional
        FWHM of the beam that the map was smoothed with [arcsec]; None: that of a Gaussian with the area of a cell.
    instrument_fwhm : float, optional
        FWHM of the instrument's beam [arcsec] (BEAM).
    map_beam_fwhm : float, optional
        FWHM of the beam of the map before smoothing [arcsec] (IBMAJ), usually that of the instrument.
    filter_fwhm, correcting_fwhm : float, optional
        FWHM of the large-scale filter and of the source for which it was corrected [arcsec]; NaN: none.
    integration_time : float, optional
        Integration time of the pixel [s]; None: the sum of the exposure of its cells.
    jansky : float, optional
        1 Jy/beam in the unit of the data (V2JY).
    n_scans : int, optional
        Number of scans; None: the number of `scans`.
    scans : sequence of ScanRecord, optional
        What is known of the scans, each written as a table.
    wcs : astropy.wcs.WCS, optional
        Another WCS than the offsets in the focal plane, in FITS convention, for the same grid.
    header : mapping of str to value or (value, comment), optional
        Further cards for the primary header (OBJECT, INSTRUME, DATE-OBS, ...).
    history : sequence of str, optional
        Lines for HISTORY.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Raises
    ------
    ShapeError, DtypeError
        The arrays do not agree in shape, or do not hold numbers.
    ParameterError
        `resolution`, `reference_index` or a card makes no sense.
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    from astropy.io import fits

    values, weights = as_double(data, "data"), as_double(weight, "weight")
    times, flags = as_double(exposure, "exposure"), np.asarray(flag)
    for plane, name in ((weights, "weight"), (times, "exposure"), (flags, "flag")):
        check_shape(plane, values.shape, name, "data")
    if flags.dtype.kind not in "iub":
        msg = f"`flag` has dtype {flags.dtype}; expected whole numbers"
        raise ParameterError(msg)
    valid = ~np.isnan(values) & np.isfinite(weights) & (weights > 0) & (flags.astype(np.int64) & _DISCARD == 0)
    noise = np.full(values.shape, np.nan)
    noise[valid] = weights[valid] ** -0.5
    unit = unit_name(unit)
    images = {
        "": (np.where(valid, values, np.nan), unit),
        "Exposure": (np.where(valid, times, np.nan), "s"),
        "Noise": (noise, unit),
        "S/N": (np.where(valid, values, np.nan) / noise, ""),
    }
    smoothing = _pixelisation_fwhm(resolution) if smoothing_fwhm is None else smoothing_fwhm
    shared = focal_plane_header(resolution, reference_index) if wcs is None else wcs.to_header()
    _add_beams(shared, map_beam_fwhm, smoothing, filter_fwhm, correcting_fwhm)
    shared["SMTHRMS"] = (bool(smoothing > 0), "Noise is that of the smoothed map")
    shared["SCANS"] = (len(scans) if n_scans is None else n_scans, "scans in this map")
    total = float(np.nansum(times, where=valid)) if integration_time is None else float(integration_time)
    shared["INTEGRTN"] = (total, "[s] integration time of this pixel")
    for name, value, comment in (
        ("V2JY", jansky, "1 Jy/beam in the unit of the data"),
        ("BEAM", instrument_fwhm, "[arcsec] FWHM of the instrument's beam"),
    ):
        if math.isfinite(value):
            shared[name] = (value, comment)
    shared["DATE"] = (datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"), "file made, UTC")
    _add_cards(shared, header or {})
    hdus: list[Any] = []
    for name, (image, image_unit) in images.items():
        hdu = fits.ImageHDU(image, shared.copy()) if name else fits.PrimaryHDU(image, shared.copy())
        if name:
            hdu.header["EXTNAME"] = name  # the `name` of astropy would be in capital letters
        if valid.any():
            hdu.header["DATAMIN"] = (float(np.nanmin(image)), "lowest number in this image")
            hdu.header["DATAMAX"] = (float(np.nanmax(image)), "highest number in this image")
        if image_unit:
            hdu.header["BUNIT"] = (image_unit, "unit of the numbers")
        hdus.append(hdu)
    for line in history:
        hdus[0].header.add_history(_ascii(line))
    hdus.extend(_scan_table(scan) for scan in scans)
    with atomic_path(path, overwrite=overwrite) as partial:
        fits.HDUList(hdus).writeto(partial, output_verify="exception")


def _pixelisation_fwhm(resolution: tuple[float, float]) -> float:
    """Return the FWHM of a round Gaussian that covers as much area as one cell."""
    return math.sqrt(resolution[0] * resolution[1] / GAUSSIAN_AREA)


def _add_beams(
    header: Any,  # noqa: ANN401
    map_beam: float,
    smoothing: float,
    filtering: float,
    correcting: float,
) -> None:
    """Write the beams of the map; those that are unknown are left out."""
    image = math.hypot(np.nan_to_num(map_beam), np.nan_to_num(smoothing))
    for prefix, name, fwhm in (
        ("", "image", image),
        ("I", "instrument", map_beam),
        ("S", "smoothing", smoothing),
        ("X", "Extended Structure Filter", filtering),
        ("C", "Peak Corrected", correcting),
    ):
        if math.isfinite(fwhm) and fwhm > 0:
            header[f"{prefix}BNAM"] = (name, "name of the beam")
            header[f"{prefix}BMAJ"] = (fwhm * _ARCSEC, "[deg] FWHM along the major axis")
            header[f"{prefix}BMIN"] = (fwhm * _ARCSEC, "[deg] FWHM along the minor axis")
            header[f"{prefix}BPA"] = (0.0, "[deg] position angle of the major axis")
    if image > 0:
        header["RESOLUTN"] = (image, "[arcsec] FWHM of the image beam")
    if math.isfinite(smoothing):
        header["SMOOTH"] = (smoothing, "[arcsec] FWHM of the smoothing")


def _add_cards(header: Any, cards: Mapping[str, Any]) -> None:  # noqa: ANN401
    """Add cards given by the caller, which may not change what the numbers mean."""
    taken = {*header, "BUNIT", "DATAMIN", "DATAMAX", "SIMPLE", "XTENSION", "BITPIX", "EXTNAME"}
    for name, value in cards.items():
        if name.upper() in taken or name.upper().startswith("NAXIS"):
            msg = f"the card {name} is written by pixtrace itself; leave it out of `header`"
            raise ParameterError(msg)
        try:
            header[name] = value
        except (ValueError, TypeError) as error:
            msg = f"the card {name} = {value!r} cannot be written: {error}"
            raise ParameterError(msg) from error


def _scan_table(scan: ScanRecord) -> Any:  # noqa: ANN401
    """Return the table with what is known of a scan."""
    from astropy.io import fits

    columns = (
        ("Obs", "J", None, scan.serial),
        ("Integration_Time", "D", "s", scan.integration_time),
        ("Frames", "J", None, scan.n_frames),
        ("Relative_Gain", "D", None, scan.relative_gain),
        ("NEFD", "D", "Jy s(1/2)", scan.nefd),
        ("Hipass_Timescale", "D", "s", scan.hipass_timescale),
        ("Filter_Resolution", "D", "Hz", scan.filter_resolution),
    )
    table = [fits.Column(name, code, unit, array=np.array([value])) for name, code, unit, value in columns]
    hdu = fits.BinTableHDU.from_columns(table)
    name = f"Scan-{scan.scan_id}"
    if not name.isascii() or not name.isprintable():
        msg = f"the scan is called {scan.scan_id!r}; expected printable ASCII"
        raise DataError(msg)
    hdu.header["EXTNAME"] = name
    return hdu


def _ascii(line: str) -> str:
    """Return a line that a FITS header can hold."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in line)
