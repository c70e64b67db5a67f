"""Maps of any timestreams are those of the slow twin, step by step."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pixtrace.scan import MapStack
from tests.oracles.map_stack import MapStack as SlowMapStack
from tests.strategies.models import SEEDS, filled_models, synced
from tests.strategies.timestreams import (
    DT,
    Timestreams,
    assert_close_maps,
    timestreams,
)


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
