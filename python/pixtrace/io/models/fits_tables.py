"""Trace models in FITS tables, whose floats are the bits of the model.

Each table has a DATASUM, so that a bit that was flipped on a disk is no other model.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import FileReadError
from pixtrace.io.atomic import atomic_path
from pixtrace.io.fits_stream import DataSum, blocks_of, bytes_of
from pixtrace.io.fitsfile import find_extension, open_fits
from pixtrace.io.models.stored import (
    FORMAT,
    StoredModel,
    check_format,
    flat_record,
    is_float_of_record,
    model_from_tables,
    nested_record,
    params_from,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pixtrace.trace.record import RecordTable
    from pixtrace.trace.region_trace import Table

__all__ = ["read_tables", "write_tables"]

_VERSION = "PIXMODEL"
_SUM = "DATASUM"
_LEVEL = 4
#: Columns of each table: name, type of the numbers in memory.
_IMAGES = ("IMAGE", "OFFSET", "ABOUT")
_LAYOUT: dict[str, dict[str, str]] = {
    "REGIONS": {"IMAGE": "i4", "REGION": "i4", "NCOLUMNS": "i8", "NSPLINES": "i8"},
    "COLUMNS": {"COLUMN": "i8", "SPLINE": "i8", "SCALE": "f8", "LOW": "f8", "HIGH": "f8"},
    "SPLINES": {"NKNOTS": "i8"},
    "KNOTS": {"KNOT": "f8"},
    "COEFFS": {"COEFF": "f8"},
}
#: Records of fits: which array of which region, and how many numbers it has; then all whole numbers, then all others.
#: Files of format 1.0 have none.
_RECORDS: dict[str, dict[str, str]] = {
    "RECORDS": {"IMAGE": "i4", "REGION": "i4", "FIELD": "S16", "LENGTH": "i8"},
    "RECINTS": {"NUMBER": "i8"},
    "RECFLTS": {"NUMBER": "f8"},
}


def write_tables(path: Path, models: Sequence[StoredModel], *, overwrite: bool) -> None:
    """Write models as FITS tables.

    Parameters
    ----------
    path : Path
        The file; one that ends in ``.gz`` is packed.
    models : sequence of StoredModel
        What is to be written.
    overwrite : bool
        Whether a file that is there already may be replaced.

    Raises
    ------
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    from astropy.io import fits

    from pixtrace import __version__

    primary = fits.PrimaryHDU()
    primary.header[_VERSION] = (FORMAT, "trace models of pixtrace: version of the format")
    primary.header["PIXVERS"] = (__version__, "version of pixtrace")
    hdus = fits.HDUList([primary, _image_table(models)])
    parts: list[tuple[int, int, Table]] = []
    for number, stored in enumerate(models):
        parts.extend((number, label, table) for label, table in stored.model.tables().items())
    tables: dict[str, dict[str, list[Any]]] = {name: {key: [] for key in kinds} for name, kinds in _LAYOUT.items()}
    for number, label, (columns, spline, scale, bounds, n_knots, knots, coefficients) in parts:
        counts = (number, label, columns.size, n_knots.size)
        for key, value in zip(_LAYOUT["REGIONS"], counts, strict=True):
            tables["REGIONS"][key].append(np.array([value]))
        for key, array in zip(_LAYOUT["COLUMNS"], (columns, spline, scale, *bounds.T), strict=True):
            tables["COLUMNS"][key].append(array)
        tables["SPLINES"]["NKNOTS"].append(n_knots)
        tables["KNOTS"]["KNOT"].append(knots)
        tables["COEFFS"]["COEFF"].append(coefficients)
    for name, kinds in _LAYOUT.items():
        record = {
            key: np.concatenate([np.empty(0, kind), *tables[name][key]]).astype(kind) for key, kind in kinds.items()
        }
        hdus.append(_table(name, record, kinds))
    hdus.extend(_record_tables(models))
    with atomic_path(path, overwrite=overwrite) as partial:
        if partial.suffix == ".gz":
            with gzip.open(partial, "wb", compresslevel=_LEVEL) as packed:
                hdus.writeto(packed)
        else:
            hdus.writeto(partial)


