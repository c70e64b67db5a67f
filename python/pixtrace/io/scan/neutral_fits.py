"""Scans in the neutral form as FITS files.

The primary header holds the keywords. The table FRAMES has a row per frame, with the columns of
`pixtrace.io.scan.neutral` and DATA, the signals of all channels (and JUMPS, if the electronics count jumps); there may
be several of them, which follow each other. The table CHANNELS has a row per element of DATA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError, FileReadError
from pixtrace.io.atomic import atomic_path
from pixtrace.io.scan.columns import require_columns
from pixtrace.io.scan.neutral import (
    CHANNEL_COLUMNS,
    FRAME_COLUMNS,
    Column,
    channel_columns_of,
    channels_from,
    facts_from,
    frame_columns_of,
    frames_from,
    keywords_of,
)
from pixtrace.io.scan.raw import DataChunk, ScanStream
from pixtrace.io.scan.rows import RowFile, unscaled

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy.typing as npt

    from pixtrace.io.scan.rows import FitsTable

__all__ = ["CHANNELS", "FRAMES", "open_neutral_fits", "write_neutral_fits"]

#: Names of the tables.
FRAMES, CHANNELS = "FRAMES", "CHANNELS"
_WHAT = "a scan in the neutral form"
_BLOCK = 2880
_LETTERS = {"f8": "D", "f4": "E", "i8": "K", "i2": "I", "b1": "L"}


def open_neutral_fits(path: str | os.PathLike[str] | RowFile) -> ScanStream:
    """Open a scan in the neutral FITS form.

    Parameters
    ----------
    path : path-like or RowFile
        The file, packed with gzip or not.

    Returns
    -------
    ScanStream
        The scan.

    Raises
    ------
    FileReadError
        The file cannot be read, ends too early, or lacks a table or a column.
    DataError
        Its content cannot be used: impossible units, times or dimensions, no valid frame.
    """
    file = path if isinstance(path, RowFile) else RowFile(path)
    tables = [table for table in file.tables if table.name == FRAMES and table.n_rows]
    if not tables:
        found = ", ".join(table.label for table in file.tables) or "none"
        msg = f"{file.path} has no table {FRAMES} with rows in it; {_WHAT} needs one (tables found: {found})"
        raise FileReadError(msg)
    shapes: set[tuple[int, ...]] = set()
    for table in tables:
        needed = tuple(name for name, (_, required) in FRAME_COLUMNS.items() if required)
        require_columns(file, table, (*needed, "DATA"), _WHAT)
        column = table.columns["DATA"]
        if column.dtype is None or np.dtype(column.dtype).kind not in "fiu":
            msg = f"{file.path}, {table.label}, column DATA has the format {column.form}; expected real numbers"
            raise DataError(msg)
        shapes.add(column.shape)
    if len(shapes) > 1:
        msg = (
            f"{file.path}: DATA has {' and '.join(map(str, sorted(shapes)))} numbers per row; expected the same in all"
        )
        raise DataError(msg)
    n_channels = int(np.prod(shapes.pop(), dtype=np.int64))
    frames = frames_from(_columns(file, tables, tuple(FRAME_COLUMNS)), f"{file.path}, {tables[0].label}")
    listed = [table for table in file.tables if table.name == CHANNELS]
    label = f"{file.path}, {listed[0].label}" if listed else str(file.path)
    described = _columns(file, listed[:1], tuple(CHANNEL_COLUMNS)) if listed else None
    channels = channels_from(described, label, n_channels)
    stem = file.path.name.removesuffix(".gz").removesuffix(".fits")
    header = file.headers[0]
    keywords = {key: header[key] for key in dict.fromkeys(header) if key not in {"COMMENT", "HISTORY", ""}}
    if tables[0].columns["DATA"].unit:
        keywords["BUNIT"] = tables[0].columns["DATA"].unit
    facts = facts_from(keywords, str(file.path), stem, frames)
    level = _first(file, tables[0])

    def chunks(most: int) -> Iterator[DataChunk]:
        return _chunks(file, tables, level, most)

    return ScanStream(facts, channels, frames, chunks, name=str(file.path))


def _columns(file: RowFile, tables: list[FitsTable], names: tuple[str, ...]) -> dict[str, Column]:
    """Return those columns that all tables have; those of several tables follow each other."""
    shared = [
        name
        for name in names
        if all(name in table.columns and table.columns[name].dtype is not None for table in tables)
    ]
    found = [file.columns(table, shared) for table in tables]
    columns: dict[str, Column] = {}
    for name in shared:
        values = np.concatenate([part[name] for part in found])
        single = values.ndim == 2 and values.shape[1] == 1  # noqa: PLR2004 - a vector of one number in each row
        columns[name] = Column(values.reshape(-1) if single else values, tables[0].columns[name].unit)
    return columns


def _first(file: RowFile, table: FitsTable) -> npt.NDArray[np.float64]:
    """Return the level of each channel that is taken off: its first signal, 0 where that is not finite."""
    first = unscaled(file.window(table, ["DATA"], 0, 1)["DATA"], table.columns["DATA"]).astype(np.float64)
    return np.where(np.isfinite(first), first, 0.0).reshape(-1)


def _chunks(file: RowFile, tables: list[FitsTable], level: npt.NDArray[np.float64], most: int) -> Iterator[DataChunk]:
    """Yield the data, at most so many frames at a time."""
    start = 0
    for table in tables:
        has_jumps = "JUMPS" in table.columns and table.columns["JUMPS"].shape == table.columns["DATA"].shape
        names = ["DATA", "JUMPS"] if has_jumps else ["DATA"]
        for first in range(0, table.n_rows, most):
            rows = file.window(table, names, first, min(first + most, table.n_rows))
            values = unscaled(rows["DATA"].reshape(len(rows), -1), table.columns["DATA"])
            data = np.empty(values.shape, dtype=np.float32)
            np.subtract(values, level, out=data, casting="unsafe")
            jumps = rows["JUMPS"].reshape(len(rows), -1).astype(np.int16) if has_jumps else None
            yield DataChunk(start + first, data, jumps)
        start += table.n_rows


def write_neutral_fits(path: str | os.PathLike[str], scan: ScanStream, *, overwrite: bool = False) -> None:
    """Write a scan in the neutral FITS form, piece by piece.

    Parameters
    ----------
    path : path-like
        The file; one that ends in ``.gz`` is packed.
    scan : ScanStream
        The scan; its jumps are not written.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Raises
    ------
    OutputExistsError, OutputError
        It cannot be written.
    """
    from astropy.io import fits

    from pixtrace.io.scan.hawc_write import opened

    columns = frame_columns_of(scan)
    dtype = np.dtype(
        [
            (name, "S1" if column.values.dtype.kind == "b" else column.values.dtype.newbyteorder(">"))
            for name, column in columns.items()
        ]
        + [("DATA", ">f4", (scan.n_channels,))]
    )
    described = [
        fits.Column(name, f"1{_LETTERS[column.values.dtype.str[1:]]}", unit=column.unit or None)
        for name, column in columns.items()
    ]
    described.append(fits.Column("DATA", f"{scan.n_channels}E", unit=scan.facts.unit or None))
    primary: Any = fits.PrimaryHDU()
    for key, card in keywords_of(scan.facts).items():
        primary.header[key] = card
    table = fits.BinTableHDU.from_columns(described, nrows=0, name=FRAMES).header
    table["NAXIS2"] = scan.n_frames
    with atomic_path(path, overwrite=overwrite) as partial, opened(partial) as file:
        file.write(str(primary.header.tostring()).encode("ascii"))
        file.write(str(table.tostring()).encode("ascii"))
        for chunk in scan.chunks():
            rows = np.empty(len(chunk.data), dtype=dtype)
            rows["DATA"] = chunk.data
            for name, column in columns.items():
                part = column.values[chunk.start : chunk.start + len(rows)]
                rows[name] = np.where(part, b"T", b"F") if part.dtype.kind == "b" else part
            file.write(rows.tobytes())
        file.write(bytes(-(scan.n_frames * dtype.itemsize) % _BLOCK))
        file.write(_channel_table(scan))


def _channel_table(scan: ScanStream) -> bytes:
    """Return the table of channels as it stands in the file."""
    from io import BytesIO

    from astropy.io import fits

    columns = [
        fits.Column(
            name,
            "9A" if column.values.dtype.kind == "U" else f"1{_LETTERS[column.values.dtype.str[1:]]}",
            unit=column.unit or None,
            array=column.values,
        )
        for name, column in channel_columns_of(scan).items()
    ]
    target = BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name=CHANNELS)]).writeto(target)
    return target.getvalue()[_BLOCK:]
