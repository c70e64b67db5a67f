"""The gate through which every array enters: byte order, precision, shape.

FITS arrays are big-endian, users bring lists, integers and half precision, and the extension takes machine-order
`float32` or `float64`. Nothing is copied that need not be.
"""

from operator import index
from typing import Any, SupportsFloat, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import DtypeError, ParameterError, ShapeError

__all__ = [
    "LARGEST_LABEL",
    "FloatArray",
    "as_count",
    "as_double",
    "as_flag",
    "as_floating",
    "as_labels",
    "as_machine_order",
    "as_real",
    "check_callable",
    "check_shape",
]

FloatArray: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]

#: Labels of regions are 32-bit numbers.
LARGEST_LABEL = 2**31 - 1
_LARGEST_COUNT = 2**62


def _as_array(values: npt.ArrayLike, name: str, ndim: int | None) -> npt.NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError as error:
        msg = f"`{name}` is not an array: {error}"
        raise ShapeError(msg) from error
    if ndim is not None and array.ndim != ndim:
        msg = f"`{name}` has {array.ndim} dimensions (shape {array.shape}); expected {ndim}"
        raise ShapeError(msg)
    return array


def as_machine_order(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array in machine byte order and aligned, itself if it is so already."""
    dtype = array.dtype.newbyteorder("=")
    if array.dtype == dtype and array.dtype.isnative and array.flags.aligned:
        return array
    return array.astype(dtype)


def as_floating(
    values: npt.ArrayLike, name: str, *, ndim: int | None = 2, dtype: npt.DTypeLike | None = None
) -> FloatArray:
    """Return real numbers as `float32` or `float64`.

    Parameters
    ----------
    values : array_like
        Real numbers. `float16` becomes `float32`; integers, booleans and `float128` become `float64`. Masked elements
        become NaN, and what is too large for the precision becomes infinite.
    name : str
        What to call it in an error.
    ndim : int or None
        Number of dimensions it must have; any number with None.
    dtype : dtype, optional
        Precision to convert to, instead of the array's own.

    Returns
    -------
    ndarray of float32 or float64
        Machine byte order; not a copy if nothing needed to change.

    Raises
    ------
    DtypeError
        If they are not real numbers.
    ShapeError
        If the number of dimensions is wrong.
    """
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "fiub":
        masked: Any = values if values.dtype.kind == "f" else values.astype(np.float64)
        values = masked.filled(np.nan)
    array = _as_array(values, name, ndim)
    if array.dtype.kind not in "fiub":
        msg = f"`{name}` has dtype {array.dtype}; expected real numbers (float32, float64 or integers)"
        raise DtypeError(msg)
    if dtype is None:
        if array.dtype.kind != "f" or array.dtype.itemsize > np.dtype(np.float64).itemsize:
            dtype = np.float64
        elif array.dtype.itemsize < np.dtype(np.float32).itemsize:
            dtype = np.float32
    if dtype is not None:
        with np.errstate(over="ignore", invalid="ignore"):  # infinite or NaN, and so missing data
            array = array.astype(dtype, copy=False)
    return as_machine_order(array)


def as_double(values: npt.ArrayLike, name: str, *, ndim: int | None = 2) -> npt.NDArray[np.float64]:
    """Return real numbers as `float64`; otherwise as `as_floating`."""
    return as_floating(values, name, ndim=ndim, dtype=np.float64).astype(np.float64, copy=False)


def as_labels(values: npt.ArrayLike, name: str) -> npt.NDArray[np.int32]:
    """Return the labels of a region map as `int32`; numbers of zero and below are outside of all regions.

    So are masked elements.

    Raises
    ------
    DtypeError
        If they are not whole numbers.
    ParameterError
        If a label does not fit into 32 bits.
    """
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "fiub":
        values = values.filled(0)
    array = _as_array(values, name, 2)
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            is_whole = array == np.floor(array)
        if not np.all(is_whole):
            msg = f"`{name}` has dtype {array.dtype} and holds numbers that are not whole; expected integer labels"
            raise DtypeError(msg)
    elif array.dtype.kind not in "iub":
        msg = f"`{name}` has dtype {array.dtype}; expected integer labels"
        raise DtypeError(msg)
    may_not_fit = array.dtype.kind == "f" or array.dtype.itemsize >= np.dtype(np.int32).itemsize
    if may_not_fit and array.dtype != np.int32 and array.size:
        highest, lowest = array.max().item(), array.min().item()
        if highest > LARGEST_LABEL:
            msg = f"`{name}` holds the label {highest}; the largest label that can be used is {LARGEST_LABEL}"
            raise ParameterError(msg)
        if lowest < -LARGEST_LABEL:
            array = np.where(array > 0, array, 0)
    return as_machine_order(array.astype(np.int32, copy=False))


def check_shape(array: npt.NDArray[Any], expected: tuple[int, ...], name: str, of: str) -> None:
    """Raise `ShapeError` unless the array has this shape, which is that of the array called `of`."""
    if array.shape != expected:
        msg = f"`{name}` has shape {array.shape}; expected {expected}, the shape that goes with `{of}`"
        raise ShapeError(msg)


def as_real(value: SupportsFloat | SupportsIndex, name: str) -> float:
    """Return a number as a float; NaN and infinities are left to those who know whether they make sense.

    Raises
    ------
    ParameterError
        If it is not a number; text and truth values are not.
    """
    try:
        if not isinstance(value, (bool, np.bool_, str, bytes)):
            return float(value)
    except OverflowError as error:
        msg = f"`{name}` is too large; it must be a number below 1e308"
        raise ParameterError(msg) from error
    except (TypeError, ValueError):
        pass
    msg = f"`{name}` = {value!r}; it must be a number"
    raise ParameterError(msg)


def as_count(value: SupportsIndex | SupportsFloat, name: str, *, least: int = 0, most: int = _LARGEST_COUNT) -> int:
    """Return a whole number from `least` to `most`; floats without a fraction count as whole.

    Raises
    ------
    ParameterError
        If it is not whole, too small or too large; truth values are not numbers.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        number = index(value)
    else:
        real = as_real(value, name)
        if not real.is_integer():
            msg = f"`{name}` = {value}; it must be a whole number"
            raise ParameterError(msg)
        number = int(real)
    if not least <= number <= most:
        limits = f"from {least} on" if most == _LARGEST_COUNT else f"from {least} to {most}"
        msg = f"`{name}` = {number}; it must be a whole number {limits}"
        raise ParameterError(msg)
    return number


def as_flag(value: object, name: str) -> bool:
    """Return True or False; a text such as "no", which counts as true in Python, is neither.

    Raises
    ------
    ParameterError
        If it is not a truth value.
    """
    if not isinstance(value, (bool, np.bool_)):
        msg = f"`{name}` = {value!r}; it must be True or False"
        raise ParameterError(msg)
    return bool(value)


def check_callable(value: object, name: str) -> None:
    """Raise `ParameterError` unless this can be called, or is None."""
    if value is not None and not callable(value):
        msg = f"`{name}` = {value!r}; it must be a function, or None"
        raise ParameterError(msg)
