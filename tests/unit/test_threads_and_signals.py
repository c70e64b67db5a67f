"""Threads, processes, progress and Ctrl-C."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from pixtrace.trace import TraceModel, fit_2d_spline_trace, fit_all_regions
from pixtrace.trace.oversample import alpha_on_grid, linear_planes, oversample_planes, trace_planes
from tests.strategies.small import Array, SmallScene, small_scene, tables

SCENE = small_scene(n_columns=300)
ROOT = Path(__file__).parents[2]


@cache
def long_scene() -> SmallScene:
    """Return a scene whose fit takes many seconds with wide windows."""
    return small_scene(n_columns=20_000, n_regions=1)


LONG_FIT: dict[str, Any] = {"lrange": 2000, "spline_bkpt": 14, "require_ngood": 3, "space_ratio": 1.6}


@cache
def long_model() -> TraceModel:
    """Return a model of the long scene that was made quickly."""
    return long_scene().fit()


def long_oversample(**options: Any) -> object:
    """Oversample the long scene for a second or so."""
    scene, factor = long_scene(), 60
    alpha_os = np.broadcast_to(np.float64(0.1), (scene.flux.shape[0] * factor, scene.flux.shape[1]))
    given: dict[str, Any] = {"require_ngood": 3, "want": (), "dtype": np.float32, "n_threads": 1} | options
    return oversample_planes(long_model(), scene.flux, scene.alpha, scene.region_map, factor, alpha_os, **given)


def long_fit_2d() -> object:
    """Fit the long scene as one region."""
    return fit_2d_spline_trace(long_scene().flux, long_scene().alpha, **LONG_FIT)


LONG_CALLS: dict[str, Callable[[], object]] = {
    "fit_all_regions": lambda: long_scene().fit(**LONG_FIT, n_threads=1),
    "fit_all_regions, all threads": lambda: long_scene().fit(**LONG_FIT),
    "fit_all_regions, with progress": lambda: long_scene().fit(**LONG_FIT, progress=lambda _done, _total: None),
    "fit_2d_spline_trace": long_fit_2d,
    "oversample": long_oversample,
    "linear_oversample": lambda: linear_planes(long_scene().flux, long_scene().region_map, 60, 3),
    "alpha_on_grid": lambda: alpha_on_grid(long_scene().alpha, long_scene().region_map, 30),
    "trace_image": lambda: trace_planes(long_model(), long_scene().region_map, long_scene().alpha),
}


@contextmanager
def interrupted_after(seconds: float) -> Generator[None]:
    """Press Ctrl-C after a while, once."""

    def press(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", LONG_CALLS)
def test_an_interrupt_ends_the_call(name: str) -> None:
    call = LONG_CALLS[name]
    long_model()
    with interrupted_after(0.3), pytest.raises(KeyboardInterrupt):  # noqa: PT012  (however often it takes)
        while True:
            call()
    assert SCENE.fit().n_columns == 600  # and the next call is as good as ever


SIGINT_SCRIPT = """
    import signal, sys, threading, time
    from tests.strategies.small import small_scene, tables

    signal.signal(signal.SIGINT, signal.default_int_handler)
    scene, long = small_scene(), small_scene(n_columns=20_000, n_regions=1)
    before = tables(scene.fit())
    threading.Timer(0.3, lambda: print("ready", flush=True)).start()
    try:
        long.fit(lrange=2000)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    print("usable" if tables(scene.fit()) == before else "broken", flush=True)
