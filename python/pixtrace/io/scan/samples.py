"""Tables of single samples: a row for every pixel at every time, as maria writes them for MUSTANG-2.

================  ====================================================================================================
column            content
================  ====================================================================================================
DX, DY            where the pixel looks at that time. In radians or degrees, right ascension and declination; offsets
                  from the source, to the east and to the north, if no value is more than a degree from 0, or in arcsec
FNU               signal
TIME              seconds, from any beginning
PIXID             number of the pixel
UFNU              optional: uncertainty of the signal; samples for which it is not positive are not used, unless that
                  holds for all
SCAN              optional: number of the scan in the file; one after the other
COL, ROW          optional: where the pixel is wired
ELEV              optional: elevation
================  ====================================================================================================

Every pixel must have the same number of rows at the same times. The rows may come pixel by pixel, time by time, or in
any order; then their order takes 8 bytes of memory per row. The boresight is the mean of where all pixels look; how the
array turns on the sky, and where its pixels are, follows from how they look away from it.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError
from pixtrace.io.scan.columns import TO_DEGREES, TO_SECONDS, factor_of_unit, frame_columns, named, require_columns
from pixtrace.io.scan.raw import DataChunk, ScanStream
from pixtrace.io.scan.rows import RowFile, unscaled
from pixtrace.io.scan.tables import ChannelTable, FrameTable, ScanFacts, with_interval

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy.typing as npt

    from pixtrace.io.scan.rows import FitsTable

__all__ = ["REQUIRED", "open_samples"]

#: Columns without which a table is none of samples.
REQUIRED = ("DX", "DY", "FNU", "TIME", "PIXID")
_WHAT = "a table of samples"
_RADIANS = {"rad": 180.0 / np.pi} | TO_DEGREES  # without a unit, radians, as maria means them
_NEAR = 1.0  # degrees from (0, 0) within which values are offsets
_SAME_TIME = 0.25  # of the sampling interval

_log = logging.getLogger(__name__)


def open_samples(path: str | os.PathLike[str] | RowFile) -> ScanStream:
    """Open a scan that is a FITS table of single samples.

    Parameters
    ----------
    path : path-like or RowFile
        The file, packed with gzip or not.

    Returns
    -------
    ScanStream
        The scan. Nominal positions are where pixels look in the first frame, from the mean of all.

    Raises
    ------
    FileReadError
        The file cannot be read, ends too early, or lacks a column.
    DataError
        Pixels have different numbers of samples or different times, or numbers or units cannot be used.
    """
    file = path if isinstance(path, RowFile) else RowFile(path)
    table = next(
        (table for table in file.tables if {"PIXID", "FNU"} <= table.columns.keys()),
        file.tables[0] if file.tables else None,
    )
    if table is None:
        msg = f"{file.path} has no table; {_WHAT} needs one with the columns {', '.join(REQUIRED)}"
        raise DataError(msg)
    require_columns(file, table, REQUIRED, _WHAT)
    where = f"{file.path}, {table.label}"
    order = named(where, lambda: _Order(file, table))
    time = order.times()
    channels, frames = named(where, lambda: _geometry(file, table, order, time))
    facts = _facts(file, table, frames)
    usable = "UFNU" in table.columns and bool((order.frames(["UFNU"], 0, order.n_frames)["UFNU"] > 0).any())
    names = ["FNU", "UFNU"] if usable else ["FNU"]
    level = _level(order, table)

    def chunks(most: int) -> Iterator[DataChunk]:
        for start in range(0, order.n_frames, most):
            rows = order.frames(names, start, min(start + most, order.n_frames))
            data = (unscaled(rows["FNU"], table.columns["FNU"]) - level).astype(np.float32)
            if usable:
                data[~(unscaled(rows["UFNU"], table.columns["UFNU"]) > 0)] = np.nan
            yield DataChunk(start, data)

    return ScanStream(facts, channels, frames, chunks, name=str(file.path))


class _Order:
    """Which row of the table holds which pixel at which time.

    Parameters
    ----------
    file : RowFile
        The file.
    table : FitsTable
        The table.
    """

    def __init__(self, file: RowFile, table: FitsTable) -> None:
        self._file, self._table = file, table
        pixels = _column(file, table, "PIXID")
        if pixels.size == 0:
            msg = "there are no rows"
            raise DataError(msg)
        self.pixel, counts = np.unique(pixels, return_counts=True)
        usual = int(np.median(counts))
        if (counts != usual).any():
            odd = int(np.flatnonzero(counts != usual)[0])
            msg = (
                f"PIXID {self.pixel[odd]} has {counts[odd]} rows, most pixels have {usual}; expected the same number "
                f"for all ({np.count_nonzero(counts != usual)} of {counts.size} differ): leave these pixels out"
            )
            raise DataError(msg)
        self.n_frames, self.n_pixels = usual, counts.size
        self._rows: npt.NDArray[np.int64] | None = None
        self._by_pixel = True
        by_pixel, by_time = pixels.reshape(self.n_pixels, -1), pixels.reshape(self.n_frames, -1)
        if (by_pixel == by_pixel[:, :1]).all():
            self.pixel = by_pixel[:, 0]
        elif (by_time == by_time[:1]).all():
            self.pixel, self._by_pixel = by_time[0], False
        else:
            keys = [_column(file, table, "TIME"), pixels]
            if "SCAN" in table.columns:
                keys.insert(1, _column(file, table, "SCAN"))
            self._rows = np.lexsort(keys).astype(np.int64).reshape(self.n_pixels, self.n_frames)

    def rows(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Return the rows of some frames, shape (stop - start, n_pixels)."""
        if self._rows is not None:
            return self._rows[:, start:stop].T
        frame, pixel = np.arange(start, stop)[:, None], np.arange(self.n_pixels)
        return pixel * self.n_frames + frame if self._by_pixel else frame * self.n_pixels + pixel

    def frames(self, names: list[str], start: int, stop: int) -> npt.NDArray[Any]:
        """Return some columns of some frames, shape (stop - start, n_pixels), as they are in the file."""
        table = self._table
        if self._rows is None and not self._by_pixel:
            window = self._file.window(table, names, start * self.n_pixels, stop * self.n_pixels)
            return _compact(window, names).reshape(stop - start, self.n_pixels)
        rows = self.rows(start, stop)
        whole = self._file.window(table, names, 0, table.n_rows)
        found = np.empty(rows.shape, dtype=[(name, whole.dtype[name]) for name in names])
        for name in names:
            found[name] = whole[name].reshape(-1)[rows]
        return found

    def times(self) -> npt.NDArray[np.float64]:
        """Return the time of each frame."""
        column = self._table.columns["TIME"]
        time = _column(self._file, self._table, "TIME", TO_SECONDS)
        first = time[self.rows(0, self.n_frames)[:, 0]]
        steps = np.diff(first)
        limit = _SAME_TIME * float(np.median(steps)) if steps.size else math.inf
        together = 1 + (1 << 22) // self.n_pixels
        for start in range(0, self.n_frames, together):
            stop = min(start + together, self.n_frames)
            apart = np.abs(time[self.rows(start, stop)] - first[start:stop, None])
            if apart.max() > limit:
                frame, pixel = np.unravel_index(int(np.argmax(apart)), apart.shape)
                msg = (
                    f"{self._file.path}, {self._table.label}, column {column.name}: time {start + frame} of PIXID "
                    f"{self.pixel[pixel]} is {apart.max():g} s from that of PIXID {self.pixel[0]}; expected the same "
                    f"times for all pixels"
                )
                raise DataError(msg)
        return first


