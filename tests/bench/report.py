"""Writes docs/benchmarks.md."""

import datetime as dt
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.bench.growth import Series
from tests.bench.measure import Machine, Row
from tests.reference import PROJECT

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
        f"{row.target:g}",
        *bound,
    )
    return f"| {' | '.join(cells)} |"


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
    """Write the page; parts that were not measured are left out.

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
    PAGE.write_text(text, encoding="utf-8")
    return PAGE
