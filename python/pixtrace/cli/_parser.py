"""The words of the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pixtrace.cli._parser_beammap import add_beammap
from pixtrace.cli._parser_options import (
    CONFIG,
    EXIT_CODES,
    FILES_HELP,
    add_factor,
    add_joint,
    add_method,
    add_output,
    add_parameters,
    add_processing,
    add_rest,
    add_series,
    add_threads,
    add_verbosity,
)
from pixtrace.cli._parser_uses import add_uses

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["build_parser"]


class _ShowVersion(argparse.Action):
    """Print the version; looked up only when asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from pixtrace import __version__

        print(f"pixtrace {__version__}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser.

    Returns
    -------
    argparse.ArgumentParser
        Options that were not given are absent from its result, so that a file can set them.
    """
    parser = _Parser(
        prog="pixtrace",
        description=(
            "Spectral traces of undersampled slit and integral-field spectrographs; beam maps of scanning cameras."
        ),
        epilog=f"{EXIT_CODES}\nTry it without data of your own:  pixtrace demo oversample, pixtrace demo beammap",
    )
    parser.add_argument("--version", action=_ShowVersion, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)

    oversample = commands.add_parser(
        "oversample",
        help="fit the traces and put the flux on a finer grid",
        description="Fit the trace of every slice or slit and put the flux on a grid N times finer along the slice.",
        epilog=CONFIG + EXIT_CODES,
    )
    add_factor(oversample, "2")
    add_joint(oversample)
    add_processing(oversample)
    add_series(oversample.add_argument_group("time series"))

    trace = commands.add_parser(
        "trace",
        help="fit the traces and write the trace image, without oversampling",
        description="Fit the trace of every slice or slit and write the exposure with its trace image (factor 1).",
        epilog=CONFIG.replace("  factor = 3\n", "") + EXIT_CODES,
    )
    add_joint(trace)
    add_processing(trace)

    _add_models(commands)
    add_uses(commands)
    add_beammap(commands)

    inspect = commands.add_parser(
        "inspect",
        help="say what is in a file",
        description="Say what a file holds, which parameters it would be given, and whether it can be oversampled.",
        epilog=EXIT_CODES,
    )
    inspect.add_argument("files", nargs="+", metavar="FILE", help=FILES_HELP)
    inspect.add_argument("--json", action="store_true", help="one JSON object per file and line, for scripts")
    add_verbosity(inspect)

    _add_compare(commands)
    _add_with(commands)

    demo = commands.add_parser(
        "demo",
        help="show on simulated data what it is good for",
        description="Run a command on simulated data and show what it is good for.",
        epilog=EXIT_CODES,
    )
    demos = demo.add_subparsers(title="demonstrations", dest="demo", metavar="WHAT", required=True)
    star = demos.add_parser(
        "oversample",
        help="an undersampled star in an integral-field unit",
        description=(
            "Simulate an undersampled star in an integral-field unit, run `pixtrace oversample` on it,\n"
            "and show how its spectrum wiggles before and after. Files of an earlier demo in the same\n"
            "folder are replaced."
        ),
        epilog=EXIT_CODES,
    )
    add_factor(star, "3")
    star.set_defaults(factor=3.0)
    _add_demo_output(star)
    beams = demos.add_parser(
        "beammap",
        help="positions and gains of an array from a scan of a planet",
        description=(
            "Simulate the scan of a planet with drifts, sky noise, glitches and bad pixels, run `pixtrace beammap`\n"
            "on it, and compare positions and gains with the truth. Files of an earlier demo in the same folder are\n"
            "replaced."
        ),
        epilog=EXIT_CODES,
    )
    _add_demo_output(beams)
    return parser


def _add_demo_output(demo: argparse.ArgumentParser) -> None:
    """Add what all demonstrations have in common."""
    demo.add_argument("-o", "--output", metavar="DIR", default="pixtrace-demo", help="folder (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the noise (default: %(default)s)")
    add_threads(demo)
    add_verbosity(demo)


def _add_models(commands: argparse._SubParsersAction[_Parser]) -> None:
    """Add the commands that keep trace models in files."""
    fit = commands.add_parser(
        "fit",
        help="fit the traces and keep the models",
        description="Fit the trace of every slice or slit and write the models, for `pixtrace apply`.",
        epilog=CONFIG.replace("  factor = 3\n", "").replace("  plot = true\n", '  format = "fits"\n') + EXIT_CODES,
    )
    add_joint(fit)
    fit.add_argument("files", nargs="+", metavar="FILE", help=FILES_HELP)
    output = fit.add_argument_group("output")
    add_output(output)
    output.add_argument(
        "--format",
        choices=("fits", "asdf"),
        help="kind of file: tables in FITS, or ASDF (extra: asdf) (default: fits)",
    )
    add_parameters(fit.add_argument_group("method"))
    add_rest(fit)

    apply = commands.add_parser(
        "apply",
        help="put the flux on a finer grid with models that are there already",
        description=(
            "Put the flux on a grid N times finer with models that `pixtrace fit` has kept. On the exposure that they\n"
            "were fitted to the result is that of `pixtrace oversample`; on others of the same source at the same\n"
            "place in the slices, the models are scaled to their flux."
        ),
        epilog=CONFIG + EXIT_CODES,
    )
    apply.add_argument("model", metavar="MODEL", help="file that `pixtrace fit` has written")
    add_factor(apply, "2")
    switch = argparse.BooleanOptionalAction
    apply.add_argument(
        "--rescale",
        action=switch,
        help="scale the models to the flux of each exposure (default: unless it is the one they were fitted to)",
    )
    add_processing(apply)


class _Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations, says nothing of what was not given, and keeps the lines of the epilogue."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("argument_default", argparse.SUPPRESS)
        super().__init__(allow_abbrev=False, **options)


def _add_compare(commands: Any) -> None:  # noqa: ANN401 - argparse does not name it
    compare = commands.add_parser(
        "compare",
        help="run jwst or sofia_redux and ours on an exposure or a scan, and compare",
        description=(
            "Run another implementation and ours on the same data, and say how far the results are apart and how\n"
            "long both take. Of a calibrated exposure: the adaptive_trace_model step of jwst (3.0.x), once as it is\n"
            "and once with the kernels of pixtrace, plane by plane and region by region. Of a raw HAWC+ scan: the\n"
            "pixel maps of sofia_redux (1.5.2), add, merge, process, sync and fit, pixel by pixel. Writes\n"
            "FILE_compare.ecsv and FILE_compare.png. Needs the other package."
        ),
        epilog=EXIT_CODES,
    )
    compare.add_argument(
        "files", nargs="+", metavar="FILE", help="calibrated exposures (*_cal.fits) or raw scans, also .gz"
    )
    compare.add_argument(
        "--rounds", type=int, metavar="N", help="run both so often, in turns; the times are medians (default: 1)"
    )
    compare.add_argument("-o", "--output", metavar="DIR", help="folder to write to, made if need be (default: here)")
    compare.add_argument("--overwrite", action=argparse.BooleanOptionalAction, help="replace files that are there")
    compare.add_argument("--plot", action=argparse.BooleanOptionalAction, help="draw the picture (default: yes)")
    compare.add_argument(
        "--threads", type=int, metavar="N", help="threads of pixtrace; the other works in one process (default: 1)"
    )
    exposures = compare.add_argument_group("exposures")
    add_factor(exposures, "2")
    add_method(exposures)
    scans = compare.add_argument_group("scans")
    scans.add_argument(
        "-O", "--option", action="append", metavar="NAME=VALUE", help="any option of sofia_redux, as often as need be"
    )
    add_verbosity(compare)


def _add_with(commands: Any) -> None:  # noqa: ANN401 - argparse does not name it
    program = commands.add_parser(
        "with",
        help="run a program that uses jwst or sofia_redux as it is, with ours in place",
        description=(
            "Run a Python program as `python` would, unchanged, with the kernels of pixtrace behind the trace model\n"
            "step of jwst, or its pixel maps behind those of sofia_redux: `pixtrace with jwst strun calwebb_spec3\n"
            "asn.json`. Its exit code is that of the program; 2 if there is none, or the other package is not there."
        ),
    )
    program.add_argument("peer", choices=("jwst", "sofia"), help="which package is to be made faster")
    program.add_argument(
        "program",
        nargs=argparse.REMAINDER,
        metavar="PROGRAM ...",
        help="file of the program, its name on the path, or -m and the name of a module; then what it is given",
    )
