"""Scans in the neutral form as ECSV files: plain text, for small scans and for making them by hand.

A table of frames with the columns of `pixtrace.io.scan.neutral`, and a column ``CH<number>`` of signals for every
channel. The keywords stand in the meta data of the table, and there, under ``channels``, a mapping of the columns of
the table of channels to lists; where it is missing, channels are known by their number alone.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError, FileReadError
from pixtrace.io.atomic import atomic_path
from pixtrace.io.fitsfile import GZIP_MAGIC
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
from pixtrace.io.scan.tables import ChannelTable

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy.typing as npt

__all__ = ["ECSV_MAGIC", "open_neutral_ecsv", "write_neutral_ecsv"]

#: The first bytes of an ECSV file.
ECSV_MAGIC = b"# %ECSV"
_CHANNELS = "channels"
_TRUTH = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}


def open_neutral_ecsv(path: str | os.PathLike[str]) -> ScanStream:
    """Open a scan in the neutral ECSV form.

    Parameters
    ----------
    path : path-like
        The file, packed with gzip or not.

    Returns
    -------
    ScanStream
        The scan; its data are read line by line. Empty fields are missing signals.

    Raises
    ------
    FileReadError
        The file cannot be read, or lacks a column.
    DataError
        Its content cannot be used: impossible units, times or numbers, no valid frame.
    """
    path = Path(path)
    header, names = _header(path)
    delimiter = str(header.get("delimiter", " "))
    described: list[dict[str, Any]] = header["datatype"]
    units = {str(column["name"]).upper(): str(column.get("unit", "")) for column in described}
    signals = [k for k, name in enumerate(names) if re.fullmatch(r"CH\d+", name)]
    if not signals:
        msg = f"{path}: no column of signals (CH0, CH1, ...); found are {', '.join(names) or 'none at all'}"
        raise FileReadError(msg)
    columns: dict[str, Column] = {}
    for name in FRAME_COLUMNS:
        if name in names:
            values = _numbers(path, delimiter, [names.index(name)], truth=name == "VALID")
            columns[name] = Column(values[:, 0], units[name])
    frames = frames_from(columns, str(path))
    numbers = [int(names[k][2:]) for k in signals]
    meta: dict[str, Any] = dict(header.get("meta") or {})
    channels, order = _channels(path, meta.pop(_CHANNELS, None), numbers)
    meta.setdefault("BUNIT", units[names[signals[0]]])
    facts = facts_from({str(key).upper(): value for key, value in meta.items()}, str(path), _stem(path), frames)
    wanted = [signals[k] for k in order]
    first = next(_pieces(path, delimiter, wanted, 1))[0].astype(np.float64)
    level = np.where(np.isfinite(first), first, 0.0)

    def chunks(most: int) -> Iterator[DataChunk]:
        start = 0
        for values in _pieces(path, delimiter, wanted, most):
            yield DataChunk(start, (values - level).astype(np.float32))
            start += len(values)

    return ScanStream(facts, channels, frames, chunks, name=str(path))


def _stem(path: Path) -> str:
    """Return the name of a file without its suffixes."""
    return path.name.removesuffix(".gz").removesuffix(".ecsv")


def _opened(path: Path) -> IO[str]:
    """Return the file, open as text."""
    try:
        with path.open("rb") as file:
            packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        if packed:
            return gzip.open(path, "rt", encoding="utf-8")
        return path.open(encoding="utf-8")
    except FileNotFoundError as error:
        msg = f"{path} does not exist; check the name"
        raise FileReadError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise FileReadError(msg) from error


def _header(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the header of a file, and the names of its columns in capital letters."""
    from astropy.table import meta

    lines: list[str] = []
    try:
        with _opened(path) as file:
            for line in file:
                if not line.startswith("#"):
                    names = line
                    break
                lines.append(line.removeprefix("#").removeprefix(" ").rstrip("\n"))
            else:
                msg = f"{path} ends before the names of the columns; get a complete copy"
                raise FileReadError(msg)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        msg = f"{path} is no text, or damaged ({error}); expected an ECSV table"
        raise FileReadError(msg) from error
    if not lines or not lines[0].startswith("%ECSV"):
        msg = f"{path} does not begin with '# %ECSV'; expected an ECSV table"
        raise FileReadError(msg)
    try:
        header: dict[str, Any] = meta.get_header_from_yaml(lines[1:])
    except Exception as error:  # whatever the parser finds
        msg = f"{path}: the header is no YAML that describes a table ({error})"
        raise FileReadError(msg) from error
    listed = [str(column["name"]).upper() for column in header.get("datatype", [])]
    delimiter = str(header.get("delimiter", " "))
    written = [name.strip().strip('"').upper() for name in names.rstrip("\n").split(delimiter)]
    if written != listed:
        msg = f"{path}: the line of names ({', '.join(written)}) is not what the header says ({', '.join(listed)})"
        raise FileReadError(msg)
    return header, listed


