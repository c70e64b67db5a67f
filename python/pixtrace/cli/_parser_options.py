"""Words of the command line that several commands share."""

from __future__ import annotations

import argparse

__all__ = [
    "CONFIG",
    "EXIT_CODES",
    "FILES_HELP",
    "add_factor",
    "add_joint",
    "add_method",
    "add_output",
    "add_parameters",
    "add_preset",
    "add_processing",
    "add_rest",
    "add_series",
    "add_threads",
    "add_threshold",
    "add_verbosity",
]

EXIT_CODES = """\
exit codes:
  0    every file was done
  1    one or more files failed; the others were done, and the failures are listed at the end
  2    wrong usage: unknown option, impossible value, faulty configuration file; nothing was done
  130  interrupted (Ctrl-C); files finished until then are complete, the others untouched
  143  terminated (SIGTERM); likewise
"""

FILES_HELP = (
    "files (*_cal.fits and the like, also .gz; or the plain FITS format of pixtrace), folders with such files, "
    "or associations (*_asn.json)"
)

CONFIG = """\
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


def add_factor(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the factor of oversampling.

    Parameters
    ----------
    parser : argparse.ArgumentParser or group of arguments
        Where to.
    default : str
        What the help says is the default.
    """
    parser.add_argument(
        "-f",
        "--factor",
        type=float,
        metavar="N",
        help=f"how many times finer, any number from 1 on (default: {default})",
    )


def add_joint(parser: argparse.ArgumentParser) -> None:
    """Add the switch for joint fits.

    Parameters
    ----------
    parser : argparse.ArgumentParser or group of arguments
        Where to.
    """
    parser.add_argument(
        "--joint",
        action=argparse.BooleanOptionalAction,
        help="fit exposures of the same target and setting together: one profile, with an offset for each exposure "
        "(implies --preset robust)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the number of threads.

    Parameters
    ----------
    parser : argparse.ArgumentParser or group of arguments
        Where to.
    """
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: one per core)")


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add how much is said.

    Parameters
    ----------
    parser : argparse.ArgumentParser or group of arguments
        Where to.
    """
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "-v", "--verbose", action="count", default=0, help="say what is being done (-vv: everything, with tracebacks)"
    )
    group.add_argument("-q", "--quiet", action="store_true", default=False, help="say nothing but errors")


def add_processing(parser: argparse.ArgumentParser) -> None:
    """Add what `oversample`, `trace` and `apply` have in common.

    Parameters
    ----------
    parser : argparse.ArgumentParser or group of arguments
        Where to.
    """
    switch = argparse.BooleanOptionalAction
    parser.add_argument("files", nargs="+", metavar="FILE", help=FILES_HELP)
    output = parser.add_argument_group("output")
    add_output(output)
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
    add_parameters(parser.add_argument_group("method"))
    add_rest(parser)


def add_series(series: argparse._ArgumentGroup) -> None:
    """Add what concerns time series alone.

    Parameters
    ----------
    series : argparse.ArgumentParser or group of arguments
        Where to.
    """
    switch = argparse.BooleanOptionalAction
    series.add_argument(
        "--integrations",
        action=switch,
        help="oversample all integrations with one profile for all of them, and write light curves and scales too "
        "(default: only with --preset robust; otherwise only the trace of their median can be made, with -f 1)",
    )
    series.add_argument("--shift", action=switch, help="fit a shift along the slice to each integration")


def add_output(output: argparse._ArgumentGroup) -> None:
    """Add where results go.

    Parameters
    ----------
    output : argparse.ArgumentParser or group of arguments
        Where to.
    """
    switch = argparse.BooleanOptionalAction
    output.add_argument("-o", "--output", metavar="DIR", help="folder to write to, made if need be (default: here)")
    output.add_argument("--overwrite", action=switch, help="replace files that are there already")


def add_parameters(method: argparse._ArgumentGroup) -> None:
    """Add what changes the numbers.

    Parameters
    ----------
    method : argparse.ArgumentParser or group of arguments
        Where to.
    """
    add_preset(method)
    add_method(method)
    _add_errors(method)


def add_preset(method: argparse._ArgumentGroup) -> None:
    """Add whose parameters are taken.

    Parameters
    ----------
    method : argparse.ArgumentParser or group of arguments
        Where to.
    """
    method.add_argument(
        "--preset",
        metavar="NAME",
        help="parameters of this mode instead of the file's own: miri-mrs, miri-lrs-slit, miri-lrs-slitless, "
        "nirspec-ifu, nirspec-slit, nirspec-mos (these also with -prism and -nrs2), generic; or robust: weighted "
        "fits of all slices that choose knots and windows by the data, the spline used everywhere, and propagated "
        "errors, for every mode",
    )


def add_method(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the parameters of the method that the step of jwst has too.

    Parameters
    ----------
    parser : argparse.ArgumentParser or group of arguments
        Where to.
    """
    add_threshold(parser)
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


def add_threshold(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add from which brightness on slices are fitted.

    Parameters
    ----------
    parser : argparse.ArgumentParser or group of arguments
        Where to.
    """
    parser.add_argument(
        "--fit-threshold",
        type=float,
        metavar="SIGMA",
        help="fit slices that rise this many standard deviations above the rest; 0 fits all of them (default: 10)",
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


def add_rest(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command on files has.

    Parameters
    ----------
    parser : argparse.ArgumentParser or group of arguments
        Where to.
    """
    parser.add_argument("--config", metavar="FILE", help="read options from a TOML file, see below")
    add_threads(parser)
    add_verbosity(parser)
