"""The gate for timestreams and flags that are changed in place."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pixtrace._arrays import as_machine_order
from pixtrace.exceptions import DataError, DtypeError, ParameterError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy.typing as npt

__all__ = ["apart", "as_changeable", "check_bits", "in_place"]

# Timestreams that are changed in place belong to one call at a time, whoever makes it.
_CHANGING = threading.Lock()
_FLAGS_IN_PLACE = {np.dtype(np.uint8), np.dtype(np.int32), np.dtype(np.int64)}

_Array = TypeVar("_Array", bound="npt.NDArray[Any]")


def as_changeable(frame_data: object, sample_flags: object) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return timestreams and flags themselves, both of them fit to be changed.

    Raises
    ------
    DtypeError
        If they are no arrays of float32 or float64, and of integers.
    ShapeError
        If one has not two dimensions.
    DataError
        If one is read-only, or both share their memory.
    """
    data, flags = _writeable(frame_data, "frame_data"), _writeable(sample_flags, "sample_flags")
    if data.dtype.kind != "f" or data.dtype.itemsize not in {4, 8}:
        msg = f"`frame_data` has dtype {data.dtype}; expected float32 or float64, which can be changed in place"
        raise DtypeError(msg)
    if flags.dtype.kind not in "iu":
        msg = f"`sample_flags` has dtype {flags.dtype}; expected integers, which can be changed in place"
        raise DtypeError(msg)
    if np.shares_memory(data, flags):
        msg = "`frame_data` and `sample_flags` share their memory; both are changed, so they must not"
        raise DataError(msg)
    return data, flags


def _writeable(values: object, name: str) -> npt.NDArray[Any]:
    if not isinstance(values, np.ndarray):
        msg = f"`{name}` is a {type(values).__name__}; expected a numpy array, which is changed in place"
        raise DtypeError(msg)
    if values.ndim != 2:  # noqa: PLR2004
        msg = f"`{name}` has {values.ndim} dimensions (shape {values.shape}); expected 2"
        raise ShapeError(msg)
    if not values.flags.writeable:
        msg = f"`{name}` is read-only, and is to be changed in place; give a copy"
        raise DataError(msg)
    # Along the longer step, every row must lie clear of the one before.
    (step, n), (long_step, n_long) = sorted(
        (abs(step), n) for step, n in zip(values.strides, values.shape, strict=True)
    )
    is_spread = n <= 1 or step >= values.itemsize
    if values.size and not (is_spread and (n_long <= 1 or long_step >= step * (n - 1) + values.itemsize)):
        msg = f"`{name}` has elements that share their memory (strides {values.strides}); give a copy"
        raise DataError(msg)
    return values


def check_bits(bits: int, flags: npt.NDArray[Any], name: str) -> None:
    """Raise `ParameterError` unless a mask of flags fits into the flags."""
    limits = np.iinfo(flags.dtype)
    if flags.dtype == np.uint64:  # the bits are those of 64, whatever the sign
        return
    if not limits.min <= bits <= limits.max:
        msg = f"`{name}` = {bits} does not fit into the flags, which are {flags.dtype}"
        raise ParameterError(msg)


@contextmanager
def in_place(
    data: npt.NDArray[Any], flags: npt.NDArray[Any]
) -> Generator[tuple[npt.NDArray[Any], npt.NDArray[Any]], None, None]:
    """Lend the arrays as the extension takes them, one caller at a time; what was changed is copied back if need be."""
    own_data = as_machine_order(data)
    own_flags = flags if flags.dtype in _FLAGS_IN_PLACE and flags.flags.aligned else flags.astype(np.int64)
    with _CHANGING:
        yield own_data, own_flags
        if own_data is not data:
            data[...] = own_data
        if own_flags is not flags:
            flags[...] = own_flags.astype(flags.dtype)


def apart(array: _Array, changed: tuple[npt.NDArray[Any], ...]) -> _Array:
    """Return an array that is not changed while the others are: a copy, if it lies in their memory."""
    return array.copy() if any(np.may_share_memory(array, other) for other in changed) else array
