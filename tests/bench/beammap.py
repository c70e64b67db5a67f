"""Beam maps, from file to report: time, and memory of a scan that is large."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixtrace.io.scan import stream_simulated, write_hawc, write_neutral_fits
from pixtrace.simulate import ArrayLayout, ScanNoise, ScanParams, ScanPattern, ScanSimulator
from tests.reference import PROJECT

_MANY_FRAMES = 10_000  # which are measured once
#: Times faster that it is to be, for the same rounds.
TARGET = 20.0
#: Most memory, in units of the raw signals.
MEMORY_TARGET = 2.5
NOISE = ScanNoise(white=12.0, knee=0.5, sky=10.0, glitch_rate=0.02, glitch_size=30.0, jump_rate=0.002, jump_size=50.0)


@dataclass(frozen=True)
class Case:
    """A scan to be measured.

    Attributes
    ----------
    name : str
        In the page.
    n_rows, n_columns, n_frames : int
        Pixels and frames.
    memories : tuple of float or None
        Each one run: the option ``memory`` [GB], None for none.
    rounds : int
        Most rounds.
    """

    name: str
    n_rows: int
    n_columns: int
    n_frames: int
    memories: tuple[float | None, ...] = (None,)
    rounds: int = 12

    def simulator(self, dead_fraction: float = 0.05) -> ScanSimulator:
        """Return what makes the scan.

        Parameters
        ----------
        dead_fraction : float, optional
            Part of the pixels that give a constant.

        Returns
        -------
        ScanSimulator
            Drifts, sky, glitches and jumps.
        """
        wide, high = 3.0 * self.n_columns + 48.0, 3.0 * self.n_rows + 48.0
        params = ScanParams(
            pattern=ScanPattern(kind="lissajous", width=wide, height=high, period=max(wide, high) / 150.0),
            array=ArrayLayout(n_rows=self.n_rows, n_columns=self.n_columns, pitch=3.0, dead_fraction=dead_fraction),
            noise=NOISE,
            n_frames=self.n_frames,
            seed=11,
        )
        return ScanSimulator(params)

    def write(self, folder: Path) -> Path:
        """Write the scan in the neutral form.

        Parameters
        ----------
        folder : Path
            Where.

        Returns
        -------
        Path
            The file.
        """
        path = folder / f"{self.n_rows * self.n_columns}x{self.n_frames}.fits"
        write_neutral_fits(path, stream_simulated(self.simulator()))
        return path


#: The scan of the reference, and a large one, which is cleaned whole and in windows.
CASES = (Case("reference", 24, 37, 4031), Case("large", 40, 65, 100_000, (None, 0.9), 2))
#: What the reference reduces: one subarray of HAWC+. Of its 1280 pixels it takes some 860, by its own list of bad ones.
SUBARRAY = Case("subarray", 40, 32, 4031)


@dataclass(frozen=True)
class Round:
    """One round of the reference.

    Attributes
    ----------
    seconds : float
        Of the clock, without reading and writing.
    reading, products : float
        The same for reading the scan, and for what is made of the maps at the end: positions, gains, files.
    n_maps, n_frames : int
        What it mapped.
    """

    seconds: float
    reading: float
    products: float
    n_maps: int
    n_frames: int

    def __str__(self) -> str:
        beside = f"{self.reading:.1f} s for reading and {self.products:.0f} s for its products"
        return f"{self.seconds:.1f} s for one round, {beside}, {self.n_maps} pixels x {self.n_frames} frames"

    def whole(self, rounds: float) -> float:
        """Return the seconds of so many rounds from the file to the products."""
        return self.reading + rounds * self.seconds + self.products


def reference_round(python: Path, folder: Path) -> Round:
    """Measure one round of the reference.

    Parameters
    ----------
    python : Path
        Interpreter of the environment that has it.
    folder : Path
        For the scan.

    Returns
    -------
    Round
        What it took.
    """
    path = folder / "hawc.fits"
    write_hawc(path, stream_simulated(SUBARRAY.simulator(dead_fraction=0.0)))
    words = [str(python), "-m", "tests.bench.beammap_reference", str(path), "1"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=PROJECT, env=environment)
    path.unlink()
    found = json.loads(done.stdout.splitlines()[-1])
    result = Round(found["reducing"], found["reading"], found["products"], found["maps"], found["frames"])
    print(f"sofia_redux: {result}; {found['processor']:.1f} s of the processor")
    return result


@dataclass(frozen=True)
class Run:
    """What one run took.

    Attributes
    ----------
    case : Case
        The scan.
    memory : float or None
        The option [GB].
    seconds : float
        The whole process.
    found : dict
        What `tests.bench.beammap_runner` printed.
    reference : Round or None
        A round of the reference on a scan of this size.
    """

    case: Case
    memory: float | None
    seconds: float
    found: dict[str, object]
    reference: Round | None

    def number(self, name: str) -> float:
        """Return one of the numbers that were printed."""
        return float(str(self.found[name]))

    def row(self) -> str:
        """Return the row of the table in the page."""
        case, stages = self.case, self.found["stages"]
        assert isinstance(stages, dict)
        rounds = self.number("rounds")
        times = " + ".join(f"{stages[name]:.2f}" for name in ("reading", "rounds", "writing", "drawing"))
        ratios = ["-"] * 3
        if self.reference is not None:
            of_rounds = self.reference.seconds * rounds
            ratios = [
                f"{of_rounds / stages['rounds']:.0f}",
                f"{of_rounds / self.seconds:.0f}",
                f"**{self.reference.whole(rounds) / self.seconds:.0f}** ({TARGET:g})",
            ]
        raw, peak = self.number("raw"), self.number("peak")
        cells = (
            f"{case.n_rows * case.n_columns} x {case.n_frames}",
            "-" if self.memory is None else f"{self.memory:g} GB",
            f"{self.number('windows'):.0f}",
            f"{rounds:.0f}",
            f"{self.seconds:.2f} s",
            times,
            f"{self.number('cpu'):.1f} s",
            *ratios,
            f"{raw:.0f} MB",
            f"{peak:.0f} MB (**{peak / raw:.2f}**)",
        )
        return f"| {' | '.join(cells)} |"


def run(case: Case, path: Path, folder: Path, memory: float | None, reference: Round | None) -> Run:
    """Make one beam map in a process of its own.

    Parameters
    ----------
    case : Case
        The scan.
    path : Path
        Its file.
    folder : Path
        For the products.
    memory : float or None
        The option [GB].
    reference : Round or None
        A round of the reference on such a scan.

    Returns
    -------
    Run
        What it took.
    """
    words = [sys.executable, "-m", "tests.bench.beammap_runner", str(path), str(folder), str(case.rounds)]
    words += [] if memory is None else [f"{memory:g}"]
    start = time.perf_counter()
    # An installed package has its byte code; ours may keep it too, so that only the first try has to compile.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=PROJECT, env=environment)
    seconds = time.perf_counter() - start
    found = json.loads(done.stdout.splitlines()[-1])
    n_good = case.n_rows * case.n_columns * 0.95
    assert np.isclose(found["good"], n_good, rtol=0.01), f"{found['good']} pixels instead of {n_good:.0f}"
    result = Run(case, memory, seconds, found, reference)
    print(result.row())
    return result


def measure(python: Path | None, folder: Path, rounds: int, only: str = "") -> list[Run]:
    """Measure all cases.

    Parameters
    ----------
    python : Path or None
        Interpreter of the environment with the reference; None: ours alone.
    folder : Path
        For scans and products.
    rounds : int
        How often the small one is measured; the fastest counts.
    only : str, optional
        Only cases with this in their name.

    Returns
    -------
    list of Run
        The measurements.
    """
    runs: list[Run] = []
    for case in (case for case in CASES if only in case.name):
        reference = None if python is None or case.name != "reference" else reference_round(python, folder)
        path = case.write(folder)
        n_tries = rounds if case.n_frames < _MANY_FRAMES else 1
        for memory in case.memories:
            tries = [run(case, path, folder / "out", memory, reference) for _ in range(n_tries)]
            runs.append(min(tries, key=lambda one: one.seconds))
        path.unlink()
    return runs
