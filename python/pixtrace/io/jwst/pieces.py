"""The pieces of a FITS file that is to be written: headers with the data behind them."""

from __future__ import annotations

import hashlib
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from pixtrace.io.jwst.container import BLOCK, Header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

__all__ = [
    "Piece",
    "header_text",
    "headers_hash",
    "image_header",
    "plane_piece",
    "tree_piece",
    "write_all",
    "write_pieces",
]

_UNSIGNED_ZERO = 2**31
#: Rows and columns copied at once, so that both orders stay in the cache.
_TILE = (32, 256)
_FITS_TYPES = {"f": "f4", "u": "u4", "i": "i4"}
_DATATYPES = {"f": "float32", "u": "uint32", "i": "int32"}


@dataclass(frozen=True, eq=False)
class Piece:
    """One header-data unit to be written.

    Attributes
    ----------
    header : astropy.io.fits.Header
        Its header, complete.
    data : callable
        Returns its data, big-endian and in one or more pieces; called when they are written, so that only one plane at
        a time exists in the form in which it is written.
    datatype : str
        How the ASDF tree calls the type of its numbers; "" if it is a copy.
    """

    header: Header
    data: Callable[[], Sequence[bytes | memoryview]]
    datatype: str = ""

    @property
    def name(self) -> str:
        """Extension name."""
        return str(self.header.get("EXTNAME", "PRIMARY"))

    @property
    def version(self) -> int:
        """Extension version."""
        return int(self.header.get("EXTVER", 1))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, slowest axis first."""
        return tuple(int(self.header[f"NAXIS{i}"]) for i in range(int(self.header["NAXIS"]), 0, -1))


def plane_piece(name: str, version: int, plane: npt.NDArray[Any], old: Header | None) -> Piece:
    """Return a plane as an image extension.

    Parameters
    ----------
    name : str
        Extension name.
    version : int
        Extension version.
    plane : ndarray of float, int32 or uint32, shape (n_y, n_x)
        In the orientation of the file. Floats are written as float32.
    old : astropy.io.fits.Header or None
        Header to take over.

    Returns
    -------
    Piece
        The extension.
    """
    dtype = np.dtype(_FITS_TYPES[plane.dtype.kind])
    header = image_header(name, version, plane.shape, dtype, old)

    def data() -> list[memoryview]:
        stored = _in_order(plane, dtype)
        if plane.dtype.kind == "u":
            stored ^= np.uint32(_UNSIGNED_ZERO)
        if sys.byteorder == "little":
            stored.byteswap(inplace=True)
        return [stored.view(np.uint8).reshape(-1).data]

    return Piece(header, data, _DATATYPES[plane.dtype.kind])


def image_header(
    name: str, version: int, shape: tuple[int, ...], dtype: np.dtype[Any], old: Header | None = None
) -> Header:
    """Return the header of an image extension.

    Parameters
    ----------
    name : str
        Extension name.
    version : int
        Extension version.
    shape : tuple of int
        Shape of the image, slowest axis first.
    dtype : dtype
        Type of its numbers: float32, float64, int32 or uint32.
    old : astropy.io.fits.Header or None, optional
        Header to take over.

    Returns
    -------
    astropy.io.fits.Header
        The header.
    """
    header: Header = fits.Header([("XTENSION", "IMAGE", "Image extension")]) if old is None else old.copy()
    for keyword in ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM"):
        header.remove(keyword, ignore_missing=True)
    n_axes = len(shape)
    for axis in range(n_axes + 1, int(header.get("NAXIS", 0)) + 1):
        header.remove(f"NAXIS{axis}", ignore_missing=True)
    cards: list[tuple[str, object, str]] = [
        ("BITPIX", (-8 if dtype.kind == "f" else 8) * dtype.itemsize, "array data type"),
        ("NAXIS", n_axes, "number of array dimensions"),
        *((f"NAXIS{n_axes - axis}", length, "") for axis, length in reversed(list(enumerate(shape)))),
        ("PCOUNT", 0, "number of parameters"),
        ("GCOUNT", 1, "number of groups"),
    ]
    if dtype.kind == "u":
        cards += [("BSCALE", 1, ""), ("BZERO", _UNSIGNED_ZERO, "")]
    previous = "XTENSION"
    for keyword, value, comment in cards:
        if keyword in header:
            header[keyword] = value
        else:
            header.insert(previous, (keyword, value, comment), after=True)
        previous = keyword
    if old is None:
        header.extend([("EXTNAME", name, "extension name"), ("EXTVER", version, "extension value")])
    return header


def _in_order(plane: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a copy of a plane in C order, block by block: a plane that was turned is far from it."""
    copy = np.empty(plane.shape, dtype=dtype)
    with np.errstate(over="ignore"):  # a float64 beyond the range of float32
        for i in range(0, plane.shape[0], _TILE[0]):
            for j in range(0, plane.shape[1], _TILE[1]):
                tile = np.s_[i : i + _TILE[0], j : j + _TILE[1]]
                copy[tile] = plane[tile]
    return copy


def tree_piece(content: Sequence[bytes | memoryview], old: Header) -> Piece:
    """Return an ASDF tree as the table of one row that holds it.

    Parameters
    ----------
    content : sequence of bytes-like
        The ASDF file.
    old : astropy.io.fits.Header
        Header of the table that held the tree of the input.

    Returns
    -------
    Piece
        The extension.
    """
    size = sum(len(part) for part in content)
    header = old.copy()
    for keyword in ("CHECKSUM", "DATASUM", "TDIM1"):  # astropy gives tables that it makes anew the size once more
        header.remove(keyword, ignore_missing=True)
    header["NAXIS1"] = size
    header["TFORM1"] = f"{size}B"
    return Piece(header, lambda: content)


def headers_hash(pieces: Iterable[Piece]) -> str:
    """Return the hash of all headers by which stdatamodels tells whether the tree of a file belongs to them."""
    return hashlib.sha256("".join(header_text(piece.header) for piece in pieces).encode()).hexdigest()


def write_pieces(path: Path, pieces: Iterable[Piece]) -> None:
    """Write a FITS file.

    Parameters
    ----------
    path : Path
        The file.
    pieces : iterable of Piece
        Its units.

    Raises
    ------
    OSError
        It cannot be written.
    """
    with path.open("wb", buffering=0) as file:
        for piece in pieces:
            write_all(file, header_text(piece.header).encode("ascii"))
            size = 0
            for part in piece.data():
                write_all(file, part)
                size += len(part)
            if size % BLOCK:
                write_all(file, bytes(BLOCK - size % BLOCK))


def header_text(header: Header) -> str:
    """Return a header as it is written, the comments of long values cut short.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The header.

    Returns
    -------
    str
        Its cards, filled up to whole blocks.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)  # which is all that astropy warns of here
        return str(header.tostring())


def write_all(file: Any, content: bytes | memoryview) -> None:  # noqa: ANN401 - a raw binary file
    """Write all bytes: an unbuffered write may take fewer than it is given.

    Parameters
    ----------
    file : binary file
        Opened without a buffer.
    content : bytes-like
        What is written.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