def _column(file: RowFile, table: FitsTable, name: str, units: dict[str, float] | None = None) -> npt.NDArray[Any]:
    """Return a column."""
    return frame_columns(file, table, {name: units})[name]


def _compact(window: npt.NDArray[Any], names: list[str]) -> npt.NDArray[Any]:
    """Return some columns without what lies between them in the file."""
    found = np.empty(window.shape, dtype=[(name, window.dtype[name]) for name in names])
    for name in names:
        found[name] = window[name].reshape(-1)
    return found


def _level(order: _Order, table: FitsTable) -> npt.NDArray[np.float64]:
    """Return the first signal of each pixel, 0 where it is not finite."""
    first = unscaled(order.frames(["FNU"], 0, 1)["FNU"][0], table.columns["FNU"]).astype(np.float64)
    return np.where(np.isfinite(first), first, 0.0)


def _geometry(
    file: RowFile, table: FitsTable, order: _Order, time: npt.NDArray[np.float64]
) -> tuple[ChannelTable, FrameTable]:
    """Return the channels with their positions, and the frames with boresight and angle."""
    look = _Look(file, table)
    boresight = np.empty((2, order.n_frames))
    angle = np.zeros(order.n_frames)
    position = np.zeros((2, order.n_pixels))
    together = 1 + (1 << 20) // order.n_pixels
    pieces = [(start, min(start + together, order.n_frames)) for start in range(0, order.n_frames, together)]
    first = look.away(order, 0, 1)
    template = first[:, 0] - first[:, 0].mean(axis=1, keepdims=True)
    template = np.nan_to_num(template)
    has_angle = bool((template**2).sum() > 0.0)
    for start, stop in pieces:
        points = look.away(order, start, stop)
        boresight[:, start:stop] = points.mean(axis=2)
        apart = points - points.mean(axis=2, keepdims=True)
        if has_angle:
            along = (template[:, None] * apart).sum(axis=(0, 2))
            across = (template[0] * apart[1] - template[1] * apart[0]).sum(axis=1)
            angle[start:stop] = np.degrees(np.arctan2(across, along))
        cosine, sine = (turn(np.radians(angle[start:stop]))[:, None] for turn in (np.cos, np.sin))
        position[0] += np.nansum(apart[0] * cosine + apart[1] * sine, axis=0)
        position[1] += np.nansum(apart[1] * cosine - apart[0] * sine, axis=0)
    n_known = np.count_nonzero(np.isfinite(boresight).all(axis=0))
    frames = FrameTable.make(time, boresight, angle=angle)
    wired = {
        name: _column(file, table, name)[order.rows(0, 1)[0]]
        for name in ("COL", "ROW")
        if name in table.columns and bool(np.any(_column(file, table, name)))
    }
    channels = ChannelTable.make(order.pixel, position / n_known, row=wired.get("ROW"), column=wired.get("COL"))
    return channels, frames


