"""From timestreams to maps and back, held against `PixelMap` of sofia_redux 1.5.2, by arrays alone."""

from typing import Any

import numpy as np
import pytest

from pixtrace.scan import MapStack
from tests.parity.maps import RTOL, assert_close, assert_state, grid_of, map_shape
from tests.reference import Case, load_pixelmap, pixelmap_names

BLANK = 8192  # SAMPLE_SOURCE_BLANK of the reference


def added(case: Case, **rest: Any) -> MapStack:
    n_pixels = case["frame_data"].shape[1]
    stack = MapStack(n_pixels, map_shape(case), **grid_of(case))
    given: dict[str, Any] = {
        "frame_data": case["frame_data"],
        "frame_gains": case["frame_gains"],
        "frame_weights": case["relative_weight"],
        "source_gains": case["source_gains"],
        "channel_variance": case["variance"],
        "valid_frames": usable(case),
        "map_indices": case["map_indices"],
        "channel_indices": np.arange(n_pixels),
        "sample_flags": case["sample_flag"],
        "exclude_sample_flag": int(case["exclude_sample_flag"]),
        "dt": float(case["dt"]),
    }
    n_frames = stack.add_points(**given | rest)
    assert n_frames == case["mapping_frames"]
    assert stack.n_skipped == 0
    return stack


def usable(case: Case) -> Any:
    return case["frame_valid"] & ((case["frame_flag"] & int(case["source_flags"])) == 0)


@pytest.fixture(params=pixelmap_names("pixelmap"))
def case(request: pytest.FixtureRequest) -> Any:
    return load_pixelmap(request.param)


def test_from_samples_to_processed_maps(case: Case) -> None:
    stack = added(case)
    assert_state(stack, case, "add")
    stack.end_accumulation()
    assert_state(stack, case, "process")
    assert stack.count_points() == case["count_points"]
    stack.level()
    stack.reweight()
    assert_state(stack, case, "final")


def test_with_an_index_for_each_sample(case: Case) -> None:
    n_frames, n_channels = case["frame_data"].shape
    stack = added(case, map_indices=np.broadcast_to(case["map_indices"], (2, n_frames, n_channels)))
    assert_state(stack, case, "add")


def test_pixel_by_pixel(case: Case) -> None:
    # With one pixel the reference takes the indices of other frames (defect 13).
    full = added(case)
    for pixel in range(full.n_pixels):
        stack = MapStack(1, map_shape(case), **grid_of(case))
        stack.add_points(
            case["frame_data"],
            case["frame_gains"],
            case["relative_weight"],
            case["source_gains"],
            case["variance"][[pixel]],
            usable(case),
            case["map_indices"],
            [pixel],
            case["sample_flag"],
            int(case["exclude_sample_flag"]),
            float(case["dt"]),
        )
        assert_close(stack.data[0], case["add_data"][pixel], f"map {pixel}")
        np.testing.assert_array_equal(stack.data[0], full.data[pixel])


def test_in_single_precision(case: Case) -> None:
    excluded = (case["sample_flag"] & int(case["exclude_sample_flag"])) != 0
    single = case["frame_data"].astype(np.float32)
    small = {"sample_flags": excluded.astype(np.uint8), "exclude_sample_flag": 1}
    short = added(case, frame_data=single, **small)
    # What is added up is in double precision: only the samples themselves are rounded.
    long = added(case, frame_data=single.astype(np.float64))
    for name in ("data", "weight", "exposure", "flag"):
        np.testing.assert_array_equal(getattr(short, name), getattr(long, name))
    assert_state(short, case, "add", rtol=1e-6)


def test_subtracting_the_final_maps(case: Case) -> None:
    stack = added(case)
    stack.end_accumulation()
    stack.level()
    stack.reweight()
    data, flags = case["frame_data"].copy(), case["sample_flag"].copy()
    stack.sync(
        data,
        case["frame_valid"],
        case["frame_gains"],
        np.arange(stack.n_pixels),
        case["map_indices"],
        case["source_gains"],
        np.zeros(stack.n_pixels),
        flags,
        BLANK,
    )
    np.testing.assert_allclose(data, case["sync_frame_data"], rtol=RTOL, atol=RTOL)
    np.testing.assert_array_equal(flags, case["sync_sample_flag"])
