"""The table of measured pixels as ECSV: text with units, one row per pixel, read by astropy and by eye.

The columns are those of `pixtrace.scan.tables.PixelTable`, then whatever else the table carries. The header holds, as
``meta``, the unit of the data, the meaning of each bit of the flag word and the number of rows, by which a file that
ends too early is noticed. Numbers are written so that reading gives the same bits.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DtypeError, FileReadError, ParameterError, PixtraceError
from pixtrace.io.atomic import atomic_path
from pixtrace.scan._units import unit_name
from pixtrace.scan.tables import PIXEL_COLUMNS, ExtraColumn, PixelColumn, PixelTable

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

__all__ = ["from_qtable", "read_pixel_table", "to_qtable", "unit_power", "write_pixel_table"]

#: Kind of file, and version of its layout.
_KIND = "pixtrace pixel table"
_VERSION = 1
_NEEDED = ("fixed_index", "x", "y")
_OWN_META = ("kind", "version", "n_pixels", "unit", "flag_meanings")


def write_pixel_table(path: str | os.PathLike[str], table: PixelTable, *, overwrite: bool = False) -> None:
    """Write a table of pixels as ECSV.

    Parameters
    ----------
    path : path-like
        The file, usually ``.ecsv``.
    table : PixelTable
        What is to be written.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Raises
    ------
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    from astropy.table import Table

    # Columns of a plain table have their unit in one line; those of a QTable are described twice, the second time in
    # a way that only astropy understands. Either is read as quantities by QTable.read.
    plain = Table(to_qtable(table), copy=False)
    with atomic_path(path, overwrite=overwrite) as partial:
        plain.write(partial, format="ascii.ecsv")


