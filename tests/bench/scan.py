"""Pixel maps, one operation after another: first the same answer as sofia_redux 1.5.2, then the times.

Answers are compared for some of the pixels, times are those of all; peaks, which the reference takes a tenth of a
second for, are fitted to some, and the times are scaled by their number.
"""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pixtrace.scan import MapStack
from tests.bench.bounds import best
from tests.bench.measure import Row
from tests.bench.reference import Reference
from tests.bench.scan_inputs import CELL, DT, EXCLUDED, FWHM, N_CHECKED, SHAPE, Scan, simulate
from tests.reference import PROJECT

THREADS = (1, 2)
#: Maps that are fitted, by the reference and by us; its fit takes a tenth of a second.
N_PEAKS, N_FITS = 24, 512
#: The path of single precision and one byte of flags is to be this much faster than that of the reference's types.
SINGLE = 1.7
ADDING = "add_points, float64 + int64"
WHOLE_WAY = "add_points + end_accumulation"
HANDED_OUT = "add_points, weights handed out"
TARGETS = {
    ADDING: 150.0,
    WHOLE_WAY: float("nan"),
    HANDED_OUT: 150.0,
    "add_points, float32 + uint8": SINGLE * 150.0,
    "sync": 30.0,
    "peak fit": 100.0,
    "merge_accumulate": 20.0,
    "end_accumulation": 20.0,
    "level": 20.0,
    "reweight": 20.0,
    "count_points": 20.0,
}
RTOL = 1e-9


@dataclass(frozen=True)
class Product:
    """What a sparse matrix product on the same data takes.

    Parameters
    ----------
    product, ours : float
        Seconds on one thread.
    moved : float
        Bytes that we read and the product does not: flags, and the data of the maps.
    """

    product: float
    ours: float
    moved: float


@dataclass(frozen=True)
class Footprint:
    """Memory of maps and of adding to them.

    Parameters
    ----------
    cell, base : float
        Bytes for each cell of each map, and for its prior.
    temporaries, inputs : float
        Megabytes that adding takes beside the maps, and those of timestreams and flags.
    """

    cell: float
    base: float
    temporaries: float
    inputs: float


@dataclass(frozen=True)
class ScanResults:
    """All that was measured.

    Parameters
    ----------
    rows : list of Row
        Times.
    read_rates : tuple of float
        Bytes per second that one thread reads, and two together.
    product : Product
        The sparse product.
    footprint : Footprint
        Memory.
    count_bytes : float
        Bytes of what tells whether a cell counts.
    """

    rows: list[Row]
    read_rates: tuple[float, float]
    product: Product
    footprint: Footprint
    count_bytes: float


