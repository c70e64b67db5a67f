"""``pixtrace beammap`` and the job behind it: products, plans, checkpoints, and what a tired observer reads."""

import json
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.cli import main
from pixtrace.cli._beammap_pictures import PICTURES
from pixtrace.exceptions import FileReadError
from pixtrace.io.beammap import BeamMapJob
from pixtrace.io.pixel_table import read_pixel_table
from pixtrace.io.rcp import read_rcp
from pixtrace.io.scan import ScanStream, stream_simulated, write_hawc, write_neutral_fits
from pixtrace.scan import Configuration, PixelMap
from pixtrace.simulate import ScanParams, ScanSimulator
from tests.beammaps import QUIET, with_source
from tests.reference import PROJECT

SUFFIXES = ("rcp", "ecsv", "maps.fits")


def write(path: Path, params: ScanParams = QUIET, **names: str) -> Path:
    """Write a simulated scan."""
    write_neutral_fits(path, stream_simulated(ScanSimulator(params), **names))
    return path


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("scans") / "scan.fits")


def products(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_from_a_scan_to_products(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["beammap", str(scan), "-o", str(tmp_path / "out"), "--no-plot"]) == 0
    said = capsys.readouterr()
    assert "14 of 16 pixels measured" in said.out
    assert said.err == ""
    core = "simsource.sim-5"
    assert products(tmp_path / "out") == sorted(f"{core}.{suffix}" for suffix in (*SUFFIXES, "checkpoint.json"))
    table = read_pixel_table(tmp_path / "out" / f"{core}.ecsv")
    good = ScanSimulator(QUIET).array.is_good
    np.testing.assert_array_equal(table.is_measured, good)
    assert {"noise", "sensitivity", "beam_fwhm", "nominal_x", "channel_flag"} <= set(table.extra)
    rcp = read_rcp(tmp_path / "out" / f"{core}.rcp")
    np.testing.assert_array_equal(rcp.fixed_index, table.fixed_index[good])
    np.testing.assert_array_equal(np.sort(rcp.unmeasured), table.fixed_index[~good])
    maps = PixelMap.read(tmp_path / "out" / f"{core}.maps.fits")
    assert len(maps.pixel_maps) == 14


def test_products_are_not_replaced_by_accident(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["beammap", str(scan), "-o", str(tmp_path), "--no-maps", "--no-plot", "-q"]
    assert main(words) == 0
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_a_plan_reads_and_writes_nothing(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScanStream, "read", None)
    assert main(["beammap", str(scan), "-o", str(tmp_path / "out"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "16 of 16 channels" in said
    assert "at most 12" in said
    assert "MiB" in said
    assert [line.split()[-1].removeprefix(f"{tmp_path}/out/simsource.sim-5.") for line in said.splitlines()[4:]] == [
        *SUFFIXES,
        "checkpoint.json",
        *PICTURES,
        "pixel.N.png",
        "report.html",
    ]
    assert "already" not in said
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "simsource.sim-5.rcp").write_text("")
    assert main(["beammap", str(scan), "-o", str(tmp_path / "out"), "--dry-run", "--no-maps", "--no-plot"]) == 0
    said = capsys.readouterr().out
    assert "simsource.sim-5.rcp   (is there already)" in said
    assert "maps.fits" not in said
    assert "report.html" not in said
    plan = BeamMapJob([scan]).plan()
    assert plan.n_maps == 16
    assert plan.memory > 16 * 6000 * 10


def test_options_from_a_file_and_from_the_command_line(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "beammap.toml"
    config.write_text(
        f'grid = 3.0\nname = "uranus"\nrounds = {{ value = 5, least = 1 }}\n'
        f'[command]\noutput = "{tmp_path / "there"}"\nmaps = false\nplot = false\n'
    )
    words = ["beammap", str(scan), "--config", str(config), "-O", "rounds.least=5", "-v"]
    assert main(words) == 0
    assert products(tmp_path / "there") == ["uranus.checkpoint.json", "uranus.ecsv", "uranus.rcp"]
    said = capsys.readouterr()
    assert "round 5:" in said.err
    assert "after 5 rounds" in said.out
    assert "wrote" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-O", "round=3"], "there is no option 'round'; did you mean"),
        (["-O", "rounds"], "expected NAME=VALUE"),
        (["-O", "rounds.position=0"], "larger than 0"),
        (["--threads", "0"], "must be at least 1"),
        (["--grid", "big"], "must be a number"),
        (["--config", "none.toml"], "cannot read the configuration file"),
    ],
)
def test_wrong_options(scan: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["beammap", str(scan), *words]) == 2
    assert message in capsys.readouterr().err


def test_wrong_names_in_a_file(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    for text, message in (
        ("[command]\nthread = 2", "there is no option 'thread'"),
        ("[command]\nthreads = true", "expected a value of the kind int"),
        ("command = 3", "expected a table"),
        ("[source]\nsigh = 3", "there is no option 'source.sigh'"),
    ):
        config.write_text(text)
        assert main(["beammap", str(scan), "--config", str(config)]) == 2
        assert message in capsys.readouterr().err


def test_all_options_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["beammap", "--options"])
    said = capsys.readouterr().out
    assert "source.diameter" in said
    assert "rounds.position" in said


def test_a_checkpoint_of_another_job_is_refused(scan: Path, tmp_path: Path) -> None:
    job = BeamMapJob([scan], {"rounds": 1}, tmp_path)
    job.run()
    assert len(json.loads(job.path("checkpoint.json").read_text())["records"]) == 1
    with pytest.raises(FileReadError, match="checkpoint of other scans or options"):
        BeamMapJob([scan], {"grid": 3.0}, tmp_path).run(resume=True)
    job.path("checkpoint.json").write_text('{"kind": "pixtrace beam map checkpoint", "version": 2}')
    with pytest.raises(FileReadError, match="cannot read the checkpoint"):
        job.run(resume=True)
    job.path("checkpoint.json").write_text("[]")
    with pytest.raises(FileReadError, match="is no checkpoint"):
        job.run(resume=True)


def test_several_scans_in_one_job(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turned = replace(QUIET, array=replace(QUIET.array, rotation=30.0), name="simsource")
    other = write(tmp_path / "other.fits", turned)
    assert main(["beammap", str(scan), str(other), "-o", str(tmp_path / "out"), "--no-maps", "--no-plot"]) == 0
    assert "14 of 16 pixels measured" in capsys.readouterr().out
    table = read_pixel_table(tmp_path / "out" / "simsource.sim-5-sim-5.ecsv")
    assert (table.extra["n_scans"].values[table.is_measured] == 2).all()


def test_stages_have_bars_on_a_terminal(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["beammap", str(scan), "-o", str(tmp_path), "--no-maps", "--no-plot"]) == 0
    said = capsys.readouterr().err
    assert "rounds" in said
    assert "writing" in said


def test_the_guide_runs() -> None:
    text = (PROJECT / "docs" / "beammap.md").read_text(encoding="utf-8")
    config = text.split("```toml\n")[1].split("```")[0]
    table = tomllib.loads(config)
    assert set(table.pop("command")) <= {"output", "threads"}
    assert Configuration(table)["rounds.position"] == 0.02
    names: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - our own page
    assert names["found"].n_good == names["simulator"].array.is_good.sum()


def test_a_planet_that_moves_seen_by_hawc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = replace(QUIET.array, first_row=17, first_column=14, row_stride=32, rotation=10.0, dead_fraction=0.0)
    moving = with_source(QUIET, sky_motion=(0.8, -0.5))
    simulator = ScanSimulator(replace(moving, array=layout, vpa=40.0, n_frames=1500))
    write_hawc(tmp_path / "scan.fits", stream_simulated(simulator))
    assert main(["beammap", str(tmp_path / "scan.fits"), "-o", str(tmp_path / "out"), "--no-maps", "--no-plot"]) == 0
    assert "16 of 1312 pixels measured" in capsys.readouterr().out
    table = read_pixel_table(next((tmp_path / "out").glob("*.ecsv")))
    at = np.searchsorted(table.fixed_index, simulator.array.channel)
    away = np.stack([table.x, table.y])[:, at] - simulator.array.position
    away -= np.median(away, axis=1, keepdims=True)
    assert np.abs(away).max() < 0.3  # turned by the angle of the sky, as in the reference, it would be arcsecs


def test_what_nobody_thought_of_is_one_line(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        msg = "out of luck"
        raise RuntimeError(msg)

    monkeypatch.setattr(PixelMap, "fit_pixels", fail)
    assert main(["beammap", str(scan), "-o", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "unexpected RuntimeError: out of luck" in said
    assert "Traceback" not in said
