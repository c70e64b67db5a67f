"""The functions, one by one: first the same answer, then the times, alternating between both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixtrace import _native
from pixtrace.trace import OversampledFlux, TraceImage, TraceModel, fit_all_regions
from pixtrace.trace.oversample import linear_planes, oversample_planes, trace_planes
from tests.bench import bounds
from tests.bench.inputs import FACTOR, DataSet, FloatArray
from tests.bench.reference import Reference

# Nearly singular windows are decided by rounding (semantics.md, 3a); they may touch this share of columns or pixels.
MAY_DIFFER = 0.01

Profile = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    data, what : str
        Data set and function.
    threads : int
        Threads of pixtrace; the reference runs in one process.
    reference, ours : float
        Seconds.
    target : float
        Ratio that was asked for.
    bound : float
        Seconds that the arithmetic, or the memory traffic, takes at the peak rate of as many cores; NaN where neither
        says anything.
    """

    data: str
    what: str
    threads: int
    reference: float
    ours: float
    target: float
    bound: float = float("nan")

    @property
    def ratio(self) -> float:
        """How many times faster."""
        return self.reference / self.ours


@dataclass(frozen=True)
class Machine:
    """Peak rates of one core.

    Parameters
    ----------
    flops : float
        Floating-point operations per second.
    bandwidth : float
        Bytes per second.
    """

    flops: float
    bandwidth: float


@dataclass(frozen=True)
class Contest:
    """One function of the reference and ours.

    Parameters
    ----------
    what : str
        Name for the table.
    do : str
        Request to the reference.
    request : dict
        Its details.
    ours : callable
        Our call, with the number of threads.
    check : callable
        Asserts that our result agrees with the file that the reference wrote.
    targets : dict
        Ratio that was asked for, by number of threads.
    bound : float, optional
        Seconds on one core at its peak rate.
    """

    what: str
    do: str
    request: dict[str, Any]
    ours: Callable[[int], Any]
    check: Callable[[Any, Any], None]
    targets: dict[int, float]
    bound: float = float("nan")

    def run(self, reference: Reference, data: str, result: Path, rounds: int) -> list[Row]:
        """Measure, alternating between the reference and each number of threads.

        Parameters
        ----------
        reference : Reference
            The other process.
        data : str
            Name of the data set.
        result : Path
            File for its results.
        rounds : int
            How many times the reference runs; ours run three times in each round.

        Returns
        -------
        list of Row
            One per number of threads, with the medians.
        """
        theirs: list[float] = []
        ours: dict[int, list[float]] = {threads: [] for threads in self.targets}
        for _ in range(rounds):
            answer = reference.ask(self.do, data=data, result=str(result), **self.request)
            theirs.append(answer["seconds"])
            for threads, times in ours.items():
                for _ in range(3):
                    start = time.perf_counter()
                    found = self.ours(threads)
                    times.append(time.perf_counter() - start)
                    if len(times) == 1:
                        with np.load(result) as expected:
                            self.check(found, expected)
                    del found
        rows = [
            Row(
                data=data,
                what=self.what,
                threads=threads,
                reference=statistics.median(theirs),
                ours=statistics.median(times),
                target=self.targets[threads],
                bound=self.bound / threads,
            )
            for threads, times in ours.items()
        ]
        for row in rows:
            figures = f"{row.reference:8.3f} s / {row.ours:.4f} s = {row.ratio:.0f} (asked for: {row.target:g})"
            print(f"{data:8s} {self.what:18s} {row.threads} thread(s): {figures}")
        return rows


def assert_fits_agree(model: TraceModel, expected: Any) -> None:
    """Assert that the same columns are fitted, with the same numbers in 99 % of them.

    Parameters
    ----------
    model : TraceModel
        Ours.
    expected : NpzFile
        The reference's.
    """
    at = [(int(region), int(column)) for region, column in expected["at"]]
    assert sorted(at) == sorted((region, column) for region in model for column in model[region])
    wrong = 0
    for (region, column), t, c, scale in zip(at, expected["t"], expected["c"], expected["scale"], strict=True):
        ours = model[region][column]
        t, c = t[np.isfinite(t)], c[np.isfinite(c)]  # noqa: PLW2901  (padded with NaN)
        same = ours.model.t.size == t.size and np.array_equal(ours.model.t, t)
        same = same and bool(np.max(np.abs(ours.model.c - c)) <= 1e-9 * np.max(np.abs(c)))
        wrong += not (same and abs(ours.scale - scale) <= 1e-9 * abs(scale))
    assert wrong <= MAY_DIFFER * len(at), f"{wrong} of {len(at)} columns differ"


def assert_plane_agrees(found: npt.NDArray[Any], expected: npt.NDArray[Any], what: str) -> None:
    """Assert that 99 % of the pixels are the same to 1e-6, NaN included.

    Parameters
    ----------
    found, expected : ndarray
        Our plane and the reference's.
    what : str
        Name for the message.
    """
    size = float(np.nanmedian(np.abs(expected))) if np.isfinite(expected).any() else 1.0
    differ = ~np.isclose(found, expected, rtol=1e-6, atol=1e-6 * size, equal_nan=True)
    assert differ.mean() <= MAY_DIFFER, f"{what}: {differ.mean():.2%} of the pixels differ"


