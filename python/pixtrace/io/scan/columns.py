"""Columns that a format asks for: whether they are there, of the right kind, and in which unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pixtrace.exceptions import DataError, FileReadError, PixtraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from pixtrace.io.scan.rows import FitsTable, RowFile

__all__ = [
    "TO_ARCSEC",
    "TO_DEGREES",
    "TO_HOURS",
    "TO_SECONDS",
    "factor_of_unit",
    "frame_columns",
    "named",
    "require_columns",
]

_T = TypeVar("_T")

# By the unit in lower letters without a plural: what to multiply by.
TO_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "min": 60.0, "d": 86_400.0, "day": 86_400.0}
TO_DEGREES = {"deg": 1.0, "degree": 1.0, "rad": 180.0 / np.pi, "radian": 180.0 / np.pi, "arcsec": 1.0 / 3600.0}
TO_HOURS = {"h": 1.0, "hr": 1.0, "hour": 1.0} | {name: factor / 15.0 for name, factor in TO_DEGREES.items()}
TO_ARCSEC = {name: factor * 3600.0 for name, factor in TO_DEGREES.items()} | {
    "arcsec": 1.0,
    "arcmin": 60.0,
    "mas": 1e-3,
}


def factor_of_unit(unit: str, factors: dict[str, float], where: str) -> float:
    """Return what numbers of a unit are to be multiplied by.

    Parameters
    ----------
    unit : str
        The unit as it stands in the file; "" stands for the unit of the format, the first of `factors`.
    factors : dict of str to float
        Units that are understood.
    where : str
        File, extension and column, for the message.

    Returns
    -------
    float
        The factor.

    Raises
    ------
    DataError
        The unit is none of them.
    """
    name = unit.strip().lower()
    if not name:
        return next(iter(factors.values()))
    for candidate in (name, name.removesuffix("s")):
        if candidate in factors:
            return factors[candidate]
    msg = f"{where} has the unit {unit!r}; expected one of {', '.join(factors)}; correct it in the file"
    raise DataError(msg)


def require_columns(file: RowFile, table: FitsTable, names: tuple[str, ...], what: str) -> None:
    """Raise `FileReadError` that names every column that is not there.

    Parameters
    ----------
    file : RowFile
        The file.
    table : FitsTable
        The table.
    names : tuple of str
        The columns that have to be there, in capital letters.
    what : str
        What the file is taken for, for the message.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        found = ", ".join(column.name for column in table.columns.values()) or "none at all"
        msg = (
            f"{file.path}, {table.label}: no column {', '.join(missing)}; {what} needs {', '.join(names)} (found: "
            f"{found})"
        )
        raise FileReadError(msg)


def frame_columns(
    file: RowFile, table: FitsTable, wanted: Mapping[str, dict[str, float] | None]
) -> dict[str, npt.NDArray[Any]]:
    """Return columns of one number per row, in the units of the format.

    Parameters
    ----------
    file : RowFile
        The file.
    table : FitsTable
        The table.
    wanted : mapping of str to (dict of str to float or None)
        For each column, in capital letters, the units that are understood; None for numbers without unit. Columns that
        are not in the table are left out.

    Returns
    -------
    dict of str to ndarray, shape (n_rows,)
        float64 if there are units, else as in the file.

    Raises
    ------
    DataError
        A column does not hold one number per row, or in a unit that is not understood.
    """
    factors: dict[str, float | None] = {}
    for name, units in wanted.items():
        if name not in table.columns:
            continue
        column = table.columns[name]
        where = f"{file.path}, {table.label}, column {column.name}"
        if column.dtype is None or column.shape not in {(), (1,)} or np.dtype(column.dtype).kind in "cS":
            msg = f"{where} has the format {column.form}; expected one real number per row"
            raise DataError(msg)
        factors[name] = None if units is None else factor_of_unit(column.unit, units, where)
    columns: dict[str, npt.NDArray[Any]] = {}
    for name, values in file.columns(table, factors).items():
        factor = factors[name]
        flat = values.reshape(-1)
        columns[name] = flat if factor is None else flat.astype(np.float64) * factor
    return columns


def named(where: str, work: Callable[[], _T]) -> _T:
    """Do some work, and put a name before what it complains of.

    Parameters
    ----------
    where : str
        File and table.
    work : callable
        What is to be done.

    Returns
    -------
    object
        What it returns.

    Raises
    ------
    PixtraceError
        What it raises, with the name unless it has that already.
    """
    try:
        return work()
    except PixtraceError as error:
        text = str(error)
        if text.startswith(where.split(", ", maxsplit=1)[0]):
            raise
        msg = f"{where}: {text}"
        raise type(error)(msg) from error
