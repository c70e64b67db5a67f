"""`compare`: both implementations run, and what is said of them is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pixtrace.adapters.jwst import compare, disable, enable, is_enabled
from pixtrace.cli import main
from pixtrace.exceptions import FileReadError, OutputExistsError, ParameterError
from tests.adapters.jwst_peer.untyped import contents, datamodels, trace_model
from tests.jwst_models import write_case

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

TIMED = ["fit_all_regions", "oversample_flux", "linear_oversample", "fit_and_oversample", "the whole step"]


@pytest.fixture(autouse=True)
def off() -> Generator[None]:
    before = contents()
    yield
    disable()
    assert contents() == before


@pytest.fixture(scope="module")
def exposure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "jw_mrs_cal.fits"
    write_case("mrs", path)
    return path


def test_report_table_and_picture(exposure: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = compare(exposure, output=tmp_path / "out", report=said.append)
    assert {(row.plane, row.region) for row in found.differences} >= {("data", 0), ("data", 101), ("err", 102)}
    assert all(row.n_missing == 0 and row.relative < 1e-6 for row in found.differences)
    assert [timing.what for timing in found.times] == TIMED
    assert all(timing.reference > 0 and timing.pixtrace > 0 for timing in found.times)
    assert said == [
        f"{found}\n-> {tmp_path / 'out' / 'jw_mrs_cal_compare.ecsv'}\n-> {tmp_path / 'out' / 'jw_mrs_cal_compare.png'}"
    ]
    assert "jwst 3.0" in said[0]
    from importlib import import_module

    table: Any = import_module("astropy.table").Table.read(tmp_path / "out" / "jw_mrs_cal_compare.ecsv")
    assert list(table["plane"]) == [row.plane for row in found.differences]
    np.testing.assert_array_equal(table["relative"], [row.relative for row in found.differences])
    assert [entry["what"] for entry in table.meta["times"]] == TIMED
    assert table.meta["parameters"]["oversample"] == 2.0
    assert (tmp_path / "out" / "jw_mrs_cal_compare.png").read_bytes()[:4] == b"\x89PNG"


def test_differences_are_seen(exposure: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that does something else is found out."""
    from pixtrace.adapters.jwst import _exposure

    original = _exposure._update

    def spoilt(module: Any, model: Any, opened: Any, result: Any, wavelength: Any) -> None:
        result.flux[...] *= np.float32(1.01)
        original(module, model, opened, result, wavelength)

    monkeypatch.setattr(_exposure, "_update", spoilt)
    found = compare(exposure, output=None, report=None)
    whole = {row.plane: row.relative for row in found.differences if row.region == 0}
    assert whole["data"] == pytest.approx(0.01, rel=1e-3)
    assert whole["err"] < 1e-6


def test_the_peers_own_functions_run_even_where_ours_are_enabled(
    exposure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    original = trace_model.bspline_fit  # which none of ours calls

    def bspline_fit(*given: Any, **named: Any) -> Any:
        calls.append(1)
        return original(*given, **named)

    bspline_fit.__module__, bspline_fit.__qualname__ = original.__module__, original.__qualname__
    with enable():
        monkeypatch.setattr(trace_model, "bspline_fit", bspline_fit)
        compare(exposure, output=None, report=None)
        assert is_enabled()
        assert hasattr(trace_model.fit_all_regions, "__wrapped__")
        monkeypatch.undo()
    assert len(calls) >= 70  # a fit for each column, by the native step alone


def test_factor_one_has_a_trace_image(exposure: Path) -> None:
    found = compare(exposure, oversample=1, output=None, report=None, rounds=2, threads=2)
    assert "_trace_image" in [timing.what for timing in found.times]
    assert {row.region for row in found.differences if row.plane == "trace_model"} == {0, 101, 102}


def test_the_command(exposure: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", str(exposure), "-f", "3", "-o", str(tmp_path), "--no-plot"]
    assert main(arguments) == 0
    assert "times faster" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["jw_mrs_cal_compare.ecsv"]
    assert main(arguments) == 1  # it is there already
    assert "there already" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--threads", "0"]) == 2
    assert main(["compare", str(tmp_path / "no_cal.fits"), "-o", str(tmp_path)]) == 1
    assert "no_cal.fits" in capsys.readouterr().err


def test_what_cannot_be_compared(exposure: Path, tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match="nothing_cal"):
        compare(tmp_path / "nothing_cal.fits", output=None)
    with pytest.raises(ParameterError, match="rounds"):
        compare(exposure, rounds=0, output=None)
    (tmp_path / "jw_mrs_cal_compare.ecsv").touch()
    with pytest.raises(OutputExistsError):
        compare(exposure, output=tmp_path)
    datamodels.ImageModel((8, 8)).save(tmp_path / "image_cal.fits")
    with pytest.raises(ParameterError, match="ImageModel"):
        compare(tmp_path / "image_cal.fits", output=None, report=None)
    assert not is_enabled()
