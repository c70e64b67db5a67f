"""``pixtrace compare``: jwst's own step and ours on the same exposure."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pixtrace.cli._exit import Exit
from pixtrace.cli._run import describe
from pixtrace.exceptions import MissingExtraError, ParameterError, PixtraceError, UnsupportedVersionError

if TYPE_CHECKING:
    import argparse

    from pixtrace.cli._terminal import Terminal

__all__ = ["compare"]

_log = logging.getLogger(__name__)
_NAMES = ("fit_threshold", "slope_limit", "psf_optimal", "threads", "rounds", "output", "overwrite", "plot")


def compare(arguments: argparse.Namespace, terminal: Terminal) -> Exit:
    """Compare both implementations on each exposure, and print what was found.

    Parameters
    ----------
    arguments : argparse.Namespace
        The command line; options that were not given are absent.
    terminal : Terminal
        Where to report.

    Returns
    -------
    Exit
        OK; FAILED if a file could not be compared; USAGE if none can, for want of jwst or with these options.
    """
    from pixtrace.adapters.jwst import compare as compare_exposure

    given = vars(arguments)
    options: dict[str, Any] = {name: given[name] for name in _NAMES if name in given}
    if "factor" in given:
        options["oversample"] = given["factor"]
    outcome = Exit.OK
    for path in arguments.files:
        try:
            terminal.take_over_astropy()
            compare_exposure(path, report=terminal.say, **options)
        except (MissingExtraError, ParameterError, UnsupportedVersionError) as error:
            _log.error("%s", error, exc_info=error if _log.isEnabledFor(logging.DEBUG) else None)
            return Exit.USAGE
        except PixtraceError as error:
            _log.error("%s", describe(error), exc_info=error if _log.isEnabledFor(logging.DEBUG) else None)
            outcome = Exit.FAILED
    return outcome