def _body(path: Path) -> IO[str]:
    """Return the file, open after the line of names."""
    file = _opened(path)
    for line in file:
        if not line.startswith("#"):
            break
    return file


def _numbers(path: Path, delimiter: str, places: list[int], *, truth: bool = False) -> npt.NDArray[np.float64]:
    """Return some columns as numbers."""
    with _body(path) as file:
        return _parsed(file, path, delimiter, places, None, truth=truth)


def _pieces(path: Path, delimiter: str, places: list[int], most: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield some columns, so many lines at a time."""
    with _body(path) as file:
        while True:
            values = _parsed(file, path, delimiter, places, most)
            if len(values):
                yield values
            if len(values) < most:
                return


def _parsed(
    file: IO[str], path: Path, delimiter: str, places: list[int], most: int | None, *, truth: bool = False
) -> npt.NDArray[np.float64]:
    """Return numbers from the next lines of a file; NaN for empty fields."""
    import itertools

    def number(text: str) -> float:
        text = text.strip().strip('"')
        return np.nan if not text else _TRUTH[text.lower()] if truth else float(text)

    lines = list(itertools.islice((line for line in file if line.strip()), most))
    if not lines:
        return np.empty((0, len(places)))
    try:
        plain = not truth and '""' not in "".join(lines)
        return np.loadtxt(
            lines,
            delimiter=None if delimiter == " " else delimiter,
            usecols=places,
            ndmin=2,
            converters=None if plain else number,
            encoding="utf-8",
        )
    except (ValueError, KeyError, IndexError) as error:
        msg = f"{path}: a line cannot be read as numbers ({error}); correct it, or get a complete copy"
        raise DataError(msg) from error


def _channels(path: Path, listed: Any, numbers: list[int]) -> tuple[ChannelTable, list[int]]:  # noqa: ANN401
    """Return the table of channels, and which column of signals belongs to each of its rows."""
    if listed is None:
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        return ChannelTable.make([numbers[k] for k in order]), order
    where = f"{path}, meta {_CHANNELS}"
    if not isinstance(listed, dict):
        msg = f"{where} is no mapping of names to lists"
        raise DataError(msg)
    given = {str(key).upper(): np.atleast_1d(np.asarray(values)) for key, values in listed.items()}
    columns = {key: Column(values) for key, values in given.items() if key in CHANNEL_COLUMNS}
    table = channels_from(columns, where, len(numbers))
    missing = sorted(set(table.fixed_index.tolist()) - set(numbers))
    if missing:
        msg = f"{where} lists the channel {missing[0]}, for which there is no column CH{missing[0]}"
        raise DataError(msg)
    return table, [numbers.index(number) for number in table.fixed_index.tolist()]


def write_neutral_ecsv(path: str | os.PathLike[str], scan: ScanStream, *, overwrite: bool = False) -> None:
    """Write a scan in the neutral ECSV form, piece by piece.

    Parameters
    ----------
    path : path-like
        The file.
    scan : ScanStream
        The scan; its jumps are not written. Signals keep nine digits, which is all of them.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Raises
    ------
    OutputExistsError, OutputError
        It cannot be written.
    """
    from io import StringIO

    from astropy.table import Column as TableColumn
    from astropy.table import Table

    columns = frame_columns_of(scan)
    header: Any = Table(meta={key: value for key, (value, _) in keywords_of(scan.facts).items()})
    header.meta[_CHANNELS] = {key: column.values.tolist() for key, column in channel_columns_of(scan).items()}
    for name, column in columns.items():
        header[name] = TableColumn(np.empty(0, dtype=column.values.dtype), unit=column.unit or None)
    for number in scan.channels.fixed_index.tolist():
        header[f"CH{number}"] = TableColumn(np.empty(0, dtype=np.float32), unit=None)
    text = StringIO()
    header.write(text, format="ascii.ecsv")
    with atomic_path(path, overwrite=overwrite) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(text.getvalue().rstrip("\n") + "\n")
        for chunk in scan.chunks():
            part = slice(chunk.start, chunk.start + len(chunk.data))
            texts = [column.values[part].tolist() for column in columns.values()]
            for known, signals in zip(zip(*texts, strict=True), chunk.data.tolist(), strict=True):
                file.write(" ".join([*map(str, known), *(f"{signal:.9g}" for signal in signals)]) + "\n")
