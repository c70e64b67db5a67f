"""Calls of `PixelMap` and of its maps with what does not fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import DataError, DtypeError, ParameterError, PixtraceError, ShapeError
from pixtrace.scan import MapStack, PixelMap
from tests.strategies.scans import make_maps, make_scan

N_FRAMES = 300
UNITS: Any = PixelMap


def small() -> PixelMap:
    """Return maps of a small scan."""
    return make_maps(make_scan(N_FRAMES))


def planes_of(model: PixelMap) -> list[Any]:
    """Return copies of the planes of all maps."""
    stack = model.need_block().stack
    return [getattr(stack, name).copy() for name in ("data", "weight", "exposure", "flag")]


GAINS: dict[str, tuple[Any, type[PixtraceError], str]] = {
    "too few": (np.ones(2), ShapeError, "has shape .*; expected"),
    "a column": (np.ones((N_FRAMES, 1)), ShapeError, "has 2 dimensions"),
    "texts": (["a"] * N_FRAMES, DtypeError, "has dtype .*; expected real numbers"),
    "complex numbers": (np.ones(N_FRAMES) * 1j, DtypeError, "has dtype complex128; expected real numbers"),
    "nothing": (None, ShapeError, "has 0 dimensions"),
}


@pytest.mark.parametrize("name", ["frame_gains", "source_gains", "sync_gains"])
@pytest.mark.parametrize("kind", GAINS)
def test_gains_that_do_not_fit(name: str, kind: str) -> None:
    model = small()
    gains, error, text = GAINS[kind]
    integration = model.scans[0][0]
    given: dict[str, Any] = {
        "frame_gains": np.ones(N_FRAMES),
        "source_gains": np.ones(4),
        "sync_gains": np.ones(4),
        name: gains,
    }
    frames, pixels = integration.frames, integration.channels.create_group()
    before, signal = planes_of(model), frames.data.copy()
    with pytest.raises(error, match=f"`{name}` {text}"):
        model.sync_source_gains(frames, pixels, **given)
    sync_gains = given.pop("sync_gains")
    if name != "sync_gains":
        with pytest.raises(error, match=f"`{name}` {text}"):
            model.add_points(frames, pixels, **given)
    arguments = (model.pixel_maps, frames, pixels, given["frame_gains"], given["source_gains"], sync_gains)
    with pytest.raises(error, match=f"`{name}` {text}"):
        UNITS.parallel_safe_sync_source_gains(arguments, 1)
    np.testing.assert_array_equal(frames.data, signal)
    for found, expected in zip(planes_of(model), before, strict=True):
        np.testing.assert_array_equal(found, expected)


PLANES: list[tuple[dict[str, Any], type[PixtraceError], str]] = [
    ({"flag": np.full((26, 26), 256)}, ParameterError, "`flag` holds other numbers than 1"),
    ({"flag": np.full((26, 26), 4)}, ParameterError, "`flag` holds other numbers than 1"),
    ({"flag": np.full((26, 26), 0.5)}, DtypeError, "`flag` has dtype float64; expected integers"),
    ({"data": np.full((26, 26), 1j)}, DtypeError, "`data` has dtype complex128"),
    ({"weight": np.full((26, 26), None)}, DtypeError, "`weight` has dtype object"),
    ({"data": np.ones((26, 26)), "exposure": np.ones((1, 1))}, ShapeError, r"`exposure` has shape \(1, 1\)"),
    ({"data": np.ones((26, 26)), "noise": np.ones((26, 26))}, DataError, "a map has no plane 'noise'"),
]


@pytest.mark.parametrize(("planes", "error", "text"), PLANES)
def test_planes_that_do_not_fit_are_not_set(planes: dict[str, Any], error: type[PixtraceError], text: str) -> None:
    model = small()
    before = planes_of(model)
    with pytest.raises(error, match=text):
        model.pixel_maps[7].set_data(**planes)
    for found, expected in zip(planes_of(model), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert model.pixel_maps[7].map.content == "means"


CALLS: dict[str, tuple[Callable[[Any], object], type[PixtraceError], str]] = {
    "a weight that is a text": (lambda m: m.add_model_data(m, "a"), ParameterError, "`weight` = 'a'"),
    "no weight": (lambda m: m.add_model_data(m, None), ParameterError, "`weight` = None"),
    "an infinite weight": (lambda m: m.add_model_data(m, np.inf), ParameterError, "`weight` = inf"),
    "a weight of two": (lambda m: m.add_model_data(m, [1, 2]), ParameterError, "`weight` ="),
    "a stack": (
        lambda m: m.merge_accumulate(MapStack(1, (2, 2), resolution=1.0, reference_index=0.0)),
        ParameterError,
        "cannot combine with a MapStack",
    ),
    "threads as a text": (lambda m: m.set_parallel("a"), ParameterError, "`threads` = 'a'"),
    "no threads": (lambda m: m.set_parallel(None), ParameterError, "`threads` = None"),
    "a half thread": (lambda m: m.set_parallel(1.5), ParameterError, "`threads` = 1.5"),
    "a shape of halves": (lambda m: m.set_data_shape((5.5, 6)), ParameterError, "`shape` = 5.5"),
    "one side": (lambda m: m.set_data_shape(5), ParameterError, r"`shape` = 5; it must be \(n_y, n_x\)"),
    "three sides": (lambda m: m.set_data_shape((1, 2, 3)), ParameterError, "it must be"),
    "one scan": (lambda m: m.create_from(m.scans[0]), ParameterError, r"expected a list of scans, \[scan\]"),
    "no scans": (lambda m: m.create_from(["a"]), ParameterError, "`scans` holds a str; expected scans"),
    "no map": (lambda m: m.pixel_maps.__setitem__(3, 5.0), ParameterError, "expected an IntensityMap"),
    "a map between two": (
        lambda m: m.pixel_maps.__setitem__(3.5, m.pixel_maps[3]),
        ParameterError,
        "`fixed_index` = 3.5",
    ),
    "a fixed shape of one number": (
        lambda m: m.need_block().stack.fit_gaussians(shape="fixed", fixed=5.0),
        ParameterError,
        r"`fixed` = 5.0; it must be \(FWHM major, FWHM minor, angle\)",
    ),
    "too little to add": (
        lambda _: UNITS.parallel_safe_add_points((None, {}, [7]), 0),
        ParameterError,
        "`args` has 3 elements; expected 8: template, maps, fixed indices, data",
    ),
    "too little to fit": (
        lambda m: UNITS.parallel_safe_calculate_pixel_data((m.pixel_maps,), 7),
        ParameterError,
        "`args` has 1 elements; expected 5",
    ),
    "too much to merge": (
        lambda m: UNITS.parallel_safe_merge_accumulate((m.pixel_maps,) * 3, 7),
        ParameterError,
        "`args` has 3 elements; expected 2",
    ),
    "a pixel beyond the last": (
        lambda m: UNITS.parallel_safe_sync_source_gains(
            (m.pixel_maps, m.scans[0][0].frames, m.scans[0].channels.create_group(), [], [], []), 4
        ),
        ParameterError,
        "`pixel_number` = 4; it must be a whole number from 0 to 3",
    ),
    "a pixel before the first": (
        lambda m: UNITS.parallel_safe_add_points((m.template, {}, [7], [], [], [], 1.0, []), -1),
        ParameterError,
        "`pixel_number` = -1",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_that_make_no_sense(name: str) -> None:
    model = small()
    before = planes_of(model)
    work, error, text = CALLS[name]
    with pytest.raises(error, match=text):
        work(model)
    for found, expected in zip(planes_of(model), before, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("number", [3.7, "3", None, "x", -3, 99])
def test_maps_are_found_by_whole_numbers(number: Any) -> None:
    maps: Any = small().pixel_maps
    with pytest.raises(KeyError):
        maps[number]
    with pytest.raises(KeyError):
        del maps[number]
    assert len(maps) == 4
    assert maps[np.int32(3)].fixed_index == maps[3.0].fixed_index == 3