class Ours:
    """Our functions on one data set, each with the number of threads as its argument.

    Parameters
    ----------
    data : DataSet
        The exposure.
    """

    def __init__(self, data: DataSet) -> None:
        self.data = data
        self.fit_options = data.params.fit_kwargs(data.flux.shape[1])
        self.os_options = data.params.oversample_kwargs()
        self.cut = {region: cut_out(data, region) for region in data.regions}

    @cached_property
    def model(self) -> TraceModel:
        """The fit that the other functions use."""
        return self.fit(2)

    def fit(self, threads: int) -> TraceModel:
        """Fit all regions."""
        d = self.data
        return fit_all_regions(d.flux, d.error, d.alpha, d.region_map, n_threads=threads, **self.fit_options)

    def oversample(self, threads: int) -> OversampledFlux:
        """Oversample the flux: all five planes."""
        d = self.data
        return oversample_planes(
            self.model, d.flux, d.alpha, d.region_map, FACTOR, d.alpha_os, n_threads=threads, **self.os_options
        )

    def linear(self, threads: int) -> FloatArray:
        """Oversample the error linearly."""
        d, require = self.data, self.os_options["require_ngood"]
        return linear_planes(d.error, d.region_map, FACTOR, require, preserve_nan=False, n_threads=threads)

    def trace(self, threads: int) -> TraceImage:
        """Make the trace image: used and full trace."""
        d, pad = self.data, self.os_options["pad"]
        return trace_planes(self.model, d.region_map, d.alpha, slope_limit=0.1, pad=pad, n_threads=threads)

    def profile(self, threads: int) -> dict[int, Profile | None]:
        """Make the cross-dispersion profile of every region; one profile is the work of one thread."""
        del threads
        return {region: _native.crossdisp_profile(*planes) for region, planes in self.cut.items()}


def check_planes(found: OversampledFlux, expected: Any) -> None:
    """Assert that all five planes agree."""
    for name in expected.files:
        assert_plane_agrees(getattr(found, name), expected[name], name)


def check_linear(found: FloatArray, expected: Any) -> None:
    """Assert that the error planes agree."""
    assert_plane_agrees(found, expected["plane"], "linear_oversample")


def check_trace(found: TraceImage, expected: Any) -> None:
    """Assert that the trace images agree."""
    assert_plane_agrees(found.trace_used, expected["used"], "used trace")
    assert_plane_agrees(found.full_trace, expected["full"], "full trace")


def check_profile(found: dict[int, Profile | None], expected: Any) -> None:
    """Assert that the profiles agree."""
    for region, vectors in found.items():
        np.testing.assert_allclose(np.array(vectors), expected[str(region)], rtol=1e-6)


def contests(data: DataSet, machine: Machine) -> list[Contest]:
    """Return what is measured on one data set; the fit comes first, as the others use it."""
    ours = Ours(data)
    by_factor = {"factor": FACTOR}
    arithmetic = bounds.fit_flops(data) / machine.flops
    to_oversample, to_interpolate, to_trace = (
        count(data) / machine.bandwidth for count in (bounds.oversample_bytes, bounds.linear_bytes, bounds.trace_bytes)
    )
    return [
        Contest("fit_all_regions", "fit", {}, ours.fit, assert_fits_agree, {1: 60, 2: 100}, arithmetic),
        Contest(
            "oversample_flux", "oversample", by_factor, ours.oversample, check_planes, {1: 20, 2: 20}, to_oversample
        ),
        Contest("linear_oversample", "linear", by_factor, ours.linear, check_linear, {1: 40, 2: 40}, to_interpolate),
        Contest("trace image", "trace", {}, ours.trace, check_trace, {1: 20, 2: 20}, to_trace),
        Contest("profile", "profile", {"regions": data.regions}, ours.profile, check_profile, {1: 100}),
    ]


def cut_out(
    data: DataSet, region: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return flux, error and alpha of one region, NaN elsewhere, as each side's own fit hands them to its profile.

    The reference gives its profile images of full size, ours the rows and columns of the region; neither cutting is
    timed.

    Parameters
    ----------
    data : DataSet
        The exposure.
    region : int
        Its label.

    Returns
    -------
    tuple of ndarray
        The box around the region.
    """
    inside = data.region_map == region
    rows, columns = (np.nonzero(inside.any(axis=axis))[0] for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = inside[box]
    flux, error = (np.where(inside, plane[box], np.nan).astype(np.float32) for plane in (data.flux, data.error))
    return flux, error, np.where(inside, data.alpha[box], np.nan).astype(np.float64)


def measure(
    reference: Reference, data: DataSet, machine: Machine, folder: Path, rounds: int, only: Callable[[str], bool]
) -> list[Row]:
    """Measure everything on one data set.

    Parameters
    ----------
    reference : Reference
        The other process.
    data : DataSet
        The exposure.
    machine : Machine
        Peak rates.
    folder : Path
        For files that pass between the processes.
    rounds : int
        Rounds of each contest; the fit, which takes minutes there, has one.
    only : callable
        Tells whether a contest is wanted; the fit always runs, as the others need its models.

    Returns
    -------
    list of Row
        The measurements.
    """
    reference.ask("load", data=data.name, path=str(data.save(folder)), mode=data.mode)
    rows: list[Row] = []
    for contest in contests(data, machine):
        if contest.do == "fit" or only(contest.what):
            rows += contest.run(
                reference, data.name, folder / f"{contest.do}.npz", 1 if contest.do == "fit" else rounds
            )
    return rows
