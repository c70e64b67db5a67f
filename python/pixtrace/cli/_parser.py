"""The words of the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["build_parser"]

_EXIT_CODES = """\
exit codes:
  0    every file was done
  1    one or more files failed; the others were done, and the failures are listed at the end
  2    wrong usage: unknown option, impossible value, faulty configuration file; nothing was done
  130  interrupted (Ctrl-C); files finished until then are complete, the others untouched
  143  terminated (SIGTERM); likewise
"""

_BEAMMAP_EXIT_CODES = """\
exit codes:
  0    pixels were measured
  1    the scans cannot be used, or no source was found in them
  2    wrong usage: unknown option, impossible value, faulty configuration file, a folder that cannot be written
  130  interrupted (Ctrl-C); nothing is half-written, and --resume goes on after the last complete round
  143  terminated (SIGTERM); likewise
"""

_FILES_HELP = (
    "files (*_cal.fits and the like, also .gz; or the plain FITS format of pixtrace), folders with such files, "
    "or associations (*_asn.json)"
)

_CONFIG = """\
configuration file (TOML; what is given on the command line wins):
  factor = 3
  output = "oversampled"
  preset = "miri-mrs"
  fit_threshold = 10
  slope_limit = 0.1
  psf_optimal = false
  errors = "propagated"
  n_covariances = 2
  save_intermediate_results = false
  threads = 4
  overwrite = true
  plot = true

  [parameters]       # numbers of the preset to change, see pixtrace.trace.params.TraceParams
  lrange = 50
  spline_bkpt = 36

"""


_BEAMMAP_CONFIG = """\
configuration file (TOML; what is given on the command line wins): options of the reduction by their dotted
names, as `--options` lists them, and a table for the command:
  grid = 2.0
  rounds = { value = 20, position = 0.02 }

  [source]
  diameter = 3.6     # of a planet's disc [arcsec]
  sign = "+"

  [command]
  output = "beammap"
  threads = 4
  overwrite = true
  maps = false
  plot = true

"""


class _ShowOptions(argparse.Action):
    """Print the options of a reduction with their defaults; looked up only when asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from pixtrace.scan.options import OPTIONS

        for option in OPTIONS.values():
            default = {None: "-", True: "true", False: "false"}.get(option.default, option.default)  # type: ignore[arg-type]
            choices = f" ({', '.join(option.choices)})" if option.choices else ""
            print(f"{option.name:<26} {default!s:<12} {option.meaning}{choices}")
        parser.exit()


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
    from pixtrace.cli._parser_uses import add_uses

    parser = _Parser(
        prog="pixtrace",
        description=(
            "Spectral traces of undersampled slit and integral-field spectrographs; beam maps of scanning cameras."
        ),
        epilog=f"{_EXIT_CODES}\nTry it without data of your own:  pixtrace demo oversample, pixtrace demo beammap",
    )
    parser.add_argument("--version", action=_ShowVersion, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)

    oversample = commands.add_parser(
        "oversample",
        help="fit the traces and put the flux on a finer grid",
        description="Fit the trace of every slice or slit and put the flux on a grid N times finer along the slice.",
        epilog=_CONFIG + _EXIT_CODES,
    )
    _add_factor(oversample, "2")
    _add_joint(oversample)
    _add_processing(oversample)
    _add_series(oversample.add_argument_group("time series"))

    trace = commands.add_parser(
        "trace",
        help="fit the traces and write the trace image, without oversampling",
        description="Fit the trace of every slice or slit and write the exposure with its trace image (factor 1).",
        epilog=_CONFIG.replace("  factor = 3\n", "") + _EXIT_CODES,
    )
    _add_joint(trace)
    _add_processing(trace)

    _add_models(commands)
    add_uses(commands)
    _add_beammap(commands)

    inspect = commands.add_parser(
        "inspect",
        help="say what is in a file",
        description="Say what a file holds, which parameters it would be given, and whether it can be oversampled.",
        epilog=_EXIT_CODES,
    )
    inspect.add_argument("files", nargs="+", metavar="FILE", help=_FILES_HELP)
    inspect.add_argument("--json", action="store_true", help="one JSON object per file and line, for scripts")
    _add_verbosity(inspect)

    _add_compare(commands)
    _add_with(commands)

    demo = commands.add_parser(
        "demo",
        help="show on simulated data what it is good for",
        description="Run a command on simulated data and show what it is good for.",
        epilog=_EXIT_CODES,
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
        epilog=_EXIT_CODES,
    )
    _add_factor(star, "3")
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
        epilog=_EXIT_CODES,
    )
    _add_demo_output(beams)
    return parser


