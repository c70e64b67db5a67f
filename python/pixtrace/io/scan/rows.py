"""Rows of large FITS tables, a piece at a time.

A raw scan may be larger than memory, and most of its bytes are never wanted. So the headers are read and the places of
all columns worked out once; after that any range of rows of any columns is a window on the file, and only the pages
that are touched are read. A file packed with gzip is unpacked once, piece by piece, into a temporary file without a
name, which vanishes with the last window on it.
"""

from __future__ import annotations

import errno
import gzip
import math
import mmap
import os
import re
import shutil
import tempfile
import weakref
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import FileReadError
from pixtrace.io.fitsfile import GZIP_MAGIC, extension_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

__all__ = ["FitsTable", "RowFile", "TableColumn"]

_BLOCK = 2880
_COPY = 1 << 22
_WINDOW = 1 << 25  # bytes of a table that are mapped together
# Letters of TFORM: numpy type, bytes. Bits (X) and pointers (P, Q) are stepped over.
_TYPES = {"L": "i1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16"}
_SIZES = {"A": 1, "P": 8, "Q": 16} | {letter: np.dtype(kind).itemsize for letter, kind in _TYPES.items()}


@dataclass(frozen=True)
class TableColumn:
    """A column of a FITS binary table.

    Attributes
    ----------
    name : str
        TTYPE as it stands in the file.
    form : str
        TFORM.
    unit : str
        TUNIT without blanks around it; "" if there is none.
    dtype : str or None
        Type of its numbers or texts; None if it holds neither.
    start : int
        Its first byte in a row.
    shape : tuple of int
        Shape of one row's value; () for a single number.
    scale, zero : float
        TSCAL and TZERO.
    null : int or None
        TNULL, the integer that stands for no value.
    """

    name: str
    form: str
    unit: str
    dtype: str | None
    start: int
    shape: tuple[int, ...]
    scale: float
    zero: float
    null: int | None


@dataclass(frozen=True, eq=False)
class FitsTable:
    """A binary table and where it lies in the file.

    Attributes
    ----------
    label : str
        Name for messages: number and EXTNAME.
    name : str
        EXTNAME in capital letters.
    header : Header
        Its header.
    n_rows, row_length : int
        Number of rows, and bytes of each.
    start : int
        First byte of the first row.
    columns : dict of str to TableColumn
        Its columns by name in capital letters.
    """

    label: str
    name: str
    header: Any
    n_rows: int
    row_length: int
    start: int
    columns: dict[str, TableColumn]