"""


def run_script(script: str) -> subprocess.Popen[str]:
    """Start Python with a script, from the root of the repository."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_in_a_process_of_its_own() -> None:
    with run_script(SIGINT_SCRIPT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopped\n"
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("usable\n", "", 0)


FORK_SCRIPT = """
    import multiprocessing, os
    from tests.strategies.small import small_scene, tables

    scene = small_scene()
    model = scene.fit()
    fits = lambda n: tables(scene.fit(n_threads=n)) == tables(model)

    def child(n):
        planes = scene.oversample(model, n_threads=n)
        return fits(n) and planes.flux_os.shape == (76, 40)

    # A pool of processes, made by fork after threads were used.
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map_async(child, [None, 1, 2, 8]).get(60))
    # A fork while threads are at work, and of the child again.
    def fork(done, total):
        if not children:
            children.append(os.fork())
            if children[0] == 0:
                grandchild = os.fork()
                if grandchild == 0:
                    os._exit(0 if fits(2) else 3)
                os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) or (0 if fits(None) else 4))

    children = []
    long = small_scene(n_columns=3000, n_regions=1)
    long.fit(lrange=600, n_threads=2, progress=fork)
    print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
    print(fits(None), fits(2))
"""


def test_after_a_fork() -> None:
    with run_script(FORK_SCRIPT) as process:
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:  # pragma: no cover - only if it hangs
            process.kill()
            raise
    assert (out.splitlines(), err) == (["[True, True, True, True]", "0", "True True"], "")


def results(n_threads: int | None) -> tuple[list[Any], list[Array]]:
    """Return what each function makes of the scene: the numbers of the model, and planes."""
    model = SCENE.fit(n_threads=n_threads, lrange=25)
    planes = (SCENE.flux, SCENE.region_map)
    return tables(model), [
        *SCENE.oversample(model, 2.3, n_threads=n_threads),
        linear_planes(*planes, 1.7, 3, n_threads=n_threads),
        *trace_planes(model, SCENE.region_map, SCENE.alpha, n_threads=n_threads),
        alpha_on_grid(SCENE.alpha, SCENE.region_map, 2.3, n_threads=n_threads),
    ]


def assert_same(found: tuple[list[Any], list[Array]], expected: tuple[list[Any], list[Array]]) -> None:
    """Assert that two results are the same, bit for bit."""
    assert found[0] == expected[0]
    for ours, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8, 64])
def test_the_same_bits_for_any_number_of_threads(n_threads: int) -> None:
    assert_same(results(n_threads), results(None))


def test_from_many_python_threads_at_once() -> None:
    expected = results(None)
    with ThreadPoolExecutor(8) as executor:
        for found in executor.map(results, [None, 1, 2, 8] * 4):
            assert_same(found, expected)


def test_many_python_threads_read_one_model() -> None:
    model = SCENE.fit()
    barrier = threading.Barrier(8)

    def read(_: int) -> tuple[int, int]:
        barrier.wait()
        return id(model[1]), id(model[2][7].model)

    with ThreadPoolExecutor(8) as executor:
        assert len(set(executor.map(read, range(8)))) == 1


def test_the_interpreter_is_free_meanwhile() -> None:
    ticks = 0
    is_over = threading.Event()

    def count() -> None:
        nonlocal ticks
        while not is_over.wait(0.001):
            ticks += 1

    for call in (partial(long_scene().fit, col_index=range(600), **LONG_FIT), long_oversample):
        is_over.clear()
        ticks = 0
        other = threading.Thread(target=count)
        other.start()
        call()
        is_over.set()
        other.join()
        assert ticks > 10


class BoomError(Exception):
    """What a progress function raises in the tests."""


@pytest.mark.parametrize("error", [BoomError, KeyboardInterrupt, SystemExit, MemoryError])
def test_what_the_progress_function_raises_is_passed_on(error: type[BaseException]) -> None:
    def progress(_done: int, _total: int) -> None:
        raise error

    calls: list[Callable[[], object]] = [
        partial(long_scene().fit, progress=progress, n_threads=1, **LONG_FIT),
        partial(long_oversample, progress=progress),
    ]
    for call in calls:
        with pytest.raises(error):
            call()
        with pytest.raises(error):
            SCENE.fit(progress=progress)  # and also where the call is over before it is asked
    assert SCENE.fit().n_columns == 600


def test_progress_rises_to_the_number_of_columns() -> None:
    calls: list[tuple[Callable[..., object], int]] = [
        (partial(long_scene().fit, **LONG_FIT | {"col_index": range(1500)}), 1500),
        (long_oversample, 20_000),
        (SCENE.fit, 600),
        (partial(SCENE.fit, snr_threshold=np.inf), 600),
        (SCENE.but(region_map=SCENE.region_map * 0).fit, 0),
    ]
    for call, total in calls:
        seen: list[tuple[int, int]] = []
        threads: set[int] = set()

        def progress(done: int, total: int, seen: list[Any] = seen, threads: set[int] = threads) -> None:
            seen.append((done, total))
            threads.add(threading.get_ident())

        call(progress=progress)
        assert seen == sorted(seen)
        assert seen[-1] == (total, total)
        assert all(0 <= done <= of for done, of in seen)
        assert threads == {threading.get_ident()}


def test_progress_may_use_the_package_itself() -> None:
    inner: list[int] = []

    def progress(_done: int, _total: int) -> None:
        inner.append(SCENE.fit(n_threads=2).n_columns)

    model = fit_all_regions(
        *vars(long_scene()).values(), progress=progress, n_threads=2, **LONG_FIT | {"col_index": range(1000)}
    )
    assert model.n_columns == 1000
    assert set(inner) == {600}