def _add_demo_output(demo: argparse.ArgumentParser) -> None:
    """Add what all demonstrations have in common."""
    demo.add_argument("-o", "--output", metavar="DIR", default="pixtrace-demo", help="folder (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the noise (default: %(default)s)")
    _add_threads(demo)
    _add_verbosity(demo)


def _add_beammap(commands: Any) -> None:  # noqa: ANN401 - argparse does not name its kind
    """Add `beammap`."""
    switch = argparse.BooleanOptionalAction
    beammap = commands.add_parser(
        "beammap",
        help="positions and gains of detector pixels from scans of a star or planet",
        description=(
            "Make a map of the source for every detector pixel, and from where and how high it stands there\n"
            "positions and gains: .rcp, ECSV with errors and flags, and all maps as FITS."
        ),
        epilog=_BEAMMAP_CONFIG + _BEAMMAP_EXIT_CODES,
    )
    beammap.add_argument(
        "files",
        nargs="+",
        metavar="SCAN",
        help="scans of one camera: raw HAWC+ FITS, the neutral form (FITS, HDF5, ECSV), FITS tables of single samples; "
        "several are combined",
    )
    output = beammap.add_argument_group("output")
    output.add_argument("-o", "--output", metavar="DIR", help="folder, made if need be (default: beammap)")
    output.add_argument("--overwrite", action=switch, help="replace products that are there already")
    output.add_argument("--resume", action="store_true", help="go on from the checkpoint of a run that was interrupted")
    output.add_argument("--maps", action=switch, help="write all maps as FITS (default: yes)")
    output.add_argument("--plot", action=switch, help="draw pictures and write a report in HTML (default: yes)")
    output.add_argument(
        "--pages", metavar="N,N", help="pixels (fixed indices) with a page of their own (default: three that tell most)"
    )
    output.add_argument("--dry-run", action="store_true", help="say what would be done and what memory it takes")
    method = beammap.add_argument_group("method")
    method.add_argument(
        "--rounds", type=int, metavar="N", help="most rounds of cleaning, mapping, fitting (default: 12)"
    )
    method.add_argument(
        "--diameter", type=float, metavar="ARCSEC", help="diameter of a planet's disc, which is taken out of the beam"
    )
    method.add_argument("--flux", type=float, metavar="JY", help="flux of the source, for sensitivities in Jy s^0.5")
    method.add_argument("--grid", metavar="ARCSEC", help="size of a map cell (default: a fifth of the beam)")
    method.add_argument(
        "--memory",
        type=float,
        metavar="GB",
        help="most memory that it takes; larger scans are cleaned window by window (default: half of the machine's)",
    )
    method.add_argument(
        "-O", "--option", action="append", metavar="NAME=VALUE", help="any option of the reduction, as often as need be"
    )
    method.add_argument("--options", action=_ShowOptions, help="list all options of the reduction and exit")
    beammap.add_argument("--config", metavar="FILE", help="read options from a TOML file, see below")
    _add_threads(beammap)
    _add_verbosity(beammap)


def _add_models(commands: argparse._SubParsersAction[_Parser]) -> None:
    """Add the commands that keep trace models in files."""
    fit = commands.add_parser(
        "fit",
        help="fit the traces and keep the models",
        description="Fit the trace of every slice or slit and write the models, for `pixtrace apply`.",
        epilog=_CONFIG.replace("  factor = 3\n", "").replace("  plot = true\n", '  format = "fits"\n') + _EXIT_CODES,
    )
    _add_joint(fit)
    fit.add_argument("files", nargs="+", metavar="FILE", help=_FILES_HELP)
    output = fit.add_argument_group("output")
    _add_output(output)
    output.add_argument(
        "--format",
        choices=("fits", "asdf"),
        help="kind of file: tables in FITS, or ASDF (extra: asdf) (default: fits)",
    )
    _add_parameters(fit.add_argument_group("method"))
    _add_rest(fit)

    apply = commands.add_parser(
        "apply",
        help="put the flux on a finer grid with models that are there already",
        description=(
            "Put the flux on a grid N times finer with models that `pixtrace fit` has kept. On the exposure that they\n"
            "were fitted to the result is that of `pixtrace oversample`; on others of the same source at the same\n"
            "place in the slices, the models are scaled to their flux."
        ),
        epilog=_CONFIG + _EXIT_CODES,
    )
    apply.add_argument("model", metavar="MODEL", help="file that `pixtrace fit` has written")
    _add_factor(apply, "2")
    switch = argparse.BooleanOptionalAction
    apply.add_argument(
        "--rescale",
        action=switch,
        help="scale the models to the flux of each exposure (default: unless it is the one they were fitted to)",
    )
    _add_processing(apply)


