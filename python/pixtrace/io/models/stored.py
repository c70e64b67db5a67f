"""What is stored of a fit, whatever the file is."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError, FileReadError, PixtraceError
from pixtrace.trace.companions import usable_flux
from pixtrace.trace.model import TraceModel
from pixtrace.trace.params import TraceParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pixtrace.trace.image import SpectralImage

__all__ = ["FORMAT", "StoredModel", "check_format", "fingerprint", "model_from_tables", "params_from"]

#: Version of the format: a reader takes every file whose first number is its own.
FORMAT = "1.0.0"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredModel:
    """The trace model of one image, and how it came about.

    Attributes
    ----------
    model : TraceModel
        Splines, scales and bounds by region and column.
    name : str
        Name of the image (that of the slit), "" if it has none.
    offset : float
        Negative mean that was taken off the flux before the fit [unit of the flux]; 0 if there was none.
    params : TraceParams or None
        The parameters of the fit and of its use; None if they are not known.
    source : str
        Name of the file that was fitted, "" if there was none.
    fingerprint : str
        `fingerprint` of the image that was fitted, "" if it is not known. A model is used as it is on that image, and
        scaled anew for any other.
    """

    model: TraceModel
    name: str = ""
    offset: float = 0.0
    params: TraceParams | None = None
    source: str = ""
    fingerprint: str = ""

    def __post_init__(self) -> None:
        """Refuse an offset that could not be taken off a flux."""
        if not math.isfinite(self.offset):
            msg = f"the offset of the model {self.name!r} is {self.offset}; it must be a finite number"
            raise DataError(msg)


def fingerprint(image: SpectralImage) -> str:
    """Return a hash of the numbers that a fit looks at: usable flux, error, alpha and region map.

    Parameters
    ----------
    image : SpectralImage
        The image.

    Returns
    -------
    str
        The same for the same pixels, bit for bit, and for no others.
    """
    digest = hashlib.sha256()
    for plane in (usable_flux(image), image.error, image.alpha, image.region_map):
        if plane is not None:
            digest.update(f"{plane.dtype.str}{plane.shape}".encode())
            digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def params_from(values: object, where: str) -> TraceParams | None:
    """Return parameters from the values stored for them.

    Parameters
    ----------
    values : mapping of str to object
        Values by name; empty for none.
    where : str
        File and place, for messages.

    Returns
    -------
    TraceParams or None
        The parameters. Those that the file does not name, because it is older than they are, have their defaults.

    Raises
    ------
    FileReadError
        They are not parameters, or a value is not possible.
    """
    try:
        named: dict[str, Any] = dict(values)  # type: ignore[call-overload]
        return TraceParams().replace(**named) if named else None
    except (ValueError, TypeError) as error:
        msg = f"{where}: the parameters cannot be read: {error}"
        raise FileReadError(msg) from error


def check_format(version: object, where: str) -> None:
    """Raise `FileReadError` unless this pixtrace reads files of a version.

    Parameters
    ----------
    version : object
        The version that the file states.
    where : str
        Name of the file, for messages.

    Raises
    ------
    FileReadError
        It is not a version, or that of a format to come.
    """
    major = str(version).partition(".")[0]
    if not major.isdecimal():
        msg = f"{where} holds no trace model of pixtrace (format version {version!r})"
        raise FileReadError(msg)
    if int(major) > int(FORMAT.partition(".")[0]):
        msg = f"{where} has format {version}, and this pixtrace reads {FORMAT}; install a newer one"
        raise FileReadError(msg)


def model_from_tables(tables: Mapping[int, tuple[npt.NDArray[Any], ...]], where: str) -> TraceModel:
    """Return the model of some tables.

    Parameters
    ----------
    tables : mapping of int to tuple of ndarray
        See `TraceModel.tables`.
    where : str
        File and place, for messages.

    Returns
    -------
    TraceModel
        The model.

    Raises
    ------
    FileReadError
        They do not make a model.
    """
    try:
        return TraceModel.from_tables(tables)
    except (PixtraceError, TypeError) as error:
        msg = f"{where} holds a damaged trace model: {error}"
        raise FileReadError(msg) from error
