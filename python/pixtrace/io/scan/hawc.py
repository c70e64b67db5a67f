"""Raw scans of HAWC+: FITS files with the SQUID feedback of all detectors in one or more tables ``Timestream``."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._arrays import as_real
from pixtrace.exceptions import DataError, FileReadError, UnsupportedModeError
from pixtrace.io.scan.columns import TO_DEGREES, TO_HOURS, TO_SECONDS, frame_columns, named, require_columns
from pixtrace.io.scan.flux_jumps import without_counted_jumps
from pixtrace.io.scan.hawc_geometry import hawc_band, hawc_channels, hawc_constants
from pixtrace.io.scan.raw import DataChunk, ScanStream
from pixtrace.io.scan.rows import RowFile, unscaled
from pixtrace.io.scan.tables import FrameTable, ScanFacts, with_interval

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy.typing as npt

    from pixtrace.io.scan.rows import FitsTable

__all__ = ["TABLE_NAME", "is_simulated", "open_hawc"]

TABLE_NAME = "TIMESTREAM"
_SIGNAL, _JUMPS, _FLAG = "SQ1FEEDBACK", "FLUXJUMPS", "FLAG"
_REQUIRED = (_SIGNAL, "TIMESTAMP", "RA", "DEC", "SIBS_VPA", "TABS_VPA")
_FRAME_COLUMNS = {
    "TIMESTAMP": TO_SECONDS,
    "RA": TO_HOURS,
    "DEC": TO_DEGREES,
    "SIBS_VPA": TO_DEGREES,
    "TABS_VPA": TO_DEGREES,
    "NONSIDEREALRA": TO_HOURS,
    "NONSIDEREALDEC": TO_DEGREES,
    _FLAG: None,
}
_WHAT = "a raw HAWC+ scan"
_MOVES = 0.01 / 3600.0  # degrees by which a target has to move to count as one that does
_CARRIED = ("TELESCOP", "SPECTEL1", "SPECTEL2", "WAVECENT", "MISSN-ID", "AOR_ID", "EXPTIME", "ALTI_STA", "ZA_START")
_RATE_AGREES = 0.01
_UNKNOWN = -9999
_FEW = 64  # rows of a table, 2 MB

_log = logging.getLogger(__name__)


def open_hawc(path: str | os.PathLike[str] | RowFile, *, pointing_shift: float | None = None) -> ScanStream:
    """Open a raw scan of HAWC+.

    Parameters
    ----------
    path : path-like or RowFile
        The file, packed with gzip or not.
    pointing_shift : float, optional
        A frame at time t is given the boresight recorded at t + `pointing_shift` [s]. None takes the -0.014 s of the
        real instrument, and 0 for simulated files (`is_simulated`).

    Returns
    -------
    ScanStream
        All channels of the subarrays that were read out (MCEMAP), dark SQUIDs marked as blind. Frames that were not
        taken while observing (Flag is not 0), or have no boresight, are not valid.

    Raises
    ------
    FileReadError
        The file cannot be read, ends too early, or lacks a table, a column or a keyword.
    DataError
        Its content cannot be used: impossible units, times or dimensions, no valid frame.
    UnsupportedModeError
        The scan was taken with the chopper on.
    """
    file = path if isinstance(path, RowFile) else RowFile(path)
    header = file.headers[0]
    tables = [table for table in file.tables if table.name == TABLE_NAME and table.n_rows]
    if not tables:
        found = ", ".join(table.label for table in file.tables) or "none"
        msg = f"{file.path} has no table {TABLE_NAME} with rows in it; {_WHAT} needs one (tables found: {found})"
        raise FileReadError(msg)
    if _is_true(header.get("CHOPPING", False)):
        msg = f"{file.path} was taken with the chopper on (CHOPPING = T); only scans without chopping can be used"
        raise UnsupportedModeError(msg)
    array = hawc_constants()["array"]
    shape = (int(array["rows"]), int(array["columns"]) * len(array["subarrays"]))
    for table in tables:
        require_columns(file, table, _REQUIRED, _WHAT)
        column = table.columns[_SIGNAL]
        if column.dtype is None or column.shape not in {shape, (math.prod(shape),)}:
            msg = (
                f"{file.path}, {table.label}, column {column.name} has the format {column.form} and the shape "
                f"{column.shape} in a row; expected {math.prod(shape)} numbers, {shape[0]} rows of {shape[1]} columns"
            )
            raise DataError(msg)
    subarrays = _subarrays(file)
    band = named(str(file.path), lambda: hawc_band(_keyword(file, "SPECTEL1")))
    facts = _facts(file, band.name, band.fwhm, band.pixel_size)
    shift = pointing_shift
    if shift is None:
        shift = 0.0 if is_simulated(header) else float(hawc_constants()["pointing_shift"])
    frames, facts = named(str(file.path), lambda: _frames(file, tables, facts, as_real(shift, "pointing_shift")))
    channels = hawc_channels(subarrays, band, boresight=_boresight(header), date=facts.date)
    reader = _Reader(file, tables, subarrays, shape, int(array["columns"]))
    return ScanStream(facts, channels, frames, reader.chunks, name=str(file.path))


def is_simulated(header: Any) -> bool:  # noqa: ANN401 - astropy has no types
    """Tell whether a file says of itself that it is a simulation, and so has no delays of real electronics.

    Parameters
    ----------
    header : Header
        The primary header.

    Returns
    -------
    bool
        True if SIMULATE is T, or OBS_ID contains "-sim-".
    """
    return _is_true(header.get("SIMULATE", False)) or "-sim-" in str(header.get("OBS_ID", "")).lower()


class _Reader:
    """Reads the signals.

    Parameters
    ----------
    file : RowFile
        The file.
    tables : list of FitsTable
        Its timestreams.
    subarrays : list of int
        The subarrays that are wanted.
    shape : tuple of int
        Rows and columns of the readout.
    width : int
        Columns of one subarray.
    """

    def __init__(
        self, file: RowFile, tables: list[FitsTable], subarrays: list[int], shape: tuple[int, int], width: int
    ) -> None:
        self._file, self._tables, self._shape = file, tables, shape
        self._parts = [slice(sub * width, (sub + 1) * width) for sub in subarrays]
        # Counts may be too large for float32 to tell neighbours apart; differences to the first frame are not.
        first = unscaled(self._pick(file.window(tables[0], [_SIGNAL], 0, 1)[_SIGNAL]), tables[0].columns[_SIGNAL])
        self._level = np.nan_to_num(first.astype(np.float64)).ravel()

    def chunks(self, most: int) -> Iterator[DataChunk]:
        """Yield the data, at most so many frames at a time, less the jumps that were counted."""
        for start, data, jumps in without_counted_jumps(self._counted(most)):
            yield DataChunk(start, data, jumps if jumps is not None and (jumps != jumps[0]).any() else None)

    def _counted(self, most: int) -> Iterator[DataChunk]:
        """Yield the data as they are, with all counts."""
        start = 0
        for table in self._tables:
            for first in range(0, table.n_rows, most):
                last = min(first + most, table.n_rows)
                data = np.empty((last - first, self._level.size), dtype=np.float32)
                jumps = np.empty(data.shape, dtype=np.int16) if self._counts_jumps(table) else None
                self._fill(table, first, data, jumps)
                yield DataChunk(start + first, data, jumps)
            start += table.n_rows

    def _fill(
        self, table: FitsTable, first: int, data: npt.NDArray[np.float32], jumps: npt.NDArray[np.int16] | None
    ) -> None:
        """Read a range of rows, a few at a time: what is converted stays in the cache."""
        names = [_SIGNAL] if jumps is None else [_SIGNAL, _JUMPS]
        rows = self._file.window(table, names, first, first + len(data))
        column = table.columns[_SIGNAL]
        for k in range(0, len(data), _FEW):
            few = slice(k, k + _FEW)
            counts = unscaled(self._pick(rows[_SIGNAL][few]), column)
            np.subtract(counts, self._level, out=data[few], casting="unsafe")
            if jumps is not None:
                jumps[few] = self._pick(rows[_JUMPS][few])

    def _pick(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the channels of the wanted subarrays, in their order."""
        full = values.reshape(len(values), *self._shape)
        parts = [full[:, :, part].reshape(len(values), -1) for part in self._parts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _counts_jumps(self, table: FitsTable) -> bool:
        """Tell whether there is a column of jumps that fits the signals."""
        column = table.columns.get(_JUMPS)
        return column is not None and column.dtype is not None and math.prod(column.shape) == math.prod(self._shape)


def _keyword(file: RowFile, name: str) -> str:
    """Return a keyword of the primary header that has to be there."""
    if name not in file.headers[0]:
        msg = f"{file.path}: the primary header has no {name}; {_WHAT} needs SPECTEL1 and MCEMAP"
        raise FileReadError(msg)
    return str(file.headers[0][name]).strip()


def _subarrays(file: RowFile) -> list[int]:
    """Return which subarrays were read out: those with a number of a readout (from 0 on) in MCEMAP."""
    text = _keyword(file, "MCEMAP")
    names = hawc_constants()["array"]["subarrays"]
    try:
        readouts = [int(part) for part in text.split(",")]
    except ValueError:
        readouts = []
    present = [sub for sub, readout in enumerate(readouts) if readout >= 0]
    if len(readouts) != len(names) or not present:
        msg = (
            f"{file.path}: MCEMAP = {text!r}; expected {len(names)} whole numbers, for {', '.join(names)}, -1 for a "
            f"subarray that was not read out, and not all of them -1"
        )
        raise DataError(msg)
    return present


def _facts(file: RowFile, band: str, fwhm: float, pixel_size: float) -> ScanFacts:
    """Return what the header says."""
    header = file.headers[0]
    stem = file.path.name.removesuffix(".gz").removesuffix(".fits")
    rate = _number(header, "SMPLFREQ")
    return ScanFacts(
        instrument=str(header.get("INSTRUME", "HAWC_PLUS")).strip() or "HAWC_PLUS",
        band=band,
        scan_id=str(header.get("OBS_ID", "")).strip() or stem,
        object_name=str(header.get("OBJECT", "")).strip() or "source",
        date=str(header.get("DATE-OBS", header.get("DATE", ""))).strip(),
        sampling_interval=1.0 / rate if rate > 0.0 else math.nan,
        resolution=fwhm,
        pixel_size=pixel_size,
        unit="counts",
        sign=int(hawc_constants()["sign"]),
        header={key: header[key] for key in _CARRIED if key in header},
    )


def _frames(file: RowFile, tables: list[FitsTable], facts: ScanFacts, shift: float) -> tuple[FrameTable, ScanFacts]:
    """Return the frames of all tables, and the facts with what the frames tell."""
    found = [frame_columns(file, table, _FRAME_COLUMNS) for table in tables]
    columns = {name: np.concatenate([part[name] for part in found]) for name in set.intersection(*map(set, found))}
    time, ra, dec = columns["TIMESTAMP"], columns["RA"], columns["DEC"]
    _check_range("RA", ra, 0.0, 24.0, "hours")
    _check_range("DEC", dec, -90.0, 90.0, "degrees")
    array_angle, sky_angle = columns["SIBS_VPA"], columns["TABS_VPA"]
    if _FLAG in columns:
        observing = columns[_FLAG] == 0
    else:
        _log.warning("%s has no column Flag; all frames are taken as observing", file.path)
        observing = np.ones(time.size, dtype=bool)
    target = None
    if {"NONSIDEREALRA", "NONSIDEREALDEC"} <= columns.keys():
        target = np.stack([columns["NONSIDEREALRA"] * 15.0, columns["NONSIDEREALDEC"]])
    moves = _moves(file.headers[0], target)
    if moves and target is not None:
        ra0, dec0 = target
    else:
        ra0, dec0 = _fixed_target(file, ra, dec)
    offset = native_offset(15.0 * ra, dec, ra0, dec0, sky_angle)
    usable = observing & np.isfinite(offset).all(axis=0) & np.isfinite(array_angle)
    angle = array_angle - sky_angle
    frames = FrameTable.make(time, offset, angle=angle, sky_angle=sky_angle, valid=usable)
    frames = frames.shifted(shift)
    return frames, _completed(file, facts, frames, moves=moves, target=(ra0, dec0))


def native_offset(
    ra: npt.NDArray[np.float64],
    dec: npt.NDArray[np.float64],
    ra0: npt.NDArray[np.float64] | float,
    dec0: npt.NDArray[np.float64] | float,
    sky_angle: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return offsets in the telescope's system.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Where the boresight looks [deg].
    ra0, dec0 : float or ndarray of float64
        Where the source is [deg].
    sky_angle : ndarray of float64, shape (n,)
        Angle of the telescope's system on the sky (TABS_VPA) [deg].

    Returns
    -------
    ndarray of float64, shape (2, n)
        x (against right ascension) and y [arcsec], flat: for offsets of minutes of arc.
    """
    east = np.remainder(ra - ra0 + 180.0, 360.0) - 180.0
    x, y = -east * np.cos(np.radians(dec0)) * 3600.0, (dec - dec0) * 3600.0
    cosine, sine = np.cos(np.radians(sky_angle)), np.sin(np.radians(sky_angle))
    return np.stack([x * cosine + y * sine, y * cosine - x * sine])


def _moves(header: Any, target: npt.NDArray[np.float64] | None) -> bool:  # noqa: ANN401
    """Tell whether the target moves on the sky, and its way is known."""
    if target is None or not np.isfinite(target).any():
        return False
    spans = np.nanmax(target, axis=1) - np.nanmin(target, axis=1)
    return _is_true(header.get("NONSIDE", False)) or bool((spans > _MOVES).any())


def _fixed_target(file: RowFile, ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return where a target that does not move is [deg]."""
    header = file.headers[0]
    for prefix in ("OBS", "OBJ"):
        right, north = _number(header, f"{prefix}RA"), _number(header, f"{prefix}DEC")
        if 0.0 <= right <= 24.0 and -90.0 <= north <= 90.0:  # noqa: PLR2004 - hours and degrees; not NaN either
            return 15.0 * right, north
    _log.warning("%s says nowhere where its target is; offsets are from the middle of the scan", file.path)
    first = ra[np.isfinite(ra)][:1]
    if first.size == 0:
        return math.nan, math.nan
    east = np.remainder(ra - first[0] + 12.0, 24.0) - 12.0
    return 15.0 * float(first[0] + np.nanmedian(east)), float(np.nanmedian(dec))


def _check_range(name: str, values: npt.NDArray[np.float64], low: float, high: float, unit: str) -> None:
    """Complain about coordinates that cannot be in their unit."""
    known = values[np.isfinite(values)]
    if known.size and (known.min() < low or known.max() > high):
        msg = (
            f"column {name} runs from {known.min():g} to {known.max():g}; expected {unit} from {low:g} to "
            f"{high:g}: see whether its unit is what TUNIT says"
        )
        raise DataError(msg)


def _completed(
    file: RowFile,
    facts: ScanFacts,
    frames: FrameTable,
    *,
    moves: bool,
    target: tuple[npt.NDArray[np.float64] | float, npt.NDArray[np.float64] | float],
) -> ScanFacts:
    """Return the facts with the target, and with the sampling interval of the times if the header's is not theirs."""
    from dataclasses import replace

    ra, dec = (float(np.ravel(value)[0]) for value in target)
    facts = replace(facts, is_nonsidereal=moves, ra=ra / 15.0, dec=dec)
    measured = with_interval(replace(facts, sampling_interval=math.nan), frames)
    if not math.isfinite(facts.sampling_interval):
        return (
            measured
            if math.isfinite(measured.sampling_interval)
            else replace(facts, sampling_interval=1.0 / float(hawc_constants()["rate"]))
        )
    if abs(measured.sampling_interval / facts.sampling_interval - 1.0) > _RATE_AGREES:
        _log.warning(
            "%s: SMPLFREQ = %.3f Hz, but frames come at %.3f Hz; the latter is used",
            file.path,
            1.0 / facts.sampling_interval,
            1.0 / measured.sampling_interval,
        )
        return measured
    return facts


def _boresight(header: Any) -> tuple[float, float]:  # noqa: ANN401
    """Return column and row of the boresight."""
    x, y = _number(header, "SIBS_X"), _number(header, "SIBS_Y")
    default = hawc_constants()["boresight"]
    return (x if math.isfinite(x) else float(default[0]), y if math.isfinite(y) else float(default[1]))


def _number(header: Any, keyword: str) -> float:  # noqa: ANN401
    """Return the number of a keyword, NaN if it is missing; SOFIA writes -9999 for what is not known."""
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value == _UNKNOWN:
        return math.nan
    return float(value)


def _is_true(value: object) -> bool:
    """Tell whether a keyword says yes; headers of some files hold the letters T and F."""
    return value is True or str(value).strip().upper() in {"T", "TRUE", "YES", "1"}
