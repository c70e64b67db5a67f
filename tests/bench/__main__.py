"""Measures everything and writes docs/benchmarks.md. See ``--help``."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# One thread for the matrix product that tells the peak rate of a core. Before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.bench import beammap, bounds, command, growth, inputs, measure, report, scan
from tests.bench.reference import JWST, SOFIA, Reference, environment
from tests.reference import EXPOSURE, PROJECT, reference_root

PARTS = ("functions", "command", "memory", "growth", "scan", "beammap")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line.

    Parameters
    ----------
    given : sequence of str or None
        None: that of the process.

    Returns
    -------
    argparse.Namespace
        The options.
    """
    parser = argparse.ArgumentParser(
        prog="just bench", description="Measure pixtrace against jwst 3.0.0 and sofia_redux 1.5.2."
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement (the fits have one)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--data", nargs="+", choices=("MRS", "NIRSpec"), default=("MRS", "NIRSpec"))
    parser.add_argument("--only", default="", help="only functions or beam maps with this in their name")
    parser.add_argument(
        "--environment", type=Path, default=PROJECT / ".bench-env", help="environment with jwst 3.0.0; made if missing"
    )
    parser.add_argument(
        "--scan-environment",
        type=Path,
        default=PROJECT / ".bench-env-scan",
        help="environment with sofia_redux 1.5.2; made if missing",
    )
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True, help="write docs/benchmarks.md")
    return parser.parse_args(given)


def array_memory(data: inputs.DataSet, preset: str, folder: Path) -> report.Memory:
    """Return the line about the memory of the array function.

    Parameters
    ----------
    data : DataSet
        What is oversampled.
    preset : str
        Name of its parameters.
    folder : Path
        For its arrays.

    Returns
    -------
    Memory
        Against inputs and outputs together.
    """
    command_line = [sys.executable, "-m", "tests.bench.array_memory", str(data.save(folder)), preset]
    done = subprocess.run(command_line, check=True, capture_output=True, text=True, cwd=PROJECT)
    found = json.loads(done.stdout)
    size = found["inputs"] + found["outputs"]
    print(f"peak memory of oversampling {data.name}: {found['taken']:.0f} MB, inputs and outputs are {size:.0f} MB")
    return report.Memory(
        f"`oversample`, {data.name} x2, on top of the idle process",
        "-",
        f"{found['taken']:.0f} MB ({found['taken'] / size:.2f} of inputs and outputs)",
        f"{1.2 * size:.0f} MB (1.20)",
    )


def main(given: Sequence[str] | None = None) -> None:
    """Measure and report.

    Parameters
    ----------
    given : sequence of str, optional
        The command line, by default that of the process.
    """
    options = arguments(given)
    machine = measure.Machine(bounds.peak_flops(), bounds.peak_bandwidth())
    print(report.machine_line(machine))
    if set(options.parts) - {"scan", "beammap"}:
        traces(options, machine)
    if "scan" in options.parts:
        pixel_maps(options, machine)
    if "beammap" in options.parts:
        beam_maps(options, machine)


def beam_maps(options: argparse.Namespace, machine: measure.Machine) -> None:
    """Measure beam maps, from file to report.

    Parameters
    ----------
    options : Namespace
        The command line.
    machine : Machine
        Peak rates.
    """
    python = environment(options.scan_environment, SOFIA) if options.only in "reference" else None
    with tempfile.TemporaryDirectory(prefix="pixtrace-bench-") as name:
        runs = beammap.measure(python, Path(name), options.rounds, options.only)
    if options.write:
        print(f"wrote {report.write_beam_maps(machine, runs)}")


def pixel_maps(options: argparse.Namespace, machine: measure.Machine) -> None:
    """Measure pixel maps.

    Parameters
    ----------
    options : Namespace
        The command line.
    machine : Machine
        Peak rates.
    """
    python = environment(options.scan_environment, SOFIA)
    with tempfile.TemporaryDirectory(prefix="pixtrace-bench-") as name:
        folder = Path(name)
        with Reference(python, folder / "reference.log", SOFIA) as reference:
            results = scan.measure(reference, folder, options.rounds)
    if options.write:
        print(f"wrote {report.write_scan(machine, results)}")


def traces(options: argparse.Namespace, machine: measure.Machine) -> None:
    """Measure traces.

    Parameters
    ----------
    options : Namespace
        The command line.
    machine : Machine
        Peak rates.
    """
    exposure = reference_root() / EXPOSURE
    python = environment(options.environment, JWST)
    functions: list[measure.Row] = []
    commands: list[measure.Row] = []
    start_up = (0.0, 0.0)
    memory: list[report.Memory] = []
    series: list[growth.Series] = []
    with tempfile.TemporaryDirectory(prefix="pixtrace-bench-") as name:
        folder = Path(name)
        with Reference(python, folder / "reference.log") as reference:
            if "command" in options.parts:
                commands = command.measure(reference, exposure, folder, options.rounds)
                start_up = command.start_up()
            for data_name in options.data if "functions" in options.parts else ():
                data = inputs.mrs(exposure) if data_name == "MRS" else inputs.nirspec()
                functions += measure.measure(
                    reference, data, machine, folder, options.rounds, lambda what: options.only in what
                )
        if "memory" in options.parts:
            theirs, ours = command.memory(python, exposure, folder)
            memory.append(report.Memory("the command, MRS x3", f"{theirs:.0f} MB", f"{ours:.0f} MB", "500 MB"))
            memory.append(array_memory(inputs.nirspec(), "nirspec-ifu", folder))
        if "growth" in options.parts:
            series = growth.measure(inputs.nirspec())
            for one in series:
                print(f"{one.axis} {list(one.sizes)}: fit {one.fit}, oversampling {one.oversample}")
            if options.write:
                report.PICTURE.parent.mkdir(parents=True, exist_ok=True)
                growth.plot(series, report.PICTURE)
    if options.write:
        print(f"wrote {report.write(machine, functions, commands, start_up, memory, series)}")


if __name__ == "__main__":
    main()
