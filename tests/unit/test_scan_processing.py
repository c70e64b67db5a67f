"""What `PixelMap.process` does to maps, it does once for the samples that are in them (defect 20 of the reference)."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.exceptions import ParameterError
from pixtrace.scan import MapStack, PixelMap
from pixtrace.scan.checkpoint import from_state, to_state
from tests.strategies.scans import make_maps, make_scan

EVERYTHING: dict[str, Any] = {
    "pixelmap.process": True,
    "source.redundancy": 2,
    "smooth": "beam",
    "source.filter": True,
    "source.filter.fwhm": 40.0,
    "source.filter.blank": 4.0,
    "exposureclip": 0.7,
    "noiseclip": 1.3,
    "clip": 1.0,
    "source.mem": True,
    "source.mem.lambda": 0.3,
    "blank": 5.0,
}


def planes_of(model: PixelMap) -> list[npt.NDArray[Any]]:
    """Return copies of the planes of all maps."""
    stack = model.need_block().stack
    return [getattr(stack, name).copy() for name in ("data", "weight", "exposure", "flag")]


def assert_same_planes(model: PixelMap, expected: list[npt.NDArray[Any]]) -> None:
    """Assert that the planes of all maps are these."""
    for found, plane in zip(planes_of(model), expected, strict=True):
        np.testing.assert_array_equal(found, plane)


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_second_time_changes_nothing(is_stored: bool) -> None:
    model = make_maps(make_scan(2500, noise=0.05, options=EVERYTHING))
    once = planes_of(model)
    assert {1, 2, 3} & set(np.unique(once[3]).tolist())
    if is_stored:
        model = from_state(PixelMap, to_state(model))
    model.process()
    assert_same_planes(model, once)
    model.copy().process()
    model.pixel_maps[7].process()
    assert_same_planes(model, once)


def test_new_samples_are_processed_as_the_first_were() -> None:
    model = make_maps(make_scan(2500, noise=0.05, options=EVERYTHING))
    once = planes_of(model)
    model.clear_content()
    model.reset_processing()
    model.add_scans()
    model.process()
    assert_same_planes(model, once)


@pytest.mark.parametrize("how", ["samples", "planes"])
def test_what_comes_in_is_processed(how: str) -> None:
    model = make_maps(make_scan(2500, noise=0.05, options={"source.mem": True, "source.mem.lambda": 0.3}))
    model.configuration["pixelmap.process"] = True
    model.process()
    found = model.pixel_maps[7]
    if how == "samples":
        model.add_scans()
        expected = model.copy()
        expected.pixel_maps[7].end_accumulation()
    else:
        found.set_data(data=np.ones(found.shape), weight=np.ones(found.shape), flag=np.zeros(found.shape, np.uint8))
        expected = model.copy()
    expected.pixel_maps[7].mem_correct(0.3)
    model.process()
    np.testing.assert_array_equal(found.map.data, expected.pixel_maps[7].map.data)


def test_a_step_that_failed_is_made_when_it_can_be() -> None:
    model = make_maps(make_scan(2500, noise=0.05, options={"pixelmap.process": True}))
    model.configuration.update_nested({"source.filter": True, "source.filter.fwhm": 40.0, "smooth": 60.0})
    model.reset_processing()
    with pytest.raises(ParameterError, match="fwhm"):
        model.process()  # the filter is narrower than the beam
    model.configuration["smooth"] = None
    model.reset_processing()
    before = model.pixel_maps[7].map.data.copy()
    model.process()
    assert (model.pixel_maps[7].map.data != before).any()


def test_a_step_that_was_interrupted_is_not_taken_for_made(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_maps(make_scan(2500, noise=0.05, options={"pixelmap.process": True}))
    model.configuration.update_nested({"source.mem": True, "source.mem.lambda": 0.3})
    expected = model.pixel_maps[7].copy()
    expected.mem_correct(0.3)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MapStack, "mem_correct", stop)
        with pytest.raises(KeyboardInterrupt):
            model.process()
    model.process()
    np.testing.assert_array_equal(model.pixel_maps[7].map.data, expected.map.data)


def test_what_is_asked_for_later_is_done_later() -> None:
    model = make_maps(make_scan(2500, noise=0.05, options={"pixelmap.process": True}))
    for strength in (0.3, 0.4):
        model.configuration.update_nested({"source.mem": True, "source.mem.lambda": strength})
        expected = model.pixel_maps[7].copy()
        expected.mem_correct(strength)
        model.process()
        np.testing.assert_array_equal(model.pixel_maps[7].map.data, expected.map.data)
