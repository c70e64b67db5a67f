"""Writes docs/benchmarks.md."""

import datetime as dt
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.bench import beammap, scan_cases, scan_contest, scan_inputs
from tests.bench.beammap import Run
from tests.bench.growth import Series
from tests.bench.measure import Machine, Row
from tests.bench.scan import ScanResults
from tests.reference import PROJECT

SCAN_HEADING = "\n## Pixel maps\n"
BEAM_HEADING = "\n## Beam maps\n"
PAGE = PROJECT / "docs" / "benchmarks.md"
PICTURE = PROJECT / "docs" / "images" / "benchmark-growth.png"

HEAD = """# Benchmarks

Written by `just bench`, which installs jwst 3.0.0 in an environment of its own and runs both in one go, alternating.
Every measurement first asserts that both give the same answer. The reference runs in a single process. Medians of
wall-clock times.

{machine}

"Bound" is what the arithmetic of the fit alone would take at the rate of a matrix product on as many cores (60
operations per point and round, three rounds), and for the others what reading the inputs and writing the outputs once
would take at the rate of a copy; "distance" is how many times longer we take. The profile selects medians, for which
there is no such number.
"""

FUNCTIONS = """
## Functions

MRS: the full exposure with all 38 slices fitted. NIRSpec: a simulated 2048 x 2048 image with 30 slices. Oversampling
by 2. The profile is that of every region, one after another: the reference makes it from images of full size, as its
fit does, ours from the box around the region.

| data | function | threads | jwst 3.0.0 | pixtrace | times faster | asked for | bound | distance |
|---|---|---|---|---|---|---|---|---|
{rows}
"""

COMMAND = """
## The command, file to file

The full MRS exposure, gzipped. Ours is a fresh process each time, start of the interpreter and imports included; the
reference is called in a process that has imported it already.

| command | jwst 3.0.0 | pixtrace | times faster | asked for |
|---|---|---|---|---|
{rows}
"""

START_UP = """
`import numpy` takes {numpy:.0f} ms, `import pixtrace.trace` {pixtrace:.0f} ms more (asked for: under 100 ms).
"""

MEMORY = """
## Memory

| what | jwst 3.0.0 | pixtrace | asked for |
|---|---|---|---|
{rows}
"""

GROWTH = """
## Growth

Cost grows linearly with columns and with regions: {exponents}. (The planes that oversampling fills cost the
same for any number of regions, hence the lower power there.)

![Time against the number of columns and of regions](images/{picture})
"""


SCAN = (
    SCAN_HEADING
    + """
Written by `just bench --parts scan`, which installs sofia_redux 1.5.2 in an environment of its own: {n_pixels} pixels,
{n_frames} frames, {n_y} x {n_x} cells. The reference has one job, its best setting; nothing of its compilation is
counted. Samples are added to maps that exist. Every measurement first asserts that both give the same answer, to 1e-9
in {n_few} maps. Fits are of a round Gaussian there and of all parameters with their covariance here, and are held
against the truth; the times are for {n_fits} fits, of which the reference makes {n_peaks}. `sync` of the reference
takes wrong cells; the answer is held against its kernel with the right ones. Ours run {n_ours} times in each round, on
one thread and on two in turn.

{machine} One thread reads {read:.1f} GB/s, two together {read_two:.1f} GB/s.

`add_points` adds the data, and leaves weights, exposures and flags waiting: all maps share the weights of the frames,
which are kept once, with a list of the samples that single maps miss. Whatever looks at them, in Python or in the
extension, brings them up to date first, with the same bits as if nothing had waited. So there are three rows for it:
the call alone; the call and `end_accumulation`, from samples to means, where nothing waits any more; and the call for a
stack whose weights, exposures or flags were handed out as arrays, which are kept up to date from then on.

"Bound" is what memory alone takes at that rate: timestreams are read once, and what changes of the maps is read and
written once; where the rest waits, that is the data. "Distance" is how many times longer we take, "possible" how many
times faster than the reference the bound is. The rate is that of one array read from end to end; several at once, and
numbers that are written where they were read, come faster, so that a distance may be less than 1.

| operation | threads | sofia_redux 1.5.2 | pixtrace | times faster | asked for | bound | distance | possible |
|---|---|---|---|---|---|---|---|---|
{rows}

Where "possible" is less than "asked for", memory alone takes longer than that. `count_points` has to look at data,
weight and flag of every cell, {count_bytes:.0f} MB: a cell counts if its data is a number, its weight is positive and
finite, and it is not discarded. Were all weights known to be right, data and flags alone would take {count_least} on
two threads, {count_ratio:.0f} times faster than the reference.

One product of a `scipy.sparse` CSR matrix (cells x frames) with the same data, which makes the sums of the data and
nothing else, takes {product}; `add_points` takes {ours}, both on one thread. It also reads the flags of all samples
and the data of the maps that are there, which takes {moved} at the rate of one thread.

| memory | found | asked for |
|---|---|---|
| data, weight, exposure and flags of a cell | {cell:.0f} bytes | 25 bytes |
| its prior map, if there is one | {base:.0f} bytes | 8 bytes |
| temporaries of `add_points` | {temporaries:.0f} MB ({share:.1%} of the input) | 10 % of the input |
"""
)

