"""Samples spelled out, and maps subtracted from them, held against sofia_redux 1.5.2.

Where the reference takes the map index of a wrong frame (its defects 4 and 13), the data were made with one index for
each sample, so that nothing here is left out.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.scan import MapStack, get_delta_sync_parms, get_sample_points
from tests.parity.maps import assert_close
from tests.reference import Case, load_pixelmap, pixelmap_names

SAMPLES = (
    "frame_data",
    "frame_gains",
    "frame_weights",
    "source_gains",
    "channel_variance",
    "valid_frames",
    "map_indices",
    "channel_indices",
    "sample_flags",
)
SYNC = (
    "frame_data",
    "frame_valid",
    "frame_gains",
    "channel_indices",
    "map_indices",
    "source_gains",
    "sync_gains",
    "sample_flags",
)
Array = npt.NDArray[Any]
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "every other": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "backwards": lambda array: np.ascontiguousarray(array[::-1])[::-1],
}


def sample_arguments(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = {name: case[name] for name in SAMPLES}
    return found | {"exclude_sample_flag": int(case["exclude_sample_flag"])}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", pixelmap_names("sample_points"))
def test_sample_points(name: str, layout: str) -> None:
    case = load_pixelmap(name)
    given = sample_arguments(case)
    given.update({key: LAYOUTS[layout](given[key]) for key in SAMPLES})
    points = get_sample_points(**given)
    assert points.n == case["out_n"]
    np.testing.assert_array_equal(points.indices, case["out_indices"])
    for key in ("data", "gains", "weights"):
        assert_close(getattr(points, key), case[f"out_{key}"], key)


@pytest.mark.parametrize("flags", [np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("name", pixelmap_names("sample_points"))
def test_sample_points_in_less_memory(name: str, flags: npt.DTypeLike) -> None:
    case = load_pixelmap(name)
    given = sample_arguments(case)
    # Excluded or not is all that flags say here: one bit does as well.
    excluded = (given["sample_flags"] & given["exclude_sample_flag"]) != 0
    single = given["frame_data"].astype(np.float32)
    shorter = {"frame_data": single, "sample_flags": excluded.astype(flags), "exclude_sample_flag": 1}
    points = get_sample_points(**given | shorter)
    np.testing.assert_array_equal(points.indices, case["out_indices"])
    assert_close(points.weights, case["out_weights"], "weights")
    expected = case["out_data"].astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(points.data, expected)


@pytest.mark.parametrize("name", pixelmap_names("sample_points"))
def test_adding_points_is_accumulating_them(name: str) -> None:
    case = load_pixelmap(name)
    given = sample_arguments(case)
    n, shape = given["channel_indices"].size, (35, 35)
    fused, spelled = (MapStack(n, shape, resolution=1.0, reference_index=0.0) for _ in range(2))
    n_frames = fused.add_points(**given, dt=0.1)
    spelled.accumulate(case["out_data"], case["out_gains"], case["out_weights"], case["out_indices"], 0.1)
    assert n_frames == case["out_n"]
    np.testing.assert_array_equal(fused.flag, spelled.flag)
    for key in ("data", "weight", "exposure"):
        assert_close(getattr(fused, key), getattr(spelled, key), key)


def models(case: Case, chosen: list[int] | slice = slice(None)) -> MapStack:
    values, is_valid, is_masked = (case[f"map_{key}"][chosen] for key in ("values", "valid", "masked"))
    base = np.where(case["base_valid"], case["base_values"], np.nan)[chosen]
    ones, flag = np.ones(values.shape), np.where(is_valid, 0, 1) | np.where(is_masked, 2, 0)
    return MapStack.from_arrays(values, ones, ones, flag, base=base, resolution=1.0, reference_index=0.0)


def sync_arguments(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = {name: case[name].copy() for name in SYNC}
    return found | {"sample_blank_flag": int(case["sample_blank_flag"])}


def in_layout(array: Array, layout: str) -> Array:
    found = LAYOUTS[layout](array.copy())
    return found if found.flags.writeable else found.copy(order="K")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", pixelmap_names("sync"))
def test_sync(name: str, layout: str) -> None:
    case = load_pixelmap(name)
    given = sync_arguments(case)
    given.update({key: in_layout(given[key], layout) for key in SYNC})
    models(case).sync(**given)
    assert_close(given["frame_data"], case["out_frame_data"], "data")
    np.testing.assert_array_equal(given["sample_flags"], case["out_sample_flags"])


@pytest.mark.parametrize("name", pixelmap_names("sync"))
def test_sync_with_an_index_for_each_sample(name: str) -> None:
    case = load_pixelmap(name)
    given = sync_arguments(case)
    n_frames, n_channels = given["frame_data"].shape
    given["map_indices"] = np.broadcast_to(given["map_indices"], (2, n_frames, n_channels))
    models(case).sync(**given)
    assert_close(given["frame_data"], case["out_frame_data"], "data")
    np.testing.assert_array_equal(given["sample_flags"], case["out_sample_flags"])


@pytest.mark.parametrize("name", pixelmap_names("sync"))
def test_sync_one_map_at_a_time(name: str) -> None:
    # The reference errs here: with one channel, its index array is that of a later frame (defect 4).
    case = load_pixelmap(name)
    given = sync_arguments(case)
    channels = given.pop("channel_indices")
    for k, channel in enumerate(channels):
        models(case, [k]).sync(**given, channel_indices=[channel])
    assert_close(given["frame_data"], case["out_frame_data"], "data")
    np.testing.assert_array_equal(given["sample_flags"], case["out_sample_flags"])


@pytest.mark.parametrize("name", pixelmap_names("sync"))
def test_sync_with_one_map_for_all_channels(name: str) -> None:
    case = load_pixelmap(name)
    given = sync_arguments(case)
    models(case, [0] * given["channel_indices"].size).sync(**given)
    assert_close(given["frame_data"], case["out_one_map_frame_data"], "data")
    np.testing.assert_array_equal(given["sample_flags"], case["out_one_map_sample_flags"])


@pytest.mark.parametrize("flags", [np.int16, np.uint16, np.int32, np.uint32, np.int64])
@pytest.mark.parametrize("name", pixelmap_names("sync"))
def test_sync_in_single_precision(name: str, flags: npt.DTypeLike) -> None:
    case = load_pixelmap(name)
    given = sync_arguments(case)
    data, short = given["frame_data"].astype(np.float32), given["sample_flags"].astype(flags)
    models(case).sync(**given | {"frame_data": data, "sample_flags": short})
    assert data.dtype == np.float32
    # What goes in is rounded, and what comes out; both to half a unit in the last place of numbers of up to 8.
    np.testing.assert_allclose(data, case["out_frame_data"], rtol=0.0, atol=8.0 * float(np.finfo(np.float32).eps))
    np.testing.assert_array_equal(short, case["out_sample_flags"])


@pytest.mark.parametrize("name", pixelmap_names("sync"))
def test_delta_sync_parms(name: str) -> None:
    case = load_pixelmap(name)
    frames, channels = get_delta_sync_parms(
        channel_source_gains=case["source_gains"],
        channel_indices=case["channel_indices"],
        channel_flags=case["dp_channel_flags"],
        channel_variance=case["dp_channel_variance"],
        frame_weight=case["dp_frame_weight"],
        frame_source_gains=case["dp_frame_source_gains"],
        frame_valid=case["frame_valid"],
        frame_flags=case["dp_frame_flags"],
        source_flag=int(case["dp_source_flag"]),
        n_points=float(case["dp_n_points"]),
    )
    assert_close(frames, case["out_dp_frame"], "frames")
    assert_close(channels, case["out_dp_channel"], "channels")
