"""Opening FITS files, with errors that say what is wrong with which file and extension."""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import FileReadError

if TYPE_CHECKING:
    import os
    from collections.abc import Generator

    import numpy.typing as npt

__all__ = ["GZIP_MAGIC", "extension_label", "find_extension", "open_fits", "read_array"]

#: The first bytes of a file packed with gzip.
GZIP_MAGIC = b"\x1f\x8b"
#: What astropy warns of when bytes are missing, and then goes on without them.
_DAMAGE = ("truncated", "Error validating header")


@contextmanager
def open_fits(path: str | os.PathLike[str]) -> Generator[Any]:
    """Yield the `astropy.io.fits.HDUList` of a file, all headers read; close it at the end.

    Plain files are memory-mapped where their numbers are not scaled. Packed ones are unpacked as a whole first: a
    damaged one is noticed, and reading does not have to unpack the beginning again for each extension.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    HDUList
        Its header and data units.

    Raises
    ------
    FileReadError
        The file does not exist, may not be read, is not FITS, or ends too early.
    """
    from astropy.io import fits

    path = Path(path)
    source: Any = _unpacked(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            hdus = fits.open(path if source is None else source, lazy_load_hdus=False)
        except (OSError, ValueError, TypeError, fits.VerifyError) as error:
            raise FileReadError(_explain(path, error)) from error
    try:
        damage = [str(item.message) for item in caught if any(word in str(item.message) for word in _DAMAGE)]
        if damage:
            msg = f"{path} ends too early ({damage[0].splitlines()[0]}); get a complete copy"
            raise FileReadError(msg)
        yield hdus
    finally:
        hdus.close()


def find_extension(hdus: Any, name: str, version: int) -> int | None:  # noqa: ANN401 - astropy has no types
    """Return the place of an extension in a file, None if it is not there.

    Parameters
    ----------
    hdus : HDUList
        The file.
    name : str
        EXTNAME, in capital letters.
    version : int
        EXTVER.

    Returns
    -------
    int or None
        Its index.
    """
    return next((i for i, hdu in enumerate(hdus) if hdu.name.upper() == name and hdu.ver == version), None)


def extension_label(name: str, version: int) -> str:
    """Return how messages call an extension: ``SCI``, or ``SCI,2`` for another EXTVER than 1.

    Parameters
    ----------
    name : str
        EXTNAME.
    version : int
        EXTVER.

    Returns
    -------
    str
        The label.
    """
    return name if version == 1 else f"{name},{version}"


def read_array(hdus: Any, index: int, path: Path) -> npt.NDArray[Any]:  # noqa: ANN401 - astropy has no types
    """Return the array of an extension, in memory and in machine byte order.

    Parameters
    ----------
    hdus : HDUList
        The file.
    index : int
        Index of the extension.
    path : Path
        Name of the file, for messages.

    Returns
    -------
    ndarray
        Its data; integers that stand for a scaled quantity come as floats.

    Raises
    ------
    FileReadError
        The extension holds no array or cannot be read.
    """
    hdu = hdus[index]
    label = f"extension {extension_label(hdu.name, hdu.ver)} of {path}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = hdu.data
            if isinstance(data, np.ndarray) and data.dtype.names is None:
                return np.array(data, dtype=data.dtype.newbyteorder("="), copy=True)
    except (OSError, ValueError, TypeError, IndexError, EOFError, zlib.error) as error:
        msg = f"{label} cannot be read: {error}; get a complete copy"
        raise FileReadError(msg) from error
    msg = f"{label} holds no image"
    raise FileReadError(msg)


def _unpacked(path: Path) -> io.BytesIO | None:
    """Return the content of a file packed with gzip, None if it is not packed."""
    try:
        with path.open("rb") as file:
            if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
                return None
            file.seek(0)
            return io.BytesIO(gzip.decompress(file.read()))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        msg = f"{path} is damaged: it cannot be unpacked ({error}); get a complete copy"
        raise FileReadError(msg) from error
    except OSError as error:
        raise FileReadError(_explain(path, error)) from error


def _explain(path: Path, error: Exception) -> str:
    """Return what is wrong with a file that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist; check the name"
    if isinstance(error, IsADirectoryError):
        return f"{path} is a directory; expected a FITS file"
    if isinstance(error, PermissionError):
        return f"{path} may not be read; check its permissions"
    return f"{path} is not a FITS file, or a damaged one ({error})"
