"""Runs one operation after another, the reference and ours in turn: first the same answer, then the times."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pixtrace.scan import MapStack
from tests.bench.measure import Row
from tests.bench.reference import Reference
from tests.bench.scan_inputs import CELL, DT, FWHM, N_CHECKED, SHAPE, Scan
from tests.bench.scan_ours import Ours

THREADS = (1, 2)
#: Ours run so many times in each round, with each number of threads in turn: what disturbs them disturbs all alike.
N_OURS = 5
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
        How many times the reference runs; ours run `N_OURS` times in each round.
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
            for threads in THREADS * N_OURS:
                before()
                start = time.perf_counter()
                ours(threads)
                times[threads].append(time.perf_counter() - start)
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
