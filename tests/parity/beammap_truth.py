"""How near beam maps come to the truth: ``python -m tests.parity.beammap_truth`` prints the tables of the guide."""

import argparse
import copy
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np

from pixtrace.io.scan import ScanStream, stream_simulated
from pixtrace.scan import BeamMap, LoopState, Reduction
from pixtrace.simulate import ArrayLayout, DetectorArray, ScanNoise, ScanParams, ScanPattern, ScanSimulator, ScanSource
from tests.beammaps import Lobes, errors

#: Everything that spoils a scan; drifts and sky have ten times the scatter of the white noise over the 80 s.
NOISE = ScanNoise(
    white=12.0,
    knee=5.6,
    slope=2.0,
    sky=10.0,
    group=3.0,
    glitch_rate=0.02,
    glitch_size=30.0,
    jump_rate=0.002,
    jump_size=50.0,
)
BAD: dict[str, Any] = {
    "dead_fraction": 0.04,
    "blind_fraction": 0.02,
    "noisy_fraction": 0.02,
    "oscillating_fraction": 0.02,
}
AMPLITUDE, BRIGHT = 600.0, 10_000.0
EIGHT = ArrayLayout(n_rows=8, n_columns=8, pitch=6.0, displacement=1.5, dead_fraction=0.125)


def array_scan(n_side: int, seed: int, *, noise: ScanNoise = NOISE, n_frames: int = 8000) -> ScanParams:
    """Return the scan of an array of which a tenth is bad."""
    return ScanParams(
        pattern=ScanPattern(kind="lissajous", width=90.0, height=90.0, period=2.1),
        array=ArrayLayout(n_rows=n_side, n_columns=n_side, pitch=64.0 / n_side, displacement=1.5, **BAD),
        source=ScanSource(amplitude=AMPLITUDE),
        noise=noise,
        rate=100.0,
        n_frames=n_frames,
        seed=seed,
    )


@dataclass(frozen=True)
class Found:
    """How near one scan came to the truth.

    Attributes
    ----------
    n_good, n_recovered, n_wrong : int
        Good pixels, those of them that were found, and bad ones that were called good.
    rounds : int
        Rounds until all had settled.
    position : float
        Median distance from the truth [arcsec].
    pulls : tuple of float
        Standard deviation of position errors over what is reported of them, and the robust one.
    gain_bias, gain_scatter : float
        Mean of gains over the truth less 1, and their standard deviation.
    steps : ndarray of float64, shape (n_recovered,)
        Largest change of x, y and coupling of each pixel when the rounds are doubled [standard errors].
    """

    n_good: int
    n_recovered: int
    n_wrong: int
    rounds: int
    position: float
    pulls: tuple[float, float]
    gain_bias: float
    gain_scatter: float
    steps: np.ndarray


def reduce_twice(stream: ScanStream, options: dict[str, object]) -> tuple[BeamMap, BeamMap]:
    """Reduce until all has settled, and go on for as many rounds again."""
    states: list[LoopState] = []

    def keep(state: LoopState) -> None:
        states[:] = [copy.deepcopy(state)]

    once = Reduction(scans=[stream.to_scan(options)]).reduce(keep=keep)
    most = 2 * len(once.records)
    more = options | {"rounds": most, "rounds.least": most}
    state = states[0]
    state.is_settled = False
    return once, Reduction(scans=[stream.to_scan(more)]).reduce(state=state)


def compare(params: ScanParams, options: dict[str, object] | None = None) -> Found:
    """Reduce a simulated scan, and compare with what it was made from."""
    simulator = ScanSimulator(params)
    once, twice = reduce_twice(stream_simulated(simulator), options or {})
    return measure(once, twice, simulator.array, params.source.amplitude)


def measure(once: BeamMap, twice: BeamMap, array: DetectorArray, amplitude: float) -> Found:
    """Compare a beam map with the truth, and with one after twice the rounds."""
    table = once.table
    good = array.is_good & once.is_good
    away = np.stack([table.x, table.y])[:, good] - array.position[:, good]
    away -= np.median(away, axis=1, keepdims=True)
    pulls = away / np.stack([table.x_error, table.y_error])[:, good]
    gain = table.amplitude[good] / (amplitude * array.gain[good])
    changes = [
        np.abs(getattr(table, name) - getattr(twice.table, name))[good] / getattr(twice.table, f"{name}_error")[good]
        for name in ("x", "y", "coupling")
    ]
    return Found(
        n_good=int(array.is_good.sum()),
        n_recovered=int(good.sum()),
        n_wrong=int((once.is_good & ~array.is_good).sum()),
        rounds=len(once.records),
        position=float(np.median(np.hypot(*away))),
        pulls=(float(pulls.std()), 1.4826 * float(np.median(np.abs(pulls)))),
        gain_bias=float(gain.mean() - 1.0),
        gain_scatter=float(gain.std()),
        steps=np.max(changes, axis=0),
    )


