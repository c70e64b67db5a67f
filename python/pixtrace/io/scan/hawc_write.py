"""Scans written as raw HAWC+ files: for simulations, and to feed other packages."""

from __future__ import annotations

import gzip
import math
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from pixtrace.exceptions import DataError, InternalError
from pixtrace.io.atomic import atomic_path
from pixtrace.io.scan.hawc_geometry import hawc_band, hawc_constants

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy.typing as npt

    from pixtrace.io.scan.raw import ScanStream

__all__ = ["write_hawc"]

_J2000 = 946_728_000.0  # Unix time
_BLOCK = 2880
_FRAMES = 512  # written together: 16 MB


def write_hawc(
    path: str | os.PathLike[str],
    scan: ScanStream,
    *,
    band: str = "HAW_C",
    boresight: tuple[float, float] | None = None,
    sky_motion: tuple[float, float] = (0.0, 0.0),
    simulated: bool = True,
    overwrite: bool = False,
) -> None:
    """Write a scan as a raw HAWC+ file.

    The file has the columns of the real ones: SQ1Feedback and FluxJumps of all 41 x 128 channels, those that the scan
    does not have at a constant 0. Signals are rounded to counts; light lowers them. It is made piece by piece.

    Parameters
    ----------
    path : path-like
        The file; one that ends in ``.gz`` is packed.
    scan : ScanStream
        The scan. Its channel numbers are those of HAWC+, ``1312 subarray + 32 row + column``, its times Unix times.
    band : str, optional
        SPECTEL1.
    boresight : tuple of float, optional
        SIBS_X and SIBS_Y.
    sky_motion : tuple of float, optional
        How the target moves, in right ascension (times the cosine of the declination) and declination [arcsec/s].
    simulated : bool, optional
        Whether the file says of itself that it is a simulation, with no delay between data and boresight.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Raises
    ------
    DataError
        A channel number is not one of HAWC+, or there are no times or signals that could be written.
    OutputExistsError, OutputError
        It cannot be written.
    """
    constants = hawc_constants()
    hawc_band(band)
    array = constants["array"]
    n_rows, width, n_sub = int(array["rows"]), int(array["columns"]), len(array["subarrays"])
    index = scan.channels.fixed_index
    if index.size == 0 or index.min() < 0 or index.max() >= n_sub * n_rows * width:
        msg = f"channel numbers must lie between 0 and {n_sub * n_rows * width - 1} to be written as HAWC+; some do not"
        raise DataError(msg)
    sub, within = np.divmod(index, n_rows * width)
    place = (within // width) * (n_sub * width) + sub * width + within % width
    place_of = tuple(float(value) for value in (boresight or constants["boresight"]))
    columns = _frame_columns(scan, sky_motion)
    n_cells = n_rows * n_sub * width
    dtype = np.dtype(
        [(name, values.dtype.newbyteorder(">")) for name, _, values in columns]
        + [("SQ1Feedback", ">i4", n_cells), ("FluxJumps", ">i2", n_cells)]
    )
    primary = _primary(scan, hawc_band(band).name, sorted(set(sub.tolist())), place_of, columns, simulated=simulated)
    table = _table_header(columns, dtype, (n_rows, n_sub * width), scan.n_frames)
    with atomic_path(path, overwrite=overwrite) as partial, opened(partial) as file:
        for header in (primary, _configuration()):
            file.write(header)
        file.write(table)
        for rows in _rows(scan, columns, dtype, place):
            file.write(rows.tobytes())
        file.write(bytes(-(scan.n_frames * dtype.itemsize) % _BLOCK))


def opened(path: os.PathLike[str]) -> BinaryIO:
    """Return a file to write to, packed if its name ends in ``.gz``; then it has neither name nor time in it.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    BinaryIO
        The open file.
    """
    if str(path).endswith(".gz"):
        return cast("BinaryIO", gzip.GzipFile(path, "wb", compresslevel=6, mtime=0))
    return open(path, "wb")  # noqa: PTH123 - the caller closes it


def _rows(
    scan: ScanStream,
    columns: list[tuple[str, str | None, npt.NDArray[Any]]],
    dtype: np.dtype[Any],
    place: npt.NDArray[np.int64],
) -> Iterator[npt.NDArray[Any]]:
    """Yield the rows of the table."""
    sign = float(hawc_constants()["sign"]) * scan.facts.sign
    for chunk in scan.chunks(_FRAMES):
        rows = np.zeros(len(chunk.data), dtype=dtype)
        for name, _, values in columns:
            rows[name] = values[chunk.start : chunk.start + len(rows)]
        counts = np.round(sign * chunk.data.astype(np.float64))
        limits = np.iinfo(np.int32)
        if not (counts.min() >= limits.min and counts.max() <= limits.max):
            msg = (
                f"signals of frames {chunk.start} to {chunk.start + len(rows) - 1} are not finite or too large to count"
            )
            raise DataError(msg)
        rows["SQ1Feedback"][:, place] = counts
        if chunk.jumps is not None:
            rows["FluxJumps"][:, place] = chunk.jumps
        yield rows


def _frame_columns(scan: ScanStream, sky_motion: tuple[float, float]) -> list[tuple[str, str | None, npt.NDArray[Any]]]:
    """Return name, unit and values of the columns with one number per frame."""
    frames, facts, header = scan.frames, scan.facts, scan.facts.header
    n = scan.n_frames
    zero = np.zeros(n)
    ra0 = facts.ra if math.isfinite(facts.ra) else 0.0
    dec0 = facts.dec if math.isfinite(facts.dec) else 0.0
    since = frames.time - frames.time[0]
    target_dec = dec0 + sky_motion[1] * since / 3600.0
    target_ra = ra0 + sky_motion[0] * since / (54_000.0 * np.cos(np.radians(target_dec)))
    sky_angle = np.nan_to_num(frames.sky_angle, nan=0.0)
    cosine, sine = np.cos(np.radians(sky_angle)), np.sin(np.radians(sky_angle))
    x, y = frames.offset
    ra = target_ra - (x * cosine - y * sine) / (54_000.0 * np.cos(np.radians(target_dec)))
    dec = target_dec + (x * sine + y * cosine) / 3600.0
    longitude, latitude = float(header.get("LON_STA", -108.182373)), float(header.get("LAT_STA", 47.043457))
    # Mean sidereal time, good to a tenth of a second: it decides on nothing but the airmass.
    lst = np.remainder(18.697374558 + 24.06570982441908 * (frames.time - _J2000) / 86_400.0 + longitude / 15.0, 24.0)
    return [
        ("FrameCounter", "frames", np.arange(n, dtype=np.int64)),
        ("Timestamp", "seconds", frames.time),
        ("hwpCounts", "counts", np.zeros(n, dtype=np.int32)),
        ("Flag", "flag", (~frames.valid).astype(np.int32)),
        ("AZ", "degrees", zero + 120.0),
        ("EL", "degrees", zero + 45.0),
        ("RA", "hours", np.remainder(ra, 24.0)),
        ("DEC", "degrees", dec),
        ("LST", "hours", lst),
        ("SIBS_VPA", "degrees", sky_angle + frames.angle),
        ("TABS_VPA", "degrees", sky_angle),
        ("Chop_VPA", "degrees", sky_angle),
        ("LON", "degrees", zero + longitude),
        ("LAT", "degrees", zero + latitude),
        ("NonSiderealRA", "hours", np.remainder(target_ra, 24.0)),
        ("NonSiderealDec", "degrees", target_dec),
        ("sofiaChopR", "volts", zero.astype(np.float32)),
        ("sofiaChopS", "volts", zero.astype(np.float32)),
        ("PWV", "um", zero + 5.0),
        ("LOS", "degrees", zero),
        ("ROLL", "degrees", zero),
    ]


def _primary(
    scan: ScanStream,
    band: str,
    subarrays: list[int],
    boresight: tuple[float, ...],
    columns: list[tuple[str, str | None, npt.NDArray[Any]]],
    *,
    simulated: bool,
) -> bytes:
    """Return the primary header."""
    from astropy.io import fits

    facts, time = scan.facts, scan.frames.time
    by_name = {name: values for name, _, values in columns}
    begin, end = (str(np.datetime64(round(float(at) * 1e3), "ms")) for at in (time[0], time[-1]))
    ra, dec = float(by_name["NonSiderealRA"][0]), float(by_name["NonSiderealDec"][0])
    header = fits.PrimaryHDU().header
    cards: dict[str, object] = {
        "INSTRUME": "HAWC_PLUS",
        "TELESCOP": "SOFIA 2.5m",
        "OBJECT": facts.object_name,
        "OBS_ID": facts.scan_id,
        "DATE": begin,
        "DATE-OBS": begin,
        "UTCSTART": begin.split("T")[1],
        "UTCEND": end.split("T")[1],
        "MISSN-ID": f"{begin[:10]}_HA_F999",
        "OBSRA": ra,
        "OBSDEC": dec,
        "OBJRA": ra,
        "OBJDEC": dec,
        "TELRA": ra,
        "TELDEC": dec,
        "TELVPA": float(by_name["TABS_VPA"][0]),
        "TELEQUI": "J2000",
        "EQUINOX": 2000.0,
        "NONSIDE": facts.is_nonsidereal,
        "SPECTEL1": band,
        "SPECTEL2": "HAW_HWP_Open",
        "WAVECENT": hawc_band(band).wavelength,
        "SMPLFREQ": 1.0 / facts.sampling_interval,
        "EXPTIME": float(time[-1] - time[0]) + facts.sampling_interval,
        "MCEMAP": ",".join(
            str(subarrays.index(sub)) if sub in subarrays else "-1"
            for sub in range(len(hawc_constants()["array"]["subarrays"]))
        ),
        "SIBS_X": boresight[0],
        "SIBS_Y": boresight[1],
        "CHOPPING": False,
        "NODDING": False,
        "SCANNING": True,
        "OBSMODE": "Scan",
        "INSTCFG": "TOTAL_INTENSITY",
        "INSTMODE": "OTFMAP",
        "DATASRC": "astro",
        "OBSTYPE": "object",
        "ALTI_STA": 41_993.0,
        "ALTI_END": 41_998.0,
        "LON_STA": float(by_name["LON"][0]),
        "LAT_STA": float(by_name["LAT"][0]),
        "ZA_START": 45.0,
        "ZA_END": 45.0,
        "PROCSTAT": "LEVEL_0",
        "SIMULATE": simulated,
    }
    for key, value in cards.items():
        header[key] = value
    return str(header.tostring()).encode("ascii")


def _configuration() -> bytes:
    """Return the header and the data of CONFIGURATION, with a detector bias for every readout."""
    from astropy.io import fits

    header = fits.ImageHDU(np.zeros(1, dtype=np.int32), name="CONFIGURATION").header
    for readout in range(4):
        header[f"HIERARCH MCE{readout}_TES_BIAS"] = ",".join(["1"] * 20)
    return str(header.tostring()).encode("ascii") + bytes(_BLOCK)


def _table_header(
    columns: list[tuple[str, str | None, npt.NDArray[Any]]],
    dtype: np.dtype[Any],
    shape: tuple[int, int],
    n_frames: int,
) -> bytes:
    """Return the header of the table."""
    from astropy.io import fits

    letters = {"i8": "K", "i4": "J", "i2": "I", "f8": "D", "f4": "E"}
    dim, size = f"({shape[1]},{shape[0]})", math.prod(shape)
    # Without rows, only the header is made; the rows are written by the piece.
    described = [fits.Column(name, f"1{letters[values.dtype.str[1:]]}", unit=unit) for name, unit, values in columns]
    described += [
        fits.Column("SQ1Feedback", f"{size}J", unit="counts", dim=dim),
        fits.Column("FluxJumps", f"{size}I", unit="jumps", dim=dim),
    ]
    header = fits.BinTableHDU.from_columns(described, nrows=0, name="Timestream").header
    if header["NAXIS1"] != dtype.itemsize:
        msg = f"a row of the table would have {header['NAXIS1']} bytes instead of {dtype.itemsize}"
        raise InternalError(msg)
    header["NAXIS2"] = n_frames
    return str(header.tostring()).encode("ascii")
