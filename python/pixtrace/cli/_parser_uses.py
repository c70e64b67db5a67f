"""The words of the commands that use trace models."""

from __future__ import annotations

import argparse
from typing import Any

from pixtrace.cli._parser_options import (
    CONFIG,
    EXIT_CODES,
    FILES_HELP,
    add_output,
    add_preset,
    add_rest,
    add_threshold,
)

__all__ = ["add_uses"]

_MORE_CONFIG = """\
  source = [-0.6, 0.9]       # lowest and highest alpha of the source
  profile_errors = true
  reject_outliers = true
"""


def add_uses(commands: Any) -> None:  # noqa: ANN401 - argparse does not name its kind
    """Add `extract`, `replace` and `subtract`.

    Parameters
    ----------
    commands : argparse action
        What `add_subparsers` has returned.
    """
    extract = _command(
        commands,
        "extract",
        help="extract spectra with errors",
        description=(
            "Extract the spectrum of every slice or slit, each pixel weighted by what it says about the source, and\n"
            "combine the slices of an IFU that share its light. Writes FILE_spectra.fits and FILE_spectra.ecsv."
        ),
        config=f"{_MORE_CONFIG}  combine = true\n",
        plot=True,
    )
    _add_extraction(extract)
    extract.add_argument(
        "--combine",
        action=argparse.BooleanOptionalAction,
        help="make one spectrum of the slices that share a source (default: yes)",
    )
    _command(
        commands,
        "replace",
        help="replace bad pixels by the trace model",
        description=(
            "Replace bad pixels (NaN, DO_NOT_USE) by the trace model, with its error, and mark them FLUX_ESTIMATED.\n"
            "All else stays as it is. Writes FILE_replaced.fits."
        ),
    )
    subtract = _command(
        commands,
        "subtract",
        help="take the source off, to see what is underneath",
        description=(
            "Take the source off the exposure: within the range of --source what the profile has above its level\n"
            "beyond, or without it the whole trace model. Writes FILE_subtracted.fits."
        ),
        config=_MORE_CONFIG,
    )
    _add_extraction(subtract)


def _command(
    commands: Any,  # noqa: ANN401
    name: str,
    *,
    help: str,  # noqa: A002 - the word of argparse
    description: str,
    config: str = "",
    plot: bool = False,
) -> argparse.ArgumentParser:
    """Add a command with all that they have in common."""
    epilogue = CONFIG
    for line in ("factor = 3", "slope_limit = 0.1", "psf_optimal = false", "n_covariances = 2"):
        epilogue = epilogue.replace(f"  {line}\n", "")
    epilogue = epilogue.replace("  save_intermediate_results = false\n", f'  model = "models.fits"\n{config}')
    if not plot:
        epilogue = epilogue.replace("  plot = true\n", "")
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=description, epilog=epilogue + EXIT_CODES
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help=FILES_HELP)
    output = parser.add_argument_group("output")
    add_output(output)
    if plot:
        output.add_argument(
            "--plot", action=argparse.BooleanOptionalAction, help="draw the spectra beside them (extra: plot)"
        )
    method = parser.add_argument_group("method")
    method.add_argument(
        "--model",
        metavar="MODEL",
        help="file that `pixtrace fit` has written (default: fit the exposure, with a record of the fit)",
    )
    method.add_argument(
        "--rescale",
        action=argparse.BooleanOptionalAction,
        help="scale the model to the flux of each exposure (default: unless it is the one it was fitted to)",
    )
    add_preset(method)
    add_threshold(method)
    method.add_argument(
        "--errors",
        choices=("propagated", "jwst"),
        help="propagated: the fit keeps a record of its covariance, and errors hold those of the profile; jwst: it "
        "keeps none (default: propagated)",
    )
    add_rest(parser)
    return parser


def _add_extraction(parser: argparse.ArgumentParser) -> None:
    """Add what extraction and subtraction have in common."""
    switch = argparse.BooleanOptionalAction
    source = parser.add_argument_group("source")
    source.add_argument(
        "--source",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="where the source lies along the slice: lowest and highest alpha. The level beyond is background and is "
        "taken off (default: all that is in a slice is the source)",
    )
    source.add_argument(
        "--profile-errors",
        action=switch,
        help="add the error of the profile to that of the pixels (default: if the model has a record of its fit)",
    )
    source.add_argument(
        "--reject-outliers",
        action=switch,
        help="leave out pixels far off the profile, such as cosmic rays (default: yes)",
    )