class _Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations, says nothing of what was not given, and keeps the lines of the epilogue."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("argument_default", argparse.SUPPRESS)
        super().__init__(allow_abbrev=False, **options)


def _add_factor(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "-f",
        "--factor",
        type=float,
        metavar="N",
        help=f"how many times finer, any number from 1 on (default: {default})",
    )


def _add_joint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--joint",
        action=argparse.BooleanOptionalAction,
        help="fit exposures of the same target and setting together: one profile, with an offset for each exposure "
        "(implies --preset robust)",
    )


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
        epilog=_EXIT_CODES,
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
    _add_factor(exposures, "2")
    _add_method(exposures)
    scans = compare.add_argument_group("scans")
    scans.add_argument(
        "-O", "--option", action="append", metavar="NAME=VALUE", help="any option of sofia_redux, as often as need be"
    )
    _add_verbosity(compare)


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


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: one per core)")


def _add_verbosity(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "-v", "--verbose", action="count", default=0, help="say what is being done (-vv: everything, with tracebacks)"
    )
    group.add_argument("-q", "--quiet", action="store_true", default=False, help="say nothing but errors")


def _add_processing(parser: argparse.ArgumentParser) -> None:
    """Add what `oversample` and `trace` have in common."""
    switch = argparse.BooleanOptionalAction
    parser.add_argument("files", nargs="+", metavar="FILE", help=_FILES_HELP)
    output = parser.add_argument_group("output")
    _add_output(output)
    output.add_argument("--plot", action=switch, help="write a picture beside each result (extra: plot)")
    output.add_argument(
        "--report", action=switch, help="write beside each result how good it is, in one HTML file (extra: plot)"
    )
    output.add_argument("--report-png", action=switch, help="the same, and its pictures as PNG files too")
    output.add_argument(
        "--save-intermediate-results",
        action=switch,
        help="write the full trace, the linearly interpolated flux and the residual too",
    )
    _add_parameters(parser.add_argument_group("method"))
    _add_rest(parser)


def _add_series(series: argparse._ArgumentGroup) -> None:
    """Add what concerns time series alone."""
    switch = argparse.BooleanOptionalAction
    series.add_argument(
        "--integrations",
        action=switch,
        help="oversample all integrations with one profile for all of them, and write light curves and scales too "
        "(default: only with --preset robust; otherwise only the trace of their median can be made, with -f 1)",
    )
    series.add_argument("--shift", action=switch, help="fit a shift along the slice to each integration")


def _add_output(output: argparse._ArgumentGroup) -> None:
    """Add where results go."""
    switch = argparse.BooleanOptionalAction
    output.add_argument("-o", "--output", metavar="DIR", help="folder to write to, made if need be (default: here)")
    output.add_argument("--overwrite", action=switch, help="replace files that are there already")


def _add_parameters(method: argparse._ArgumentGroup) -> None:
    """Add what changes the numbers."""
    method.add_argument(
        "--preset",
        metavar="NAME",
        help="parameters of this mode instead of the file's own: miri-mrs, miri-lrs-slit, miri-lrs-slitless, "
        "nirspec-ifu, nirspec-slit, nirspec-mos (these also with -prism and -nrs2), generic; or robust: weighted "
        "fits that choose knots and windows by the data, and propagated errors, for every mode",
    )
    _add_method(method)
    _add_errors(method)


def _add_method(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the parameters of the method that the step of jwst has too."""
    parser.add_argument(
        "--fit-threshold",
        type=float,
        metavar="SIGMA",
        help="fit slices that rise this many standard deviations above the rest; 0 fits all of them (default: 10)",
    )
    parser.add_argument(
        "--slope-limit",
        type=float,
        metavar="SLOPE",
        help="normalised slope from which a source counts as compact and the spline is used; 0 uses it everywhere "
        "(default: 0.1)",
    )
    parser.add_argument(
        "--psf-optimal",
        action=argparse.BooleanOptionalAction,
        help="for isolated point sources: the spline alone, in every slice, without residuals",
    )


def _add_errors(method: argparse._ArgumentGroup) -> None:
    """Add what is done about errors."""
    method.add_argument(
        "--errors",
        choices=("propagated", "jwst"),
        help="propagate the variances of the pixels through fit and oversampling, or interpolate the errors and "
        "multiply them by an empirical factor, as jwst does (default: jwst; with --preset robust: propagated)",
    )
    method.add_argument(
        "--covariances",
        type=int,
        metavar="N",
        dest="n_covariances",
        help="with propagated errors, write the covariance of each pixel with the next 1 ... N along the column too",
    )


def _add_rest(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command on files has."""
    parser.add_argument("--config", metavar="FILE", help="read options from a TOML file, see below")
    _add_threads(parser)
    _add_verbosity(parser)
