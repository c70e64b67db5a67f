"""A FITS file as it lies on disk: headers that can be edited, and data that nobody touches until it is asked for.

A JWST product is mostly a copy of its input. Headers are astropy's; the data are slices of the file's bytes (mapped
from the disk, or unpacked once if the file is gzipped), so that what is only passed on is never converted, and what is
needed is converted once.
"""

from __future__ import annotations

import gzip
import math
import mmap
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from astropy.io import fits

from pixtrace.exceptions import FileReadError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["BLOCK", "FitsContainer", "Header", "Unit", "read_container"]

#: An `astropy.io.fits.Header`; astropy comes without types.
Header: TypeAlias = Any

#: Bytes in a FITS block.
BLOCK = 2880
_CARD = 80
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(eq=False)
class Unit:
    """One header and its data, as they lie in the file.

    Attributes
    ----------
    header : astropy.io.fits.Header
        The header.
    data : memoryview
        The data, big-endian, without padding.
    """

    header: Header
    data: memoryview

    @property
    def name(self) -> str:
        """Extension name, "PRIMARY" for the first unit."""
        return str(self.header.get("EXTNAME", "" if "XTENSION" in self.header else "PRIMARY")).strip().upper()

    @property
    def version(self) -> int:
        """Extension version, 1 if the header gives none."""
        return int(self.header.get("EXTVER", 1))

    @property
    def is_image(self) -> bool:
        """Whether it holds an image, not a table."""
        return str(self.header.get("XTENSION", "IMAGE")).strip() == "IMAGE"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, slowest axis first; empty if there are no data."""
        return tuple(int(self.header[f"NAXIS{i}"]) for i in range(int(self.header["NAXIS"]), 0, -1))

    def array(self) -> npt.NDArray[Any]:
        """Return the image: a big-endian view of the file where the numbers are stored as they are, else a copy.

        Unsigned integers, which FITS keeps as signed ones with an offset, come back as such; integers among which one
        stands for missing data (BLANK) come back as floats with NaN there.
        """
        return self._numbers(self._raw())

    def part(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return what `array` would, from `start` to `stop` along the slowest axis; nothing else is converted."""
        return self._numbers(self._raw()[start:stop])

    def _raw(self) -> npt.NDArray[Any]:
        """Return the numbers as they stand in the file."""
        bits = int(self.header["BITPIX"])
        kind = "f" if bits < 0 else "u" if bits == 8 else "i"  # noqa: PLR2004 - FITS bytes alone are unsigned
        return np.frombuffer(self.data, dtype=f">{kind}{abs(bits) // 8}").reshape(self.shape)

    def _numbers(self, raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what numbers of the file stand for."""
        kind, bits = raw.dtype.kind, 8 * raw.dtype.itemsize
        scale, zero = float(self.header.get("BSCALE", 1)), float(self.header.get("BZERO", 0))
        blank = self.header.get("BLANK") if kind != "f" else None
        if blank is not None:
            return np.where(raw == blank, np.nan, raw * scale + zero)
        if scale == 1 and zero == 0:
            return raw
        if scale == 1 and kind == "i" and zero == 2.0 ** (bits - 1):
            sign_bit = np.dtype(f"u{bits // 8}").type(1 << (bits - 1))
            return np.asarray(raw.view(f">u{bits // 8}") ^ sign_bit)
        return np.asarray(raw * scale + zero)


@dataclass(eq=False)
class FitsContainer:
    """All units of a FITS file.

    Attributes
    ----------
    path : Path
        The file.
    units : list of Unit
        Its units, the primary one first.
    """

    path: Path
    units: list[Unit] = field(default_factory=list)

    @property
    def primary(self) -> Header:
        """The primary header."""
        return self.units[0].header

    def find(self, name: str, version: int = 1) -> Unit | None:
        """Return the extension with this name and version, None if there is none."""
        return next((unit for unit in self.units[1:] if unit.name == name and unit.version == version), None)

    def require(self, name: str, version: int = 1, *, why: str) -> Unit:
        """Return the extension with this name and version.

        Raises
        ------
        FileReadError
            There is none; the message says `why` it is needed.
        """
        unit = self.find(name, version)
        if unit is None:
            there = ", ".join(dict.fromkeys(unit.name for unit in self.units[1:])) or "no extensions"
            number = f",{version}" if version > 1 else ""
            msg = f"{self.path}: there is no extension {name}{number}, {why}; found {there}"
            raise FileReadError(msg)
        return unit

    def check_images(self, names: Collection[str]) -> None:
        """Complain about extensions that should hold an image and hold a table, as fpack makes of images.

        Raises
        ------
        FileReadError
            There is one; the message names it.
        """
        for unit in self.units[1:]:
            if unit.name in names and not unit.is_image:
                remedy = (
                    "unpack the file first (funpack)" if unit.header.get("ZIMAGE") else "give a calibrated exposure"
                )
                msg = f"{self.path}: extension {unit.name},{unit.version} is a table; expected an image: {remedy}"
                raise FileReadError(msg)

    def versions(self, name: str) -> list[int]:
        """Return the versions in which an extension occurs, ascending."""
        return sorted(unit.version for unit in self.units[1:] if unit.name == name)


def read_container(path: Path) -> FitsContainer:
    """Read the headers of a FITS file and find its data.

    Parameters
    ----------
    path : Path
        The file, gzipped or not.

    Returns
    -------
    FitsContainer
        Its units. They hold on to the bytes of the file, not to the file.

    Raises
    ------
    FileReadError
        It cannot be read, is not FITS, or ends too early.
    """
    content = _bytes_of(path)
    if bytes(content[:6]) != b"SIMPLE":
        msg = f"{path} is not a FITS file: it begins with {bytes(content[:8])!r}; expected b'SIMPLE  '"
        raise FileReadError(msg)
    return FitsContainer(path, list(_units(path, content)))


def _bytes_of(path: Path) -> memoryview:
    """Return the content of a file, unpacked."""
    try:
        with path.open("rb") as file:
            magic = file.read(2)
            file.seek(0)
            if magic == _GZIP_MAGIC:
                return memoryview(gzip.decompress(file.read()))
            if not magic:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except EOFError as error:
        msg = f"{path} is truncated: its compressed data end too early; copy or download it again"
        raise FileReadError(msg) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        msg = f"{path} cannot be unpacked ({error}); copy or download it again"
        raise FileReadError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise FileReadError(msg) from error


def _units(path: Path, content: memoryview) -> Iterator[Unit]:
    """Yield the units of a file one after the other."""
    start = 0
    number = 0
    while start < len(content) and (number == 0 or bytes(content[start : start + 8]) == b"XTENSION"):
        header, start = _header(path, content, start, number)
        try:
            size = _data_size(header)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{path}: the header of unit {number} does not tell the size of its data ({error})"
            raise FileReadError(msg) from error
        unit = Unit(header, content[start : start + size])
        if len(unit.data) < size:
            where = f"extension {unit.name or number}" if number else "the primary unit"
            msg = (
                f"{path} is truncated: {where} should hold {size} bytes of data, and the file ends after "
                f"{len(unit.data)}; copy or download it again"
            )
            raise FileReadError(msg)
        yield unit
        start += math.ceil(size / BLOCK) * BLOCK
        number += 1


def _header(path: Path, content: memoryview, start: int, number: int) -> tuple[Header, int]:
    """Return the header that begins at `start`, and where its data begin."""
    stop = start
    while stop + BLOCK <= len(content):
        block = bytes(content[stop : stop + BLOCK])
        stop += BLOCK
        if any(block[i : i + 8] == b"END     " for i in range(0, BLOCK, _CARD)):
            text = bytes(content[start:stop])
            try:
                return fits.Header.fromstring(text), stop
            except (ValueError, UnicodeDecodeError) as error:
                msg = f"{path}: the header of unit {number} cannot be read ({error}); copy or download the file again"
                raise FileReadError(msg) from error
    msg = f"{path} is truncated: the header of unit {number} has no end; copy or download it again"
    raise FileReadError(msg)


def _data_size(header: Header) -> int:
    """Return the number of bytes of data that follow a header."""
    n_axes = int(header["NAXIS"])
    n_values = math.prod(int(header[f"NAXIS{i + 1}"]) for i in range(n_axes)) if n_axes else 0
    return abs(int(header["BITPIX"])) // 8 * int(header.get("GCOUNT", 1)) * (int(header.get("PCOUNT", 0)) + n_values)
