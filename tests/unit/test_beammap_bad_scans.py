"""``pixtrace beammap`` on scans of which nothing, or only a part, can be made: what a tired observer reads."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from pixtrace.cli import main
from pixtrace.io.pixel_table import read_pixel_table
from pixtrace.io.rcp import read_rcp
from pixtrace.io.scan import stream_simulated, write_neutral_fits
from pixtrace.scan import ChannelFlag
from pixtrace.simulate import ArrayLayout, ScanParams, ScanSimulator
from tests.beammaps import QUIET, with_source
from tests.untyped import fits

Hdus: TypeAlias = Any  # of astropy, which has no types
CORE = "simsource.sim-5"


def write(path: Path, params: ScanParams = QUIET, **names: str) -> Path:
    """Write a simulated scan."""
    write_neutral_fits(path, stream_simulated(ScanSimulator(params), **names))
    return path


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("scans") / "scan.fits")


def changed(source: Path, target: Path, change: Callable[[Hdus], None]) -> Path:
    """Write a copy of a scan in which something is different."""
    with fits.open(source) as hdus:
        change(hdus)
        hdus.writeto(target)
    return target


def lose_column(hdus: Hdus) -> None:
    columns = fits.ColDefs([column for column in hdus[1].columns if column.name != "Y"])
    hdus[1] = fits.BinTableHDU.from_columns(columns, name="FRAMES")


def wrong_unit(hdus: Hdus) -> None:
    hdus[1].columns["X"].unit = "Jy"


def lose_times(hdus: Hdus) -> None:
    hdus[1].data["TIME"][[70, 90]] = np.nan


def lose_pointing(hdus: Hdus) -> None:
    hdus[1].data["X"][:] = np.nan


def lose_signals(hdus: Hdus) -> None:
    hdus[1].data["DATA"][:] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lose_column, "HDU 1 (FRAMES): no column Y; a scan in the neutral form needs TIME, X, Y, DATA (found:"),
        (wrong_unit, "HDU 1 (FRAMES), column X has the unit 'Jy'; expected one of arcsec,"),
        (lose_times, "the time of 2 of 6000 frames is not finite (the first is frame 70)"),
        (lose_pointing, "the boresight is not finite in any frame"),
        (lose_signals, "none of the 16 channels can be used: 16 give a constant or no signal at all"),
    ],
)
def test_a_damaged_scan_is_told_in_one_line(
    change: Callable[[Hdus], None], message: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(scan, tmp_path / "bad.fits", change)
    assert main(["beammap", str(path), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("pixtrace: error: ")
    assert message in said.err
    assert change is lose_signals or str(path) in said.err
    assert not list((tmp_path / "out").glob("*"))


def test_a_truncated_scan(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "short.fits"
    content = scan.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert main(["beammap", str(path), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert f"{path} ends too early" in said
    assert "of 6000 rows" in said
    assert not (tmp_path / "out").exists()


def test_channels_that_give_a_constant(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = np.flatnonzero(ScanSimulator(QUIET).array.is_good)

    def hold(hdus: Hdus) -> None:
        hdus[1].data["DATA"][:, good[3]] = 17.0
        hdus[1].data["DATA"][:, good[7]] = np.nan
        hdus[1].data["DATA"][40:, good[9]] = 3.0  # it stops after forty frames

    path = changed(scan, tmp_path / "some.fits", hold)
    assert main(["beammap", str(path), "-o", str(tmp_path / "out"), "--no-maps", "--no-plot"]) == 0
    assert f"{good.size - 3} of 16 pixels measured" in capsys.readouterr().out
    table = read_pixel_table(tmp_path / "out" / f"{CORE}.ecsv")
    bad = np.setdiff1d(np.arange(16), np.delete(good, [3, 7, 9]))
    np.testing.assert_array_equal(np.flatnonzero(~table.is_measured), bad)
    assert (table.extra["channel_flag"].values[bad] == ChannelFlag.DEAD).all()


def test_a_source_outside_of_the_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The telescope went to 45 arcsec from the middle; the source is 6 farther, and rises at the edge.
    far = replace(
        with_source(QUIET, position=(51.0, 0.0)),
        array=ArrayLayout(n_rows=2, n_columns=3, pitch=2.0, displacement=0.1, dead_fraction=0.0),
    )
    assert main(["beammap", str(write(tmp_path / "far.fits", far)), "-o", str(tmp_path / "out"), "--no-plot"]) == 1
    said = capsys.readouterr()
    assert "0 of 6 pixels measured" in said.out
    assert "the source lies outside of the maps of all 6 pixels: 6 rise towards the edge" in said.err
    assert not read_pixel_table(tmp_path / "out" / f"{CORE}.ecsv").is_measured.any()


def test_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "dark.fits", with_source(amplitude=0.0))
    assert main(["beammap", str(path), "-o", str(tmp_path / "out"), "--no-plot"]) == 1
    said = capsys.readouterr()
    assert "no source was found" in said.err
    assert "0 of 16 pixels measured" in said.out
    table = read_pixel_table(tmp_path / "out" / "simsource.sim-5.ecsv")
    assert not table.is_measured.any()
    assert read_rcp(tmp_path / "out" / "simsource.sim-5.rcp").fixed_index.size == 0


def test_all_channels_dead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dead = replace(QUIET, array=replace(QUIET.array, dead_fraction=1.0))
    assert main(["beammap", str(write(tmp_path / "dead.fits", dead)), "-o", str(tmp_path / "out")]) == 1
    assert "none of the 16 channels can be used" in capsys.readouterr().err


def test_scans_of_different_cameras(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write(tmp_path / "other.fits", instrument="another")
    assert main(["beammap", str(scan), str(other), "-o", str(tmp_path / "out")]) == 1
    assert "expected scans of the same pixels" in capsys.readouterr().err


def test_a_file_that_is_no_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text.fits"
    path.write_text("this is not FITS")
    assert main(["beammap", str(path), "-o", str(tmp_path / "out")]) == 1
    assert str(path) in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["beammap", str(scan), "-o", str(tmp_path / "file" / "out")]) == 2
    assert "cannot make the output folder" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    assert main(["beammap", str(scan), "-o", str(tmp_path)]) == 2
    assert "it may not be written" in capsys.readouterr().err
