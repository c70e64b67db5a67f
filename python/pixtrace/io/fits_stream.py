"""Writing FITS images larger than what one would like to hold in memory twice.

astropy swaps the bytes of a whole array when it writes one, or where it lies, which disturbs whoever else looks at
it. Here blocks of an array are swapped and written one after the other, with the sum (DATASUM) by which a damaged
file is recognised.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pixtrace.exceptions import InternalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["DataSum", "append_image", "blocks_of", "bytes_of"]

_BLOCK = 2880
_WORD = 4
_BITPIX = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}
_CHUNK_BYTES = 4 * 1024 * 1024
_NO_SUM = "0" * 10


class DataSum:
    """The sum of the 32-bit words of a data unit, as the FITS standard defines DATASUM, of bytes as they come."""

    def __init__(self) -> None:
        self._sum = 0
        self._rest = b""

    def add(self, data: bytes | memoryview) -> None:
        """Add the next bytes.

        Parameters
        ----------
        data : bytes-like
            Bytes as they stand in the file; any number of them.
        """
        if self._rest:
            data = self._rest + bytes(data)
        whole = len(data) // _WORD * _WORD
        words = np.frombuffer(data[:whole], dtype=">u4")
        self._sum += int(words.sum(dtype=np.uint64))
        self._rest = bytes(data[whole:])

    @property
    def value(self) -> int:
        """The sum in ones' complement; missing bytes of the last word count as zeros, as the padding of the file does.

        Returns
        -------
        int
            A number of 32 bits.
        """
        total = self._sum + int.from_bytes(self._rest.ljust(_WORD, b"\0"), "big")
        while total >> 32:
            total = (total & 0xFFFFFFFF) + (total >> 32)
        return total


def blocks_of(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield an array in blocks along its first axis, each of some megabytes at most where the rows allow it.

    Parameters
    ----------
    array : ndarray
        Any array of at least one dimension.

    Yields
    ------
    ndarray
        Views, in order.
    """
    per_row = max(1, array.nbytes // max(1, len(array)))
    step = max(1, _CHUNK_BYTES // per_row)
    for start in range(0, len(array), step):
        yield array[start : start + step]


def bytes_of(array: npt.NDArray[Any]) -> memoryview:
    """Return the bytes of an array as they lie in memory, without a copy if they lie one after the other.

    Parameters
    ----------
    array : ndarray
        Any array.

    Returns
    -------
    memoryview
        Its bytes, rows first.
    """
    buffer: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(buffer)


def append_image(
    path: Path,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    blocks: Iterable[npt.NDArray[Any]],
    header: Any,  # noqa: ANN401 - astropy has no types
) -> None:
    """Append an image extension to a FITS file, block by block.

    Parameters
    ----------
    path : Path
        A file that ends with a complete unit.
    shape : tuple of int
        Shape of the image as numpy counts axes.
    dtype : dtype
        Type of its numbers: uint8, int16, int32, int64, float32 or float64.
    blocks : iterable of ndarray
        What it holds, in the order of memory; each is converted to `dtype`.
    header : astropy.io.fits.Header
        Further cards, EXTNAME among them; not changed.

    Raises
    ------
    InternalError
        The blocks do not make up the image.
    OSError
        It cannot be written.
    """
    from astropy.io import fits

    dtype = np.dtype(dtype)
    full = fits.Header([("XTENSION", "IMAGE", "image extension"), ("BITPIX", _BITPIX[dtype.str[1:]], "")])
    full["NAXIS"] = len(shape)
    for axis, length in enumerate(reversed(shape), start=1):
        full[f"NAXIS{axis}"] = length
    full["PCOUNT"], full["GCOUNT"] = 0, 1
    full.extend(header, strip=True)
    full["DATASUM"] = (_NO_SUM, "sum of the data unit")
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    with path.open("r+b") as file:
        start = file.seek(0, os.SEEK_END)
        file.write(full.tostring().encode("ascii"))
        datasum = DataSum()
        written = _write_blocks(file, dtype, blocks, datasum)
        if written != expected:
            msg = f"{written} bytes written for an image of {expected} bytes"
            raise InternalError(msg)
        file.write(b"\0" * (-written % _BLOCK))
        # The number has as many digits as the one that keeps its place, so that the header stays as long.
        full["DATASUM"] = (f"{datasum.value:010d}", "sum of the data unit")
        file.seek(start)
        file.write(full.tostring().encode("ascii"))


def _write_blocks(file: BinaryIO, dtype: np.dtype[Any], blocks: Iterable[npt.NDArray[Any]], datasum: DataSum) -> int:
    """Write blocks in the byte order of FITS and return how many bytes that were."""
    written = 0
    for block in blocks:
        data = bytes_of(np.asarray(block, dtype=dtype.newbyteorder(">")))
        datasum.add(data)
        file.write(data)
        written += len(data)
    return written
