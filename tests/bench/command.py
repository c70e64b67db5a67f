"""The whole command, file to file, and the memory it takes."""

import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.bench.measure import Row, assert_plane_agrees
from tests.bench.reference import Reference
from tests.reference import PROJECT


def arguments(exposure: Path, out: Path, factor: float, *options: str) -> list[str]:
    """Return the words after ``pixtrace``; the folder for the result is emptied.

    Parameters
    ----------
    exposure : Path
        The input.
    out : Path
        Folder for the result.
    factor : float
        Oversampling factor.
    *options : str
        More of the command line.

    Returns
    -------
    list of str
        The words.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    return ["oversample", str(exposure), "--factor", f"{factor:g}", "-o", str(out), *options]


def pixtrace(exposure: Path, out: Path, factor: float, *options: str) -> float:
    """Run `pixtrace oversample` in a fresh process.

    Parameters
    ----------
    exposure, out, factor, *options
        As for `arguments`.

    Returns
    -------
    float
        Seconds, start of the interpreter and imports included.
    """
    words = arguments(exposure, out, factor, *options)
    script = Path(sysconfig.get_path("scripts")) / "pixtrace"
    start = time.perf_counter()
    subprocess.run([str(script), *words], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return time.perf_counter() - start


def product(folder: Path) -> Path:
    """Return the one FITS file in a folder.

    Parameters
    ----------
    folder : Path
        Where a command wrote its result.

    Returns
    -------
    Path
        The file.
    """
    (path,) = folder.glob("*.fits")
    return path


def assert_products_agree(ours: Path, theirs: Path) -> None:
    """Assert that two products hold the same flux, error and trace model.

    Parameters
    ----------
    ours, theirs : Path
        The files.
    """
    for name in ("SCI", "ERR", "TRACEMODEL"):
        found, expected = (np.asarray(fits.getdata(path, name)) for path in (ours, theirs))
        assert_plane_agrees(found, expected, name)


def measure(reference: Reference, exposure: Path, folder: Path, rounds: int) -> list[Row]:
    """Measure the command at factor 2, by default and with every slice fitted.

    The reference is called in a process that has imported it already; ours starts from nothing each time.

    Parameters
    ----------
    reference : Reference
        The other process.
    exposure : Path
        The full MRS exposure.
    folder : Path
        For the results.
    rounds : int
        How many times each runs.

    Returns
    -------
    list of Row
        The measurements.
    """
    rows: list[Row] = []
    for what, options, flags, target in (
        ("command, x2", {}, (), 10.0),
        ("command, x2, psf-optimal", {"psf_optimal": True}, ("--psf-optimal",), 40.0),
    ):
        theirs: list[float] = []
        ours: list[float] = []
        for number in range(rounds):
            shutil.rmtree(folder / "theirs", ignore_errors=True)
            answer = reference.ask(
                "step", file=str(exposure), result=str(folder / "theirs"), options={"oversample": 2.0, **options}
            )
            theirs.append(answer["seconds"])
            ours += [pixtrace(exposure, folder / "ours", 2.0, *flags) for _ in range(3)]
            if number == 0:
                assert_products_agree(product(folder / "ours"), product(folder / "theirs"))
        row = Row("MRS", what, os.cpu_count() or 1, statistics.median(theirs), statistics.median(ours), target)
        print(f"{what}: {row.reference:.2f} s / {row.ours:.2f} s = {row.ratio:.1f} (asked for: {target:g})")
        rows.append(row)
    return rows


def start_up() -> tuple[float, float]:
    """Return the seconds that importing numpy takes, and what `import pixtrace` takes beyond it.

    Returns
    -------
    tuple of float
        Medians of fifteen fresh processes each, less those of an empty one.
    """

    def seconds(code: str) -> float:
        times: list[float] = []
        for _ in range(15):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    empty, numpy, both = (seconds(code) for code in ("pass", "import numpy", "import numpy, pixtrace.trace"))
    print(f"import numpy: {numpy - empty:.3f} s; pixtrace.trace beyond it: {both - numpy:.3f} s")
    return numpy - empty, both - numpy


def memory(python: Path, exposure: Path, folder: Path) -> tuple[float, float]:
    """Return the peak memory of both commands at factor 3, each in a fresh process.

    Parameters
    ----------
    python : Path
        Interpreter that has the reference.
    exposure : Path
        The full MRS exposure.
    folder : Path
        For the results.

    Returns
    -------
    tuple of float
        The reference's and ours [MB].
    """
    fresh = Reference(python, folder / "reference.log")
    fresh.ask("step", file=str(exposure), result=str(folder / "theirs3"), options={"oversample": 3.0})
    theirs = fresh.peak()
    fresh.close()
    words = [sys.executable, "-m", "tests.bench.command_memory", *arguments(exposure, folder / "ours3", 3.0)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=PROJECT)
    ours = float(done.stdout.split()[-1])
    print(f"peak memory of the command at x3: {theirs:.0f} MB / {ours:.0f} MB")
    return theirs, ours
