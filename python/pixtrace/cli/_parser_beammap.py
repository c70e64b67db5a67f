"""The words of ``pixtrace beammap``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pixtrace.cli._parser_options import add_threads, add_verbosity

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["add_beammap"]

_EXIT_CODES = """\
exit codes:
  0    pixels were measured
  1    the scans cannot be used, or no source was found in them
  2    wrong usage: unknown option, impossible value, faulty configuration file, a folder that cannot be written
  130  interrupted (Ctrl-C); nothing is half-written, and --resume goes on after the last complete round
  143  terminated (SIGTERM); likewise
"""

_CONFIG = """\
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


def add_beammap(commands: Any) -> None:  # noqa: ANN401 - argparse does not name its kind
    """Add `beammap`.

    Parameters
    ----------
    commands : argparse action
        What `add_subparsers` has returned.
    """
    switch = argparse.BooleanOptionalAction
    beammap = commands.add_parser(
        "beammap",
        help="positions and gains of detector pixels from scans of a star or planet",
        description=(
            "Make a map of the source for every detector pixel, and from where and how high it stands there\n"
            "positions and gains: .rcp, ECSV with errors and flags, and all maps as FITS."
        ),
        epilog=_CONFIG + _EXIT_CODES,
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
    add_threads(beammap)
    add_verbosity(beammap)
