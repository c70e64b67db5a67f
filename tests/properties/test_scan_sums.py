"""What must hold for maps of any timestreams: what is added, subtracted, merged, and divided when."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from pixtrace.scan import get_sample_points
from tests.strategies.models import SEEDS, filled_models, synced
from tests.strategies.timestreams import (
    BLANK,
    DT,
    Timestreams,
    assert_close_maps,
    assert_same_maps,
    timestreams,
)


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