BEAM_MAPS = (
    BEAM_HEADING
    + """
Written by `just bench --parts beammap`, which installs sofia_redux 1.5.2 in an environment of its own:
`pixtrace beammap` from the file to tables, maps, pictures and report, on simulated scans with drifts, sky, glitches and
jumps, until all pixels have settled; the large one for two rounds. The whole process is timed, start of the interpreter
and imports included; every run asserts that all live pixels were found.

As it comes, the reference stops in the first round of a beam map. Mended so that it does not
(`tests/bench/beammap_reference.py` says how), it took {reference}, in the same run:
one thread, everything compiled before. The scan is simulated in the same way and written as a raw HAWC+ file. It
measures positions and gains once, while it writes its products; ours are measured in every round. "Times faster"
compares as many rounds of it as ours took: with our rounds; with our whole process; and all of it, from the file to
positions and gains, with our whole process, which makes pictures and a report beside.

Memory is the peak of the process until the result is there, with Python and all libraries, and in brackets over the
size of the raw signals (asked for: at most {memory:g}).
Signals of more than 256 MB are read anew in each round.

{machine}

| pixels x frames | `--memory` | windows | rounds | all | reading + rounds + writing + drawing [s] | processor | \
times faster: rounds | its rounds, our all | all (asked for) | raw | memory |
|---|---|---|---|---|---|---|---|---|---|---|---|
{rows}
"""
)


@dataclass(frozen=True)
class Memory:
    """One line of the table of memory.

    Parameters
    ----------
    what, reference, ours, target : str
        The cells.
    """

    what: str
    reference: str
    ours: str
    target: str


def machine_line(machine: Machine) -> str:
    """Return a paragraph about the machine and the day.

    Parameters
    ----------
    machine : Machine
        Peak rates.

    Returns
    -------
    str
        Markdown.
    """
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    versions = ", ".join(f"{name} {version(name)}" for name in ("pixtrace", "numpy", "astropy"))
    return (
        f"{today}, {os.cpu_count()} cores ({platform.machine()}), {machine.flops / 1e9:.1f} Gflop/s and "
        f"{machine.bandwidth / 1e9:.1f} GB/s per core; Python {platform.python_version()}, {versions}."
    )