def print_arrays(n_side: int, seeds: list[int]) -> None:
    """Print what becomes of whole arrays."""
    print(  # noqa: T201
        "| seed | good, recovered | bad called good | rounds | position | pulls (robust) | gains | twice the rounds |"
    )
    print("|---|---|---|---|---|---|---|---|")  # noqa: T201
    for seed in seeds:
        found = compare(array_scan(n_side, seed))
        steps = found.steps
        print(  # noqa: T201
            f"| {seed} | {found.n_good}, {found.n_recovered} | {found.n_wrong} | {found.rounds} "
            f'| {found.position:.3f}" | {found.pulls[0]:.2f} ({found.pulls[1]:.2f}) '
            f"| {100 * found.gain_bias:+.2f} +/- {100 * found.gain_scatter:.2f} % "
            f"| {steps.max():.3f}, above 0.1: {int((steps > 0.1).sum())} |",
            flush=True,
        )


#: Sources by name: a bright one is 800 times the noise of a sample, a faint one 50 times.
SOURCES = {
    "a point, faint": ScanSource(amplitude=AMPLITUDE),
    "a point, bright": ScanSource(amplitude=BRIGHT),
    "a ring of 3 % about it, faint": Lobes(amplitude=AMPLITUDE),
    "a ring of 3 % about it, bright": Lobes(amplitude=BRIGHT),
    "a disc of 14 arcsec, bright": ScanSource(amplitude=BRIGHT, diameter=14.0),
    "a disc of 24 arcsec, bright": ScanSource(amplitude=BRIGHT, diameter=24.0),
}


def scatter(params: ScanParams, model: str, tolerance: float | None) -> tuple[float, float, str]:
    """Return the scatter of positions [arcsec] and gains [%] against the truth, and the rounds that it took."""
    simulator = ScanSimulator(params)
    forgiving = nullcontext() if tolerance is None else patch("pixtrace.scan.parts._TOLERANCE", tolerance)
    with forgiving:
        scan = stream_simulated(simulator).to_scan({"source.model": model})
        found = Reduction(scans=[scan]).reduce()
    if not np.array_equal(found.is_good, simulator.array.is_good):
        return np.nan, np.nan, "lost pixels"
    away, coupling = errors(found, simulator.array)
    return float(away.std()), 100.0 * float(coupling.std()), str(len(found.records))


def print_sources(seeds: list[int]) -> None:
    """Print what becomes of sources that are no Gaussians, with each way to take them out."""
    noise = replace(NOISE, knee=1.0, slope=1.0, group=0.0)
    print("| source | the Gaussian | the map | the Gaussian, nothing forgiven |")  # noqa: T201
    print("|---|---|---|---|")  # noqa: T201
    for name, source in SOURCES.items():
        columns: list[str] = []
        for model, tolerance in (("gaussian", None), ("map", None), ("gaussian", 0.0)):
            runs = [
                scatter(replace(array_scan(8, seed, noise=noise), source=source, array=EIGHT), model, tolerance)
                for seed in seeds
            ]
            position, gain = (float(np.sqrt(np.mean([run[k] ** 2 for run in runs]))) for k in range(2))  # type: ignore[operator]
            columns.append(f"{position:.2g}, {gain:.2g} % ({', '.join(run[2] for run in runs)})")
        print(f"| {name} | {' | '.join(columns)} |", flush=True)  # noqa: T201


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", default=["arrays", "sources"], help="arrays, sources")
    parser.add_argument("--side", type=int, default=32, help="rows and columns of the array")
    parser.add_argument("--seeds", type=int, nargs="+", default=[5, 6])
    given = parser.parse_args()
    if "arrays" in given.tables:
        print_arrays(given.side, given.seeds)
    if "sources" in given.tables:
        print_sources(given.seeds)


if __name__ == "__main__":
    main()