def read_pixel_table(path: str | os.PathLike[str]) -> PixelTable:
    """Read a table of pixels.

    Parameters
    ----------
    path : path-like
        An ECSV file with at least the columns fixed_index, x and y. Units that can be converted are; columns that
        `PixelTable` does not know are kept.

    Returns
    -------
    PixelTable
        The table.

    Raises
    ------
    FileReadError
        It does not exist, is not ECSV, lacks a column or rows, a column has no unit or one of another quantity, or a
        pixel has two rows.
    """
    from astropy.table import QTable

    path = Path(path)
    if not path.exists():
        msg = f"{path} does not exist; check the name"
        raise FileReadError(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            qtable = QTable.read(path, format="ascii.ecsv")
    except Exception as error:
        # Depending on what is wrong, astropy raises its own errors, those of YAML, or whatever its parser ran into.
        msg = f"{path} is not an ECSV table, or a damaged one ({_first_line(error)})"
        raise FileReadError(msg) from error
    return from_qtable(qtable, str(path))


def to_qtable(table: PixelTable) -> Any:  # noqa: ANN401 - astropy has no types
    """Return a table of pixels as `astropy.table.QTable`.

    Parameters
    ----------
    table : PixelTable
        The table.

    Returns
    -------
    QTable
        Its columns with units and descriptions; not copied.
    """
    from astropy import units as u
    from astropy.table import QTable

    unit = _unit(table.unit)
    qtable: Any = QTable(copy=False)
    for column in PIXEL_COLUMNS:
        values: Any = getattr(table, column.name)
        expected = _unit_of(column, unit)
        qtable[column.name] = values if expected is None else u.Quantity(values, expected, copy=False)
        qtable[column.name].info.description = column.description
    for name, extra in table.extra.items():
        expected = _unit(extra.unit)
        values = extra.values.astype(extra.values.dtype.newbyteorder("="), copy=False)
        qtable[name] = values if expected is None else u.Quantity(values, expected, copy=False)
        qtable[name].info.description = extra.description or None
    qtable.meta.update(
        kind=_KIND,
        version=_VERSION,
        n_pixels=table.n_pixels,
        unit=table.unit,
        flag_meanings={int(bit): str(meaning) for bit, meaning in sorted(table.flag_meanings.items())},
    )
    for name, value in table.meta.items():
        if name in _OWN_META:
            msg = f"meta[{name!r}] is written by pixtrace itself; choose another name"
            raise ParameterError(msg)
        qtable.meta[str(name)] = value.item() if isinstance(value, np.generic) else value
    return qtable


def from_qtable(qtable: Any, where: str) -> PixelTable:  # noqa: ANN401 - astropy has no types
    """Return the table of pixels that a `QTable` holds.

    Parameters
    ----------
    qtable : astropy.table.QTable
        At least the columns fixed_index, x and y.
    where : str
        What to call it in an error: the name of the file.

    Returns
    -------
    PixelTable
        The table.

    Raises
    ------
    FileReadError
        See `read_pixel_table`.
    """
    meta = dict(qtable.meta)
    _check_meta(meta, len(qtable), where)
    missing = [name for name in _NEEDED if name not in qtable.colnames]
    if missing:
        msg = f"{where} has no column {' nor '.join(missing)}; found {', '.join(qtable.colnames) or 'none'}"
        raise FileReadError(msg)
    text = str(meta.get("unit", "")) or _unit_text(qtable["amplitude"] if "amplitude" in qtable.colnames else None)
    unit = _unit(text)
    try:
        known: dict[str, Any] = {
            column.name: _values(qtable[column.name], column, unit, where)
            for column in PIXEL_COLUMNS
            if column.name in qtable.colnames
        }
        names = {column.name for column in PIXEL_COLUMNS}
        extra = {name: _extra(qtable[name], name, where) for name in qtable.colnames if name not in names}
        return PixelTable(
            **known,
            unit=text,
            flag_meanings={int(bit): str(meaning) for bit, meaning in dict(meta.get("flag_meanings", {})).items()},
            meta={name: value for name, value in meta.items() if name not in _OWN_META},
            extra=extra,
        )
    except FileReadError:
        raise
    except (PixtraceError, ValueError, TypeError) as error:
        msg = f"{where}: {error}"
        raise FileReadError(msg) from error


def unit_power(text: str, power: int) -> str:
    """Return a power of a unit as a FITS header spells it.

    Parameters
    ----------
    text : str
        The unit.
    power : int
        The power.

    Returns
    -------
    str
        The unit to that power; as it came, with the power behind it, if it is none that FITS knows.
    """
    unit, text = _unit(text), unit_name(text)
    if power == 1 or not text.strip():
        return text
    if text.isalpha() and unit is not None:
        return f"{text}{power}"  # as it came: astropy would write ct as count
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if unit is not None:
                return str((unit**power).to_string("fits"))
        except ValueError:
            pass
    return f"({text})^{power}"


def _check_meta(meta: dict[str, Any], n_rows: int, where: str) -> None:
    """Raise `FileReadError` if the header says that the table is another or a longer one."""
    version = meta.get("version", _VERSION)
    if meta.get("kind", _KIND) != _KIND or version != _VERSION:
        msg = (
            f"{where} holds {meta.get('kind', _KIND)!r}, version {version}; expected {_KIND!r}, version {_VERSION}; "
            "read it with the pixtrace that wrote it"
        )
        raise FileReadError(msg)
    expected = meta.get("n_pixels", n_rows)
    if expected != n_rows:
        msg = f"{where} has {n_rows} rows; its header promises {expected}: get a complete copy"
        raise FileReadError(msg)


def _values(found: Any, column: PixelColumn, unit: Any, where: str) -> npt.NDArray[Any]:  # noqa: ANN401
    """Return the numbers of a column in our unit."""
    place = f"{where}, column {column.name}"
    values = _plain(found, column.missing, place)
    expected = _unit_of(column, unit)
    if column.is_whole:
        if values.dtype.kind == "f" and not (values == np.floor(values)).all():
            msg = f"{place}: holds numbers that are not whole"
            raise FileReadError(msg)
        return values.astype(np.int64)
    values = values.astype(np.float64, copy=False)
    theirs = getattr(found, "unit", None)
    if expected is None or theirs == expected:
        return values
    if theirs is None:
        msg = f"{place}: has no unit; expected {expected} or a unit that can be converted to it"
        raise FileReadError(msg)
    from astropy import units as u

    try:
        return values * float(theirs.to(expected))
    except u.UnitConversionError as error:
        msg = f"{place}: is in {theirs}; expected {expected} or a unit that can be converted to it"
        raise FileReadError(msg) from error


def _extra(found: Any, name: str, where: str) -> ExtraColumn:  # noqa: ANN401
    """Return a column that is not one of ours."""
    values = _plain(found, np.nan, f"{where}, column {name}")
    return ExtraColumn(values=values, unit=_unit_text(found), description=found.info.description or "")


def _plain(found: Any, missing: float, place: str) -> npt.NDArray[Any]:  # noqa: ANN401
    """Return the numbers of a column without unit and mask."""
    mask = getattr(found, "mask", None)
    values = np.asarray(getattr(found, "unmasked", getattr(found, "value", found)))
    if values.ndim != 1 or values.dtype.kind not in "fiub":
        msg = f"{place}: holds {values.dtype} of shape {values.shape[1:] or '()'}; expected numbers"
        raise DtypeError(msg)
    if mask is not None and np.any(mask):
        if np.isnan(missing):
            values = values.astype(np.float64)
        values = np.where(mask, missing, values).astype(values.dtype)
    return values


def _unit(text: str) -> Any:  # noqa: ANN401
    """Return a unit, None if it is unknown or none that astropy can calculate with."""
    from astropy import units as u

    if not text.strip():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make: Any = u.Unit
        unit = make(unit_name(text), parse_strict="silent")
    return None if isinstance(unit, u.UnrecognizedUnit) else unit


def _unit_text(found: Any) -> str:  # noqa: ANN401
    """Return the unit of a column as text, empty if it has none."""
    unit = getattr(found, "unit", None)
    return "" if unit is None else str(unit.to_string())


def _unit_of(column: PixelColumn, data_unit: Any) -> Any:  # noqa: ANN401
    """Return the unit of a column, None if it has none or that of the data is unknown."""
    from astropy import units as u

    if column.kind == "angle":
        return u.arcsec
    if column.kind == "rotation":
        return u.deg
    if column.kind == "data":
        return data_unit
    return data_unit**-2 if column.kind == "weight" and data_unit is not None else None


def _first_line(error: Exception) -> str:
    """Return the beginning of an error's message."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
