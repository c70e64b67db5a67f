"""``pixtrace beammap`` that is stopped: Ctrl-C in each stage, a full disk under each product, and how to go on."""

import errno
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pixtrace.io.atomic
import pixtrace.io.beammap
import pixtrace.io.beammap_state
import pixtrace.plots
import pixtrace.plots_beammap_report
import pixtrace.scan.cleanup
import pixtrace.scan.refinement
import pixtrace.scan.rounds
from pixtrace.cli import main
from pixtrace.io.scan import ScanStream, stream_simulated, write_neutral_fits
from pixtrace.scan import PixelMap
from pixtrace.simulate import ScanSimulator
from tests.beammaps import QUIET

if TYPE_CHECKING:
    from collections.abc import Callable

CORE = "simsource.sim-5"
TABLES = ("rcp", "ecsv", "maps.fits")
PICTURES = ("geometry.png", "beam.png", "histograms.png", "gallery.png", "report.html")


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scans") / "scan.fits"
    write_neutral_fits(path, stream_simulated(ScanSimulator(QUIET)))
    return path


@pytest.fixture(scope="module")
def whole(scan: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the tables of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(["beammap", str(scan), "-o", str(folder), "--no-plot", "-q"]) == 0
    return tables(folder)


def tables(folder: Path) -> dict[str, bytes]:
    """Return the content of the tables in a folder."""
    return {suffix: (folder / f"{CORE}.{suffix}").read_bytes() for suffix in ("rcp", "ecsv")}


def products(folder: Path) -> list[str]:
    """Return the names of all files, those that nobody should see among them."""
    return sorted(path.name.removeprefix(f"{CORE}.") for path in folder.iterdir())


#: Where each stage does its work, and which of its calls is interrupted: the first, or that of the second round.
STAGES: dict[str, tuple[Any, str, int]] = {
    "reading": (ScanStream, "read", 1),
    "cleaning": (pixtrace.scan.cleanup, "clean_timestreams", 1),
    "cleaning, with the source taken out": (pixtrace.scan.cleanup, "clean_timestreams", 2),
    "mapping": (PixelMap, "add_integration", 2),
    "fitting maps": (PixelMap, "fit_pixels", 2),
    "fitting samples": (pixtrace.scan.refinement, "fit_timestreams", 2),
    "comparing": (pixtrace.scan.rounds, "compare_rounds", 2),
    "checkpoint": (pixtrace.io.beammap, "write_state", 2),
    "rcp": (pixtrace.io.beammap, "write_rcp", 1),
    "ecsv": (pixtrace.io.beammap, "write_pixel_table", 1),
    "maps": (PixelMap, "write_fits", 1),
    "pictures": (pixtrace.plots, "save_figure", 2),
    "report": (pixtrace.plots_beammap_report, "beammap_report", 1),
}


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_in_each_stage(
    stage: str,
    scan: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner, name, call = STAGES[stage]
    work: Callable[..., Any] = getattr(owner, name)
    calls: list[None] = []

    def interrupt(*values: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return work(*values, **named)

    draws = stage in {"pictures", "report"}
    words = ["beammap", str(scan), "-o", str(tmp_path), "-q", *([] if draws else ["--no-plot"])]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupt)
        assert main(words) == 130
    assert len(calls) == call
    said = capsys.readouterr().err
    assert "interrupted; nothing is half-written" in said
    there = products(tmp_path)
    assert not [name for name in there if "partial" in name]
    assert ("with `--resume`" in said) == ("checkpoint.json" in there)
    # Whatever is there is whole.
    for suffix, content in whole.items():
        assert suffix not in there or (tmp_path / f"{CORE}.{suffix}").read_bytes() == content
    assert main([*words, "--resume"]) == 0
    assert set(products(tmp_path)) >= {*TABLES, *(PICTURES if draws else ())}
    assert tables(tmp_path) == whole


def test_a_resumed_job_repeats_no_round(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["beammap", str(scan), "--no-maps", "--no-plot", "-O", "rounds.least=4", "-O", "rounds=4", "-o"]
    assert main([*words, str(tmp_path / "whole")]) == 0
    write_state = pixtrace.io.beammap_state.write_state

    def stop(path: Path, state: Any, key: str) -> None:
        write_state(path, state, key)
        if len(state.records) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pixtrace.io.beammap, "write_state", stop)
        assert main([*words, str(tmp_path / "parts")]) == 130
    assert "with `--resume`" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "parts"), "--resume", "-v"]) == 0
    said = capsys.readouterr().err
    assert "going on after round 2" in said
    assert "round 2:" not in said
    assert tables(tmp_path / "whole") == tables(tmp_path / "parts")


