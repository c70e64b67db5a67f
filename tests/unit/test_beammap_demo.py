"""``pixtrace demo beammap``."""

import re
from functools import partial
from pathlib import Path

import pytest

import pixtrace.simulate
from pixtrace.cli import main


def test_the_demo_finds_the_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A smaller array than that of the demo: the same, in less time.
    small = partial(pixtrace.simulate.ArrayLayout, n_rows=8, n_columns=8)
    monkeypatch.setattr(pixtrace.simulate, "ArrayLayout", small)
    assert main(["demo", "beammap", "-o", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr().out
    assert "$ pixtrace beammap" in said
    found = re.search(r"against the truth: (\d+) of (\d+) good pixels found, (\d+) bad .* off by ([\d.]+) arcsec", said)
    assert found is not None
    assert found[1] == found[2]
    assert found[3] == "0"
    assert float(found[4]) < 0.1
    assert (tmp_path / "demo" / "uranus.sim-0.report.html").is_file()
    # Once more in the same place.
    assert main(["demo", "beammap", "-o", str(tmp_path / "demo"), "-q", "--seed", "0"]) == 0


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["demo", "beammap", "-o", str(tmp_path / "file" / "out")]) == 2
    assert "cannot make the output folder" in capsys.readouterr().err
