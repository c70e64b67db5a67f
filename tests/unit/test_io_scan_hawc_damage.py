"""Raw HAWC+ scans that are damaged, and what is said of them."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import DataError, FileReadError, PixtraceError, UnsupportedModeError
from pixtrace.io.scan.hawc import open_hawc
from pixtrace.io.scan.hawc_write import write_hawc
from pixtrace.io.scan.simulated import stream_simulated
from pixtrace.simulate import ScanSimulator
from tests.hawc_files import PARAMS, Hdus, changed, with_values, without
from tests.untyped import fits


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hawc") / "scan.fits"
    write_hawc(path, stream_simulated(ScanSimulator(PARAMS)))
    return path


class TestDamage:
    @pytest.mark.parametrize("name", ["SQ1Feedback", "Timestamp", "RA", "DEC", "SIBS_VPA", "TABS_VPA"])
    def test_a_missing_column_is_named(self, written: Path, tmp_path: Path, name: str) -> None:
        path = changed(written, tmp_path / "missing.fits", without(name))
        with pytest.raises(FileReadError, match=rf"missing\.fits, HDU 2 \(TIMESTREAM\): no column {name.upper()};"):
            open_hawc(path)

    @pytest.mark.parametrize("keyword", ["SPECTEL1", "MCEMAP"])
    def test_a_missing_keyword_is_named(self, written: Path, tmp_path: Path, keyword: str) -> None:
        def forget(hdus: Hdus) -> None:
            del hdus[0].header[keyword]

        with pytest.raises(FileReadError, match=f"no {keyword}"):
            open_hawc(changed(written, tmp_path / "keyword.fits", forget))

    @pytest.mark.parametrize(
        ("keyword", "value", "error", "message"),
        [
            ("SPECTEL1", "HAW_Q", DataError, "HAW_Q.*expected one of HAW_A"),
            ("MCEMAP", "-1,-1,-1,-1", DataError, "not all of them -1"),
            ("MCEMAP", "zero", DataError, "4 whole numbers"),
            ("CHOPPING", True, UnsupportedModeError, "chopper"),
        ],
    )
    def test_impossible_keywords(
        self, written: Path, tmp_path: Path, keyword: str, value: object, error: type[PixtraceError], message: str
    ) -> None:
        def change(hdus: Hdus) -> None:
            hdus[0].header[keyword] = value

        with pytest.raises(error, match=message) as caught:
            open_hawc(changed(written, tmp_path / "keyword.fits", change))
        assert "keyword.fits" in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "place", "value", "message"),
        [
            ("Timestamp", 17, np.nan, "1 of 300 frames is not finite .the first is frame 17"),
            ("Timestamp", 17, 0.0, "does not grow from frame 16"),
            ("RA", 3, 99.0, "RA runs from .* expected hours from 0 to 24"),
            ("DEC", 3, 700.0, "DEC runs from .* expected degrees"),
            ("RA", slice(None), np.nan, "boresight is not finite in any frame"),
            ("Flag", slice(None), 1, "none of the 300 frames"),
        ],
    )
    def test_impossible_numbers(
        self, written: Path, tmp_path: Path, name: str, place: Any, value: float, message: str
    ) -> None:
        def change(column: Any) -> None:
            column[place] = value

        with pytest.raises(DataError, match=message) as caught:
            open_hawc(changed(written, tmp_path / "numbers.fits", with_values(name, change)))
        assert "numbers.fits" in str(caught.value)

    def test_impossible_unit(self, written: Path, tmp_path: Path) -> None:
        def change(hdus: Hdus) -> None:
            hdus[2].columns["RA"].unit = "Jy"

        with pytest.raises(DataError, match=r"HDU 2 \(TIMESTREAM\), column RA has the unit 'Jy'; expected one of h,"):
            open_hawc(changed(written, tmp_path / "unit.fits", change))

    def test_impossible_dimensions(self, written: Path, tmp_path: Path) -> None:
        def change(hdus: Hdus) -> None:
            columns = [column for column in hdus[2].columns if column.name != "SQ1Feedback"]
            columns.append(fits.Column("SQ1Feedback", "12J", dim="(4,3)", array=np.zeros((300, 3, 4), dtype=np.int32)))
            hdus[2] = fits.BinTableHDU.from_columns(columns, name="Timestream")

        with pytest.raises(DataError, match=r"12J.*expected 5248 numbers, 41 rows of 128 columns"):
            open_hawc(changed(written, tmp_path / "shape.fits", change))

    @pytest.mark.parametrize("kept", [0.99, 0.5, 0.0005])
    def test_truncated(self, written: Path, tmp_path: Path, kept: float) -> None:
        path = tmp_path / "short.fits"
        content = written.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(FileReadError, match=r"short\.fits ends too early.*complete copy"):
            open_hawc(path)

    def test_truncated_says_how_many_rows_are_there(self, written: Path, tmp_path: Path) -> None:
        path = tmp_path / "short.fits"
        content = written.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(FileReadError, match=r"HDU 2 \(TIMESTREAM\), \d+ are there: 1\d\d of 300 rows"):
            open_hawc(path)

    def test_truncated_packed(self, written: Path, tmp_path: Path) -> None:
        path = tmp_path / "short.fits.gz"
        content = gzip.compress(written.read_bytes(), 1)
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(FileReadError, match="cannot be unpacked"):
            open_hawc(path)

    @pytest.mark.parametrize(
        ("content", "message"), [(b"", "empty"), (b"hello" * 1000, "not a FITS file"), (b"\x1f\x8bxxxx", "unpacked")]
    )
    def test_other_files(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "other.fits"
        path.write_bytes(content)
        with pytest.raises(FileReadError, match=message):
            open_hawc(path)

    def test_no_table(self, written: Path, tmp_path: Path) -> None:
        def rename(hdus: Hdus) -> None:
            hdus[2].name = "HOUSEKEEPING"

        with pytest.raises(FileReadError, match=r"no table TIMESTREAM.*HOUSEKEEPING"):
            open_hawc(changed(written, tmp_path / "none.fits", rename))

    def test_no_file_and_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(FileReadError, match="does not exist"):
            open_hawc(tmp_path / "nowhere.fits")
        with pytest.raises(FileReadError, match="is a directory"):
            open_hawc(tmp_path)

    def test_a_full_temporary_directory(self, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        path = tmp_path / "scan.fits.gz"
        path.write_bytes(gzip.compress(written.read_bytes(), 1))
        monkeypatch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(FileReadError, match="the disk is full; make room there, set TMPDIR"):
            open_hawc(path)
