"""Receiver channel parameter files: what is written is read back to the bit, and damage is named with its line."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixtrace.exceptions import DataError, FileReadError, OutputError, OutputExistsError, ShapeError
from pixtrace.io.rcp import read_rcp, write_rcp
from pixtrace.scan.tables import PixelTable, RcpTable
from tests.reference import reference_root

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def table(n: int = 4) -> RcpTable:
    """Return a table of n pixels with numbers that no decimal fraction of few digits holds."""
    rng = np.random.default_rng(n)
    return RcpTable(
        fixed_index=3 * np.arange(n),
        x=60 * rng.standard_normal(n),
        y=60 * rng.standard_normal(n),
        point_gain=rng.uniform(0.5, 1.5, n),
        sky_gain=rng.uniform(0.5, 1.5, n),
        unmeasured=np.array([1, 7]),
        header=("Instrument: camera",),
    )


def few(**columns: Any) -> RcpTable:
    """Return a table of columns given as lists."""
    return RcpTable(**columns)


def save(directory: Path, text: str) -> Path:
    """Write a file by hand."""
    path = directory / "a.rcp"
    path.write_text(text, encoding="utf-8")
    return path


def assert_same(found: RcpTable, expected: RcpTable) -> None:
    """Check that two tables hold the same bits."""
    for name in ("fixed_index", "x", "y", "point_gain", "sky_gain", "unmeasured"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_what_is_written_is_read_to_the_bit(tmp_path: Path) -> None:
    written = table()
    write_rcp(tmp_path / "a.rcp", written, header={"Scan": "a scan", "Object": "Mars\n9 9 9"})
    found = read_rcp(tmp_path / "a.rcp")
    assert_same(found, written)
    assert found.header == ("Instrument: camera", "Scan: a scan", "Object: Mars", "9 9 9")
    write_rcp(tmp_path / "b.rcp", found)
    assert (tmp_path / "b.rcp").read_bytes() == (tmp_path / "a.rcp").read_bytes()


@given(rows=st.lists(st.tuples(FINITE, FINITE, FINITE, FINITE), max_size=5))
def test_every_finite_number_survives(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, ...]]) -> None:
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T
    written = RcpTable(
        fixed_index=np.arange(len(rows)),
        x=columns[0],
        y=columns[1],
        point_gain=columns[2],
        sky_gain=columns[3],
        unmeasured=np.array([len(rows)]),
    )
    path = tmp_path_factory.mktemp("rcp") / "a.rcp"
    write_rcp(path, written)
    assert_same(read_rcp(path), written)


def test_an_unmeasured_pixel_has_no_line_of_its_own(tmp_path: Path) -> None:
    measured = PixelTable(
        fixed_index=np.array([2, 5, 9, 11]),
        x=np.array([1.0, np.nan, 3.0, 4.0]),
        y=np.array([1.0, 2.0, 3.0, 4.0]),
        gain=np.array([2.0, 1.0, 1.0, 1.0]),
        coupling=np.array([0.5, 1.0, np.nan, 1.25]),
    )
    write_rcp(tmp_path / "a.rcp", measured)
    lines = (tmp_path / "a.rcp").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["2\t1.0\t2.0\t1.0\t1.0", "11\t1.25\t1.0\t4.0\t4.0"]
    found = read_rcp(tmp_path / "a.rcp")
    np.testing.assert_array_equal(found.unmeasured, [5, 9])
    np.testing.assert_array_equal(found.coupling, [0.5, 1.25])


def test_without_gains_the_point_gain_is_the_coupling(tmp_path: Path) -> None:
    one = np.array([0.75])
    write_rcp(tmp_path / "a.rcp", PixelTable(fixed_index=np.array([4]), x=one, y=one, coupling=one))
    found = read_rcp(tmp_path / "a.rcp")
    assert (found.point_gain[0], found.sky_gain[0]) == (0.75, 1.0)


def test_no_pixel_measured(tmp_path: Path) -> None:
    write_rcp(tmp_path / "a.rcp", PixelTable(fixed_index=np.array([4, 5])))
    found = read_rcp(tmp_path / "a.rcp")
    assert found.fixed_index.size == 0
    np.testing.assert_array_equal(found.unmeasured, [4, 5])


@pytest.mark.parametrize(
    ("line", "gains"),
    [
        ("7 1.5 -2.5", (np.nan, np.nan)),
        ("7\t1.25\t1.5\t-2.5", (1.25, np.nan)),
        ("7\t1.25\t0.5\t1.5\t-2.5", (1.25, 0.5)),
        ("  7   1.25\t0.5  1.5 -2.5\t", (1.25, 0.5)),
        ("7\t1.25\t0.5\t1.5\t-2.5\t99\tgood", (1.25, 0.5)),
        ("7.0e0 1.25 0.5 1.5 -2.5 # a remark", (1.25, 0.5)),
    ],
)
def test_columns(tmp_path: Path, line: str, gains: tuple[float, float]) -> None:
    found = read_rcp(save(tmp_path, f"# head\n\n{line}\r\n# unmeasured: 8\n# tail\n"))
    assert (found.fixed_index.tolist(), found.x.tolist(), found.y.tolist()) == ([7], [1.5], [-2.5])
    np.testing.assert_array_equal([found.point_gain[0], found.sky_gain[0]], gains)
    assert found.unmeasured.tolist() == [8]
    assert found.header == ("head",)


def test_a_position_of_nan_is_none(tmp_path: Path) -> None:
    found = read_rcp(save(tmp_path, "1 1.0 1.0 nan nan\n2 1.0 1.0 3.0 4.0\n"))
    assert (found.fixed_index.tolist(), found.unmeasured.tolist()) == ([2], [1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2.0 3.0\n2 x 3.0\n", r"a\.rcp, line 2, x: found 'x'; expected a number"),
        ("# c\n1 1.0 2.0 3.0\n2 1.0 inf 3.0\n", r"line 3, x: found 'inf'"),
        ("1 2.0 3.0\n2 2.0 1_0\n", r"line 2, y: found '1_0'"),
        ("1 2.0\n", r"line 1: found 2 columns; expected at least 3"),
        ("1,2.0,3.0\n", r"found 1 column; .* not by commas"),
        ("1 2.0 3.0\n2 1.0 2.0 3.0\n", r"line 2: found 4 columns; expected 3, as in line 1"),
        ("1 1.0 1.0 2.0 3.0\n2 1.0 1.0 2.0\n", r"line 2: found 4 columns; expected 5, as in line 1"),
        ("1 2.0 3.0\n1 2.0 3.0\n", r"line 2: pixel 1 has a line already, line 1"),
        ("1 2.0 3.0\n# unmeasured: 1\n", r"line 2: pixel 1 has a line already, line 1"),
        ("-1 2.0 3.0\n", r"line 1: found the pixel number '-1'"),
        ("1.5 2.0 3.0\n", r"line 1: found the pixel number '1\.5'"),
        ("99999999999999999999 2.0 3.0\n", r"expected a whole number"),
        ("1 inf 1.0 2.0 3.0\n", r"point gain: found 'inf'"),
        ("", r"names no pixel"),
        ("# only a comment\n", r"names no pixel"),
        ("SIMPLE  =                    T / FITS\0", r"is not a text file"),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileReadError, match=message):
        read_rcp(save(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match=r"none\.rcp does not exist"):
        read_rcp(tmp_path / "none.rcp")
    with pytest.raises(FileReadError, match="cannot be read: Is a directory"):
        read_rcp(tmp_path)


def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.rcp").write_text("old")
    with pytest.raises(OutputExistsError):
        write_rcp(tmp_path / "a.rcp", table())
    with pytest.raises(OutputError, match="does not exist; make it first"):
        write_rcp(tmp_path / "none" / "a.rcp", table())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_rcp(tmp_path / "a.rcp", table(), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.rcp"]
    assert (tmp_path / "a.rcp").read_text() == "old"


def test_tables_that_make_no_sense() -> None:
    with pytest.raises(DataError, match="belongs among `unmeasured`"):
        few(fixed_index=[1], x=[np.nan], y=[0.0])
    with pytest.raises(DataError, match="infinite gain"):
        few(fixed_index=[1], x=[0.0], y=[0.0], sky_gain=[np.inf])
    with pytest.raises(DataError, match="holds 3 2 times"):
        few(fixed_index=[3], x=[0.0], y=[0.0], unmeasured=[3])
    with pytest.raises(ShapeError, match=r"`y` has shape \(2,\)"):
        few(fixed_index=[3], x=[0.0], y=[0.0, 1.0])


def test_the_file_of_the_reference() -> None:
    root = reference_root() / "pixelmap"
    found = read_rcp(root / "scan.rcp")
    with np.load(root / "scan_result.npz") as result:
        index, (x, y), coupling = result["channel_fixed_index"], result["position"], result["coupling"]
    at = np.searchsorted(index, found.fixed_index)
    np.testing.assert_array_equal(index[at], found.fixed_index)
    # The reference writes four digits, and gains with three decimals.
    np.testing.assert_allclose(found.x, x[at], rtol=5.1e-4)
    np.testing.assert_allclose(found.y, y[at], rtol=5.1e-4)
    np.testing.assert_allclose(found.point_gain, coupling[at], atol=5.1e-4)
    np.testing.assert_array_equal(found.sky_gain, 1.0)
    assert found.header[0] == "Instrument: hawc_plus"
