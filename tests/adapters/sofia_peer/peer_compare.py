"""`compare`: both implementations run on a scan, and what is said of them is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pixtrace.adapters.sofia import Comparison, PixelMap, compare, enable, is_enabled
from pixtrace.exceptions import FileReadError, OutputExistsError, ParameterError
from pixtrace.scan import PixelMap as BlockModel
from tests.adapters.sofia_peer.peer_switch import state
from tests.adapters.sofia_peer.untyped import Reduction, Table, log, pixel_map, units

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

STEPS = ["add", "merge", "process", "sync", "fit", "all together", "fit, gaussian"]
OPTIONS = {
    "indexing": "True",
    "indexing.check_memory": "False",
    "pointing.significance": "0.0",
    "pointing.lsq": "False",
}


@pytest.fixture(autouse=True)
def unchanged() -> Generator[None]:
    """Nothing of sofia_redux is changed by a comparison, nor how much it says."""
    before, level = state(), log.level
    yield
    assert not is_enabled()
    assert (state(), log.level) == (before, level)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a simulated scan of the example instrument."""
    path: Path = tmp_path_factory.mktemp("scan") / "scan.fits"
    Reduction("example").info.write_simulated_hdul(str(path), fwhm=10 * units.arcsec)
    return path


def run(scan: Path, **options: Any) -> Comparison:
    """Compare without files."""
    given: dict[str, Any] = {"output": None, "report": None, **options}
    return compare(scan, instrument="example", options=OPTIONS, **given)


def whole(found: Comparison) -> dict[tuple[str, str], Any]:
    """Return the differences over all pixels."""
    return {(row.step, row.name): row for row in found.differences if row.pixel < 0}


def test_report_table_and_picture(scan: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = run(scan, output=tmp_path / "out", report=said.append)
    rows = whole(found)
    for step in ("add", "merge", "process"):
        for plane in ("data", "weight", "exposure", "flag"):
            assert rows[step, plane].n_values == sum(
                row.n_values for row in found.differences if (row.step, row.name) == (step, plane) and row.pixel >= 0
            )
            assert rows[step, plane].n_missing == 0
            assert rows[step, plane].relative < 1e-9, (step, plane)
    assert rows["sync", "signal"].largest < 1e-12
    assert rows["sync", "sample flag"].n_differing == 0
    assert rows["sync as it is", "signal"].relative > 1e-3  # cells of other frames
    assert rows["fit", "x"].n_values == rows["fit", "coupling"].n_values == 121
    assert [timing.what for timing in found.times] == STEPS
    assert all(timing.pixtrace > 0 for timing in found.times)
    assert all(timing.reference > 0 for timing in found.times[:-1])
    files = [tmp_path / "out" / f"scan_compare.{kind}" for kind in ("ecsv", "png")]
    assert said == [str(found) + "".join(f"\n-> {file}" for file in files)]
    assert "sofia_redux 1.5.2" in said[0]
    table = Table.read(files[0])
    np.testing.assert_array_equal(table["pixel"], [row.pixel for row in found.differences])
    assert table.meta["parameters"]["maps"] == 121
    assert [entry["what"] for entry in table.meta["times"]] == STEPS
    assert files[1].read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(OutputExistsError):
        run(scan, output=tmp_path / "out")


def test_differences_are_seen(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation that does something else is found out, where it happens."""
    original = BlockModel.merge_accumulate

    def spoilt(self: Any, other: Any) -> None:
        original(self, other)
        self.block.stack.weight[7] *= 1.01

    monkeypatch.setattr(BlockModel, "merge_accumulate", spoilt)
    found = run(scan)
    rows = {(row.step, row.name, row.pixel): row for row in found.differences}
    assert rows["merge", "weight", 7].relative == pytest.approx(0.01, rel=1e-6)
    assert rows["merge", "weight", 6].relative < 1e-9
    assert rows["add", "weight", 7].relative < 1e-9


def test_sofia_reduxs_own_class_is_run_even_where_ours_is_enabled(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native = pixel_map.PixelMap
    kinds: list[type] = []
    original = native.merge_accumulate

    def watch(self: Any, other: Any) -> None:
        kinds.append(type(self))
        original(self, other)

    with enable():
        monkeypatch.setattr(native, "merge_accumulate", watch)
        run(scan, threads=2)
        assert is_enabled()
        assert pixel_map.PixelMap is PixelMap
        monkeypatch.undo()
    assert kinds == [native] * 2  # once before it is timed


def test_what_cannot_be_compared(scan: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="rounds"):
        run(scan, rounds=0)
    with pytest.raises(ParameterError, match="threads"):
        run(scan, threads=0)
    for name, content in (("nothing.fits", None), ("text.fits", b"text"), ("packed.fits", b"\x1f\x8bno gzip")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(FileReadError, match=name):
            run(tmp_path / name)
