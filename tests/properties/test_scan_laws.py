"""What must hold for maps of any timestreams."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pixtrace.scan import MapStack, get_sample_points
from tests.oracles.map_stack import MapStack as SlowMapStack
from tests.strategies.timestreams import (
    BLANK,
    DT,
    PLANES,
    Array,
    Timestreams,
    assert_close_maps,
    assert_same_maps,
    make_timestreams,
    timestreams,
)

SEEDS = st.integers(0, 2**32 - 1)


def filled_models(stream: Timestreams, seed: int, kind: type = MapStack) -> Any:
    """Return maps for the listed channels with holes, masks and priors, as means."""
    rng = np.random.default_rng(seed)
    full = (stream.channel_indices.size, *stream.shape)
    data, base = rng.standard_normal(full), rng.standard_normal(full)
    data[rng.random(full) < 0.05] = np.nan
    base[rng.random(full) < 0.1] = np.nan
    weight = rng.uniform(0.5, 2.0, full) * (rng.random(full) > 0.1)
    exposure = weight.copy()
    weight[rng.random(full) < 0.03] = np.inf
    flag = rng.choice(np.array([0, 1, 2, 3], np.uint8), full, p=[0.7, 0.1, 0.15, 0.05])
    stack = kind.from_arrays(data, weight, exposure, flag, base=base, **stream.grid)  # type: ignore[attr-defined]
    stack.mark_content("means")
    return stack


def synced(stack: Any, stream: Timestreams, **options: Any) -> tuple[Array, Array]:
    """Return data and flags after the maps were subtracted."""
    data, flags = stream.frame_data.copy(), stream.sample_flags.copy()
    stack.sync(
        data,
        stream.valid_frames,
        stream.frame_gains,
        stream.channel_indices,
        stream.map_indices,
        np.nan_to_num(stream.source_gains),
        0.5 * np.nan_to_num(stream.source_gains),
        flags,
        BLANK,
        **options,
    )
    return data, flags


# --- the slow twin ----------------------------------------------------------------------------------------------------


@given(timestreams())
def test_adding_points_agrees_with_the_slow_twin(stream: Timestreams) -> None:
    slow = stream.add_to(stream.empty_twin())
    assert_close_maps(stream.maps(), slow)
    # The twin counts an infinite gain as a frame.
    assert stream.empty().add_points(**stream.arguments, dt=DT) == stream.used_frames.sum()


@given(timestreams(), SEEDS)
def test_accumulating_agrees_with_the_slow_twin(stream: Timestreams, seed: int) -> None:
    shape = (stream.frame_data.shape[0], stream.channel_indices.size)
    rng = np.random.default_rng(seed)
    data, gains, weights = (rng.uniform(0.1, 2.0, shape) for _ in range(3))
    for array in (data, gains, weights):
        array[rng.random(shape) < 0.05] = np.nan
        array[rng.random(shape) < 0.02] = np.inf
    weights[rng.random(shape) < 0.1] = 0.0
    indices = (
        stream.map_indices if stream.map_indices.shape[2] == 1 else stream.map_indices[..., stream.channel_indices]
    )
    stack, slow = stream.empty(), stream.empty_twin()
    for kind in (stack, slow):
        kind.accumulate(data, gains, weights, indices, DT)
    assert_close_maps(stack, slow)
    assert stack.n_skipped == slow.n_skipped


@given(timestreams(), SEEDS)
def test_subtracting_agrees_with_the_slow_twin(stream: Timestreams, seed: int) -> None:
    data, flags = synced(filled_models(stream, seed), stream)
    with np.errstate(invalid="ignore"):
        expected, expected_flags = synced(filled_models(stream, seed, SlowMapStack), stream)
    finite = np.isfinite(stream.frame_gains)  # an infinite gain spoils the twin's samples, and is not asked for
    np.testing.assert_allclose(data[finite], expected[finite], rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(flags, expected_flags)


@given(timestreams(), SEEDS, st.sampled_from(["given", "sums", "means"]), st.sampled_from(["given", "sums", "means"]))
def test_combining_agrees_with_the_slow_twin(stream: Timestreams, seed: int, content: str, other: str) -> None:
    for is_model in (False, True):
        results: list[Any] = []
        for kind in (MapStack, SlowMapStack):
            to, more = (filled_models(stream, seed + i, kind) for i in range(2))
            to.data[...], to.weight[...] = np.nan_to_num(to.data), np.nan_to_num(to.weight, posinf=1.0)
            to.mark_content(content)
            more.mark_content(other)
            with np.errstate(all="ignore"):
                if is_model:
                    to.add_model_data(more, weight=0.7)
                else:
                    to.merge_accumulate(more)
                to.end_accumulation()
            results.append(to)
        assert_close_maps(results[0], results[1])


@given(timestreams(), SEEDS, st.booleans())
def test_statistics_agree_with_the_slow_twin(stream: Timestreams, seed: int, robust: bool) -> None:
    stack, slow = (filled_models(stream, seed, kind) for kind in (MapStack, SlowMapStack))
    np.testing.assert_array_equal(stack.n_valid, slow.n_valid)
    assert stack.count_points() == slow.count_points()
    is_empty = stack.n_valid == 0
    expected = np.where(is_empty, np.nan, slow.level(robust))  # the twin has no word for nothing
    np.testing.assert_allclose(stack.level(robust), expected, rtol=1e-9, atol=1e-11)
    chi2 = slow.chi2(robust)
    np.testing.assert_allclose(stack.chi2(robust), chi2, rtol=1e-9, atol=1e-20)
    slow.reweight(robust)
    np.testing.assert_allclose(stack.reweight(robust), np.where(chi2 > 0, chi2, 1.0), rtol=1e-9)
    np.testing.assert_allclose(stack.data, slow.data, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(stack.weight, slow.weight, rtol=1e-9)
    np.testing.assert_allclose(stack.noise_rescale, slow.noise_rescale, rtol=1e-9)


@given(
    timestreams(),
    SEEDS,
    st.one_of(st.none(), st.floats(0.0, 3.0)),
    st.integers(0, 10),
    st.sampled_from(["+", "-", "0"]),
)
def test_masks_and_priors_agree_with_the_slow_twin(
    stream: Timestreams, seed: int, level: float | None, least: int, sign: str
) -> None:
    stack, slow = (filled_models(stream, seed, kind) for kind in (MapStack, SlowMapStack))
    stack.update_mask(level, least, sign)
    slow.update_mask(level, least, sign)
    np.testing.assert_array_equal(stack.flag, slow.flag)
    stack.set_base()
    slow.set_base()
    np.testing.assert_array_equal(stack.base, slow.base)


# --- what is added ----------------------------------------------------------------------------------------------------


@given(timestreams(), SEEDS)
def test_the_order_of_frames_does_not_matter(stream: Timestreams, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(stream.frame_data.shape[0])
    mixed, straight = stream.frames(order).maps(), stream.maps()
    assert_close_maps(mixed, straight)
    assert mixed.n_skipped == straight.n_skipped


@given(timestreams(), st.floats(0.0, 1.0))
def test_halves_add_up_to_the_whole(stream: Timestreams, share: float) -> None:
    n_frames = stream.frame_data.shape[0]
    halves = [stream.frames(part) for part in np.split(np.arange(n_frames), [round(share * n_frames)])]
    whole = stream.maps()
    one_after_the_other = halves[1].add_to(halves[0].maps())
    assert_close_maps(one_after_the_other, whole)
    merged = halves[0].maps()
    merged.merge_accumulate(halves[1].maps())
    assert_close_maps(merged, whole)
    assert one_after_the_other.n_skipped == whole.n_skipped
    for stack in (whole, merged):
        stack.end_accumulation()
    assert_close_maps(merged, whole)


@given(timestreams())
def test_means_and_sums_may_be_merged_in_any_mixture(stream: Timestreams) -> None:
    whole = stream.add_to(stream.maps())
    whole.end_accumulation()
    for ended in ((), (0,), (1,), (0, 1)):
        both = [stream.maps(), stream.maps()]
        for i in ended:
            both[i].end_accumulation()
        both[0].merge_accumulate(both[1])
        both[0].end_accumulation()
        assert_close_maps(both[0], whole)


@given(timestreams())
def test_merging_with_itself_doubles(stream: Timestreams) -> None:
    stack, twice = stream.maps(), stream.maps()
    twice.merge_accumulate(stream.maps())
    stack.merge_accumulate(stack)
    assert_same_maps(stack, twice)


@given(timestreams(is_spoilt=False), SEEDS)
def test_a_map_that_is_subtracted_from_its_own_signal_leaves_nothing(stream: Timestreams, seed: int) -> None:
    assume(stream.channel_indices.size > 0)
    rng = np.random.default_rng(seed)
    n_channels = stream.frame_data.shape[1]
    sky = rng.standard_normal((n_channels, *stream.shape))
    x, y = stream.map_indices
    seen = sky[np.arange(n_channels), y, x]
    gains = np.abs(stream.frame_gains) + 0.1
    signal = gains[:, np.newaxis] * stream.source_gains * seen
    stream = stream.but(frame_data=signal, frame_gains=gains)
    stack = stream.maps()
    stack.end_accumulation()
    left, flags = signal.copy(), stream.sample_flags.copy()
    stack.sync(
        left,
        stream.valid_frames,
        gains,
        stream.channel_indices,
        stream.map_indices,
        stream.source_gains,
        np.zeros(n_channels),
        flags,
        BLANK,
    )
    listed = np.isin(np.arange(n_channels), stream.channel_indices)
    assert np.abs(left[:, listed]).max(initial=0.0) <= 1e-12 * np.abs(signal).max(initial=0.0)
    np.testing.assert_array_equal(left[:, ~listed], signal[:, ~listed])
    assert not flags.any()


@given(timestreams(), SEEDS)
def test_listing_channels_in_another_order_permutes_the_maps(stream: Timestreams, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(stream.channel_indices.size)
    mixed = stream.but(channel_indices=stream.channel_indices[order], channel_variance=stream.channel_variance[order])
    straight = stream.maps()
    assert_same_maps(mixed.maps(), straight.select(order))
    assert_same_maps(mixed.add_to(stream.empty(), pixels=order), straight)
    models = filled_models(stream, seed)
    expected = synced(models, stream)
    for stack, options in ((models.select(order), {}), (models, {"pixels": order})):
        for found, plane in zip(synced(stack, mixed, **options), expected, strict=True):
            np.testing.assert_array_equal(found, plane)


@given(timestreams())
def test_exposures_sum_up_to_the_time_of_the_samples(stream: Timestreams) -> None:
    stack = stream.maps()
    np.testing.assert_array_equal(stack.exposure.sum(axis=(1, 2)), DT * stream.good.sum(axis=0))
    np.testing.assert_array_equal((stack.flag & 1) == 0, stack.exposure > 0)


@given(timestreams())
def test_samples_that_are_not_finite_are_skipped_and_counted(stream: Timestreams) -> None:
    finite = np.isfinite(stream.frame_data)
    flagged = stream.but(
        frame_data=np.where(finite, stream.frame_data, 7.0),
        sample_flags=np.where(finite, stream.sample_flags, stream.sample_flags | stream.exclude_sample_flag),
    )
    stack = stream.maps()
    assert_same_maps(stack, flagged.maps())
    assert stack.n_skipped == (stream.wanted & ~stream.good).sum() + stream.without_gain.sum()
    assert np.isfinite(stack.data).all()
    assert np.isfinite(stack.weight).all()


@given(timestreams())
def test_adding_is_spelling_out_and_accumulating(stream: Timestreams) -> None:
    points = get_sample_points(**stream.arguments)
    stack = stream.empty()
    stack.accumulate(points.data, points.gains, points.weights, points.indices, DT)
    # What is infinite is passed on and left out later.
    is_infinite = stream.valid_frames & np.isinf(stream.frame_gains) & (stream.frame_weights != 0)
    assert points.n == stream.used_frames.sum() + is_infinite.sum()
    fused = stream.maps()
    np.testing.assert_array_equal(fused.flag, stack.flag)
    assert_close_maps(fused, stack)


@given(timestreams())
def test_an_index_for_each_sample_is_as_good_as_one_for_each_frame(stream: Timestreams) -> None:
    assume(stream.map_indices.shape[2] == 1)
    n_frames, n_channels = stream.frame_data.shape
    wide = stream.but(map_indices=np.broadcast_to(stream.map_indices, (2, n_frames, n_channels)))
    assert_close_maps(wide.maps(), stream.maps())
    for seed in (1, 2):
        models = filled_models(stream, seed)
        for found, expected in zip(synced(models, wide), synced(models, stream), strict=True):
            np.testing.assert_array_equal(found, expected)


# --- sums and means ---------------------------------------------------------------------------------------------------


@given(timestreams())
def test_a_second_end_changes_nothing(stream: Timestreams) -> None:
    stack, once = stream.maps(), stream.maps()
    once.end_accumulation()
    for _ in range(3):
        stack.end_accumulation()
    assert_same_maps(stack, once)
    assert stack.content == ["means"] * stack.n_pixels


@given(timestreams())
def test_adding_after_the_end_is_adding_before(stream: Timestreams) -> None:
    before, after = stream.add_to(stream.maps()), stream.maps()
    after.end_accumulation()
    stream.add_to(after)
    assert_close_maps(after, before)
    after.end_accumulation()
    before.end_accumulation()
    assert_close_maps(after, before)


# --- threads and layouts ----------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("layout", ["Fortran", "strided", "backwards", "big-endian", "unaligned"])
@given(timestreams(), SEEDS)
def test_what_is_changed_in_place_may_lie_as_it_likes(layout: str, stream: Timestreams, seed: int) -> None:
    models = filled_models(stream, seed)
    data, flags = (LAYOUTS[layout](array.copy()) for array in (stream.frame_data, stream.sample_flags))
    models.sync(
        data,
        stream.valid_frames,
        stream.frame_gains,
        stream.channel_indices,
        stream.map_indices,
        np.nan_to_num(stream.source_gains),
        0.5 * np.nan_to_num(stream.source_gains),
        flags,
        BLANK,
    )
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


# --- planes ----------------------------------------------------------------------------------------------------------


def test_planes_are_the_memory_of_the_stack() -> None:
    stack = make_timestreams(1).maps()
    for name in (*PLANES, "base"):
        assert np.shares_memory(getattr(stack, name), getattr(stack, name))
    before = stack.data.copy()
    stack.data[...] *= 2.0
    stack.end_accumulation()
    weight = np.where(stack.weight == 0, 1.0, stack.weight)
    np.testing.assert_allclose(stack.data, 2.0 * before / weight, rtol=1e-12)