class RowFile:
    """A FITS file whose tables are read by ranges of rows.

    Parameters
    ----------
    path : path-like
        The file, packed with gzip or not.

    Attributes
    ----------
    path : Path
        The file.
    headers : list of Header
        The headers of all its units.
    tables : list of FitsTable
        Its binary tables, in the order of the file.

    Raises
    ------
    FileReadError
        The file does not exist, is not FITS, is damaged or ends too early.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._fd = _open(self.path)
        weakref.finalize(self, os.close, self._fd)
        self._size = os.fstat(self._fd).st_size
        self.headers: list[Any] = []
        self.tables: list[FitsTable] = []
        self._read_headers()

    def _read_headers(self) -> None:
        """Go from header to header, and see that the data between them are there."""
        from astropy.io import fits

        position = 0
        with os.fdopen(os.dup(self._fd), "rb") as file:
            while position < self._size:
                file.seek(position)
                try:
                    header: Any = fits.Header.fromfile(file)
                except (OSError, EOFError, ValueError, fits.VerifyError) as error:
                    begins = _has_header(file, position)
                    if self.headers and not begins:
                        break  # what follows the last unit is no business of ours
                    what = "ends too early" if begins else "is not a FITS file, or a damaged one"
                    msg = f"{self.path} {what} (header {len(self.headers)}: {error}); get a complete copy"
                    raise FileReadError(msg) from error
                if not self.headers and "SIMPLE" not in header:
                    msg = f"{self.path} is not a FITS file: its first header has no SIMPLE; expected a FITS file"
                    raise FileReadError(msg)
                start = file.tell()
                size = self._data_size(header)
                name = extension_label(_name(header), int(header.get("EXTVER", 1)))
                label = f"HDU {len(self.headers)} ({name})"
                self.headers.append(header)
                if start + size > self._size:
                    self._complain(header, label, start, size)
                if header.get("XTENSION", "").strip() == "BINTABLE":
                    self.tables.append(self._table(header, label, start))
                position = start + -(-size // _BLOCK) * _BLOCK
        if not self.headers:
            msg = f"{self.path} is empty; get a complete copy"
            raise FileReadError(msg)

    def _data_size(self, header: Any) -> int:  # noqa: ANN401 - astropy has no types
        """Return how many bytes follow a header."""
        try:
            axes = [int(header[f"NAXIS{k}"]) for k in range(1, int(header.get("NAXIS", 0)) + 1)]
            if not axes:
                return 0
            groups = int(header.get("GCOUNT", 1)) * (int(header.get("PCOUNT", 0)) + math.prod(axes))
            return abs(int(header["BITPIX"])) // 8 * groups
        except (KeyError, TypeError, ValueError) as error:
            msg = (
                f"{self.path}: header {len(self.headers)} does not say how large its data are ({error}); it is damaged"
            )
            raise FileReadError(msg) from error

    def _complain(self, header: Any, label: str, start: int, size: int) -> None:  # noqa: ANN401
        """Raise the error for data that are not all there."""
        here = max(self._size - start, 0)
        rows = ""
        if header.get("XTENSION", "").strip() == "BINTABLE":
            rows = f": {here // max(header['NAXIS1'], 1)} of {header['NAXIS2']} rows"
        msg = f"{self.path} ends too early: of the {size} bytes of {label}, {here} are there{rows}; get a complete copy"
        raise FileReadError(msg)

    def _table(self, header: Any, label: str, start: int) -> FitsTable:  # noqa: ANN401
        """Return a table with the places of its columns."""
        columns: dict[str, TableColumn] = {}
        place = 0
        for k in range(1, int(header.get("TFIELDS", 0)) + 1):
            column, length = self._column(header, k, place, label)
            columns.setdefault(column.name.upper(), column)
            place += length
        row_length = int(header["NAXIS1"])
        if place != row_length:
            msg = f"{self.path}, {label}: columns fill {place} bytes of a row, NAXIS1 is {row_length}; it is damaged"
            raise FileReadError(msg)
        return FitsTable(
            label=label,
            name=_name(header),
            header=header,
            n_rows=int(header["NAXIS2"]),
            row_length=row_length,
            start=start,
            columns=columns,
        )

    def _column(self, header: Any, k: int, place: int, label: str) -> tuple[TableColumn, int]:  # noqa: ANN401
        """Return a column and how many bytes of a row it takes."""
        form = str(header.get(f"TFORM{k}", "")).strip()
        match = re.fullmatch(r"(\d*)([LXBIJKAEDCMPQ])(.*)", form)
        if match is None:
            msg = f"{self.path}, {label}: TFORM{k} = {form!r} is no format of a column; the file is damaged"
            raise FileReadError(msg)
        repeat, letter = int(match[1] or 1), match[2]
        length = -(-repeat // 8) if letter == "X" else repeat * _SIZES[letter]
        dims = re.findall(r"\d+", str(header.get(f"TDIM{k}", "")))
        shape = tuple(int(n) for n in reversed(dims))
        if not shape or math.prod(shape) != repeat:
            shape = () if repeat == 1 else (repeat,)
        dtype = _TYPES.get(letter)
        if letter == "A":
            dtype, shape = f"S{max(repeat, 1)}", ()
        column = TableColumn(
            name=str(header.get(f"TTYPE{k}", f"col{k}")).strip(),
            form=form,
            unit=str(header.get(f"TUNIT{k}", "")).strip(),
            dtype=dtype,
            start=place,
            shape=shape,
            scale=float(header.get(f"TSCAL{k}", 1.0)),
            zero=float(header.get(f"TZERO{k}", 0.0)),
            null=header.get(f"TNULL{k}"),
        )
        return column, length

    def window(self, table: FitsTable, names: Sequence[str], start: int, stop: int) -> npt.NDArray[Any]:
        """Return some columns of some rows as they are in the file, without reading them yet.

        Parameters
        ----------
        table : FitsTable
            One of the `tables`.
        names : sequence of str
            Names of columns of numbers, in capital letters.
        start, stop : int
            The rows, within the table.

        Returns
        -------
        ndarray of a structured type, shape (stop - start,)
            A view of the file, with these names; read-only, big-endian and not scaled.
        """
        columns = [table.columns[name] for name in names]
        dtype = np.dtype(
            {
                "names": list(names),
                "formats": [(column.dtype, column.shape) for column in columns],
                "offsets": [column.start for column in columns],
                "itemsize": table.row_length,
            }
        )
        if stop <= start:
            return np.zeros(0, dtype=dtype)
        first = table.start + start * table.row_length
        aligned = first - first % mmap.ALLOCATIONGRANULARITY
        length = (stop - start) * table.row_length
        window = mmap.mmap(self._fd, first - aligned + length, access=mmap.ACCESS_READ, offset=aligned)
        return np.frombuffer(window, dtype=dtype, count=stop - start, offset=first - aligned)

    def columns(self, table: FitsTable, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
        """Return columns in memory, read in one pass: machine byte order, scaled, NaN where there is none.

        Parameters
        ----------
        table : FitsTable
            One of the `tables`.
        names : iterable of str
            Names of columns of numbers or texts, in capital letters.

        Returns
        -------
        dict of str to ndarray, shape (n_rows, ...)
            Their values; integers that are scaled or have a TNULL come as float64, logical values as bool.
        """
        wanted = list(names)
        together = max(1, _WINDOW // max(table.row_length, 1))
        parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in wanted}
        for first in range(0, max(table.n_rows, 1), together):
            rows = self.window(table, wanted, first, min(first + together, table.n_rows))
            for name in wanted:
                parts[name].append(np.array(rows[name]))
        return {name: unscaled(np.concatenate(part), table.columns[name]) for name, part in parts.items()}


def unscaled(values: npt.NDArray[Any], column: TableColumn) -> npt.NDArray[Any]:
    """Return what the numbers in a file stand for.

    Parameters
    ----------
    values : ndarray
        The numbers as they are in the file.
    column : TableColumn
        Where they come from.

    Returns
    -------
    ndarray
        Machine byte order; float64 and NaN where TSCAL, TZERO or TNULL ask for it.
    """
    if column.form.lstrip("0123456789").startswith("L"):
        return np.asarray(values == ord("T"))
    plain = values.astype(values.dtype.newbyteorder("="), copy=False)
    if column.scale == 1.0 and column.zero == 0.0 and column.null is None:
        return plain
    scaled = plain.astype(np.float64) * column.scale + column.zero
    if column.null is not None:
        scaled[plain == column.null] = np.nan
    return scaled


def _name(header: Any) -> str:  # noqa: ANN401 - astropy has no types
    """Return the name of a unit in capital letters."""
    return str(header.get("EXTNAME", "")).strip().upper() or ("PRIMARY" if "SIMPLE" in header else "unnamed")


def _has_header(file: Any, position: int) -> bool:  # noqa: ANN401
    """Tell whether a header begins here."""
    file.seek(position)
    return file.read(8) in {b"XTENSION", b"SIMPLE  "}


def _open(path: Path) -> int:
    """Return a descriptor of the file, or of its unpacked content."""
    try:
        with path.open("rb") as file:
            if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
                return os.dup(file.fileno())
    except FileNotFoundError as error:
        msg = f"{path} does not exist; check the name"
        raise FileReadError(msg) from error
    except IsADirectoryError as error:
        msg = f"{path} is a directory; expected a FITS file"
        raise FileReadError(msg) from error
    except PermissionError as error:
        msg = f"{path} may not be read; check its permissions"
        raise FileReadError(msg) from error
    with tempfile.TemporaryFile() as unpacked:
        try:
            with gzip.open(path, "rb") as packed:
                shutil.copyfileobj(packed, unpacked, _COPY)
            unpacked.flush()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            msg = f"{path} is damaged: it cannot be unpacked ({error}); get a complete copy"
            raise FileReadError(msg) from error
        except OSError as error:
            where = tempfile.gettempdir()
            reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
            msg = f"{path} cannot be unpacked into {where}: {reason}; make room there, set TMPDIR, or unpack it first"
            raise FileReadError(msg) from error
        return os.dup(unpacked.fileno())
