"""FITS files whose cubes are written some integrations at a time."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import InternalError
from pixtrace.io.jwst.container import BLOCK
from pixtrace.io.jwst.pieces import Piece, header_text, image_header, write_all

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import numpy.typing as npt

    from pixtrace.io.jwst.container import Header

__all__ = ["CubeFile", "CubePiece", "array_piece"]

_SIGN_BIT = 2**31
_DATATYPES = {"f": "float", "u": "uint", "i": "int"}


class CubePiece(Piece):
    """An image extension whose data follow later.

    Parameters
    ----------
    name : str
        Extension name.
    version : int
        Extension version.
    shape : tuple of int
        Shape of the cube in the file, integrations first.
    dtype : dtype
        Type of its numbers: float32, float64, int32 or uint32.
    old : astropy.io.fits.Header or None, optional
        Header to take over.
    """

    def __init__(
        self,
        name: str,
        version: int,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        old: Header | None = None,
    ) -> None:
        kind = np.dtype(dtype)
        datatype = f"{_DATATYPES[kind.kind]}{8 * kind.itemsize}"
        super().__init__(image_header(name, version, shape, kind, old), list, datatype)


def array_piece(name: str, version: int, array: npt.NDArray[Any], old: Header | None = None) -> Piece:
    """Return an array as an image extension, in its own precision.

    Parameters
    ----------
    name : str
        Extension name.
    version : int
        Extension version.
    array : ndarray of float32, float64, int32 or uint32
        In the orientation of the file.
    old : astropy.io.fits.Header or None, optional
        Header to take over.

    Returns
    -------
    Piece
        The extension.
    """
    return Piece(image_header(name, version, array.shape, array.dtype, old), lambda: [_stored(array)])


def _stored(array: npt.NDArray[Any]) -> memoryview:
    """Return an array as FITS stores it; a copy."""
    copy = np.array(array, order="C")
    if copy.dtype.kind == "u":
        copy ^= copy.dtype.type(_SIGN_BIT)
    if sys.byteorder == "little":
        copy.byteswap(inplace=True)
    return copy.view(np.uint8).reshape(-1).data


class CubeFile:
    """A FITS file that is laid out at once and filled bit by bit; a context manager.

    Parameters
    ----------
    path : Path
        The file; it is made anew.
    pieces : iterable of Piece
        Its units; those that are `CubePiece` are left to `put`.

    Raises
    ------
    OSError
        It cannot be written.
    InternalError
        On leaving the block, not all integrations have been put.
    """

    def __init__(self, path: Path, pieces: Iterable[Piece]) -> None:
        self._file: Any = path.open("wb", buffering=0)
        self._cubes: dict[tuple[str, int], tuple[int, tuple[int, ...], np.dtype[Any]]] = {}
        self._missing: dict[tuple[str, int], int] = {}
        try:
            for piece in pieces:
                self._lay(piece)
        except BaseException:
            self._file.close()
            raise

    def _lay(self, piece: Piece) -> None:
        write_all(self._file, header_text(piece.header).encode("ascii"))
        size = 0
        if isinstance(piece, CubePiece):
            key, dtype = (piece.name, piece.version), np.dtype(piece.datatype)
            self._cubes[key] = self._file.tell(), piece.shape, dtype
            self._missing[key] = piece.shape[0]
            size = math.prod(piece.shape) * dtype.itemsize
            self._file.seek(size, 1)
        for part in piece.data():
            write_all(self._file, part)
            size += len(part)
        self._file.seek(-size % BLOCK, 1)
        self._file.truncate()

    def put(self, name: str, version: int, start: int, array: npt.NDArray[Any]) -> None:
        """Write some integrations of a cube.

        Parameters
        ----------
        name : str
            Extension name.
        version : int
            Extension version.
        start : int
            The first of them.
        array : ndarray
            Their planes, in the orientation of the file.

        Raises
        ------
        InternalError
            They have not the shape of the cube.
        OSError
            They cannot be written.
        """
        offset, shape, dtype = self._cubes[name, version]
        if array.shape[1:] != shape[1:] or start + len(array) > shape[0]:
            msg = f"integrations {start} on of shape {array.shape} do not fit into {name} of shape {shape}"
            raise InternalError(msg)
        self._file.seek(offset + start * math.prod(shape[1:]) * dtype.itemsize)
        write_all(self._file, _stored(array.astype(dtype, copy=False)))
        self._missing[name, version] -= len(array)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file, and see that it is complete."""
        self._file.close()
        missing = {name: n for (name, _), n in self._missing.items() if n}
        if kind is None and missing:
            msg = f"integrations are missing at the end: {missing}"
            raise InternalError(msg)