def read_rate(n_threads: int) -> float:
    """Return the bytes per second that some threads read together, from the scalar product of an array with itself.

    Parameters
    ----------
    n_threads : int
        How many.

    Returns
    -------
    float
        Bytes per second.
    """
    parts = np.array_split(np.ones(2**25), n_threads)

    def read() -> None:
        threads = [threading.Thread(target=np.dot, args=(part, part)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return sum(part.nbytes for part in parts) / best(read)


class Ours:
    """The same operations on a stack of maps.

    Parameters
    ----------
    scan : Scan
        Timestreams.
    """

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.stack = MapStack(scan.n_pixels, SHAPE, **scan.grid)
        self.channels = np.arange(scan.n_pixels)
        self.indices = scan.map_indices
        self.single = scan.frame_data.astype(np.float32), scan.sample_flags.astype(np.uint8)

    def add(self, threads: int, *, single: bool = False, stack: MapStack | None = None, positions: bool = False) -> int:
        """Add all timestreams."""
        scan = self.scan
        data, flags = self.single if single else (scan.frame_data, scan.sample_flags)
        return (self.stack if stack is None else stack).add_points(
            data,
            scan.frame_gains,
            scan.frame_weights,
            scan.source_gains,
            scan.variance,
            scan.valid_frames,
            self.indices,
            self.channels,
            flags,
            EXCLUDED,
            DT,
            map_positions=scan.position if positions else None,
            n_threads=threads,
        )

    def settle(self) -> None:
        """Let the maps take in what waits."""
        self.stack.count_points()

    def sync(self, threads: int, data: Any, flags: Any) -> None:
        """Subtract the maps."""
        scan = self.scan
        zeros = np.zeros(scan.n_pixels)
        given = (scan.valid_frames, scan.frame_gains, self.channels, self.indices, scan.source_gains, zeros)
        self.stack.sync(data, *given, flags, 2 * EXCLUDED, n_threads=threads)

    def fit(self, threads: int, n_fits: int) -> Any:
        """Fit elliptical Gaussians with all covariances to some maps."""
        return self.stack.fit_gaussians(pixels=range(n_fits), beam_fwhm=FWHM, n_threads=threads)


def assert_same_maps(stack: MapStack, expected: Any, what: str) -> None:
    """Assert that maps agree with those that the reference wrote.

    Parameters
    ----------
    stack : MapStack
        Ours.
    expected : NpzFile
        The reference's.
    what : str
        Name for the message.
    """
    valid = expected["valid"]
    np.testing.assert_array_equal(stack.valid, valid, err_msg=what)
    for name in ("data", "weight", "exposure"):
        theirs = expected[name][valid]
        scale = float(np.abs(theirs).max())
        np.testing.assert_allclose(
            getattr(stack, name)[valid], theirs, rtol=RTOL, atol=RTOL * scale, err_msg=f"{what}: {name}"
        )


class Contest:
    """Rounds between the reference and us.

    Parameters
    ----------
    reference : Reference
        The other process.
    scan : Scan
        All timestreams.
    folder : Path
        For files that pass between the processes.
    rounds : int
        How many times the reference runs; ours run three times in each round.
    rates : dict
        Bytes per second that threads read together, by their number.
    """

    def __init__(self, reference: Reference, scan: Scan, folder: Path, rounds: int, rates: dict[int, float]) -> None:
        self.reference, self.rounds, self.rates = reference, rounds, rates
        self.result = folder / "scan-result.npz"
        self.few, self.all = Ours(scan.some(N_CHECKED)), Ours(scan)
        self.rows: list[Row] = []
        path = scan.save(folder / "scan.npz")
        request = {"shape": SHAPE, "resolution": CELL, "beam": FWHM, "dt": DT}
        self.ask("load", path=str(path), **request)
        path.unlink()
        for one in (self.few, self.all):
            one.add(2)
        self.check_maps("loading")

    def check_maps(self, what: str, stack: MapStack | None = None) -> None:
        """Assert that the maps of the few pixels are those that the reference wrote last."""
        with np.load(self.result) as expected:
            assert_same_maps(self.few.stack if stack is None else stack, expected, what)

    def ask(self, do: str, **request: Any) -> float:
        """Have the reference do something; return the seconds it took."""
        answer = self.reference.ask(do, result=str(self.result), n_checked=N_CHECKED, **request)
        return float(answer.get("seconds", 0.0))

    def run(
        self,
        what: str,
        do: str,
        check: Callable[[], None],
        ours: Callable[[int], object],
        *,
        before: Callable[[], object] = lambda: None,
        scale: float = 1.0,
        n_bytes: float = float("nan"),
        **request: Any,
    ) -> None:
        """Measure one operation.

        Parameters
        ----------
        what : str
            Name for the table, with a target in `TARGETS`.
        do : str
            What to ask the reference for.
        check : callable
            Does the same with the few pixels and asserts that the answers agree; called after each round of the
            reference, because some operations build on the one before.
        ours : callable
            Our call, with the number of threads.
        before : callable, optional
            Called before each of ours, not timed.
        scale : float, optional
            Our work over that of the reference.
        n_bytes : float, optional
            What must be read and written at least, each once.
        **request
            Details for the reference.
        """
        theirs: list[float] = []
        times: dict[int, list[float]] = {threads: [] for threads in THREADS}
        for _ in range(self.rounds):
            theirs.append(self.ask(do, **request))
            check()
            for threads, taken in times.items():
                for _ in range(3):
                    before()
                    start = time.perf_counter()
                    ours(threads)
                    taken.append(time.perf_counter() - start)
        reference = statistics.median(theirs) * scale
        for threads, taken in times.items():
            row = Row(
                data="scan",
                what=what,
                threads=threads,
                reference=reference,
                ours=statistics.median(taken),
                target=TARGETS[what],
                bound=n_bytes / self.rates[threads],
            )
            self.rows.append(row)
            figures = f"{row.reference:8.3f} s / {row.ours:.4f} s = {row.ratio:.0f} (asked for: {row.target:g})"
            print(f"scan     {what:28s} {threads} thread(s): {figures}")

    def adding(self) -> None:
        """Measure adding, in both precisions, to maps that exist."""
        few, full = self.few, self.all

        def check() -> None:
            few.add(2)
            self.check_maps("add_points")

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
        self.run(ADDING, "add", check, full.add, before=full.settle, n_bytes=data + inputs)
        n_bytes = data + sum(array.nbytes for array in full.single)
        add_single = partial(full.add, single=True)
        self.run("add_points, float32 + uint8", "add", check_single, add_single, before=full.settle, n_bytes=n_bytes)
        # Three planes of eight bytes and one of one.
        self.adding_it_all(check, inputs + 3.125 * data)

    def adding_it_all(self, check: Callable[[], None], n_bytes: float) -> None:
        """Measure the way from samples to means, and adding where nothing may wait."""
        few, full = self.few, self.all
        stack = MapStack(full.scan.n_pixels, SHAPE, **full.scan.grid)

        def check_means() -> None:
            own = MapStack(few.scan.n_pixels, SHAPE, **few.scan.grid)
            few.add(2, stack=own)
            own.end_accumulation()
            self.check_maps(WHOLE_WAY, own)

        def add_and_end(threads: int) -> None:
            full.add(threads, stack=stack)
            stack.end_accumulation(n_threads=threads)

        self.run(WHOLE_WAY, "add_end", check_means, add_and_end, before=stack.clear, n_bytes=n_bytes)
        stack.clear()
        assert not stack.weight.any()  # it has been looked at, and may not lag behind any more
        self.run(HANDED_OUT, "add", check, lambda threads: full.add(threads, stack=stack), n_bytes=n_bytes)

    def combining(self) -> None:
        """Measure merging and ending."""
        few, full = self.few, self.all
        planes = full.stack.data.nbytes
        other = full.stack.select(range(full.scan.n_pixels))

        def check_merge() -> None:
            stack = few.stack.select(range(few.scan.n_pixels))
            stack.merge_accumulate(few.stack)
            self.check_maps("merge_accumulate", stack)

        def merge(threads: int) -> None:
            full.stack.merge_accumulate(other, n_threads=threads)

        # Six planes of eight bytes and two of one are read, half of them written.
        self.run("merge_accumulate", "merge", check_merge, merge, n_bytes=1.5 * 6.25 * planes)

        def check_end() -> None:
            stack = few.stack.select(range(few.scan.n_pixels))
            stack.end_accumulation()
            self.check_maps("end_accumulation", stack)

        def end(threads: int) -> None:
            full.stack.end_accumulation(n_threads=threads)

        def before_end() -> None:
            full.stack.mark_content("sums")

        self.run("end_accumulation", "end", check_end, end, before=before_end, n_bytes=3.0 * planes)
        self.ask("normalised")
        few.stack.end_accumulation()
        full.stack.clear()
        full.add(2, positions=True)
        full.stack.end_accumulation()

    def statistics(self) -> None:
        """Measure level, reweight and count."""
        full, few = self.all.stack, self.few.stack
        planes = full.data.nbytes

        def check(work: Callable[[], object], what: str) -> None:
            work()
            self.check_maps(what)

        def check_count() -> None:
            with np.load(self.result) as expected:
                assert full.count_points() == expected["total"]

        for what, work in (("level", MapStack.level), ("reweight", MapStack.reweight)):
            self.run(
                what,
                what,
                partial(check, partial(work, few), what),
                lambda threads, work=work: work(full, n_threads=threads),  # type: ignore[misc]
                n_bytes=3.125 * planes,
            )
        self.run(
            "count_points",
            "count",
            check_count,
            lambda threads: full.count_points(n_threads=threads),
            n_bytes=2.125 * planes,
        )

    def subtracting(self) -> None:
        """Measure sync, in place."""
        few, full = self.few, self.all
        data, flags = full.scan.frame_data.copy(), full.scan.sample_flags.copy()

        def check() -> None:
            own, own_flags = few.scan.frame_data.copy(), few.scan.sample_flags.copy()
            few.sync(1, own, own_flags)
            with np.load(self.result) as expected:
                np.testing.assert_allclose(own, expected["frame_data"], rtol=RTOL, atol=RTOL)

        n_bytes = 2.0 * data.nbytes + flags.nbytes + 2.125 * full.stack.data.nbytes
        self.run("sync", "sync", check, lambda threads: full.sync(threads, data, flags), n_bytes=n_bytes)

    def fitting(self) -> None:
        """Measure the fit of single peaks: theirs of a round Gaussian, ours of all parameters with their covariance."""
        few, full = self.few, self.all
        fits = full.fit(2, N_FITS)
        off = fits.position - full.scan.truth[:, :N_FITS].T
        assert np.median(np.abs(off)) < 0.1
        assert (np.abs(off) < 6.0 * np.stack([fits.error("x"), fits.error("y")], axis=1)).all()

        def check() -> None:
            with np.load(self.result) as expected:
                theirs = expected["position"].T
            assert np.median(np.abs(few.fit(1, N_PEAKS).position - theirs)) < CELL

        scale = N_FITS / N_PEAKS
        self.run("peak fit", "peak", check, lambda threads: full.fit(threads, N_FITS), scale=scale, n_peaks=N_PEAKS)


def sparse_product(full: Ours) -> Product:
    """Measure one product of a sparse matrix, (cells, frames), with the data: the sums of the data alone.

    Parameters
    ----------
    full : Ours
        All pixels.

    Returns
    -------
    Product
        Seconds.
    """
    from scipy import sparse

    scan = full.scan
    ix, iy = scan.map_indices[..., 0]
    good = scan.valid_frames
    weights = (scan.frame_weights * scan.frame_gains)[good]
    frames = np.flatnonzero(good)
    matrix = sparse.csr_matrix(
        (weights, (iy[good] * SHAPE[1] + ix[good], frames)), shape=(SHAPE[0] * SHAPE[1], good.size)
    )
    pixel = 7
    kept = np.where(scan.sample_flags[:, pixel] == 0, scan.frame_data[:, pixel], 0.0)
    stack = MapStack(scan.n_pixels, SHAPE, **scan.grid)
    full.add(1, stack=stack)
    factor = scan.source_gains[pixel] / scan.variance[pixel]
    np.testing.assert_allclose(factor * (matrix @ kept), stack.data[pixel].ravel(), rtol=1e-9, atol=1e-6)
    product = best(lambda: matrix @ scan.frame_data, 3)
    full.settle()
    moved = scan.sample_flags.nbytes + full.stack.data.nbytes
    return Product(product, best(lambda: full.add(1), 3), moved)


def footprint() -> Footprint:
    """Measure the memory of maps, and of adding to them, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.scan_memory"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT)
    return Footprint(**json.loads(done.stdout))


def measure(reference: Reference, folder: Path, rounds: int) -> ScanResults:
    """Measure everything.

    Parameters
    ----------
    reference : Reference
        The other process.
    folder : Path
        For files that pass between the processes.
    rounds : int
        Rounds of each measurement.

    Returns
    -------
    ScanResults
        The measurements.
    """
    rates = {threads: read_rate(threads) for threads in THREADS}
    contest = Contest(reference, simulate(), folder, rounds, rates)
    contest.adding()
    contest.combining()
    contest.statistics()
    contest.subtracting()
    contest.fitting()
    product = sparse_product(contest.all)
    print(f"scan     sparse product: {product.product:.3f} s, add_points {product.ours:.3f} s")
    rows, count_bytes = contest.rows, 2.125 * contest.all.stack.data.nbytes
    del contest
    found = footprint()
    share = found.temporaries / found.inputs
    print(f"scan     {found.cell:.0f} + {found.base:.0f} bytes per cell; temporaries are {share:.1%} of the inputs")
    return ScanResults(rows, (rates[1], rates[2]), product, found, count_bytes)
