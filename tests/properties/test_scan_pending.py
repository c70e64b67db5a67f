"""Samples whose weights wait until somebody looks: nothing may depend on it, to the last bit."""

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixtrace.exceptions import DataError
from pixtrace.scan import MapStack
from tests.strategies.timestreams import BLANK, DT, EXCLUDED, Timestreams, assert_same_maps, make_timestreams

SEEDS = st.integers(0, 2**32 - 1)


def stream_of(seed: int) -> Timestreams:
    """Return timestreams of which few samples are flagged or no numbers, so that all the others may wait."""
    rng = np.random.default_rng(seed)
    stream = make_timestreams(seed, n_frames=80, n_channels=30, is_spoilt=False)
    flags = np.where(rng.random(stream.sample_flags.shape) < 0.02, EXCLUDED, 0)
    data = np.where(rng.random(flags.shape) < 0.01, np.nan, stream.frame_data)
    return stream.but(frame_data=data, sample_flags=flags)


def is_waiting(stack: MapStack) -> bool:
    """Tell whether the planes lag behind; asking changes nothing."""
    return not stack._late[0].any()


def both(stream: Timestreams) -> tuple[MapStack, MapStack]:
    """Return a stack where the weights wait, and one where they do not, because somebody has looked before."""
    waiting, seen = stream.empty(), stream.empty()
    assert not seen.weight.any()
    for stack in (waiting, seen):
        for _ in range(2):
            stream.add_to(stack)
    assert is_waiting(waiting)
    assert not is_waiting(seen)
    return waiting, seen


def subtract(stack: MapStack, stream: Timestreams) -> tuple[Any, Any]:
    """Return data and flags after the maps were subtracted."""
    data, flags = stream.frame_data.copy(), stream.sample_flags.copy()
    gains = stream.source_gains
    arguments = (stream.valid_frames, stream.frame_gains, stream.channel_indices, stream.map_indices, gains, gains)
    stack.sync(data, *arguments, flags, BLANK)
    return data, flags


def accumulate(stack: MapStack, stream: Timestreams) -> None:
    """Add samples with weights of their own."""
    ones = np.ones_like(stream.frame_data)
    stack.accumulate(ones, ones, ones, stream.map_indices, DT)


def records(stack: MapStack) -> list[Any]:
    """Return what is known of the maps."""
    names = ("smoothing_fwhm", "filter_fwhm", "correcting_fwhm", "filter_blanking", "noise_rescale", "pixel_ids")
    return [getattr(stack, name).tobytes() for name in names]


def merged(stack: MapStack, stream: Timestreams) -> Any:
    """Return the weights of other maps that these were merged into."""
    other = stream.empty()
    other.merge_accumulate(stack)
    return other.weight


#: Every public name of a stack, with a use of it.
USES: dict[str, Callable[[MapStack, Timestreams], Any]] = {
    "accumulate": accumulate,
    "add_model_data": lambda stack, stream: stack.add_model_data(stream.maps(), 0.3),
    "add_points": lambda stack, stream: stream.add_to(stack) and None,
    "base": lambda stack, _: stack.base,
    "chi2": lambda stack, _: stack.chi2(),
    "clear": lambda stack, _: stack.clear(),
    "clip_exposure": lambda stack, _: stack.clip_exposure(0.5),
    "clip_noise": lambda stack, _: stack.clip_noise(1.5),
    "clip_redundancy": lambda stack, _: stack.clip_redundancy(2 * DT),
    "clip_significance": lambda stack, _: stack.clip_significance(0.5),
    "content": lambda stack, _: stack.content,
    "copy_moments": lambda stack, stream: stack.copy_moments(0, stream.maps(), 1),
    "correcting_fwhm": lambda stack, _: setattr(stack, "correcting_fwhm", 3.0),
    "count_points": lambda stack, _: stack.count_points(),
    "data": lambda stack, _: stack.data,
    "despike": lambda stack, _: stack.despike(2.0),
    "end_accumulation": lambda stack, _: stack.end_accumulation(),
    "end_accumulation of some": lambda stack, _: stack.end_accumulation(pixels=[2, 0]),
    "exposure": lambda stack, _: stack.exposure,
    "extend": lambda stack, _: stack.extend([100 + stack.n_pixels, 200 + stack.n_pixels]),
    "filter": lambda stack, _: stack.filter(20.0),
    "filter_blanking": lambda stack, _: setattr(stack, "filter_blanking", 3.0),
    "filter_fwhm": lambda stack, _: setattr(stack, "filter_fwhm", 3.0),
    "find_peaks": lambda stack, _: stack.find_peaks().position,
    "fit_gaussians": lambda stack, _: stack.fit_gaussians(beam_fwhm=6.0).covariance,
    "flag": lambda stack, _: stack.flag,
    "from_arrays": lambda stack, _: (
        MapStack.from_arrays(
            stack.data, stack.weight, stack.exposure, stack.flag, resolution=1.0, reference_index=1.0
        ).valid
    ),
    "has_base": lambda stack, _: stack.has_base,
    "level": lambda stack, _: stack.level(),
    "mark_content": lambda stack, _: stack.mark_content("means"),
    "mem_correct": lambda stack, _: stack.mem_correct(0.3),
    "merge_accumulate": lambda stack, stream: stack.merge_accumulate(stream.maps()),
    "merge_accumulate with itself": lambda stack, _: stack.merge_accumulate(stack),
    "merge_accumulate into another": merged,
    "moments": lambda stack, _: stack.moments,
    "n_pixels": lambda stack, _: stack.n_pixels,
    "n_valid": lambda stack, _: stack.n_valid,
    "noise_rescale": lambda stack, _: setattr(stack, "noise_rescale", 3.0),
    "pixel_ids": lambda stack, _: stack.pixel_ids,
    "reference_index": lambda stack, _: stack.reference_index,
    "resolution": lambda stack, _: stack.resolution,
    "reweight": lambda stack, _: stack.reweight(),
    "sample_moments": lambda stack, _: stack.sample_moments.sums,
    "select": lambda stack, _: stack.select([3, 1]).weight,
    "set_base": lambda stack, _: stack.set_base(),
    "shape": lambda stack, _: stack.shape,
    "smooth_to": lambda stack, _: stack.smooth_to(7.0),
    "smoothing_fwhm": lambda stack, _: setattr(stack, "smoothing_fwhm", 9.0),
    "sync": subtract,
    "update_mask": lambda stack, _: stack.update_mask(0.5),
    "valid": lambda stack, _: stack.valid,
    "valid_in": lambda stack, _: stack.valid_in(1, np.s_[1:3]),
    "weight": lambda stack, _: stack.weight,
    "a deep copy": lambda stack, _: copy.deepcopy(stack).exposure,
    "a pickle": lambda stack, _: pickle.loads(pickle.dumps(stack)).flag,  # noqa: S301 - our own
}


