"""Threads, the layout of arrays and the types of their numbers change nothing, whatever the timestreams."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixtrace.scan import MapStack, get_sample_points
from tests.oracles.map_stack import MapStack as SlowMapStack
from tests.strategies.models import SEEDS, filled_models, subtract, synced
from tests.strategies.timestreams import (
    DT,
    PLANES,
    Array,
    Timestreams,
    assert_close_maps,
    assert_same_maps,
    make_timestreams,
    timestreams,
)


def assert_same_results(stream: Timestreams, other: Timestreams, **options: Any) -> None:
    """Assert that all that takes timestreams gives the same bits for both."""
    expected, found = stream.maps(), other.maps(**options)
    assert_same_maps(found, expected)
    assert found.n_skipped == expected.n_skipped
    for theirs, ours in zip(
        get_sample_points(**stream.arguments), get_sample_points(**other.arguments, **options), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@given(timestreams(), st.sampled_from([1, 2, 8]))
def test_threads_change_not_a_bit(stream: Timestreams, n_threads: int) -> None:
    assert_same_results(stream, stream, n_threads=n_threads)
    models = filled_models(stream, 5)
    for found, expected in zip(synced(models, stream, n_threads=n_threads), synced(models, stream), strict=True):
        np.testing.assert_array_equal(found, expected)


MAP_WORK: dict[str, Callable[..., object]] = {
    "end_accumulation": lambda stack, **o: stack.end_accumulation(**o),
    "count_points": lambda stack, **o: stack.count_points(**o),
    "level": lambda stack, **o: stack.level(**o).tobytes(),
    "level, mean": lambda stack, **o: stack.level(robust=False, **o).tobytes(),
    "reweight": lambda stack, **o: stack.reweight(**o).tobytes(),
    "reweight, mean": lambda stack, **o: stack.reweight(robust=False, **o).tobytes(),
    "smooth_to": lambda stack, **o: stack.smooth_to(7.0, **o).tobytes(),
    "filter": lambda stack, **o: stack.filter(20.0, **o),
    "filter, fft": lambda stack, **o: stack.filter(20.0, kind="fft", **o),
    "despike": lambda stack, **o: stack.despike(2.0, **o).tobytes(),
    "clip_exposure": lambda stack, **o: stack.clip_exposure(0.5, **o).tobytes(),
    "clip_noise": lambda stack, **o: stack.clip_noise(1.5, **o).tobytes(),
    "clip_significance": lambda stack, **o: stack.clip_significance(0.5, **o).tobytes(),
    "clip_redundancy": lambda stack, **o: stack.clip_redundancy(2 * DT, **o).tobytes(),
    "mem_correct": lambda stack, **o: stack.mem_correct(0.3, **o),
    "update_mask": lambda stack, **o: stack.update_mask(0.5, **o).tobytes(),
    "chi2": lambda stack, **o: stack.chi2(**o).tobytes(),
    "find_peaks": lambda stack, **o: [column.tobytes() for column in stack.find_peaks(**o)],
    "fit_gaussians": lambda stack, **o: stack.fit_gaussians(beam_fwhm=6.0, **o).covariance.tobytes(),
    "merge_accumulate": lambda stack, **o: stack.merge_accumulate(stack, **o),
    "add_model_data": lambda stack, **o: stack.add_model_data(stack, 0.3, **o),
}


@pytest.mark.parametrize("name", MAP_WORK)
@given(timestreams(most_channels=12), st.sampled_from([1, 2, 8]))
def test_threads_change_not_a_bit_of_maps(name: str, stream: Timestreams, n_threads: int) -> None:
    stacks = [stream.maps(), stream.maps()]
    for stack in stacks:
        stack.end_accumulation()
    results = [
        MAP_WORK[name](stack, **options) for stack, options in zip(stacks, ({}, {"n_threads": n_threads}), strict=True)
    ]
    assert results[0] == results[1]
    assert_same_maps(*stacks)


@pytest.mark.parametrize("name", sorted(MAP_WORK.keys() - {"merge_accumulate", "add_model_data"}))
@given(timestreams(most_channels=12), SEEDS)
def test_maps_are_worked_on_one_by_one(name: str, stream: Timestreams, seed: int) -> None:
    at_once, apart = stream.maps(), stream.maps()
    for stack in (at_once, apart):
        stack.end_accumulation()
    MAP_WORK[name](at_once)
    for pixel in np.random.default_rng(seed).permutation(apart.n_pixels):
        MAP_WORK[name](apart, pixels=[int(pixel)])
    assert_same_maps(apart, at_once)
    np.testing.assert_array_equal(apart.smoothing_fwhm, at_once.smoothing_fwhm)


def read_only(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def strided(array: Array) -> Array:
    wide = np.zeros([2 * side for side in array.shape], array.dtype)
    inner = tuple(slice(None, None, 2) for _ in array.shape)
    wide[inner] = array
    return wide[inner]


def unaligned(array: Array) -> Array:
    record = np.zeros(array.shape, dtype=[("gap", "u1"), ("value", array.dtype)])
    record["value"] = array
    return record["value"]


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran": np.asfortranarray,
    "strided": strided,
    "backwards": lambda array: np.ascontiguousarray(np.flip(array)).copy()[tuple([slice(None, None, -1)] * array.ndim)],
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "read-only": read_only,
    "unaligned": unaligned,
    "lists": lambda array: array.tolist() if array.size else array,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@given(timestreams())
def test_the_layout_of_arrays_changes_not_a_bit(layout: str, stream: Timestreams) -> None:
    changed = {name: LAYOUTS[layout](array) for name, array in stream.arrays.items()}
    found, expected = stream.empty(), stream.maps()
    found.add_points(**{**stream.arguments, **changed}, dt=DT)
    assert_same_maps(found, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(timestreams(), SEEDS)
def test_the_layout_of_spelled_out_samples_changes_not_a_bit(layout: str, stream: Timestreams, seed: int) -> None:
    points = get_sample_points(**stream.arguments)
    changed = {name: LAYOUTS[layout](array) for name, array in stream.arrays.items()}
    for found, expected in zip(get_sample_points(**{**stream.arguments, **changed}), points, strict=True):
        np.testing.assert_array_equal(found, expected)
    parts = {name: getattr(points, name) for name in ("data", "gains", "weights", "indices")}
    stack, same = stream.empty(), stream.empty()
    stack.accumulate(**{name: LAYOUTS[layout](part) for name, part in parts.items()}, dt=DT)
    same.accumulate(**parts, dt=DT)
    assert_same_maps(stack, same)
    model = filled_models(stream, seed)
    planes = {name: LAYOUTS[layout](getattr(model, name)) for name in (*PLANES, "base")}
    again = MapStack.from_arrays(**planes, **stream.grid)
    assert_same_maps(again, model)
    np.testing.assert_array_equal(again.base, model.base)


@pytest.mark.parametrize("layout", ["Fortran", "strided", "backwards", "big-endian", "unaligned"])
@given(timestreams(), SEEDS)
def test_what_is_changed_in_place_may_lie_as_it_likes(layout: str, stream: Timestreams, seed: int) -> None:
    models = filled_models(stream, seed)
    data, flags = (LAYOUTS[layout](array.copy()) for array in (stream.frame_data, stream.sample_flags))
    subtract(models, stream, data, flags)
    expected = synced(models, stream)
    np.testing.assert_array_equal(data, expected[0])
    np.testing.assert_array_equal(flags, expected[1])


@pytest.mark.parametrize("flags", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
@given(timestreams())
def test_the_type_of_flags_changes_not_a_bit(flags: type, stream: Timestreams) -> None:
    assert_same_results(stream, stream.but(sample_flags=stream.sample_flags.astype(flags)))


@given(timestreams())
def test_single_precision_is_as_good_for_what_fits_into_it(stream: Timestreams) -> None:
    single = stream.but(frame_data=stream.frame_data.astype(np.float32))
    assert_same_results(stream, single)
    assert_same_results(stream, single.but(sample_flags=stream.sample_flags.astype(np.uint8)))


def test_many_channels_and_cells() -> None:
    # More than a tile of either, in both precisions: blocks, tiles and runs of channels with gaps between them.
    stream = make_timestreams(3, n_frames=700, n_channels=900, shape=(40, 35), n_listed=600)
    slow = stream.but(frame_data=stream.frame_data.astype(np.float32)).maps(n_threads=2)
    assert_same_maps(stream.maps(n_threads=1), slow)
    points = get_sample_points(**stream.arguments)
    expected = stream.empty()
    expected.accumulate(points.data, points.gains, points.weights, points.indices, DT)
    assert_close_maps(slow, expected)
    models = filled_models(stream, 3)
    twin = filled_models(stream, 3, SlowMapStack)
    chosen = np.arange(0, 600, 71)
    some = stream.but(channel_indices=stream.channel_indices[chosen], channel_variance=stream.channel_variance[chosen])
    found = synced(models, stream)
    with np.errstate(invalid="ignore"):
        sample = synced(twin.select(chosen), some)
    columns = some.channel_indices
    finite = np.isfinite(stream.frame_gains)
    np.testing.assert_allclose(found[0][finite][:, columns], sample[0][finite][:, columns], rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(found[1][:, columns], sample[1][:, columns])


def test_planes_are_the_memory_of_the_stack() -> None:
    stack = make_timestreams(1).maps()
    for name in (*PLANES, "base"):
        assert np.shares_memory(getattr(stack, name), getattr(stack, name))
    before = stack.data.copy()
    stack.data[...] *= 2.0
    stack.end_accumulation()
    weight = np.where(stack.weight == 0, 1.0, stack.weight)
    np.testing.assert_allclose(stack.data, 2.0 * before / weight, rtol=1e-12)
