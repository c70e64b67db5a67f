"""Bad numbers among good ones, and little or nothing of them."""

import itertools
from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import ParameterError
from pixtrace.scan import ChannelGroup, MapStack, get_sample_points
from tests.strategies.scan_calls import ACCUMULATE, GRID, MAP_WORK, STREAM, SYNC, call_sync
from tests.strategies.scans import make_maps, make_scan
from tests.strategies.timestreams import BLANK, DT, I64, assert_same_maps, make_timestreams


@pytest.mark.parametrize("variance", [np.nan, 0.0, -1.0, -np.inf, np.inf])
def test_channels_without_a_variance_add_nothing(variance: float) -> None:
    bad = STREAM.channel_variance.copy()
    bad[2] = variance
    stack = STREAM.but(channel_variance=bad).maps()
    others = [0, 1, 3, 4]
    assert_same_maps(stack.select(others), STREAM.maps().select(others))
    if variance == np.inf:  # worth nothing, but looked at
        assert not stack.weight[2].any()
        assert not stack.valid[2].any()
    else:
        assert_same_maps(stack.select([2]), STREAM.empty().select([2]))
    assert stack.n_skipped == 0


@pytest.mark.parametrize("gain", [np.nan, 0.0, np.inf, -np.inf])
def test_channels_and_frames_without_a_gain_add_nothing(gain: float) -> None:
    gains = STREAM.source_gains.copy()
    gains[2] = gain
    stack = STREAM.but(source_gains=gains).maps()
    assert_same_maps(stack.select([2]), STREAM.empty().select([2]))
    assert_same_maps(stack.select([0, 1, 3, 4]), STREAM.maps().select([0, 1, 3, 4]))
    for name in ("frame_gains", "frame_weights"):
        numbers = getattr(STREAM, name).copy()
        numbers[[0, 7]] = gain
        left = STREAM.frames(np.delete(np.arange(10), [0, 7]))
        spoilt = STREAM.but(**{name: numbers})
        assert_same_maps(spoilt.maps(), left.maps())
        assert spoilt.empty().add_points(**spoilt.arguments, dt=DT) == 8
        lost = n_samples(STREAM.frames(np.array([0, 7])).maps()) if name == "frame_gains" else 0
        assert spoilt.maps().n_skipped == (0 if gain == 0.0 else lost)
    assert stack.n_skipped == (0 if gain == 0.0 else n_samples(STREAM.maps().select([2])))


def n_samples(stack: MapStack) -> int:
    """Return the number of samples in maps."""
    return round(float(stack.exposure.sum()) / DT)


def test_frames_of_negative_weight_add_nothing_and_those_of_negative_gain_count() -> None:
    weights, gains = STREAM.frame_weights.copy(), STREAM.frame_gains.copy()
    weights[3] = -1.0
    assert_same_maps(STREAM.but(frame_weights=weights).maps(), STREAM.frames(np.delete(np.arange(10), 3)).maps())
    turned = STREAM.but(frame_gains=-gains).maps()
    np.testing.assert_array_equal(turned.data, -STREAM.maps().data)
    np.testing.assert_array_equal(turned.weight, STREAM.maps().weight)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_bad_sample_spoils_nothing_but_itself(value: float) -> None:
    data = STREAM.frame_data.copy()
    data[4, 1] = value
    flags = STREAM.sample_flags.copy()
    flags[4, 1] = STREAM.exclude_sample_flag
    stack = STREAM.but(frame_data=data).maps()
    assert_same_maps(stack, STREAM.but(sample_flags=flags).maps())
    assert stack.n_skipped == 1
    STREAM.but(frame_data=data).add_to(stack)
    assert stack.n_skipped == 2
    synced = data.copy()
    call_sync({**SYNC, "frame_data": synced})
    np.testing.assert_array_equal(np.isfinite(synced), np.isfinite(data))


