"""The gates for what timestreams are made of, beside those of `pixtrace._arrays`: indices, flags, masks, pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import as_count, as_machine_order, as_real
from pixtrace.exceptions import DtypeError, ParameterError, ShapeError

__all__ = [
    "as_bits",
    "as_flags",
    "as_indices",
    "as_map_flags",
    "as_mask",
    "as_pair",
    "as_rows",
    "as_shape",
    "as_sign",
    "as_threads",
]

# Types of flags that the extension takes, each with those that fit into it.
_FLAG_TYPES = {"u1": np.uint8, "b1": np.uint8, "i1": np.int32, "i2": np.int32, "u2": np.int32, "i4": np.int32}
_SIGNS = {"+": 1, "-": -1, "0": 0}
# Bits of a map cell, DISCARD and MASK, and the longest side of a map.
_MAP_BITS = 3
_LONGEST_SIDE = 65_535


def _array(values: npt.ArrayLike, name: str, ndim: int) -> npt.NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        msg = f"`{name}` has masked elements, and there is no number that stands for nothing; fill them first"
        raise ParameterError(msg)
    try:
        array = np.asarray(values)
    except ValueError as error:
        msg = f"`{name}` is not an array: {error}"
        raise ShapeError(msg) from error
    if array.ndim != ndim:
        msg = f"`{name}` has {array.ndim} dimensions (shape {array.shape}); expected {ndim}"
        raise ShapeError(msg)
    return array


def as_indices(values: npt.ArrayLike, name: str, *, ndim: int) -> npt.NDArray[np.int64]:
    """Return whole numbers as `int64`.

    Raises
    ------
    DtypeError
        If they are not integers; floats are refused even if they are whole, because NaN and rounding hide there.
    ParameterError
        If one does not fit into 64 bits.
    """
    array = _array(values, name, ndim)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        msg = f"`{name}` has dtype {array.dtype}; expected integers (round and convert them first)"
        raise DtypeError(msg)
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and array.max() > np.iinfo(np.int64).max:  # noqa: PLR2004
        msg = f"`{name}` holds {array.max()}; the largest index that can be used is {np.iinfo(np.int64).max}"
        raise ParameterError(msg)
    return as_machine_order(array.astype(np.int64, copy=False))


def as_mask(values: npt.ArrayLike, name: str) -> npt.NDArray[np.bool_]:
    """Return truth values, one-dimensional.

    Raises
    ------
    DtypeError
        If they are neither truth values nor integers 0 and 1.
    """
    array = _array(values, name, 1)
    if array.dtype.kind == "b" or array.size == 0:
        return array.astype(np.bool_, copy=False)
    if array.dtype.kind in "iu" and not np.any((array != 0) & (array != 1)):
        return array.astype(np.bool_)
    msg = f"`{name}` has dtype {array.dtype}; expected truth values"
    raise DtypeError(msg)


def as_flags(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Return sample flags as `uint8`, `int32` or `int64`, whichever holds them without a copy or in least memory.

    Raises
    ------
    DtypeError
        If they are not integers.
    """
    array = _array(values, name, 2)
    if array.dtype.kind not in "iub":
        msg = f"`{name}` has dtype {array.dtype}; expected integer flags"
        raise DtypeError(msg)
    dtype = _FLAG_TYPES.get(array.dtype.str[1:], np.int64)
    return as_machine_order(array.astype(dtype, copy=False))


def as_map_flags(values: npt.ArrayLike, name: str, *, ndim: int) -> npt.NDArray[np.uint8]:
    """Return flags of map cells.

    Raises
    ------
    DtypeError
        If they are not integers.
    ParameterError
        If there is another bit than those of DISCARD and MASK.
    """
    array = _array(values, name, ndim)
    if array.dtype.kind not in "iub":
        msg = f"`{name}` has dtype {array.dtype}; expected integers (1 = DISCARD, 2 = MASK)"
        raise DtypeError(msg)
    if array.dtype.kind != "b" and np.any(array & ~np.array(_MAP_BITS, dtype=array.dtype)):
        msg = f"`{name}` holds other numbers than 1 (DISCARD), 2 (MASK) and their sum 3"
        raise ParameterError(msg)
    return array.astype(np.uint8, copy=False)


def as_shape(shape: object) -> tuple[int, int]:
    """Return the shape of a map, (n_y, n_x).

    Raises
    ------
    ParameterError
        If it is not two whole numbers from 1 on.
    """
    sides: Any = shape
    if np.ndim(sides) != 1 or len(sides) != 2:  # noqa: PLR2004
        msg = f"`shape` = {shape!r}; it must be (n_y, n_x)"
        raise ParameterError(msg)
    n_y, n_x = (as_count(side, "shape", least=1, most=_LONGEST_SIDE) for side in sides)
    return n_y, n_x


def as_bits(value: object, name: str) -> int:
    """Return a mask of flags as a number of 64 bits with sign.

    Raises
    ------
    ParameterError
        If it is not a whole number, or does not fit.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        bits = int(value)
        if -(2**63) <= bits < 2**63:
            return bits
        if 2**63 <= bits < 2**64:
            return bits - 2**64
    msg = f"`{name}` = {value!r}; it must be a whole number of at most 64 bits"
    raise ParameterError(msg)


def as_pair(values: object, name: str) -> tuple[float, float]:
    """Return two numbers, x and y; one number stands for both.

    Raises
    ------
    ParameterError
        If they are not one or two numbers.
    """
    if np.ndim(values) == 0:  # type: ignore[arg-type]
        both = as_real(values, name)  # type: ignore[arg-type]
        return both, both
    if isinstance(values, (Sequence, np.ndarray)) and len(values) == 2:  # noqa: PLR2004
        return as_real(values[0], name), as_real(values[1], name)
    msg = f"`{name}` = {values!r}; it must be a pair of numbers, (x, y)"
    raise ParameterError(msg)


def as_rows(pixels: npt.ArrayLike | None, n_pixels: int) -> list[int] | None:
    """Return numbers of maps as a list, None for all of them.

    Raises
    ------
    ParameterError
        If there is no such map.
    """
    if pixels is None:
        return None
    rows = [
        as_count(row, "pixels") for row in np.atleast_1d(as_indices(np.atleast_1d(pixels), "pixels", ndim=1)).tolist()
    ]
    for row in rows:
        if row >= n_pixels:
            msg = f"`pixels` holds {row}; the stack has {n_pixels} maps, counted from 0"
            raise ParameterError(msg)
    return rows


def as_threads(n_threads: int | None) -> int | None:
    """Return a number of threads, None for one for each core.

    Raises
    ------
    ParameterError
        If it is not a whole number from 1 on.
    """
    return None if n_threads is None else as_count(n_threads, "n_threads", least=1)


def as_sign(sign: str | int) -> int:
    """Return the sign of a source as 1, -1 or 0 (either); "+", "-", "0" are words for them.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    if isinstance(sign, str) and sign in _SIGNS:
        return _SIGNS[sign]
    if not isinstance(sign, (str, bool)) and sign in {1, 0, -1}:
        return int(sign)
    msg = f"`sign` = {sign!r}; it must be '+' (or 1), '-' (or -1), or '0' (or 0) for either"
    raise ParameterError(msg)
