"""What is common to the comparisons with other implementations: numbers, report, table and picture, and the command."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pixtrace.adapters._comparison import Gap, Timing, gap, targets
from pixtrace.adapters.sofia import _compare
from pixtrace.adapters.sofia._compare import Comparison, Difference
from pixtrace.adapters.sofia._operations import Outcome
from pixtrace.cli import main
from pixtrace.exceptions import OutputExistsError
from pixtrace.io.scan.dispatch import is_raw_scan

if TYPE_CHECKING:
    from pathlib import Path

Table: Any = import_module("astropy.table").Table
fits: Any = import_module("astropy.io.fits")
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ([1.0, 2.0, NAN], [1.0, 2.0, NAN], (3, 0, 0, 0.0, 0.0)),
        ([1.0, 2.0, 4.0], [1.0, 2.5, 4.0], (3, 1, 0, 0.5, 0.25)),
        ([1e-9, 2.0, 2.0], [2e-9, 2.0, 2.0], (3, 1, 0, 1e-9, 5e-10)),  # relative to the median
        ([NAN, 2.0], [1.0, 2.0], (2, 1, 1, 0.0, 0.0)),
        ([INF, 1.0], [INF, 1.0], (2, 0, 0, 0.0, 0.0)),
        ([0.0, 0.0], [0.0, 0.0], (2, 0, 0, 0.0, 0.0)),
        ([NAN], [NAN], (1, 0, 0, 0.0, 0.0)),
        ([], [], (0, 0, 0, 0.0, 0.0)),
    ],
)
def test_the_numbers_of_a_difference(theirs: list[float], ours: list[float], expected: tuple[float, ...]) -> None:
    assert gap(np.array(theirs, dtype=float), np.array(ours, dtype=float)) == pytest.approx(expected)


def test_flags_are_equal_or_not() -> None:
    assert gap(np.array([1, 2, 3]), np.array([1, 2, 3], dtype=np.uint8)) == (3, 0, 0, 0.0, 0.0)
    assert gap(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == pytest.approx((4, 1, 0, NAN, 0.25), nan_ok=True)


def outcomes() -> tuple[Outcome, Outcome]:
    """Return what two implementations gave for two pixels, one of which only one of them has measured."""
    theirs, ours = Outcome(), Outcome()
    theirs.keep("add", {"data": {3: np.ones((2, 2)), 0: np.full((2, 2), 2.0)}})
    ours.keep("add", {"data": {3: np.ones((2, 2)), 0: np.full((2, 2), 2.5)}})
    for one, shift in ((theirs, 1.0), (ours, 0.0)):
        one.keep("sync", {"signal": {3: np.zeros(5)}})
        if shift:
            one.values["sync as it is", "signal"] = {3: np.ones(5)}
    theirs.keep("fit", {"x": {3: np.array([4.0])}})
    ours.keep("fit", {"x": {3: np.array([4.0]), 0: np.array([1.0])}})
    return theirs, ours


def comparison(path: Path) -> Comparison:
    return Comparison(
        path=path / "scan.fits.gz",
        parameters={"maps": 2, "grid": "5.0"},
        versions={"sofia_redux": "1.5.2", "pixtrace": "0"},
        threads=2,
        differences=_compare._differences(*outcomes()),
        times=[Timing("add", 2.0, 0.125), Timing("gaussian", NAN, 0.5)],
    )


def test_arrays_of_scans_are_compared_pixel_by_pixel() -> None:
    rows = {(row.step, row.name, row.pixel): row for row in _compare._differences(*outcomes())}
    assert rows["add", "data", 3].gap == (4, 0, 0, 0.0, 0.0)
    assert rows["add", "data", 0].gap == (4, 4, 0, 0.5, 0.25)
    assert rows["add", "data", -1].gap == (8, 4, 0, 0.5, 0.25)
    assert rows["sync", "signal", 3].gap == (5, 0, 0, 0.0, 0.0)
    assert rows["sync as it is", "signal", 3].n_differing == 5
    assert rows["fit", "x", 0].gap == (1, 1, 1, 0.0, 0.0)  # measured by one alone
    assert rows["fit", "x", 3].place == 3
    assert rows["fit", "x", -1].place is None


def test_the_report_says_all_that_matters(tmp_path: Path) -> None:
    text = str(comparison(tmp_path))
    assert text.startswith("scan.fits.gz: sofia_redux 1.5.2 and pixtrace 0, maps = 2, grid = 5.0\n")
    lines = [line.split() for line in text.splitlines()]
    assert ["add", "2.0000", "s", "0.1250", "s", "16.0"] in lines
    assert ["gaussian", "-", "0.5000", "s", "-"] in lines
    assert ["add:", "data", "all", "8", "4", "0", "0.5", "0.25"] in lines
    assert ["fit:", "x", "0", "1", "1", "1", "0", "0"] in lines


def test_table_and_picture(tmp_path: Path) -> None:
    found = comparison(tmp_path)
    files = targets(found.path, tmp_path / "out", plot=True, overwrite=False)
    assert [file.name for file in files] == ["scan_compare.ecsv", "scan_compare.png"]
    assert found.publish(files, overwrite=False).endswith("".join(f"\n-> {file}" for file in files))
    table = Table.read(files[0])
    assert table.colnames[:3] == ["step", "name", "pixel"]
    assert list(table["pixel"]) == [row.pixel for row in found.differences]
    assert table.meta["scan"] == "scan.fits.gz"
    assert table.meta["times"][0] == {"what": "add", "sofia_redux": 2.0, "pixtrace": 0.125, "times_faster": 16.0}
    assert files[1].read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(OutputExistsError):
        targets(found.path, tmp_path / "out", plot=True, overwrite=False)
    assert targets(found.path, None, plot=True, overwrite=False) == []


def test_a_row_knows_its_numbers() -> None:
    row = Difference("fit", "x", 7, 1, 1, 0, 0.5, 0.25)
    assert (row.label, row.place, row.gap) == ("fit: x", 7, Gap(1, 1, 0, 0.5, 0.25))


# -- the command


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Return a file that is a raw scan by its table alone."""
    table = fits.BinTableHDU.from_columns([fits.Column("Timestamp", "D", array=np.zeros(3))], name="Timestream")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "scan.fits")
    return tmp_path / "scan.fits"


def test_scans_are_told_from_exposures(scan: Path, tmp_path: Path) -> None:
    assert is_raw_scan(scan)
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "x_cal.fits")
    (tmp_path / "text.fits").write_text("no file of this kind")
    for name in ("x_cal.fits", "text.fits", "nothing.fits"):
        assert not is_raw_scan(tmp_path / name)


def test_the_command_says_what_a_scan_needs(
    scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(import_module("sys").modules, "sofia_redux", None)
    assert main(["compare", str(scan), "-o", str(scan.parent)]) == 2
    assert 'pip install "pixtrace[sofia]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-f", "2", "--psf-optimal"], "a raw scan, for which --factor and --psf-optimal mean nothing"),
        (["-O", "grid"], "-O grid: expected NAME=VALUE"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    arguments: list[str], message: str, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(scan), *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_options_of_scans_are_refused_for_exposures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path / "x_cal.fits"), "-O", "grid=5"]) == 2
    assert "--option means nothing" in " ".join(capsys.readouterr().err.split())