def test_samples_of_their_own_weight() -> None:
    good = ACCUMULATE
    expected = STREAM.empty()
    keep = np.delete(np.arange(10), 5)
    left: dict[str, Any] = {name: good[name][keep] for name in ("data", "gains", "weights")}
    expected.accumulate(**left, indices=good["indices"][:, keep], dt=DT)
    for name, value in itertools.product(("data", "gains", "weights"), (np.nan, np.inf, -np.inf)):
        spoilt = good[name].copy()
        spoilt[5] = value
        stack = STREAM.empty()
        given: dict[str, Any] = {**good, name: spoilt}
        stack.accumulate(**given, dt=DT)
        assert_same_maps(stack, expected)
        assert stack.n_skipped == 5
    stack = STREAM.empty()
    weightless: dict[str, Any] = {**good, "weights": np.zeros((10, 5))}
    stack.accumulate(**weightless, dt=DT)
    assert stack.exposure.sum() == 50 * DT  # a weight of 0 counts as exposure
    assert not stack.valid.any()


@pytest.mark.parametrize("wrong", [-1, 6, 2**31, 2**32, 2**62, I64.max, I64.min])
@pytest.mark.parametrize("axis", [0, 1])
def test_indices_off_the_map(wrong: int, axis: int) -> None:
    for indices in (STREAM.map_indices, np.repeat(STREAM.map_indices, 5, axis=2)):
        off = indices.copy()
        off[axis, [2, 6]] = wrong
        keep = np.delete(np.arange(10), [2, 6])
        stream = STREAM.but(map_indices=off)
        left = STREAM.but(map_indices=indices).frames(keep)
        assert_same_maps(stream.maps(), left.maps())
        assert stream.empty().add_points(**stream.arguments, dt=DT) == 10  # frames count, wherever they are
        data, flags = STREAM.frame_data.copy(), np.full((10, 5), BLANK)
        call_sync({**SYNC, "map_indices": off, "frame_data": data, "sample_flags": flags})
        np.testing.assert_array_equal(data[[2, 6]], STREAM.frame_data[[2, 6]])
        assert (flags[[2, 6]] == BLANK).all()
        assert (data[keep] != STREAM.frame_data[keep]).all()


