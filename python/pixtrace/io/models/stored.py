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
    from pixtrace.trace.record import RecordTable

__all__ = [
    "FORMAT",
    "StoredModel",
    "check_format",
    "fingerprint",
    "flat_record",
    "is_float_of_record",
    "model_from_tables",
    "nested_record",
    "params_from",
]

#: Version of the format: a reader takes every file whose first number is its own.
FORMAT = "1.2.0"


#: Arrays of a record, in the order of its table; then comes the noise, one array for each component of the variance.
_RECORD = (
    "origin",
    "fitted_for",
    "norm",
    "window",
    "n_points",
    "n_rejected",
    "chi2",
    "limits",
    "information",
    "absent",
)
_NOISE = "noise_"
#: Width of those that have two axes; the others are vectors.
_WIDTH = {"window": 2, "limits": 2, "information": 4, "absent": 2}
_FLOATS = frozenset({"norm", "chi2", "limits", "information"})


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


def model_from_tables(
    tables: Mapping[int, tuple[npt.NDArray[Any], ...]], where: str, records: Mapping[int, RecordTable] | None = None
) -> TraceModel:
    """Return the model of some tables.

    Parameters
    ----------
    tables : mapping of int to tuple of ndarray
        See `TraceModel.tables`.
    where : str
        File and place, for messages.
    records : mapping of int to tuple, optional
        See `TraceModel.records`.

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
        return TraceModel.from_tables(tables, records)
    except (PixtraceError, TypeError) as error:
        msg = f"{where} holds a damaged trace model: {error}"
        raise FileReadError(msg) from error


def flat_record(record: RecordTable) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a record by name.

    Parameters
    ----------
    record : tuple
        See `TraceModel.records`.

    Returns
    -------
    dict of str to ndarray
        ``is_weighted`` (one number), those of the record, and ``noise_0``, ``noise_1``, ...
    """
    is_weighted, of_columns, of_fits, information, noise, absent = record
    arrays = dict(zip(_RECORD, (*of_columns, *of_fits, information, absent), strict=True))
    named = {"is_weighted": np.array([int(is_weighted)], dtype=np.int64), **arrays}
    named.update({f"{_NOISE}{k}": component for k, component in enumerate(noise)})
    return named


def is_float_of_record(name: str) -> bool:
    """Return whether an array of a record holds floats; the others hold whole numbers.

    Parameters
    ----------
    name : str
        One of the names of `flat_record`.

    Returns
    -------
    bool
        True for floats.
    """
    return name in _FLOATS or name.startswith(_NOISE)


def nested_record(arrays: Mapping[str, npt.ArrayLike], where: str) -> RecordTable:
    """Return the record whose arrays these are.

    Parameters
    ----------
    arrays : mapping of str to array_like
        See `flat_record`; the arrays may be flat.
    where : str
        File and place, for messages.

    Returns
    -------
    tuple
        See `TraceModel.records`.

    Raises
    ------
    FileReadError
        One of them is missing, or has an impossible size.
    """

    def take(name: str, width: int | None, kind: type[np.generic]) -> npt.NDArray[Any]:
        array = np.array(arrays[name], dtype=kind)
        return array.ravel() if width is None else array.reshape(-1, width)

    try:
        known = {name: take(name, _WIDTH.get(name), np.float64 if name in _FLOATS else np.int64) for name in _RECORD}
        n_noise = sum(name.startswith(_NOISE) for name in arrays)
        noise = [take(f"{_NOISE}{k}", 4, np.float64) for k in range(n_noise)]
        is_weighted = bool(take("is_weighted", None, np.int64)[0])
    except (KeyError, ValueError, TypeError, IndexError) as error:
        msg = f"{where}: the record of the fit is damaged ({error}); get a complete copy"
        raise FileReadError(msg) from error
    of_columns = (known["origin"], known["fitted_for"], known["norm"])
    of_fits = (known["window"], known["n_points"], known["n_rejected"], known["chi2"], known["limits"])
    return is_weighted, of_columns, of_fits, known["information"], noise, known["absent"]
