"""The work of ``pixtrace extract``, ``pixtrace replace`` and ``pixtrace subtract``: what trace models are good for."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pixtrace.cli._options import KINDS, Options
from pixtrace.cli._run import new_target
from pixtrace.exceptions import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pixtrace.cli._run import Process
    from pixtrace.cli._terminal import Terminal
    from pixtrace.io import Exposure
    from pixtrace.trace.extract import Extraction
    from pixtrace.trace.result import FittedImage

__all__ = ["UseOptions", "process_for"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class UseOptions(Options):
    """What to do with each file.

    Attributes
    ----------
    source : sequence of float or None
        Lowest and highest alpha of the source.
    profile_errors : bool or None
        Whether errors hold those of the profile; None: if the model knows them.
    reject_outliers : bool
        Whether outliers are left out.
    combine : bool
        Whether slices that share a source are combined.
    """

    kinds: ClassVar[Mapping[str, tuple[type, ...]]] = {
        **KINDS,
        "source": (list,),
        "profile_errors": (bool,),
        "reject_outliers": (bool,),
        "combine": (bool,),
        "model": (str,),
    }

    source: Sequence[float] | None = None
    profile_errors: bool | None = None
    reject_outliers: bool = True
    combine: bool = True

    def __post_init__(self) -> None:
        """Check what can be checked without a file."""
        super().__post_init__()
        if self.source is not None:
            is_range = len(self.source) == 2 and all(_is_number(end) for end in self.source)  # noqa: PLR2004 - two ends
            if not (is_range and self.source[0] < self.source[1]):
                msg = f"source = {list(self.source)}; it must be two numbers: its lowest and its highest alpha"
                raise ParameterError(msg)

    @property
    def range(self) -> tuple[float, float] | None:
        """The source as the library takes it."""
        return None if self.source is None else (float(self.source[0]), float(self.source[1]))


def process_for(command: str) -> Process:
    """Return what does the work of a command on one file, for `pixtrace.cli._run.run`.

    Parameters
    ----------
    command : {"extract", "replace", "subtract"}
        The command.

    Returns
    -------
    callable
        Returns the line about the file.
    """
    work = {"extract": _extract_one, "replace": _replace_one, "subtract": _subtract_one}[command]
    # Each file is fitted by itself here, if it is.
    return lambda path, options, terminal, written, _: work(path, options, terminal, written)


def _extract_one(path: Path, options: Options, terminal: Terminal, written: dict[Path, Path]) -> str:
    """Extract the spectra of one file."""
    from pixtrace.io import extract_exposure, write_spectra

    def work(exposure: Exposure, fitted: list[FittedImage], targets: list[Path], chosen: UseOptions) -> str:
        extractions = extract_exposure(
            exposure,
            fitted,
            source=chosen.range,
            profile_errors=chosen.profile_errors,
            reject_outliers=chosen.reject_outliers,
            groups=None if chosen.combine else {},
            n_threads=chosen.threads,
        )
        for target in targets[:2]:
            write_spectra(target, extractions, source=path.name, overwrite=chosen.overwrite)
        if chosen.plot:
            from pixtrace.plots import save_figure
            from pixtrace.plots_spectra import spectra_figure

            save_figure(spectra_figure(extractions, title=path.name), targets[2], overwrite=chosen.overwrite)
        return _of_spectra(extractions)

    suffixes = ["_spectra.fits", "_spectra.ecsv", *(["_spectra.png"] if options.plot else [])]
    return _one(path, options, terminal, written, suffixes, work)


def _replace_one(path: Path, options: Options, terminal: Terminal, written: dict[Path, Path]) -> str:
    """Replace the bad pixels of one file."""
    from pixtrace.io import replace_exposure

    def work(exposure: Exposure, fitted: list[FittedImage], targets: list[Path], chosen: UseOptions) -> str:
        changed = replace_exposure(exposure, fitted, n_threads=chosen.threads)
        exposure.save_changed(
            changed, targets[0], history=_history("bad pixels replaced by the trace model"), overwrite=chosen.overwrite
        )
        n_changed, n_left = sum(one.n_changed for one in changed), sum(one.n_left for one in changed)
        errors = _errors(is_known=all(one.has_record for one in changed), what="the model's errors are of its scale")
        return f"{n_changed} bad pixels replaced, {n_left} left without a model{errors}"

    return _one(path, options, terminal, written, ["_replaced.fits"], work)


def _subtract_one(path: Path, options: Options, terminal: Terminal, written: dict[Path, Path]) -> str:
    """Take the source off one file."""
    from pixtrace.io import subtract_exposure

    def work(exposure: Exposure, fitted: list[FittedImage], targets: list[Path], chosen: UseOptions) -> str:
        changed = subtract_exposure(
            exposure,
            fitted,
            source=chosen.range,
            profile_errors=chosen.profile_errors,
            reject_outliers=chosen.reject_outliers,
            n_threads=chosen.threads,
        )
        what = "trace model subtracted" if chosen.range is None else "source subtracted within alpha {:g} to {:g}"
        history = _history(what.format(*(chosen.range or ())))
        exposure.save_changed(changed, targets[0], history=history, overwrite=chosen.overwrite)
        errors = _errors(is_known=all(one.has_record for one in changed), what="errors leave out those of the profile")
        return f"subtracted from {sum(one.n_changed for one in changed)} pixels{errors}"

    return _one(path, options, terminal, written, ["_subtracted.fits"], work)


def _one(
    path: Path,
    options: Options,
    terminal: Terminal,
    written: dict[Path, Path],
    suffixes: Sequence[str],
    work: Callable[[Exposure, list[FittedImage], list[Path], UseOptions], str],
) -> str:
    """Open a file, get its models, do the work, and return the line about it."""
    from pixtrace.io import open_exposure

    assert isinstance(options, UseOptions)  # noqa: S101 - these commands gather no other
    started = time.perf_counter()
    stem = path.name.removesuffix(".gz").removesuffix(".fits")
    targets = [options.output / f"{stem}{suffix}" for suffix in suffixes]
    with terminal.progress(path.name) as progress, open_exposure(path, preset=options.preset) as exposure:
        for target in targets:
            new_target(target, written, overwrite=options.overwrite)
        fitted = _models(exposure, options, progress)
        _log.info("%s: models after %.2f s", path, time.perf_counter() - started)
        why = _why_none(exposure, fitted, options)
        if why:
            _log.warning("%s: no region has a trace%s", path.name, why)
        done = work(exposure, fitted, targets, options)
        written.update(dict.fromkeys(targets, path))
    return f"{path.name}: {done}, {time.perf_counter() - started:.2f} s -> {targets[0]}"


def _models(exposure: Exposure, options: UseOptions, progress: Any) -> list[FittedImage]:  # noqa: ANN401 - a function
    """Return the models of an exposure: those of a file, or fitted now."""
    from pixtrace.io import fit_for_use

    if options.model is not None:
        from pixtrace.cli._models import prepared

        return prepared(exposure, options)[1]
    params = options.params_for(exposure.params)
    if options.errors is None:
        params = params.replace(errors="propagated")
    _log.debug("%s: %s", exposure.name, params)
    return fit_for_use(exposure, params, n_threads=options.threads, progress=progress)


def _why_none(exposure: Exposure, fitted: Sequence[FittedImage], options: UseOptions) -> str:
    """Return why no region has a trace, in brackets; "" where one has."""
    from pixtrace.trace.result import summarise

    params = options.params_for(exposure.params)
    pairs = zip(exposure.images, fitted, strict=True)
    counts = [summarise(image, model, 0, 0.0, params=params) for image, model in pairs]
    if any(count.n_regions_fitted for count in counts):
        return ""
    return next((f" (region {count.refused})" for count in counts if count.refused), " (there is none)")


def _of_spectra(extractions: Sequence[Extraction]) -> str:
    """Return what was extracted."""
    spectra = [spectrum for one in extractions for spectrum in one.spectra.values()]
    combined = [spectrum for one in extractions for spectrum in one.combined.values()]
    rejected = sum(int(np.sum(spectrum.n_rejected)) for spectrum in spectra if spectrum.n_rejected is not None)
    parts = [f"{len(spectra)} spectra"]
    for spectrum in combined:
        known = np.isfinite(spectrum.flux)
        snr = np.median(spectrum.flux[known] / spectrum.error[known]) if known.any() else np.nan
        parts.append(f"{spectrum.name} from {len(spectrum.regions)} slices with a signal to noise of {snr:.3g}")
    parts.append(f"{rejected} outliers left out")
    is_known = all(one.profile_errors for one in extractions)
    return "; ".join(parts) + _errors(is_known=is_known, what="errors leave out those of the profile")


def _errors(*, is_known: bool, what: str) -> str:
    """Return a warning if the models have no record of their fits."""
    return "" if is_known else f" ({what}: the model has no record of its fit)"


def _history(what: str) -> str:
    """Return the line for the header."""
    from pixtrace import __version__

    return f"pixtrace {__version__}: {what}"


def _is_number(value: object) -> bool:
    """Whether a value is a finite number, and not a truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))
