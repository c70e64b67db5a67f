"""The operations on pixel maps that are measured, each with how its answer is checked and what memory it must move."""

from collections.abc import Callable
from functools import partial

import numpy as np

from pixtrace.scan import MapStack
from tests.bench.scan_contest import ADDING, HANDED_OUT, RTOL, WHOLE_WAY, Contest
from tests.bench.scan_inputs import CELL, SHAPE

#: Maps that are fitted, by the reference and by us; its fit takes a tenth of a second.
N_PEAKS, N_FITS = 24, 512


def adding(contest: Contest) -> None:
    """Measure adding, in both precisions, to maps that exist."""
    few, full = contest.few, contest.all

    def check() -> None:
        few.add(2)
        contest.check_maps("add_points")

    def check_single() -> None:
        check()
        # Values are rounded to single precision, and nothing else is.
        stack = MapStack(few.scan.n_pixels, SHAPE, **few.scan.grid)
        few.add(1, single=True, stack=stack)
        double = MapStack(few.scan.n_pixels, SHAPE, **few.scan.grid)
        few.add(1, stack=double)
        np.testing.assert_array_equal(stack.weight, double.weight)
        size = float(np.abs(double.data).max())
        np.testing.assert_allclose(stack.data, double.data, rtol=0.0, atol=1e-6 * size)

    # Data are read and written: sums are added to what is there. Weights, exposures and flags wait; what waits from
    # the call before is settled first, and not timed.
    inputs = full.scan.frame_data.nbytes + full.scan.sample_flags.nbytes
    data = 2.0 * full.stack.data.nbytes
    contest.run(ADDING, "add", check, full.add, before=full.settle, n_bytes=data + inputs)
    n_bytes = data + sum(array.nbytes for array in full.single)
    add_single = partial(full.add, single=True)
    contest.run("add_points, float32 + uint8", "add", check_single, add_single, before=full.settle, n_bytes=n_bytes)
    # Three planes of eight bytes and one of one.
    adding_it_all(contest, check, inputs + 3.125 * data)


def adding_it_all(contest: Contest, check: Callable[[], None], n_bytes: float) -> None:
    """Measure the way from samples to means, and adding where nothing may wait."""
    few, full = contest.few, contest.all
    stack = MapStack(full.scan.n_pixels, SHAPE, **full.scan.grid)

    def check_means() -> None:
        own = MapStack(few.scan.n_pixels, SHAPE, **few.scan.grid)
        few.add(2, stack=own)
        own.end_accumulation()
        contest.check_maps(WHOLE_WAY, own)

    def add_and_end(threads: int) -> None:
        full.add(threads, stack=stack)
        stack.end_accumulation(n_threads=threads)

    contest.run(WHOLE_WAY, "add_end", check_means, add_and_end, before=stack.clear, n_bytes=n_bytes)
    stack.clear()
    assert not stack.weight.any()  # it has been looked at, and may not lag behind any more
    contest.run(HANDED_OUT, "add", check, lambda threads: full.add(threads, stack=stack), n_bytes=n_bytes)


def combining(contest: Contest) -> None:
    """Measure merging and ending."""
    few, full = contest.few, contest.all
    planes = full.stack.data.nbytes
    other = full.stack.select(range(full.scan.n_pixels))

    def check_merge() -> None:
        stack = few.stack.select(range(few.scan.n_pixels))
        stack.merge_accumulate(few.stack)
        contest.check_maps("merge_accumulate", stack)

    def merge(threads: int) -> None:
        full.stack.merge_accumulate(other, n_threads=threads)

    # Six planes of eight bytes and two of one are read, half of them written.
    contest.run("merge_accumulate", "merge", check_merge, merge, n_bytes=1.5 * 6.25 * planes)

    def check_end() -> None:
        stack = few.stack.select(range(few.scan.n_pixels))
        stack.end_accumulation()
        contest.check_maps("end_accumulation", stack)

    def end(threads: int) -> None:
        full.stack.end_accumulation(n_threads=threads)

    def before_end() -> None:
        full.stack.mark_content("sums")

    contest.run("end_accumulation", "end", check_end, end, before=before_end, n_bytes=3.0 * planes)
    contest.ask("normalised")
    few.stack.end_accumulation()
    full.stack.clear()
    full.add(2, positions=True)
    full.stack.end_accumulation()


def statistics(contest: Contest) -> None:
    """Measure level, reweight and count."""
    full, few = contest.all.stack, contest.few.stack
    planes = full.data.nbytes

    def check(work: Callable[[], object], what: str) -> None:
        work()
        contest.check_maps(what)

    def check_count() -> None:
        with np.load(contest.result) as expected:
            assert full.count_points() == expected["total"]

    for what, work in (("level", MapStack.level), ("reweight", MapStack.reweight)):
        contest.run(
            what,
            what,
            partial(check, partial(work, few), what),
            lambda threads, work=work: work(full, n_threads=threads),  # type: ignore[misc]
            n_bytes=3.125 * planes,
        )
    contest.run(
        "count_points",
        "count",
        check_count,
        lambda threads: full.count_points(n_threads=threads),
        n_bytes=2.125 * planes,
    )


def subtracting(contest: Contest) -> None:
    """Measure sync, in place."""
    few, full = contest.few, contest.all
    data, flags = full.scan.frame_data.copy(), full.scan.sample_flags.copy()

    def check() -> None:
        own, own_flags = few.scan.frame_data.copy(), few.scan.sample_flags.copy()
        few.sync(1, own, own_flags)
        with np.load(contest.result) as expected:
            np.testing.assert_allclose(own, expected["frame_data"], rtol=RTOL, atol=RTOL)

    n_bytes = 2.0 * data.nbytes + flags.nbytes + 2.125 * full.stack.data.nbytes
    contest.run("sync", "sync", check, lambda threads: full.sync(threads, data, flags), n_bytes=n_bytes)


def fitting(contest: Contest) -> None:
    """Measure the fit of single peaks: theirs of a round Gaussian, ours of all parameters with their covariance."""
    few, full = contest.few, contest.all
    fits = full.fit(2, N_FITS)
    off = fits.position - full.scan.truth[:, :N_FITS].T
    assert np.median(np.abs(off)) < 0.1
    assert (np.abs(off) < 6.0 * np.stack([fits.error("x"), fits.error("y")], axis=1)).all()

    def check() -> None:
        with np.load(contest.result) as expected:
            theirs = expected["position"].T
        assert np.median(np.abs(few.fit(1, N_PEAKS).position - theirs)) < CELL

    scale = N_FITS / N_PEAKS
    contest.run("peak fit", "peak", check, lambda threads: full.fit(threads, N_FITS), scale=scale, n_peaks=N_PEAKS)