def told(use: str, stack: MapStack, stream: Timestreams) -> tuple[bytes, ...]:
    """Return the bits of what a use comes to, or the complaint."""
    try:
        result = USES[use](stack, stream)
    except DataError as error:
        return (str(error).encode(),)
    results = result if isinstance(result, tuple) else (result,)
    return tuple(np.asarray(part).tobytes() if part is not None else b"" for part in results)


def test_every_public_name_is_used() -> None:
    public = {name for name in dir(MapStack) if not name.startswith("_")}
    assert public <= USES.keys()


@pytest.mark.parametrize("use", USES)
@given(SEEDS)
def test_waiting_makes_no_difference(use: str, seed: int) -> None:
    stream = stream_of(seed)
    waiting, seen = both(stream)
    assert told(use, waiting, stream) == told(use, seen, stream)
    if use not in {"weight", "exposure", "flag"}:
        # And what comes afterwards, sums or means.
        for stack in (waiting, seen):
            stream.add_to(stack, pixels=np.arange(stream.channel_indices.size))
    for stack in (waiting, seen):
        stack.end_accumulation()
    assert told(use, waiting, stream) == told(use, seen, stream)
    assert_same_maps(waiting, seen)
    assert (waiting.content, records(waiting), waiting.n_skipped) == (seen.content, records(seen), seen.n_skipped)


@pytest.mark.parametrize("name", ["weight", "exposure", "flag"])
def test_what_was_handed_out_is_never_stale(name: str) -> None:
    stream = stream_of(1)
    expected = {n: getattr(stream.maps(), n).copy() for n in ("weight", "exposure", "flag")}
    stack = stream.empty()
    view = getattr(stack, name)[1:]
    for _ in range(2):
        stream.add_to(stack)
        np.testing.assert_array_equal(view, expected[name][1:])
        stack.clear()
        assert not is_waiting(stack) or not view.any() or name == "flag"
    # A view that is taken while something waits shows it, and goes on to do so.
    other = stream.maps()
    assert is_waiting(other)
    view = getattr(other, name)
    np.testing.assert_array_equal(view, expected[name])
    stream.add_to(other)
    np.testing.assert_array_equal(view, getattr(other, name))
    twice = expected[name] if name == "flag" else 2 * expected[name]
    np.testing.assert_allclose(view, twice, rtol=1e-12)


def test_a_shallow_copy_shares_everything() -> None:
    stream = stream_of(2)
    stack = stream.maps()
    shared = copy.copy(stack)
    for one in (stack, shared):
        stream.add_to(one)
    np.testing.assert_array_equal(shared.weight, stack.weight)
    np.testing.assert_allclose(stack.weight, 3 * stream.maps().weight, rtol=1e-12)


def test_what_is_written_to_a_plane_counts() -> None:
    stream = stream_of(3)
    waiting, seen = both(stream)
    for stack in (waiting, seen):
        stack.weight[1] *= 2.0
        stream.add_to(stack)
        stack.end_accumulation()
    assert_same_maps(waiting, seen)


def test_threads_that_add_and_look_lose_nothing() -> None:
    stream = stream_of(4)
    stack = stream.empty()
    n_times = 8

    def add() -> None:
        for _ in range(n_times):
            stream.add_to(stack)

    def look() -> None:
        for _ in range(4 * n_times):
            stack.count_points()

    threads = [threading.Thread(target=work) for work in (add, look, add, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(stack.weight, 2 * n_times * stream.maps().weight, rtol=1e-12)
    np.testing.assert_allclose(stack.exposure, 2 * n_times * stream.maps().exposure, rtol=1e-12)
