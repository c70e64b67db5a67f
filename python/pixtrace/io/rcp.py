"""Receiver channel parameter files (``.rcp``): positions and gains of pixels as lines of text.

A line holds, separated by tabs or spaces, the number of the pixel (fixed index), its gain to a point source, its gain
to the sky, and its position offset x and y in arcsec. Files of four columns lack the gain to the sky, files of three
columns both gains; columns beyond the fifth are passed over. What follows ``#`` is comment.

Numbers are written so that reading gives the same bits. A pixel that was not measured has no line of its own, so that
no reader takes a made-up position for a measured one; it is named in a comment, ``# unmeasured: 7``, which
`read_rcp` understands. The reader of sofia_redux flags the pixels that have no line as blind.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.exceptions import DataError, FileReadError
from pixtrace.io.atomic import atomic_path
from pixtrace.scan.tables import PixelTable, RcpTable

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["read_rcp", "write_rcp"]

_TITLE = "Receiver Channel Parameter (RCP) Data File"
_HEADINGS = "ch\t[Gpnt]\t[Gsky]\tdX\tdY"
_UNMEASURED = "unmeasured:"
_FEWEST, _MOST = 3, 5
_NAMES = {
    3: ("pixel number", "x", "y"),
    4: ("pixel number", "point gain", "x", "y"),
    5: ("pixel number", "point gain", "sky gain", "x", "y"),
}
_LARGEST_INDEX = 2**63 - 1


def write_rcp(
    path: str | os.PathLike[str],
    table: PixelTable | RcpTable,
    *,
    header: Mapping[str, object] | Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write positions and gains of pixels as a file that sofia_redux reads.

    Parameters
    ----------
    path : path-like
        The file.
    table : PixelTable or RcpTable
        What is to be written; of a `PixelTable`, what `PixelTable.to_rcp` makes of it. Unknown gains are written as 1.
    header : mapping of str to object, or sequence of str, optional
        Comment at the head of the file: lines, or names and values (Instrument, Scan, Object, ...), which are written
        as ``name: value``. The header of an `RcpTable` comes before it.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Raises
    ------
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    from pixtrace import __version__

    rcp = table.to_rcp() if isinstance(table, PixelTable) else table
    lines = [f"# pixtrace {_TITLE}."]
    comments = [*_split(rcp.header), *_split(_header_lines(header))]
    lines += ["#", *(f"# {comment}" for comment in comments), f"# pixtrace version: {__version__}"]
    lines += ["#", f"# {_HEADINGS}"]
    with atomic_path(path, overwrite=overwrite) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
        for index, point_gain, sky_gain, x, y in zip(
            rcp.fixed_index.tolist(),
            np.where(np.isnan(rcp.point_gain), 1.0, rcp.point_gain).tolist(),
            np.where(np.isnan(rcp.sky_gain), 1.0, rcp.sky_gain).tolist(),
            rcp.x.tolist(),
            rcp.y.tolist(),
            strict=True,
        ):
            file.write(f"{index}\t{point_gain!r}\t{sky_gain!r}\t{x!r}\t{y!r}\n")
        file.writelines(f"# {_UNMEASURED} {index}\n" for index in rcp.unmeasured.tolist())


def read_rcp(path: str | os.PathLike[str]) -> RcpTable:
    """Read positions and gains of pixels.

    Parameters
    ----------
    path : path-like
        A file of three, four, five or more columns, written by whomever.

    Returns
    -------
    RcpTable
        Its content. Gains that the file does not have are NaN. A pixel whose position is NaN counts as unmeasured.

    Raises
    ------
    FileReadError
        It does not exist, is not text, names no pixel, or a line does not hold what it should; the message has the
        number of the line.
    """
    path = Path(path)
    rows: list[tuple[float, ...]] = []
    indices: list[int] = []
    unmeasured: list[int] = []
    header: list[str] = []
    seen: dict[int, int] = {}
    n_columns = first_line = 0
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}, line {number}"
        content, mark, comment = line.partition("#")
        fields = content.split()
        if not fields:
            comment = comment.strip()
            if comment.startswith(_UNMEASURED):
                index = _index(comment.removeprefix(_UNMEASURED), where)
                _note(seen, index, number, where)
                unmeasured.append(index)
            elif mark and not indices and comment and not _is_ours(comment):
                header.append(comment)
            continue
        if not n_columns:
            n_columns, first_line = len(fields), number
        _check_columns(fields, n_columns, first_line, where)
        names = _NAMES[min(len(fields), _MOST)]
        index = _index(fields[0], where)
        _note(seen, index, number, where)
        values = tuple(_number(text, name, where) for text, name in zip(fields[1:_MOST], names[1:], strict=True))
        if math.isnan(values[-1]) or math.isnan(values[-2]):
            unmeasured.append(index)
            continue
        indices.append(index)
        rows.append(values)
    if not seen:
        msg = f"{path} names no pixel; expected lines of 3, 4, 5 or more columns: pixel number, gains, x, y"
        raise FileReadError(msg)
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), min(n_columns, _MOST) - 1 if rows else 2).T
    unknown = np.full(len(rows), np.nan)
    try:
        return RcpTable(
            fixed_index=np.array(indices, dtype=np.int64),
            x=columns[-2],
            y=columns[-1],
            point_gain=columns[0] if len(columns) > len(_NAMES[3]) - 1 else unknown,
            sky_gain=columns[1] if len(columns) > len(_NAMES[4]) - 1 else unknown,
            unmeasured=np.array(unmeasured, dtype=np.int64),
            header=tuple(header),
        )
    except DataError as error:
        msg = f"{path}: {error}"
        raise FileReadError(msg) from error


def _header_lines(header: Mapping[str, object] | Sequence[str]) -> list[str]:
    """Return the lines of a header that may be names and values."""
    if isinstance(header, str):
        return [header]
    items = getattr(header, "items", None)
    return [str(line) for line in header] if items is None else [f"{name}: {value}" for name, value in items()]


def _split(lines: Sequence[str]) -> Iterator[str]:
    """Yield lines that hold no line break, so that no part of a comment is taken for data."""
    for line in lines:
        yield from str(line).splitlines()


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        msg = f"{path} does not exist; check the name"
        raise FileReadError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise FileReadError(msg) from error
    if b"\0" in content:
        msg = f"{path} is not a text file; expected the lines of a receiver channel parameter file (.rcp)"
        raise FileReadError(msg)
    # Comments may hold names in any encoding; whatever is not UTF-8 in them does no harm.
    return content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _is_ours(comment: str) -> bool:
    """Tell whether a comment is written anew with every file: title, version, headings."""
    return _TITLE in comment or comment.startswith("pixtrace version:") or comment.split(maxsplit=1)[0] == "ch"


def _check_columns(fields: list[str], n_columns: int, first_line: int, where: str) -> None:
    """Raise `FileReadError` unless a line has as many columns as the first one, and enough of them."""
    if len(fields) < _FEWEST:
        found = f"{len(fields)} column{'s' * (len(fields) > 1)}"
        hint = "; columns are separated by tabs or spaces, not by commas" if "," in fields[0] else ""
        msg = f"{where}: found {found}; expected at least {_FEWEST} (pixel number, x, y){hint}"
        raise FileReadError(msg)
    if len(fields) != n_columns and min(len(fields), n_columns) < _MOST:
        msg = f"{where}: found {len(fields)} columns; expected {n_columns}, as in line {first_line}"
        raise FileReadError(msg)


def _index(text: str, where: str) -> int:
    """Return the number of a pixel; those who write tables of floats write it as 12.0."""
    text = text.strip()
    if text.isdecimal():
        index = int(text)
    else:
        value = _number(text, "pixel number", where)
        index = int(value) if value.is_integer() else -1
    if not 0 <= index <= _LARGEST_INDEX:
        msg = f"{where}: found the pixel number {text!r}; expected a whole number from 0 on"
        raise FileReadError(msg)
    return index


def _number(text: str, name: str, where: str) -> float:
    """Return a number; NaN says that it is not known, but nothing is infinite."""
    try:
        value = math.inf if "_" in text else float(text)  # Python reads 1_0 as 10
    except ValueError:
        value = math.inf
    if math.isinf(value):
        msg = f"{where}, {name}: found {text.strip()!r}; expected a number"
        raise FileReadError(msg)
    return value


def _note(seen: dict[int, int], index: int, number: int, where: str) -> None:
    """Take down in which line a pixel is named."""
    if index in seen:
        msg = f"{where}: pixel {index} has a line already, line {seen[index]}; expected each pixel once"
        raise FileReadError(msg)
    seen[index] = number
