"""Where in their cells samples stand: for all maps together, and for each that misses some."""

import pickle
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from hypothesis import assume, given
from hypothesis import strategies as st

from pixtrace.scan import MapStack
from tests.strategies.timestreams import Timestreams, assert_same_maps, make_timestreams, timestreams

SEEDS = st.integers(0, 2**32 - 1)


@given(timestreams(is_spoilt=False), SEEDS)
def test_moments_are_those_of_the_frames_in_each_cell(stream: Timestreams, seed: int) -> None:
    assume(stream.map_indices.shape[2] == 1 and stream.channel_indices.size > 0)
    n_frames = stream.frame_data.shape[0]
    within = np.random.default_rng(seed).uniform(-0.5, 0.5, (2, n_frames))
    positions = stream.map_indices[..., 0] + within
    stack = stream.maps(map_positions=positions)
    expected = np.zeros((6, *stream.shape))
    weight = stream.frame_weights * stream.frame_gains**2
    for (ix, iy), (x, y), w in zip(stream.map_indices[..., 0].T, within.T, weight, strict=True):
        expected[:, iy, ix] += w * np.array([1.0, x, y, x * x, x * y, y * y])
    np.testing.assert_allclose(stack.moments, expected, rtol=1e-9, atol=1e-9)
    assert_same_maps(stack, stream.maps())
    halves = [stream.frames(part) for part in np.array_split(np.arange(n_frames), 2)]
    parts = np.array_split(positions, 2, axis=1)
    both = [half.maps(map_positions=part) for half, part in zip(halves, parts, strict=True)]
    both[0].merge_accumulate(both[1])
    np.testing.assert_allclose(both[0].moments, expected, rtol=1e-9, atol=1e-9)


def own_moments(stream: Timestreams, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sums over the samples of each map, shape (n_pixels, 6, n_y, n_x), one by one."""
    own = np.zeros((stream.channel_indices.size, 6, *stream.shape))
    used = stream.wanted & np.isfinite(stream.frame_data[:, stream.channel_indices])
    for frame, pixel in np.argwhere(used):
        ix, iy = stream.map_indices[:, frame, 0]
        x, y = positions[:, frame] - (ix, iy)
        gain = stream.frame_gains[frame] * stream.source_gains[stream.channel_indices[pixel]]
        weight = stream.frame_weights[frame] * gain**2 / stream.channel_variance[pixel]
        own[pixel, :, iy, ix] += weight * np.array([1.0, x, y, x * x, x * y, y * y])
    return own


def assert_own_moments(stack: MapStack, expected: npt.NDArray[np.float64], pixels: Iterable[int]) -> None:
    """Assert that the moments of maps are those of some pixels."""
    scale = np.abs(expected).max(initial=1e-300)
    for row, pixel in enumerate(pixels):
        found = stack.sample_moments.of_pixel(row)
        np.testing.assert_allclose(found / scale, expected[pixel] / scale, rtol=1e-6, atol=1e-6)


@given(SEEDS, st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_every_map_knows_where_its_own_samples_stand(seed: int, n_frames: int, n_more: int, n_listed: int) -> None:
    # Flagged samples, samples that are not finite, and channels that only one of two scans has.
    rng = np.random.default_rng(seed)
    stream, more = (
        make_timestreams(seed, n_frames=n_frames),
        make_timestreams(seed + 1, n_frames=n_more, n_listed=n_listed),
    )
    n = stream.channel_indices.size
    places = [part.map_indices[..., 0] + rng.uniform(-0.5, 0.5, part.map_indices.shape[:2]) for part in (stream, more)]
    stack = stream.maps(map_positions=places[0])
    expected = own_moments(stream, places[0])
    assert_own_moments(stack, expected, range(n))
    order = rng.permutation(n)
    assert_own_moments(stack.select(order), expected, order)
    assert_own_moments(pickle.loads(pickle.dumps(stack)), expected, range(n))  # noqa: S301 - our own bytes
    larger = stack.select(range(n))
    larger.extend([10_000])
    assert_own_moments(larger, np.concatenate([expected, np.zeros((1, *expected.shape[1:]))]), range(n + 1))
    larger.copy_moments(n, stack, 0)
    assert_own_moments(larger, expected, [*range(n), 0])
    larger.copy_moments(1, larger, 2)
    assert_own_moments(larger, expected, [0, 2, *range(2, n), 0])
    # Map by map, as callers with a scheduler of their own merge them.
    rows = rng.permutation(n)[:n_listed]
    both = MapStack(n, stream.shape, **stream.grid)
    both.merge_accumulate(stack)
    found = more.maps(map_positions=places[1])
    for k, row in enumerate(rows):
        both.add_model_data(found.select([k]), 0.5, pixels=[row])
    total = expected.copy()
    total[rows] += 0.5 * own_moments(more, places[1])
    assert_own_moments(both, total, range(n))
    both.clear()
    assert not both.moments.any()
