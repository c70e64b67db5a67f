"""Time and peak memory of a time series: ``python -m tests.bench.series [--folder FOLDER]``.

A thousand integrations of a slit of 32 x 2048 pixels with errors, in files; scales are fitted, and all integrations are
oversampled by two with errors, and written to files again. Each measurement is a process of its own. Linux only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from pixtrace.trace import SpectralSeries, TraceParams, fit_time_series, oversample_cube
from tests.bench.proc import memory

SHAPE = (32, 2048)
FACTOR = 2
N_THREADS = 2
#: What is measured, and the parameters of each.
JOBS = ("fit", "fit with shifts", "oversample", "oversample, errors of jwst")


def simulate(folder: Path, n: int) -> None:
    """Write cubes of flux and error.

    Parameters
    ----------
    folder : Path
        Where to.
    n : int
        Number of integrations.
    """
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    alpha = y - 15.3 + 0.5e-3 * x
    profile = 300 * np.exp(-0.5 * (alpha / 0.9) ** 2) + 20 * np.exp(-0.5 * (alpha / 3) ** 2) + 2
    profile = profile * (1 + 0.3 * np.sin(x / 300))
    np.save(folder / "alpha.npy", alpha)
    cubes = [
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=(n, *SHAPE))
        for name in ("flux", "error")
    ]
    for i in range(n):
        truth = profile * (1 - 0.01 * (abs(i - n / 2) < n / 6) + 1e-3 * rng.standard_normal())
        error = np.sqrt(0.1 * truth + 0.3)
        cubes[0][i] = truth + error * rng.standard_normal(SHAPE, dtype=np.float32)
        cubes[1][i] = error


def measure(folder: Path, job: str) -> dict[str, float]:
    """Do one job.

    Parameters
    ----------
    folder : Path
        Where the cubes are.
    job : str
        One of `JOBS`.

    Returns
    -------
    dict of str to float
        Seconds that went by and that the processors were busy, and peak of the memory of this process [MB].
    """
    flux, error = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("flux", "error"))
    alpha = np.load(folder / "alpha.npy")
    series = SpectralSeries(flux=flux, error=error, alpha=alpha, region_map=np.ones(SHAPE, dtype=np.int32))
    params = TraceParams.preset("nirspec-slit") if job.endswith("jwst") else TraceParams.robust()
    start, busy = time.perf_counter(), time.process_time()
    model = fit_time_series(series, params, shift="shifts" in job, n_threads=N_THREADS)
    fitted = time.perf_counter()
    if job.startswith("oversample"):
        with (folder / "flux_os").open("wb") as one, (folder / "error_os").open("wb") as other:
            for chunk in oversample_cube(series, model, FACTOR, n_threads=N_THREADS):
                one.write(np.ascontiguousarray(chunk.flux).data)
                other.write(np.ascontiguousarray(chunk.error).data)
    return {
        "fit": fitted - start,
        "all": time.perf_counter() - start,
        "busy": time.process_time() - busy,
        "memory": memory("VmHWM"),
    }


def main() -> None:
    """Simulate and measure; print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.series", description=__doc__)
    parser.add_argument("--integrations", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=None, help="where the cubes go (default: a temporary folder)")
    parser.add_argument("--job", choices=JOBS, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job is not None:
        print(json.dumps(measure(given.folder, given.job)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        simulate(folder, given.integrations)
        print(f"{given.integrations} integrations of {SHAPE[0]} x {SHAPE[1]} pixels, {N_THREADS} threads")
        for job in JOBS:
            command = [sys.executable, "-m", "tests.bench.series", "--folder", str(folder), "--job", job]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found: dict[str, Any] = json.loads(done.stdout)
            print(
                f"{job}: {found['all']:.2f} s (the fit {found['fit']:.2f} s; {found['busy']:.2f} s of processor time), "
                f"peak {found['memory']:.0f} MB"
            )


if __name__ == "__main__":
    main()