def test_products_of_indices_do_not_wrap_around() -> None:
    # 2^63 / 6 rows and a bit: iy * n_x + ix would be a cell of the map again.
    for ix, iy in ((2, 2**64 // 6 - 2**63), (6, 0), (-6, 1), (I64.min, I64.max), (I64.max, I64.max)):
        indices = np.tile(np.array([ix, max(min(iy, I64.max), I64.min)])[:, np.newaxis, np.newaxis], (1, 10, 1))
        assert not STREAM.but(map_indices=indices).maps().valid.any()
    indices = STREAM.map_indices.astype(np.uint64)
    assert_same_maps(STREAM.but(map_indices=indices).maps(), STREAM.maps())
    indices[0, 3] = 2**63
    with pytest.raises(ParameterError, match="`map_indices` holds 9223372036854775808; the largest index"):
        STREAM.but(map_indices=indices).maps()


@pytest.mark.parametrize("n_frames", [0, 1])
@pytest.mark.parametrize("n_channels", [0, 1, 3])
@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_no_frames_or_one_no_channels_or_one_maps_of_one_cell(
    n_frames: int, n_channels: int, is_shared: bool, shape: tuple[int, int]
) -> None:
    stream = make_timestreams(
        7, n_frames=n_frames, n_channels=n_channels, shape=shape, is_shared=is_shared, is_spoilt=False
    )
    stack = stream.empty()
    assert stack.add_points(**stream.arguments, dt=DT) == n_frames
    assert stack.exposure.sum() == DT * n_frames * n_channels
    assert get_sample_points(**stream.arguments).data.shape == (n_frames, n_channels)
    stack.end_accumulation()
    if n_frames and n_channels:
        ix, iy = stream.map_indices[:, 0, 0]
        assert stack.data[0, iy, ix] == pytest.approx(
            stream.frame_data[0, 0] / (stream.frame_gains[0] * stream.source_gains[0])
        )
    data, flags = stream.frame_data.copy(), stream.sample_flags.copy()
    arrays = {**vars(stream), "frame_data": data, "sample_flags": flags, "frame_valid": stream.valid_frames}
    names = SYNC.keys() - {"sync_gains"}
    stack.sync(**{name: arrays[name] for name in names}, sync_gains=stream.source_gains, sample_blank_flag=BLANK)
    np.testing.assert_allclose(data, 0.0, atol=1e-12)
    for work in MAP_WORK.values():
        work(stack)
    stack.set_base()
    stack.merge_accumulate(stack)
    fits = stack.fit_gaussians()
    assert len(fits) == n_channels
    assert np.isnan(fits.amplitude).all()
    assert (fits.flags != 0).all()
    assert np.isnan(stack.find_peaks(reduce_degrees=True).position).all()


@pytest.mark.parametrize("off", [1.5, -40.0, np.inf])
def test_positions_that_are_not_those_of_the_indices(off: float) -> None:
    stream = make_timestreams(3, is_spoilt=False)
    positions = stream.map_indices[..., 0].astype(np.float64)
    positions[1, 7] += off
    stack = stream.empty()
    with pytest.raises(ParameterError, match=r"`map_positions` of frame 7 is .* expected the map index before"):
        stream.add_to(stack, map_positions=positions)
    assert not stack.weight.any()


def test_frames_of_which_the_position_is_not_known() -> None:
    stream = make_timestreams(4, is_spoilt=False)
    positions = stream.map_indices[..., 0] + 0.25
    known = positions.copy()
    known[0, ::3] = np.nan
    stack = stream.maps(map_positions=known)
    assert_same_maps(stack, stream.maps())
    rest = stream.frames(np.flatnonzero(np.isfinite(known[0])))
    expected = rest.maps(map_positions=positions[:, np.isfinite(known[0])])
    np.testing.assert_allclose(stack.moments, expected.moments, rtol=1e-12)
    assert len(stack.sample_moments.missed) == 0


def test_no_channels_in_a_group() -> None:
    model = make_maps(make_scan(500, noise=0.02))
    integration = model.scans[0][0]
    frames, gains = integration.frames, np.ones(integration.channels.size)
    nobody = ChannelGroup(integration.channels, [])
    before, data = model.need_block().stack.weight.copy(), frames.data.copy()
    assert model.add_points(frames, nobody, np.ones(frames.size), gains) == int(frames.valid.sum())
    model.sync_source_gains(frames, nobody, np.ones(frames.size), gains, gains)
    np.testing.assert_array_equal(model.need_block().stack.weight, before)
    np.testing.assert_array_equal(frames.data, data)


def test_stacks_without_maps() -> None:
    stack = MapStack(0, (4, 6), **STREAM.grid)
    assert len(stack) == 0
    nobody = STREAM.but(channel_indices=np.array([], np.int64), channel_variance=np.array([]))
    assert stack.add_points(**nobody.arguments, dt=DT) == 10
    for work in MAP_WORK.values():
        work(stack)
    stack.merge_accumulate(stack)
    assert stack.count_points() == 0
    assert stack.data.shape == (0, 4, 6)
    stack.extend([5, 7])
    assert stack.pixel_ids.tolist() == [5, 7]
    assert stack.select([]).n_pixels == 0
    # Lists without anything in them have no type.
    assert STREAM.but(channel_indices=[], channel_variance=[]).add_to(STREAM.empty().select([])) is not None
    nothing: list[Any] = [[], np.array([], np.float64), ()]
    for empty in nothing:
        full = STREAM.maps()
        full.end_accumulation(pixels=empty)
        assert full.content == ["sums"] * 5


def test_maps_without_data_stay_as_they_are() -> None:
    stack = MapStack(3, (4, 6), **GRID)
    before = stack.select([0, 1, 2])
    assert np.isnan(stack.level()).all()
    assert np.isnan(stack.chi2()).all()
    np.testing.assert_array_equal(stack.reweight(), 1.0)
    assert stack.clip_noise(1.0).sum() == stack.despike(1.0).sum() == stack.update_mask().sum() == 0
    assert_same_maps(stack, before)