class _Look:
    """Where pixels look, from the source, in arcsec to the west and to the north.

    Parameters
    ----------
    file : RowFile
        The file.
    table : FitsTable
        The table.
    """

    def __init__(self, file: RowFile, table: FitsTable) -> None:
        self._columns = {name: table.columns[name] for name in ("DX", "DY")}
        where = f"{file.path}, {table.label}, column"
        self._factor = {
            name: factor_of_unit(column.unit, _RADIANS, f"{where} {name}") for name, column in self._columns.items()
        }
        x, y = (_column(file, table, name).astype(np.float64) * self._factor[name] for name in ("DX", "DY"))
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            msg = "DX and DY are not finite in any row; there is no pointing to make maps with"
            raise DataError(msg)
        in_arcsec = self._columns["DX"].unit.lower().startswith("arcsec")
        self.is_offset = in_arcsec or bool(max(np.abs(x[known]).max(), np.abs(y[known]).max()) < _NEAR)
        if self.is_offset:
            self.target = (0.0, 0.0)
            return
        header = [table.header, file.headers[0]]
        named_target = [next((h[key] for h in header if key in h), None) for key in ("TARGRA", "TARGDEC")]
        if all(isinstance(value, (int, float)) for value in named_target):
            self.target = (float(named_target[0] or 0.0), float(named_target[1] or 0.0))
        else:
            east = np.remainder(x[known] - x[known][0] + 180.0, 360.0) - 180.0
            self.target = (float(x[known][0] + np.median(east)), float(np.median(y[known])))
            _log.warning(
                "%s does not say where the source is (TARGRA, TARGDEC [deg]); offsets are from the middle of the scan, "
                "%.5f %.5f deg",
                file.path,
                *self.target,
            )

    def away(self, order: _Order, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Return where pixels look in some frames, shape (2, stop - start, n_pixels)."""
        rows = order.frames(["DX", "DY"], start, stop)
        x, y = (
            unscaled(rows[name], column).astype(np.float64) * self._factor[name]
            for name, column in self._columns.items()
        )
        east = np.remainder(x - self.target[0] + 180.0, 360.0) - 180.0
        return np.stack([-east * math.cos(math.radians(self.target[1])), y - self.target[1]]) * 3600.0


def _facts(file: RowFile, table: FitsTable, frames: FrameTable) -> ScanFacts:
    """Return what the headers say."""
    keywords: dict[str, Any] = {**dict(file.headers[0]), **dict(table.header)}
    stem = file.path.name.removesuffix(".gz").removesuffix(".fits")
    beam = keywords.get("BMAJ", math.nan)
    facts = ScanFacts(
        instrument=str(keywords.get("INSTRUME", "MUSTANG-2")).strip() or "MUSTANG-2",
        scan_id=str(keywords.get("OBS_ID", stem)).strip() or stem,
        object_name=str(keywords.get("OBJECT", "source")).strip() or "source",
        date=str(keywords.get("DATE-OBS", "")).strip(),
        resolution=float(beam) if isinstance(beam, (int, float)) and beam > 0 else math.nan,
        unit=table.columns["FNU"].unit or "counts",
    )
    return with_interval(facts, frames)
