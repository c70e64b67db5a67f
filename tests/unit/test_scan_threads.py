"""Stacks of maps in many threads at once, and Ctrl-C."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.scan import MapStack, get_sample_points
from tests.strategies.scan_calls import MAP_WORK
from tests.strategies.timestreams import (
    BLANK,
    DT,
    PLANES,
    Timestreams,
    assert_close_maps,
    assert_same_maps,
    make_timestreams,
)
from tests.unit.test_threads_and_signals import interrupted_after

ROOT = Path(__file__).parents[2]
STREAM = make_timestreams(11, n_frames=200, n_channels=40, shape=(13, 14))


def subtracted(stack: MapStack, stream: Timestreams, data: Any, flags: Any, **options: Any) -> None:
    gains = np.nan_to_num(stream.source_gains)
    given = (stream.valid_frames, stream.frame_gains, stream.channel_indices, stream.map_indices, gains, gains)
    stack.sync(data, *given, flags, BLANK, **options)


def test_many_threads_with_a_stack_each() -> None:
    expected = STREAM.maps()
    expected.end_accumulation()
    data, flags = STREAM.frame_data.copy(), STREAM.sample_flags.copy()
    subtracted(expected, STREAM, data, flags)

    def work(n_threads: int | None) -> tuple[MapStack, Any, Any]:
        stack = STREAM.maps(n_threads=n_threads)
        stack.end_accumulation(n_threads=n_threads)
        own_data, own_flags = STREAM.frame_data.copy(), STREAM.sample_flags.copy()
        subtracted(stack, STREAM, own_data, own_flags, n_threads=n_threads)
        return stack, own_data, own_flags

    with ThreadPoolExecutor(8) as executor:
        for stack, own_data, own_flags in executor.map(work, [None, 1, 2, 8] * 6):
            assert_same_maps(stack, expected)
            np.testing.assert_array_equal(own_data, data)
            np.testing.assert_array_equal(own_flags, flags)


def test_many_threads_add_to_one_stack() -> None:
    # Whoever comes second waits. Sums of the same samples do not depend on who that was.
    positions = STREAM.map_indices[..., 0].clip(-100, 100) + 0.25
    stack, expected = STREAM.empty(), STREAM.empty()
    for _ in range(24):
        STREAM.add_to(expected, map_positions=positions)
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda n: STREAM.add_to(stack, map_positions=positions, n_threads=n), [None, 1, 2, 8] * 6))
    assert_same_maps(stack, expected)
    assert stack.n_skipped == expected.n_skipped
    np.testing.assert_array_equal(stack.moments, expected.moments)


def test_many_threads_each_with_a_map_of_one_stack() -> None:
    stack, expected = STREAM.maps(), STREAM.maps()

    def work(pixel: int, target: MapStack = stack) -> None:
        for method in MAP_WORK.values():
            method(target, pixels=[pixel])

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(stack.n_pixels)))
    for pixel in range(stack.n_pixels):
        work(pixel, expected)
    assert_same_maps(stack, expected)
    np.testing.assert_array_equal(stack.noise_rescale, expected.noise_rescale)


def test_two_stacks_that_are_added_to_each_other_do_not_wait_for_ever() -> None:
    stacks = [make_timestreams(seed, n_channels=40, shape=(13, 14), is_spoilt=False).maps() for seed in (1, 2)]
    barrier = threading.Barrier(2)

    def work(which: int) -> None:
        barrier.wait()
        for _ in range(200):
            stacks[which].add_model_data(stacks[1 - which], 1e-3, n_threads=1)

    threads = [threading.Thread(target=work, args=(which,), daemon=True) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert not any(thread.is_alive() for thread in threads)
    for stack in stacks:
        assert np.isfinite(stack.data).all()
        assert (stack.weight > 0).any()


def test_many_threads_subtract_from_one_timestream() -> None:
    # Each its own channels, of the same arrays.
    stack = STREAM.maps()
    stack.end_accumulation()
    expected, expected_flags = STREAM.frame_data.copy(), STREAM.sample_flags.copy()
    subtracted(stack, STREAM, expected, expected_flags)
    data, flags = STREAM.frame_data.copy(), STREAM.sample_flags.copy()

    def work(pixel: int) -> None:
        one = STREAM.but(channel_indices=STREAM.channel_indices[[pixel]])
        subtracted(stack, one, data, flags, pixels=[pixel])

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(stack.n_pixels)))
    np.testing.assert_array_equal(data, expected)
    np.testing.assert_array_equal(flags, expected_flags)


@cache
def long_stream() -> Timestreams:
    """Return timestreams with an index for each sample, which take long."""
    return make_timestreams(1, n_frames=40_000, n_channels=100, shape=(100, 100), is_shared=False, is_spoilt=False)


@cache
def long_maps() -> MapStack:
    stack = MapStack(400, (100, 100), resolution=1.0, reference_index=0.0)
    stack.data[...] = np.random.default_rng(1).standard_normal(stack.data.shape)
    stack.weight[...], stack.flag[...] = 1.0, 0
    return stack


LONG_CALLS: dict[str, Callable[[], object]] = {
    "add_points": lambda: long_stream().maps(n_threads=1),
    "get_sample_points": lambda: get_sample_points(**long_stream().arguments, n_threads=1),
    "sync": lambda: subtracted(
        MapStack(100, (100, 100), resolution=1.0, reference_index=0.0),
        long_stream(),
        long_stream().frame_data,
        long_stream().sample_flags,
        n_threads=1,
    ),
    "fit_gaussians": lambda: long_maps().fit_gaussians(n_threads=1),
    "fit_gaussians, all threads": lambda: long_maps().fit_gaussians(),
    "level": lambda: long_maps().level(n_threads=1),
    "filter": lambda: long_maps().select(range(200)).filter(30.0, n_threads=1),
    "merge_accumulate": lambda: long_maps().merge_accumulate(long_maps()),
}


@pytest.mark.parametrize("name", LONG_CALLS)
def test_an_interrupt_ends_the_call(name: str) -> None:
    long_stream()
    long_maps().mark_content("means")
    with interrupted_after(0.2), pytest.raises(KeyboardInterrupt):  # noqa: PT012  (however often it takes)
        while True:
            LONG_CALLS[name]()
            long_maps().mark_content("means")
    assert_same_maps(STREAM.maps(), STREAM.maps(n_threads=1))  # and the next call is as good as ever


class BoomError(Exception):
    """What a progress function raises in the tests."""


def test_progress_of_fits_and_what_it_raises() -> None:
    stack = long_maps().select(range(40))
    seen: list[tuple[int, int]] = []
    stack.fit_gaussians(progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (40, 40)

    def progress(_done: int, _total: int) -> None:
        raise BoomError

    with pytest.raises(BoomError):
        stack.fit_gaussians(progress=progress)


FORK_SCRIPT = """
    import multiprocessing
    from tests.strategies.timestreams import make_timestreams

    stream = make_timestreams(2, n_channels=40)
    stack = stream.maps(n_threads=2)

    def child(n):
        return bool((stream.maps(n_threads=n).data == stack.data).all())

    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map_async(child, [None, 1, 2, 8]).get(60))
"""


def test_after_a_fork() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORK_SCRIPT)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "[True, True, True, True]\n"
    assert signal.getsignal(signal.SIGALRM) is not None


def test_the_interpreter_is_free_meanwhile() -> None:
    ticks = 0
    is_over = threading.Event()

    def count() -> None:
        nonlocal ticks
        while not is_over.wait(0.001):
            ticks += 1

    other = threading.Thread(target=count)
    other.start()
    long_stream().maps(n_threads=1)
    is_over.set()
    other.join()
    assert ticks > 3


def test_planes_that_are_looked_at_meanwhile() -> None:
    # Reading them is allowed at any time; what is read then is one of the states in between.
    stack = STREAM.empty()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for name in PLANES:
                getattr(stack, name).sum()

    other = threading.Thread(target=look)
    other.start()
    for _ in range(20):
        STREAM.add_to(stack)
    stop.set()
    other.join()
    twenty = STREAM.empty()
    twenty.merge_accumulate(STREAM.maps())
    for _ in range(19):
        twenty.merge_accumulate(STREAM.maps())
    assert_close_maps(stack, twenty)
    assert stack.exposure.sum() == 20 * DT * STREAM.good.sum()
