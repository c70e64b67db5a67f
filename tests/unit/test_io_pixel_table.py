"""The table of pixels: what is written as ECSV is read back to the bit, by us and by astropy alone."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from astropy.utils.masked import Masked

from pixtrace.exceptions import DataError, DtypeError, FileReadError, OutputError, ParameterError, ShapeError
from pixtrace.io.pixel_table import read_pixel_table, to_qtable, write_pixel_table
from pixtrace.scan.tables import PIXEL_COLUMNS, ExtraColumn, PixelTable

MEANINGS = {1: "no source: below the threshold", 2: "fit did not converge"}


def table(n: int = 6, **changes: Any) -> PixelTable:
    """Return a table with a number in every column."""
    rng = np.random.default_rng(n)
    columns: dict[str, Any] = {
        column.name: rng.integers(0, 1000, n) if column.is_whole else rng.standard_normal(n) for column in PIXEL_COLUMNS
    }
    columns["fixed_index"] = np.arange(n)[::-1] * 5
    columns["x"][1::3] = np.nan
    columns["y"][1::3] = np.nan
    columns["snr"][0] = np.inf
    columns.update(changes)
    about: dict[str, Any] = {"unit": "ct", "flag_meanings": MEANINGS, "meta": {"instrument": "camera", "mjd": 6.5}}
    return PixelTable(**(about | columns))


def assert_same(found: PixelTable, expected: PixelTable) -> None:
    """Check that two tables hold the same bits."""
    for column in PIXEL_COLUMNS:
        one, other = getattr(found, column.name), getattr(expected, column.name)
        np.testing.assert_array_equal(one, other, err_msg=column.name, strict=True)
    assert (found.unit, dict(found.flag_meanings), dict(found.meta)) == (
        expected.unit,
        dict(expected.flag_meanings),
        dict(expected.meta),
    )
    assert list(found.extra) == list(expected.extra)
    for name, extra in expected.extra.items():
        np.testing.assert_array_equal(found.extra[name].values, extra.values, strict=True)
        assert (found.extra[name].unit, found.extra[name].description) == (extra.unit, extra.description)


@pytest.mark.parametrize("unit", ["ct", "Jy / beam", "", "furlong of my own"])
def test_what_is_written_is_read_to_the_bit(tmp_path: Path, unit: str) -> None:
    extra = {
        "nefd": ExtraColumn(values=np.linspace(0, 1, 6) / 3, unit="Jy s(1/2)", description="sensitivity"),
        "hits": ExtraColumn(values=np.arange(6)),
    }
    written = table(unit=unit, extra=extra)
    write_pixel_table(tmp_path / "a.ecsv", written)
    assert_same(read_pixel_table(tmp_path / "a.ecsv"), written)


def test_nothing_but_positions(tmp_path: Path) -> None:
    written = PixelTable(fixed_index=np.array([3]), x=np.array([1.0]), y=np.array([2.0]))
    write_pixel_table(tmp_path / "a.ecsv", written)
    found = read_pixel_table(tmp_path / "a.ecsv")
    assert_same(found, written)
    assert (found.row[0], found.n_cells[0]) == (-1, 0)
    assert np.isnan(found.coupling[0])


def test_no_pixels(tmp_path: Path) -> None:
    write_pixel_table(tmp_path / "a.ecsv", PixelTable(fixed_index=np.empty(0, np.int64)))
    assert read_pixel_table(tmp_path / "a.ecsv").n_pixels == 0


def test_astropy_alone_reads_quantities_and_meanings(tmp_path: Path) -> None:
    write_pixel_table(tmp_path / "a.ecsv", table())
    found = QTable.read(tmp_path / "a.ecsv", format="ascii.ecsv")
    assert found["x"].unit == u.arcsec
    assert found["angle"].unit == u.deg
    assert found["amplitude_error"].unit == u.ct
    assert found["weight"].unit == u.ct**-2
    assert found["flag"].dtype == np.int64
    assert found.meta["flag_meanings"] == MEANINGS
    assert found["coupling"].info.description == "coupling to the source, relative to the other pixels"


def test_other_units_are_converted(tmp_path: Path) -> None:
    other = QTable({"fixed_index": [1.0, 2.0], "x": [1.0, 2.0] * u.arcmin, "y": [1.0, 2.0] * u.deg, "mine": [3, 4]})
    other.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    found = read_pixel_table(tmp_path / "a.ecsv")
    np.testing.assert_allclose(found.x, [60.0, 120.0])
    np.testing.assert_allclose(found.y, [3600.0, 7200.0])
    np.testing.assert_array_equal(found.extra["mine"].values, [3, 4])


def test_a_number_that_is_missing_in_the_file_is_unknown(tmp_path: Path) -> None:
    other = QTable({"fixed_index": [1, 2], "row": np.ma.array([5, 6], mask=[True, False])})
    other["x"] = other["y"] = Masked([1.0, 2.0] * u.arcsec, mask=[False, True])
    other.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    found = read_pixel_table(tmp_path / "a.ecsv")
    np.testing.assert_array_equal(found.x, [1.0, np.nan])
    np.testing.assert_array_equal(found.row, [-1, 6])


def changed(directory: Path, **columns: Any) -> Path:
    """Write a table with columns changed, removed where they are None."""
    qtable = to_qtable(table())
    for name, values in columns.items():
        del qtable[name]
        if values is not None:
            qtable[name] = values
    qtable.write(directory / "a.ecsv", format="ascii.ecsv")
    return directory / "a.ecsv"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": None, "y": None}, r"a\.ecsv has no column x nor y; found fixed_index"),
        ({"x": np.arange(6.0) * u.s}, r"column x: is in s; expected arcsec"),
        ({"y": np.arange(6.0)}, r"column y: has no unit; expected arcsec"),
        ({"amplitude": np.arange(6.0) * u.Jy}, r"column amplitude: is in Jy; expected ct"),
        ({"row": np.arange(6.0) / 2}, r"column row: holds numbers that are not whole"),
        ({"x": ["a"] * 6}, r"column x: holds .* expected numbers"),
        ({"snr": np.zeros((6, 2))}, r"column snr: holds float64 of shape \(2,\)"),
        ({"fixed_index": [0, 1, 2, 3, 4, 4]}, r"`fixed_index` holds 4 2 times"),
        ({"fixed_index": [0, 1, 2, 3, 4, -4]}, r"`fixed_index` holds -4"),
    ],
)
def test_columns_that_are_wrong_are_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(FileReadError, match=message):
        read_pixel_table(changed(tmp_path, **columns))


def test_a_file_that_ends_too_early(tmp_path: Path) -> None:
    write_pixel_table(tmp_path / "a.ecsv", table())
    text = (tmp_path / "a.ecsv").read_text()
    lines = text.splitlines(keepends=True)
    for end, message in ((-1, "has 5 rows; its header promises 6"), (3, "is not an ECSV table")):
        (tmp_path / "b.ecsv").write_text("".join(lines[:end]))
        with pytest.raises(FileReadError, match=message):
            read_pixel_table(tmp_path / "b.ecsv")
    (tmp_path / "b.ecsv").write_text(text.rstrip()[: -len(lines[-1]) // 2])
    with pytest.raises(FileReadError, match="is not an ECSV table, or a damaged one"):
        read_pixel_table(tmp_path / "b.ecsv")


@pytest.mark.parametrize("content", [b"", b"x y\n1 2\n", b"SIMPLE  =   T\0\0\xff\xfe", b"# %ECSV 1.0\n# ---\n# {[\n"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ecsv").write_bytes(content)
    with pytest.raises(FileReadError, match=r"a\.ecsv"):
        read_pixel_table(tmp_path / "a.ecsv")


def test_files_of_another_version_or_kind(tmp_path: Path) -> None:
    qtable = to_qtable(table())
    for name, value in (("version", 99), ("kind", "shopping list")):
        other = qtable.copy()
        other.meta[name] = value
        other.write(tmp_path / "a.ecsv", format="ascii.ecsv", overwrite=True)
        with pytest.raises(FileReadError, match=f"{value}.*; expected 'pixtrace pixel table', version 1"):
            read_pixel_table(tmp_path / "a.ecsv")


def test_files_that_are_not_there_or_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileReadError, match="does not exist"):
        read_pixel_table(tmp_path / "a.ecsv")
    with pytest.raises(FileReadError, match="is not an ECSV table"):
        read_pixel_table(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_pixel_table(tmp_path / "a.ecsv", table())
    assert list(tmp_path.iterdir()) == []


def test_tables_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"`x` has shape \(5,\); expected \(6,\)"):
        table(x=np.zeros(5))
    with pytest.raises(DtypeError, match="`row` has dtype float64; expected whole numbers"):
        table(row=np.zeros(6))
    with pytest.raises(DataError, match="holds 3 6 times"):
        table(fixed_index=np.full(6, 3))
    with pytest.raises(ParameterError, match="extra column `x`"):
        table(extra={"x": ExtraColumn(values=np.zeros(6))})
    with pytest.raises(DtypeError, match="expected numbers"):
        ExtraColumn(values=np.array(["a"]))
    with pytest.raises(ParameterError, match="is written by pixtrace itself"):
        write_pixel_table(tmp_path / "a.ecsv", table(meta={"unit": "Jy"}))
