"""The files of ``--joint``: which belong together, and the fit that they share."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pixtrace.exceptions import ParameterError, PixtraceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pixtrace.cli._options import Options
    from pixtrace.cli._terminal import Terminal
    from pixtrace.trace.dithers import DitherFit
    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.result import FittedImage

__all__ = ["JointFits", "check_method"]

_log = logging.getLogger(__name__)


def check_method(params: TraceParams) -> None:
    """Refuse parameters that exposures cannot be fitted together with.

    Parameters
    ----------
    params : TraceParams
        Those asked for.

    Raises
    ------
    ParameterError
        The method is not "robust".
    """
    if params.method != "robust":
        msg = "--joint fits with weights, as the preset robust does; leave --preset out, or take --preset robust"
        raise ParameterError(msg)


class JointFits:
    """The joint fits of the files of a run, made when the first file of a set is asked for.

    Parameters
    ----------
    paths : sequence of Path
        All files of the run.
    options : Options
        What the user wants.
    """

    def __init__(self, paths: Sequence[Path], options: Options) -> None:
        self._paths = list(paths)
        self._options = options
        self._sets: list[list[Path]] | None = None
        self._found: dict[Path, list[DitherFit] | PixtraceError] = {}

    def of(self, path: Path, terminal: Terminal) -> tuple[list[FittedImage], str]:
        """Return the models of a file, and what to say about its offsets.

        Parameters
        ----------
        path : Path
            One of the files.
        terminal : Terminal
            Where to show progress.

        Returns
        -------
        fitted : list of FittedImage
            One for each image of the file.
        words : str
            Such as "; 3 exposures, offset +0.049 (0.0002)".

        Raises
        ------
        PixtraceError
            The set of the file could not be fitted: the same error for each of its files.
        """
        members = self._members(path)
        if path not in self._found:
            self._fit(members, terminal)
        found = self._found[path]
        if isinstance(found, PixtraceError):
            raise found
        number = members.index(path)
        return [fit.fitted[number] for fit in found], _words(found, number)

    def _members(self, path: Path) -> list[Path]:
        """Return the files that a file is fitted with, itself among them."""
        if self._sets is None:
            from pixtrace.io.joint import matching

            readable = [path for path in self._paths if _is_readable(path)]
            self._sets = matching(readable)
        return next((members for members in self._sets if path in members), [path])

    def _fit(self, members: list[Path], terminal: Terminal) -> None:
        """Fit a set of files; an error is kept for each of them."""
        from pixtrace.io import open_exposure
        from pixtrace.io.joint import fit_exposures

        if len(members) == 1:
            _log.warning("%s: no other file has its target and setting; it is fitted alone", members[0])
        found: list[DitherFit] | PixtraceError
        try:
            with ExitStack() as stack:
                label = members[0].name if len(members) == 1 else f"{len(members)} exposures"
                progress = stack.enter_context(terminal.progress(label))
                exposures = [stack.enter_context(open_exposure(member)) for member in members]
                found = fit_exposures(
                    exposures,
                    self._options.params_for(exposures[0].params),
                    n_threads=self._options.threads,
                    progress=progress,
                )
        except PixtraceError as error:
            found = error
        self._found.update(dict.fromkeys(members, found))


def _is_readable(path: Path) -> bool:
    """Whether there is something to be said about a file; what is wrong with it is said when its turn comes."""
    from pixtrace.io import inspect

    try:
        inspect(path)
    except PixtraceError:
        return False
    return True


def _words(fits: list[DitherFit], number: int) -> str:
    """Return what to say about the offsets of an exposure."""
    n_exposures = len(fits[0].fitted)
    if n_exposures == 1:
        return "; 1 exposure"
    groups = [group for fit in fits for group in fit.groups]
    n_sharing = [sum(any(number in members for members in sets) for sets in group.shared.values()) for group in groups]
    sharing = [group for group, n in zip(groups, n_sharing, strict=True) if n]
    if not sharing:
        return f"; {n_exposures} exposures, offset unknown: it shares no profile"
    words = f"; {n_exposures} exposures, offset "
    words += ", ".join(f"{group.offsets[number]:+.4g} ({group.errors[number]:.1g})" for group in sharing)
    if any(group.slices[number] for group in sharing):
        words += f", moved across by {', '.join(f'{group.slices[number]:+d}' for group in sharing)} slices"
    n_regions = sum(len(fit.models[number]) for fit in fits)
    if sum(n_sharing) < n_regions:
        words += f", shares {sum(n_sharing)} of {n_regions} profiles"
    return words
