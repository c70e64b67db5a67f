"""The step as a class of ours: the same products as the peer's, alone, in pipelines and as a hook."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.adapters.jwst import AdaptiveTraceModelStep, disable, enable, is_enabled
from pixtrace.adapters.jwst import _exposure as exposure_module
from pixtrace.adapters.jwst._opening import open_exposure
from pixtrace.adapters.jwst._planes import differences
from tests.adapters.jwst_peer.untyped import JwstStep, NativeStep, containers, datamodels, pipelines, trace_model
from tests.jwst_models import CASES, write_case
from tests.parity.agreement import PLANES

Ours: Any = AdaptiveTraceModelStep
NAME = "pixtrace.adapters.jwst.AdaptiveTraceModelStep"
SKIPPED = (
    "assign_mtwcs",
    "combine_1d",
    "cube_build",
    "extract_1d",
    "master_background",
    "outlier_detection",
    "photom",
    "pixel_replace",
    "resample_spec",
    "spectral_leak",
)
#: Time series have their trace alone, made by jwst's own function with our kernels in it.
BY_PARTS = {"slit_series", "lrs_series"}


@pytest.fixture(autouse=True)
def off() -> Any:
    """Nothing is left enabled, whatever a test did."""
    assert not is_enabled()
    yield
    assert not is_enabled()
    disable()


@pytest.fixture(scope="module")
def exposures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, float]]:
    """Return file and factor of each case."""
    folder = tmp_path_factory.mktemp("exposures")
    return {name: (folder / f"jw_{name}_cal.fits", write_case(name, folder / f"jw_{name}_cal.fits")) for name in CASES}


def assert_equal_products(theirs: Any, ours: Any) -> None:
    """Planes, statuses, coordinates, areas of pixels."""
    assert type(ours) is type(theirs)
    for row in differences(theirs, ours):
        assert row.n_missing == 0, row
        assert row.relative <= PLANES, row
    for step in ("adaptive_trace_model", "assign_wcs"):
        assert getattr(ours.meta.cal_step, step) == getattr(theirs.meta.cal_step, step)
    pairs = zip(theirs.slits, ours.slits, strict=True) if theirs.hasattr("slits") else [(theirs, ours)]
    for one, other in pairs:
        arrays = [{key for key, value in part.instance.items() if hasattr(value, "shape")} for part in (one, other)]
        assert arrays[0] == arrays[1]
        y, x = np.mgrid[0 : one.data.shape[-2] : 7.0, 0 : one.data.shape[-1] : 9.0]
        np.testing.assert_array_equal(other.meta.wcs(x, y), one.meta.wcs(x, y))
        assert other.meta.wcs.available_frames == one.meta.wcs.available_frames
        areas = [part.meta.photometry.pixelarea_steradians for part in (one, other)]
        assert areas[0] == areas[1]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("psf_optimal", [False, True])
def test_products_of_every_mode(
    name: str, psf_optimal: bool, exposures: dict[str, tuple[Path, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, factor = exposures[name]
    opened: list[Any] = []
    original: Any = open_exposure

    def watch(*given: Any) -> Any:
        opened.append(original(*given))
        return opened[-1]

    monkeypatch.setattr(exposure_module, "open_exposure", watch)
    options = {"oversample": factor, "psf_optimal": psf_optimal, "maximum_cores": "2" if psf_optimal else "none"}
    theirs = NativeStep.call(str(path), **{**options, "maximum_cores": "none"})
    assert not opened
    ours = Ours.call(str(path), **options)
    assert opened
    assert all((exposure is None) == (name in BY_PARTS) for exposure in opened)
    assert_equal_products(theirs, ours)
    with enable():
        unchanged = NativeStep.call(str(path), **options)
    assert_equal_products(theirs, unchanged)
    for model in (theirs, ours, unchanged):
        model.close()


def test_the_input_stays_as_it_was(exposures: dict[str, tuple[Path, float]]) -> None:
    path, _ = exposures["mrs"]
    with datamodels.open(path) as model:
        before = {name: np.array(getattr(model, name)) for name in ("data", "err", "dq", "var_flat")}
        result = Ours.call(model, oversample=2)
        assert result is not model
        assert model.meta.cal_step.adaptive_trace_model is None
        for name, plane in before.items():
            np.testing.assert_array_equal(getattr(model, name), plane)


def test_files_have_the_same_names(exposures: dict[str, tuple[Path, float]], tmp_path: Path) -> None:
    path, _ = exposures["fixed_slits"]
    found: list[Path] = []
    for step in (NativeStep, Ours):
        folder = tmp_path / str(len(found))
        step.call(
            str(path), oversample=2, save_results=True, save_intermediate_results=True, output_dir=str(folder)
        ).close()
        found.append(folder)
    names = [sorted(file.name for file in folder.iterdir()) for folder in found]
    assert names[0] == names[1]
    assert len(names[0]) == 5
    for name in names[0]:
        with datamodels.open(found[0] / name) as theirs, datamodels.open(found[1] / name) as ours:
            for one, other in zip(theirs.slits, ours.slits, strict=True):
                # jwst forgets to divide the full trace of a slit whose flux is an amount per pixel
                expected = one.data / 2 if name.endswith("_spline_full.fits") and one.name == "S2" else one.data
                np.testing.assert_allclose(
                    other.data, expected, rtol=1e-5, atol=1e-6 * float(np.nanmax(np.abs(expected)))
                )


def test_several_exposures(exposures: dict[str, tuple[Path, float]]) -> None:
    container = containers.ModelContainer([str(exposures["mrs"][0]), str(exposures["mrs"][0])])
    result = Ours.call(container, oversample=1.0)
    assert [model.meta.cal_step.adaptive_trace_model for model in result] == ["COMPLETE"] * 2


def test_other_datamodels_fail_as_with_the_peer() -> None:
    result = Ours.call(datamodels.ImageModel((8, 8)))
    assert result.meta.cal_step.adaptive_trace_model == "FAILED"
    model = datamodels.ImageModel((8, 8))
    model.meta.instrument.detector = "NIS"
    with enable(), pytest.raises(ValueError, match="Unknown detector"):
        trace_model.fit_and_oversample(model)


def test_parameters_are_those_of_the_peer() -> None:
    assert Ours().get_pars() == NativeStep().get_pars()
    assert Ours.class_alias == NativeStep.class_alias
    assert Ours.load_spec_file() == NativeStep.load_spec_file()


def test_strun_knows_it(exposures: dict[str, tuple[Path, float]], tmp_path: Path) -> None:
    path, _ = exposures["mrs"]
    program = Path(sys.executable).with_name("strun")
    for k, name in enumerate((NAME, "pixtrace_adaptive_trace_model")):
        folder = tmp_path / str(k)
        subprocess.run(
            [program, name, path, "--oversample=2", "--save_results=true", f"--output_dir={folder}"],
            check=True,
            capture_output=True,
        )
        (product,) = folder.iterdir()
        with datamodels.open(product) as model:
            assert model.meta.cal_step.adaptive_trace_model == "COMPLETE"
            assert model.data.shape == (120, 140)


def test_the_name_of_the_peers_step_stays_unambiguous() -> None:
    from importlib import import_module

    utilities: Any = import_module("stpipe.utilities")
    assert utilities.resolve_step_class_alias("adaptive_trace_model") == "jwst.step.AdaptiveTraceModelStep"
    assert utilities.resolve_step_class_alias("pixtrace_adaptive_trace_model") == NAME


# -- pipelines


@pytest.fixture
def association(exposures: dict[str, tuple[Path, float]], tmp_path: Path) -> Path:
    path, _ = exposures["mrs"]
    members = [{"expname": str(path), "exptype": "science"}]
    table = {"asn_type": "spec3", "asn_rule": "t", "asn_pool": "t", "asn_id": "o001", "program": "1"}
    file = tmp_path / "asn.json"
    file.write_text(json.dumps({**table, "products": [{"name": "p", "members": members}]}), encoding="utf-8")
    return file


def run_spec3(association: Path, folder: Path, assign: Any = None, **options: Any) -> dict[str, tuple[int, ...]]:
    """Run the pipeline with nothing but the trace model, and return the files with the shapes of their data."""
    steps: dict[str, Any] = {name: {"skip": True} for name in SKIPPED}
    pipeline = pipelines.Spec3Pipeline(output_dir=str(folder), steps={**steps, "adaptive_trace_model": options})
    if assign is not None:
        assign(pipeline)
    pipeline.run(str(association))
    found = {}
    for file in sorted(folder.iterdir()):
        with datamodels.open(file) as model:
            assert model.meta.cal_step.adaptive_trace_model == "COMPLETE"
            found[file.name] = model.data.shape
    return found


PRODUCT = {"jw_mrs_o001_adaptive_trace_model.fits": (120, 140)}


def test_spec3_with_the_class_in_its_definition(
    association: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pipelines.Spec3Pipeline.step_defs, "adaptive_trace_model", Ours)
    found = run_spec3(association, tmp_path / "out", skip=False, oversample=2, save_results=True)
    assert found == PRODUCT


def test_spec3_with_an_instance_assigned(association: Path, tmp_path: Path) -> None:
    def assign(pipeline: Any) -> None:
        pipeline.adaptive_trace_model = Ours(
            "adaptive_trace_model", parent=pipeline, skip=False, oversample=2, save_results=True
        )

    assert run_spec3(association, tmp_path / "out", assign) == PRODUCT


def test_spec3_with_an_instance_without_parent(association: Path, tmp_path: Path) -> None:
    def assign(pipeline: Any) -> None:
        pipeline.adaptive_trace_model = Ours(oversample=2, save_results=True, output_dir=str(tmp_path / "out"))

    found = run_spec3(association, tmp_path / "out", assign)
    assert found == {"jw_mrs_o001_adaptivetracemodelstep.fits": (120, 140)}


def test_spec2_with_an_instance_assigned(exposures: dict[str, tuple[Path, float]], tmp_path: Path) -> None:
    """Everything but the trace model is left out; the WCS is there already."""
    path, _ = exposures["mrs"]

    class Nothing(JwstStep):  # type: ignore[misc]  # jwst comes without types
        """Stands for assign_wcs."""

        def process(self, model: Any) -> Any:
            return model

    pipeline = pipelines.Spec2Pipeline(output_dir=str(tmp_path), save_results=True)
    for name in pipeline.step_defs:
        getattr(pipeline, name).skip = True
    pipeline.assign_wcs = Nothing("assign_wcs", parent=pipeline)
    pipeline.adaptive_trace_model = Ours(
        "adaptive_trace_model", parent=pipeline, skip=False, oversample=2, save_results=True
    )
    pipeline.run(str(path))
    (product,) = tmp_path.glob("*_adaptive_trace_model.fits")  # what cube_build would be given
    with datamodels.open(product) as model:
        assert model.meta.cal_step.adaptive_trace_model == "COMPLETE"
        assert model.data.shape == (120, 140)


# -- hooks


def test_hook_by_name_takes_the_parameters_of_the_step(association: Path, tmp_path: Path) -> None:
    found = run_spec3(association, tmp_path / "out", oversample=2, save_results=True, post_hooks=[NAME])
    assert found == PRODUCT


def test_hook_as_a_class(association: Path, tmp_path: Path) -> None:
    found = run_spec3(association, tmp_path / "out", oversample=2, save_results=True, post_hooks=[Ours])
    assert found == PRODUCT


def test_hook_with_parameters_as_text(association: Path, tmp_path: Path) -> None:
    hook = f"{NAME}(oversample=3, save_results=True, output_dir='{tmp_path / 'out'}')"
    assert list(run_spec3(association, tmp_path / "out", post_hooks=[hook]).values()) == [(120, 210)]


def test_hook_as_an_instance(association: Path, tmp_path: Path) -> None:
    hook = Ours(oversample=1.5, save_results=True, output_dir=str(tmp_path / "out"))
    found = run_spec3(association, tmp_path / "out", post_hooks=[hook])
    assert found == {"jw_mrs_o001_adaptive_trace_model.fits": (120, 105)}


def test_hook_on_a_step_that_was_not_skipped_does_nothing(
    association: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"skip": False, "oversample": 2, "save_results": True, "post_hooks": [NAME]}
    assert run_spec3(association, tmp_path / "out", **options) == PRODUCT
    assert "was not skipped" in caplog.text


# -- where the peer fails, or is wrong


@pytest.mark.parametrize("factor", [1.01, 1.3, 1.7])
def test_factors_on_which_the_peer_fails_or_errs(factor: float, exposures: dict[str, tuple[Path, float]]) -> None:
    path, _ = exposures["mrs"]
    result = Ours.call(str(path), oversample=factor)
    n_x = result.data.shape[1]
    assert n_x == int(np.ceil(70 * factor))
    # the WCS knows the native pixel under each fine one, exactly
    x = np.arange(n_x, dtype=float)
    native, _ = result.meta.wcs.get_transform("coordinates", "detector")(x, np.full(n_x, 30.0))
    np.testing.assert_allclose(native, (x + 0.5) / factor - 0.5, atol=1e-12)


def test_a_mean_that_was_subtracted_is_given_back_once(exposures: dict[str, tuple[Path, float]]) -> None:
    path, _ = exposures["mrs"]
    with datamodels.open(path) as model:
        plain = Ours.call(model, oversample=2, psf_optimal=True)
        model.data -= 300
        shifted = Ours.call(model, oversample=2, psf_optimal=True)
    seen = np.isfinite(plain.trace_model) & np.isfinite(shifted.trace_model)
    assert np.count_nonzero(seen) > 1000
    shift = (shifted.trace_model - plain.trace_model)[seen]
    assert abs(float(np.median(shift)) + 300) < 5
