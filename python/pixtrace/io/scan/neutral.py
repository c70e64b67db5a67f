"""The neutral form of a scan, for every camera: what its FITS, HDF5 and ECSV files have in common.

Frames have the columns TIME [s], X and Y [arcsec] (the offset of the boresight from the source, in the telescope's own
system) and, if they are known, ANGLE [deg] (from the system of the array to that of the telescope), SKYANGLE [deg] (of
the telescope's system on the sky) and VALID. Channels have the columns CHANNEL (a number for each) and, if they are
known, X and Y [arcsec] (nominal position), ROW, COL, GROUP, GAIN and REASON. The rest are keywords.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError, FileReadError
from pixtrace.io.scan.columns import TO_ARCSEC, TO_DEGREES, TO_SECONDS, factor_of_unit, named
from pixtrace.io.scan.tables import ChannelTable, FrameTable, ScanFacts, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pixtrace.io.scan.raw import ScanStream

__all__ = [
    "CHANNEL_COLUMNS",
    "FRAME_COLUMNS",
    "VERSION",
    "Column",
    "channel_columns_of",
    "channels_from",
    "facts_from",
    "frame_columns_of",
    "frames_from",
    "keywords_of",
]

#: Version of the format, the value of PIXSCAN.
VERSION = 1

_Units = dict[str, float] | None
#: Columns of frames: units that are understood (None: a number without), and whether it must be there.
FRAME_COLUMNS: dict[str, tuple[_Units, bool]] = {
    "TIME": (TO_SECONDS, True),
    "X": ({"arcsec": 1.0} | TO_ARCSEC, True),
    "Y": ({"arcsec": 1.0} | TO_ARCSEC, True),
    "ANGLE": (TO_DEGREES, False),
    "SKYANGLE": (TO_DEGREES, False),
    "VALID": (None, False),
}
#: Columns of channels, likewise.
CHANNEL_COLUMNS: dict[str, tuple[_Units, bool]] = {
    "CHANNEL": (None, True),
    "X": ({"arcsec": 1.0} | TO_ARCSEC, False),
    "Y": ({"arcsec": 1.0} | TO_ARCSEC, False),
    "ROW": (None, False),
    "COL": (None, False),
    "GROUP": (None, False),
    "GAIN": (None, False),
    "REASON": (None, False),
}
# Keywords of products that are read again from a field of their own.
_OWN = ("PIXSCAN", "INSTRUME", "FILTER", "OBS_ID", "OBJECT", "DATE-OBS", "SAMPINT", "BEAMFWHM", "PIXSIZE", "SRCSIGN")
_OWN_TARGET = ("NONSIDE", "TARGRA", "TARGDEC", "BUNIT")
# Keywords that describe the file, and not the scan.
_STRUCTURE = ("SIMPLE", "BITPIX", "NAXIS", "EXTEND", "COMMENT", "HISTORY", "", "CHECKSUM", "DATASUM", "EXTNAME")


@dataclass(frozen=True, eq=False)
class Column:
    """A column of any file.

    Attributes
    ----------
    values : ndarray
        Its values, in machine byte order.
    unit : str
        Their unit as it stands in the file; "" if it is not given.
    """

    values: npt.NDArray[Any]
    unit: str = ""


def frames_from(columns: Mapping[str, Column], where: str) -> FrameTable:
    """Return the frames that columns describe.

    Parameters
    ----------
    columns : mapping of str to Column
        The columns by name in capital letters; others than those of the format are not looked at.
    where : str
        File and table, for messages.

    Returns
    -------
    FrameTable
        The frames.

    Raises
    ------
    FileReadError
        A column is missing.
    DataError
        A unit is not understood, or the numbers cannot be used.
    """
    given = _in_units(columns, FRAME_COLUMNS, where)
    valid = given.get("VALID")
    return named(
        where,
        lambda: FrameTable.make(
            given["TIME"],
            np.stack([given["X"], given["Y"]]),
            angle=given.get("ANGLE", 0.0),
            sky_angle=given.get("SKYANGLE", np.nan),
            valid=None if valid is None else valid != 0,
        ),
    )


def channels_from(columns: Mapping[str, Column] | None, where: str, n_channels: int) -> ChannelTable:
    """Return the channels that columns describe.

    Parameters
    ----------
    columns : mapping of str to Column or None
        The columns by name in capital letters; None if there is no table of channels.
    where : str
        File and table, for messages.
    n_channels : int
        How many channels the data have.

    Returns
    -------
    ChannelTable
        The channels; without a table, numbered from 0.

    Raises
    ------
    FileReadError
        The numbers of the channels are missing.
    DataError
        There are more or fewer channels than in the data, or the numbers cannot be used.
    """
    if columns is None:
        return ChannelTable.make(np.arange(n_channels))
    given = _in_units(columns, CHANNEL_COLUMNS, where)
    if given["CHANNEL"].size != n_channels:
        msg = f"{where} has {given['CHANNEL'].size} rows; expected {n_channels}, one for each channel of the data"
        raise DataError(msg)
    position = np.stack([given["X"], given["Y"]]) if {"X", "Y"} <= given.keys() else None
    return named(
        where,
        lambda: ChannelTable.make(
            given["CHANNEL"],
            position,
            row=given.get("ROW"),
            column=given.get("COL"),
            group=given.get("GROUP"),
            gain=given.get("GAIN"),
            reason=_texts(given["REASON"]) if "REASON" in given else None,
        ),
    )


def facts_from(keywords: Mapping[str, Any], where: str, stem: str, frames: FrameTable) -> ScanFacts:
    """Return what keywords say about a scan.

    Parameters
    ----------
    keywords : mapping of str to object
        Keywords in capital letters; all are optional.
    where : str
        The file, for messages.
    stem : str
        Name of the scan if the keywords do not say it.
    frames : FrameTable
        Its frames, for the sampling interval.

    Returns
    -------
    ScanFacts
        What is known.

    Raises
    ------
    DataError
        A keyword has an impossible value, or the file is of a later version of the format.
    """

    def number(key: str, *, positive: bool = False) -> float:
        value = keywords.get(key)
        if value is None or value == "":
            return math.nan
        if isinstance(value, (bool, np.bool_, str)) or not math.isfinite(value) or (positive and value <= 0.0):
            msg = f"{where}: {key} = {value!r}; expected a{' positive' if positive else ''} number, or no such keyword"
            raise DataError(msg)
        return float(value)

    def text(key: str, default: str) -> str:
        return str(keywords.get(key, "")).strip() or default

    version = keywords.get("PIXSCAN", VERSION)
    if version != VERSION:
        msg = f"{where}: PIXSCAN = {version!r}; this version reads files with PIXSCAN = {VERSION}: update pixtrace"
        raise DataError(msg)
    sign = keywords.get("SRCSIGN", 1)
    if sign not in {1, -1}:
        msg = f"{where}: SRCSIGN = {sign!r}; expected 1, or -1 if a source lowers the signal"
        raise DataError(msg)
    ra = number("TARGRA")
    skipped = {*_OWN, *_OWN_TARGET, *_STRUCTURE}
    return with_interval(
        ScanFacts(
            instrument=text("INSTRUME", "camera"),
            band=text("FILTER", ""),
            scan_id=text("OBS_ID", stem),
            object_name=text("OBJECT", "source"),
            date=text("DATE-OBS", ""),
            sampling_interval=number("SAMPINT", positive=True),
            resolution=number("BEAMFWHM", positive=True),
            pixel_size=number("PIXSIZE", positive=True),
            unit=text("BUNIT", "counts"),
            sign=int(sign),
            is_nonsidereal=bool(keywords.get("NONSIDE", False)),
            ra=ra / 15.0,
            dec=number("TARGDEC"),
            header={key: value for key, value in keywords.items() if key not in skipped},
        ),
        frames,
    )


def keywords_of(facts: ScanFacts) -> dict[str, tuple[Any, str]]:
    """Return the keywords that describe a scan.

    Parameters
    ----------
    facts : ScanFacts
        What is known; numbers that are NaN are left out.

    Returns
    -------
    dict of str to (object, str)
        Value and comment of each keyword.
    """
    cards: dict[str, tuple[Any, str]] = {
        "PIXSCAN": (VERSION, "version of the pixtrace scan format"),
        "INSTRUME": (facts.instrument, "camera"),
        "FILTER": (facts.band, "band"),
        "OBS_ID": (facts.scan_id, "name of the scan"),
        "OBJECT": (facts.object_name, "name of the source"),
        "DATE-OBS": (facts.date, "begin, UTC"),
        "SAMPINT": (facts.sampling_interval, "[s] from frame to frame"),
        "BEAMFWHM": (facts.resolution, "[arcsec] FWHM of the beam"),
        "PIXSIZE": (facts.pixel_size, "[arcsec] distance of pixels"),
        "SRCSIGN": (facts.sign, "-1 if a source lowers the signal"),
        "NONSIDE": (facts.is_nonsidereal, "source moves on the sky"),
        "TARGRA": (facts.ra * 15.0, "[deg] right ascension of the source"),
        "TARGDEC": (facts.dec, "[deg] declination of the source"),
        "BUNIT": (facts.unit, "unit of the data"),
    }
    cards |= {key: (value, "") for key, value in facts.header.items() if key not in cards}
    return {
        key: card
        for key, card in cards.items()
        if card[0] != "" and not (isinstance(card[0], float) and not math.isfinite(card[0]))
    }


def frame_columns_of(scan: ScanStream) -> dict[str, Column]:
    """Return the columns that describe the frames of a scan.

    Parameters
    ----------
    scan : ScanStream
        The scan.

    Returns
    -------
    dict of str to Column
        By name, in the order of the format; SKYANGLE only if it is known.
    """
    frames = scan.frames
    columns = {
        "TIME": Column(frames.time, "s"),
        "X": Column(frames.offset[0], "arcsec"),
        "Y": Column(frames.offset[1], "arcsec"),
        "ANGLE": Column(frames.angle, "deg"),
        "SKYANGLE": Column(frames.sky_angle, "deg"),
        "VALID": Column(frames.valid),
    }
    if not np.isfinite(frames.sky_angle).any():
        del columns["SKYANGLE"]
    return columns


def channel_columns_of(scan: ScanStream) -> dict[str, Column]:
    """Return the columns that describe the channels of a scan.

    Parameters
    ----------
    scan : ScanStream
        The scan.

    Returns
    -------
    dict of str to Column
        By name, in the order of the format.
    """
    table = scan.channels
    return {
        "CHANNEL": Column(table.fixed_index),
        "X": Column(table.position[0], "arcsec"),
        "Y": Column(table.position[1], "arcsec"),
        "ROW": Column(table.row),
        "COL": Column(table.column),
        "GROUP": Column(table.group),
        "GAIN": Column(table.gain),
        "REASON": Column(table.reason),
    }


def _in_units(
    columns: Mapping[str, Column], wanted: dict[str, tuple[_Units, bool]], where: str
) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of a format in its units."""
    required = [name for name, (_, needed) in wanted.items() if needed]
    missing = [name for name in required if name not in columns]
    if missing:
        found = ", ".join(columns) or "none at all"
        msg = f"{where}: no column {', '.join(missing)}; needed are {', '.join(required)} (found: {found})"
        raise FileReadError(msg)
    given: dict[str, npt.NDArray[Any]] = {}
    for name, (units, _) in wanted.items():
        if name not in columns:
            continue
        column, place = columns[name], f"{where}, column {name}"
        is_text = column.values.dtype.kind in "SUO"
        if column.values.ndim != 1 or is_text != (name == "REASON") or column.values.dtype.kind == "c":
            expected = "one text per row" if name == "REASON" else "one real number per row"
            msg = f"{place} has the type {column.values.dtype} and the shape {column.values.shape}; expected {expected}"
            raise DataError(msg)
        values = column.values
        given[name] = values if units is None else values.astype(np.float64) * factor_of_unit(column.unit, units, place)
    return given


def _texts(values: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
    """Return texts, whatever they were kept as."""
    decoded = [value.decode("ascii", "replace") if isinstance(value, bytes) else str(value) for value in values]
    return np.array([text.strip() for text in decoded], dtype=np.str_)