def _kept_scan_section() -> str:
    """Return the section about pixel maps as it stands on the page."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    before, heading, section = text.partition(SCAN_HEADING)
    del before
    return heading + section


def write_scan(machine: Machine, results: ScanResults) -> Path:
    """Write the section about pixel maps; the rest of the page stays as it is.

    Parameters
    ----------
    machine : Machine
        Peak rates.
    results : ScanResults
        What was measured.

    Returns
    -------
    Path
        The page.
    """
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else HEAD.format(machine=machine_line(machine))
    # Of the 17 bytes of a cell, 8 are its weight.
    count_least = results.count_bytes * 9.0 / 17.0 / results.read_rates[1]
    counting = next(row.reference for row in results.rows if row.what == "count_points")
    section = SCAN.format(
        n_pixels=scan_inputs.N_PIXELS,
        n_frames=scan_inputs.N_FRAMES,
        n_y=scan_inputs.SHAPE[0],
        n_x=scan_inputs.SHAPE[1],
        n_few=scan_inputs.N_CHECKED,
        n_fits=scan_cases.N_FITS,
        n_peaks=scan_cases.N_PEAKS,
        n_ours=scan_contest.N_OURS,
        machine=machine_line(machine),
        read=results.read_rates[0] / 1e9,
        read_two=results.read_rates[1] / 1e9,
        rows="\n".join(map(_scan_row, results.rows)),
        product=_milliseconds(results.product.product),
        ours=_milliseconds(results.product.ours),
        moved=_milliseconds(results.product.moved / results.read_rates[0]),
        count_bytes=results.count_bytes / 1e6,
        count_least=_milliseconds(count_least),
        count_ratio=counting / count_least,
        cell=results.footprint.cell,
        base=results.footprint.base,
        temporaries=results.footprint.temporaries,
        share=results.footprint.temporaries / results.footprint.inputs,
    )
    before, _, after = text.partition(SCAN_HEADING)
    _, heading, beam_maps = after.partition(BEAM_HEADING)
    page = before.rstrip("\n") + "\n" + section.rstrip("\n") + "\n" + heading + beam_maps
    PAGE.write_text(page, encoding="utf-8")
    return PAGE


def write_beam_maps(machine: Machine, runs: Sequence[Run]) -> Path:
    """Write the section about beam maps, the last one of the page; the rest stays as it is.

    Parameters
    ----------
    machine : Machine
        Peak rates.
    runs : sequence of Run
        What was measured.

    Returns
    -------
    Path
        The page.
    """
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else HEAD.format(machine=machine_line(machine))
    section = BEAM_MAPS.format(
        machine=machine_line(machine),
        reference=next((str(run.reference) for run in runs if run.reference is not None), "not measured"),
        memory=beammap.MEMORY_TARGET,
        rows="\n".join(run.row() for run in runs),
    )
    PAGE.write_text(text.partition(BEAM_HEADING)[0].rstrip("\n") + "\n" + section, encoding="utf-8")
    return PAGE


def _milliseconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{1e3 * seconds:.3g} ms"


def _function_row(row: Row) -> str:
    bound = ("-", "-") if row.bound != row.bound else (_milliseconds(row.bound), f"{row.ours / row.bound:.1f}")
    cells = (
        row.data,
        row.what,
        str(row.threads),
        _milliseconds(row.reference),
        _milliseconds(row.ours),
        f"**{row.ratio:.0f}**",
        "-" if row.target != row.target else f"{row.target:g}",
        *bound,
    )
    return f"| {' | '.join(cells)} |"


def _scan_row(row: Row) -> str:
    possible = "-" if row.bound != row.bound else f"{row.reference / row.bound:.0f}"
    return f"| {_function_row(row).removeprefix('| scan | ')} {possible} |"


def _command_row(row: Row) -> str:
    cells = (
        row.what,
        _milliseconds(row.reference),
        _milliseconds(row.ours),
        f"**{row.ratio:.1f}**",
        f"{row.target:g}",
    )
    return f"| {' | '.join(cells)} |"


def write(
    machine: Machine,
    functions: Sequence[Row],
    commands: Sequence[Row],
    start_up: tuple[float, float],
    memory: Sequence[Memory],
    growth: Sequence[Series],
) -> Path:
    """Write the page; parts that were not measured are left out, but for that about pixel maps, which stays.

    Parameters
    ----------
    machine : Machine
        Peak rates.
    functions, commands : sequence of Row
        Times.
    start_up : tuple of float
        Seconds that numpy takes to import, and pixtrace beyond it.
    memory : sequence of Memory
        Peaks.
    growth : sequence of Series
        Times by size; the picture must be there already.

    Returns
    -------
    Path
        The page.
    """
    text = HEAD.format(machine=machine_line(machine))
    if functions:
        text += FUNCTIONS.format(rows="\n".join(map(_function_row, functions)))
    if commands:
        text += COMMAND.format(rows="\n".join(map(_command_row, commands)))
        text += START_UP.format(numpy=1e3 * start_up[0], pixtrace=1e3 * start_up[1])
    if memory:
        rows = (f"| {row.what} | {row.reference} | {row.ours} | {row.target} |" for row in memory)
        text += MEMORY.format(rows="\n".join(rows))
    if growth:
        exponents = "; ".join(
            f"with the {one.axis}, fit and oversampling go as their powers {one.exponents()[0]:.2f} and "
            f"{one.exponents()[1]:.2f}"
            for one in growth
        )
        text += GROWTH.format(exponents=exponents, picture=PICTURE.name)
    PAGE.write_text(text + _kept_scan_section(), encoding="utf-8")
    return PAGE
