"""Pixel maps, one operation after another: first the same answer as sofia_redux 1.5.2, then the times.

Answers are compared for some of the pixels, times are those of all; peaks, which the reference takes a tenth of a
second for, are fitted to some, and the times are scaled by their number.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixtrace.scan import MapStack
from tests.bench import scan_cases as cases
from tests.bench.bounds import best, read_rate
from tests.bench.measure import Row
from tests.bench.reference import Reference
from tests.bench.scan_contest import THREADS, Contest
from tests.bench.scan_inputs import SHAPE, simulate
from tests.bench.scan_ours import Ours
from tests.reference import PROJECT


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
    cases.adding(contest)
    cases.combining(contest)
    cases.statistics(contest)
    cases.subtracting(contest)
    cases.fitting(contest)
    product = sparse_product(contest.all)
    print(f"scan     sparse product: {product.product:.3f} s, add_points {product.ours:.3f} s")
    rows, count_bytes = contest.rows, 2.125 * contest.all.stack.data.nbytes
    del contest
    found = footprint()
    share = found.temporaries / found.inputs
    print(f"scan     {found.cell:.0f} + {found.base:.0f} bytes per cell; temporaries are {share:.1%} of the inputs")
    return ScanResults(rows, (rates[1], rates[2]), product, found, count_bytes)