def test_a_job_that_was_finished_makes_its_maps_again(scan: Path, tmp_path: Path) -> None:
    words = ["beammap", str(scan), "--no-plot", "-q", "-o", str(tmp_path)]
    assert main(words) == 0
    cube = tmp_path / f"{CORE}.maps.fits"
    before, maps = tables(tmp_path), PixelMap.read(cube)
    cube.unlink()
    assert main([*words, "--resume"]) == 0
    assert tables(tmp_path) == before
    again = PixelMap.read(cube)
    assert maps.block is not None
    assert again.block is not None
    assert (again.block.stack.data == maps.block.stack.data).all()


def test_ctrl_c_in_a_process_of_its_own(scan: Path, tmp_path: Path) -> None:
    """A signal from outside, while Rust is at work: rounds are asked for that take far longer than anybody waits."""
    many = ["-O", "rounds=5000", "-O", "rounds.least=5000"]
    words = ["beammap", str(scan), "-o", str(tmp_path), "-v", "--no-plot", *many]
    program = "import sys; from pixtrace.cli import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen([sys.executable, "-c", program, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "round 2:" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert any("interrupted; nothing is half-written" in line for line in said)
    assert any("with `--resume`" in line for line in said)
    assert products(tmp_path) == ["checkpoint.json"]


@pytest.mark.parametrize("product", ["checkpoint.json", *TABLES, "beam.png", "report.html"])
def test_a_full_disk_under_each_product(
    product: str,
    scan: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if product in {"ecsv", "maps.fits"}:
        # astropy insists on making the file itself; some disks say only at the end that they are full.
        to_disk = pixtrace.io.atomic._to_disk

        def full(path: Path) -> None:
            if path.name.endswith(product):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            to_disk(path)

        monkeypatch.setattr(pixtrace.io.atomic, "_to_disk", full)
    else:
        # The temporary name leads to a device that is always full: what the writer hears is the kernel's.
        monkeypatch.setattr(secrets, "token_hex", lambda _: "0")
        (tmp_path / f".0.partial.{CORE}.{product}").symlink_to("/dev/full")
    draws = product.endswith(("png", "html"))
    words = ["beammap", str(scan), "-o", str(tmp_path), "-q", *([] if draws else ["--no-plot"])]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert f"cannot write {tmp_path / CORE}.{product}: the disk is full; free some space" in said
    there = products(tmp_path)
    assert product not in there
    assert not [name for name in there if "partial" in name]
    assert ("with `--resume`" in said) == ("checkpoint.json" in there)
    for suffix, content in whole.items():
        assert suffix not in there or (tmp_path / f"{CORE}.{suffix}").read_bytes() == content
    monkeypatch.undo()
    assert main([*words, "--resume"]) == 0
    assert tables(tmp_path) == whole
    assert product in products(tmp_path)


def test_a_limit_of_the_size_of_files(scan: Path, tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys\n"
        "from pixtrace.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = ["beammap", str(scan), "-o", str(tmp_path), "--no-plot", "--rounds", "2"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "maps.fits: the file is larger than is allowed here" in done.stderr
    assert products(tmp_path) == ["checkpoint.json", "ecsv", "rcp"]
    assert (tmp_path / f"{CORE}.ecsv").stat().st_size > 1000
