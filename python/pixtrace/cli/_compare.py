"""``pixtrace compare``: a peer's own implementation and ours on the same exposure, or on the same scan."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pixtrace.cli._exit import Exit
from pixtrace.cli._run import describe
from pixtrace.exceptions import MissingExtraError, ParameterError, PixtraceError, UnsupportedVersionError
from pixtrace.io.scan.dispatch import is_raw_scan

if TYPE_CHECKING:
    import argparse

    from pixtrace.cli._terminal import Terminal

__all__ = ["compare"]

_log = logging.getLogger(__name__)
_COMMON = ("threads", "rounds", "output", "overwrite", "plot")
_OF_EXPOSURES = ("factor", "fit_threshold", "slope_limit", "psf_optimal")


def compare(arguments: argparse.Namespace, terminal: Terminal) -> Exit:
    """Compare both implementations on each file, and print what was found.

    Parameters
    ----------
    arguments : argparse.Namespace
        The command line; options that were not given are absent.
    terminal : Terminal
        Where to report.

    Returns
    -------
    Exit
        OK; FAILED if a file could not be compared; USAGE if none can, for want of the peer or with these options.
    """
    outcome = Exit.OK
    for path in arguments.files:
        try:
            terminal.take_over_astropy()
            (_compare_scan if is_raw_scan(path) else _compare_exposure)(path, vars(arguments), terminal)
        except (MissingExtraError, ParameterError, UnsupportedVersionError) as error:
            _log.error("%s", error, exc_info=error if _log.isEnabledFor(logging.DEBUG) else None)
            return Exit.USAGE
        except PixtraceError as error:
            _log.error("%s", describe(error), exc_info=error if _log.isEnabledFor(logging.DEBUG) else None)
            outcome = Exit.FAILED
    return outcome


def _compare_exposure(path: str, given: dict[str, Any], terminal: Terminal) -> None:
    """Compare jwst's step with ours."""
    from pixtrace.adapters.jwst import compare as compare_exposure

    _refuse(path, "an exposure", given, ("option",))
    options = {name: given[name] for name in (*_COMMON, *_OF_EXPOSURES) if name in given}
    if "factor" in options:
        options["oversample"] = options.pop("factor")
    compare_exposure(path, report=terminal.say, **options)


def _compare_scan(path: str, given: dict[str, Any], terminal: Terminal) -> None:
    """Compare the pixel maps of sofia_redux with ours."""
    from pixtrace.adapters.sofia import compare as compare_scan

    _refuse(path, "a raw scan", given, _OF_EXPOSURES)
    options = {name: given[name] for name in _COMMON if name in given}
    reduction: dict[str, str] = {}
    for text in given.get("option", []):
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            msg = f"-O {text}: expected NAME=VALUE, an option of sofia_redux such as -O grid=5.0"
            raise ParameterError(msg)
        reduction[name.strip()] = value.strip()
    compare_scan(path, options=reduction, report=terminal.say, **options)


def _refuse(path: str, what: str, given: dict[str, Any], names: tuple[str, ...]) -> None:
    """Complain about options that mean nothing for a file."""
    odd = [f"--{name.replace('_', '-')}" for name in names if name in given]
    if odd:
        msg = (
            f"{path} is {what}, for which {' and '.join(odd)} mean{'s' if len(odd) == 1 else ''} nothing; leave it out"
        )
        raise ParameterError(msg)