def read_tables(path: Path) -> list[StoredModel]:
    """Read models from FITS tables.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    list of StoredModel
        The models.

    Raises
    ------
    FileReadError
        It is damaged, holds no model, or one of a format to come.
    """
    with open_fits(path) as hdus:
        header = hdus[0].header
        if _VERSION not in header:
            msg = f"{path} holds no trace model: it has no keyword {_VERSION}; `pixtrace fit` makes one"
            raise FileReadError(msg)
        check_format(header[_VERSION], str(path))
        images = _read(hdus, path, "IMAGES", _IMAGES)
        read = {name: _read(hdus, path, name, tuple(kinds)) for name, kinds in _LAYOUT.items()}
        arrays = {
            name: {key: np.ascontiguousarray(read[name][key], dtype=kind) for key, kind in kinds.items()}
            for name, kinds in _LAYOUT.items()
        }
        by_image, records = _split(arrays, path), _read_records(hdus, path)
        return [
            _stored(
                row,
                by_image.get(int(row["IMAGE"]), {}),
                records.get(int(row["IMAGE"]), {}),
                f"{path}, image {row['IMAGE']}",
            )
            for row in images
        ]


def _stored(row: Any, tables: dict[int, Table], records: dict[int, RecordTable], where: str) -> StoredModel:  # noqa: ANN401
    """Return the model of one row of the table of images."""
    model = model_from_tables(tables, where, records)
    try:
        about: dict[str, Any] = json.loads(str(row["ABOUT"]))
        return StoredModel(
            model=model,
            name=str(about["name"]),
            offset=float(row["OFFSET"]),
            params=params_from(about["params"], where),
            source=str(about["source"]),
            fingerprint=str(about["fingerprint"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{where}: what is said about the model cannot be read ({error}); get a complete copy"
        raise FileReadError(msg) from error


def _split(arrays: dict[str, dict[str, npt.NDArray[Any]]], path: Path) -> dict[int, dict[int, Table]]:
    """Return the table of each region of each image, cut out of those of the file."""
    regions, columns = arrays["REGIONS"], arrays["COLUMNS"]
    n_knots, knots, coefficients = (
        arrays["SPLINES"]["NKNOTS"],
        arrays["KNOTS"]["KNOT"],
        arrays["COEFFS"]["COEFF"],
    )
    first_knot = np.concatenate([[0], np.cumsum(n_knots)])
    first_coefficient = first_knot - 4 * np.arange(first_knot.size)
    column_ends, spline_ends = np.cumsum(regions["NCOLUMNS"]), np.cumsum(regions["NSPLINES"])
    counts = [*regions["NCOLUMNS"], *regions["NSPLINES"], *n_knots]
    totals = (
        ("COLUMNS", columns["COLUMN"].size, column_ends[-1] if column_ends.size else 0),
        ("SPLINES", n_knots.size, spline_ends[-1] if spline_ends.size else 0),
        ("KNOTS", knots.size, first_knot[-1]),
        ("COEFFS", coefficients.size, first_coefficient[-1]),
    )
    for name, found, expected in totals:
        if found != expected or min(counts, default=0) < 0:
            msg = f"extension {name} of {path} has {found} rows; expected {expected}. Get a complete copy"
            raise FileReadError(msg)
    by_image: dict[int, dict[int, Table]] = {}
    for i, (image, label) in enumerate(zip(regions["IMAGE"].tolist(), regions["REGION"].tolist(), strict=True)):
        some = slice(column_ends[i] - regions["NCOLUMNS"][i], column_ends[i])
        start, end = spline_ends[i] - regions["NSPLINES"][i], spline_ends[i]
        by_image.setdefault(image, {})[label] = (
            columns["COLUMN"][some],
            columns["SPLINE"][some],
            columns["SCALE"][some],
            np.stack([columns["LOW"][some], columns["HIGH"][some]], axis=1),
            n_knots[start:end],
            knots[first_knot[start] : first_knot[end]],
            coefficients[first_coefficient[start] : first_coefficient[end]],
        )
    return by_image


def _record_tables(models: Sequence[StoredModel]) -> list[Any]:
    """Return the tables with the records of the fits."""
    rows: list[tuple[int, int, bytes, int]] = []
    numbers: dict[str, list[npt.NDArray[Any]]] = {"RECINTS": [np.empty(0, np.int64)], "RECFLTS": [np.empty(0)]}
    for image, stored in enumerate(models):
        for label, record in stored.model.records().items():
            for field, array in flat_record(record).items():
                rows.append((image, label, field.encode(), array.size))
                numbers["RECFLTS" if is_float_of_record(field) else "RECINTS"].append(array.ravel())
    kinds = _RECORDS["RECORDS"]
    listing = np.array(rows, dtype=list(kinds.items()))
    tables = [_table("RECORDS", {key: listing[key] for key in kinds}, kinds)]
    tables.extend(_table(name, {"NUMBER": np.concatenate(arrays)}, _RECORDS[name]) for name, arrays in numbers.items())
    return tables


def _read_records(hdus: Any, path: Path) -> dict[int, dict[int, RecordTable]]:  # noqa: ANN401 - astropy has no types
    """Return the records of the fits, by image and region."""
    if find_extension(hdus, "RECORDS", 1) is None:
        return {}
    read = {name: _read(hdus, path, name, tuple(kinds)) for name, kinds in _RECORDS.items()}
    numbers = {
        name: np.ascontiguousarray(read[name]["NUMBER"], dtype=_RECORDS[name]["NUMBER"]) for name in list(read)[1:]
    }
    used = dict.fromkeys(numbers, 0)
    flat: dict[tuple[int, int], dict[str, npt.NDArray[Any]]] = {}
    for row in read["RECORDS"]:
        field, length = str(row["FIELD"]), int(row["LENGTH"])
        name = "RECFLTS" if is_float_of_record(field) else "RECINTS"
        array = numbers[name][used[name] : used[name] + length]
        if length < 0 or array.size != length:
            msg = f"extension {name} of {path} has fewer numbers than RECORDS says; get a complete copy"
            raise FileReadError(msg)
        used[name] += length
        flat.setdefault((int(row["IMAGE"]), int(row["REGION"])), {})[field] = array
    found: dict[int, dict[int, RecordTable]] = {}
    for (image, label), arrays in flat.items():
        found.setdefault(image, {})[label] = nested_record(arrays, f"{path}, image {image}, region {label}")
    return found


def _image_table(models: Sequence[StoredModel]) -> Any:  # noqa: ANN401 - astropy has no types
    """Return the table with one row per image."""
    # As JSON, because the letters of a FITS table are those of ASCII.
    about = [
        json.dumps(
            {
                "name": stored.name,
                "source": stored.source,
                "fingerprint": stored.fingerprint,
                "params": {} if stored.params is None else dataclasses.asdict(stored.params),
            }
        ).encode()
        for stored in models
    ]
    record: dict[str, npt.NDArray[Any]] = {
        "IMAGE": np.arange(len(models), dtype=np.int32),
        "OFFSET": np.array([stored.offset for stored in models], dtype=np.float64),
        "ABOUT": np.array(about),
    }
    return _table("IMAGES", record, dict.fromkeys(_IMAGES, ""))


def _table(name: str, record: dict[str, npt.NDArray[Any]], keys: dict[str, str]) -> Any:  # noqa: ANN401
    """Return a binary table."""
    from astropy.io import fits

    # In the byte order of the file, for the sum.
    kinds = [(key, record[key].dtype.newbyteorder(">")) for key in keys]
    array = np.empty(len(next(iter(record.values()))), dtype=kinds)
    for key in keys:
        array[key] = record[key]
    hdu = fits.BinTableHDU(array, name=name)
    hdu.header[_SUM] = (str(_datasum(array)), "sum of the data unit")
    return hdu


def _datasum(table: npt.NDArray[Any]) -> int:
    """Return the sum of a table as it stands in the file."""
    datasum = DataSum()
    for block in blocks_of(table):
        datasum.add(bytes_of(block))
    return datasum.value


def _read(hdus: Any, path: Path, name: str, keys: tuple[str, ...]) -> Any:  # noqa: ANN401
    """Return the table of this name, with all its columns."""
    index = find_extension(hdus, name, 1)
    if index is None:
        msg = f"{path} has no extension {name}; get a complete copy"
        raise FileReadError(msg)
    data = hdus[index].data
    found = () if data is None or data.dtype.names is None else data.dtype.names
    missing = [key for key in keys if key not in found]
    if missing:
        msg = f"extension {name} of {path} has no column {', '.join(missing)}; get a complete copy"
        raise FileReadError(msg)
    told = str(hdus[index].header.get(_SUM, "")).strip()
    # Files of format 1.0 and 1.1 have no sum.
    if told and told.lstrip("0") != str(_datasum(np.asarray(data))).lstrip("0"):
        msg = f"extension {name} of {path} is damaged: its DATASUM does not agree with its content; get a complete copy"
        raise FileReadError(msg)
    return data
