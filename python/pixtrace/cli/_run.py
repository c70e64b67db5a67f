"""The work of the commands on files, one file after another; one that fails stops no other."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from pixtrace.cli._exit import Exit
from pixtrace.cli._report import Report
from pixtrace.exceptions import MissingExtraError, OutputError, OutputExistsError, PixtraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pixtrace.cli._joint import JointFits
    from pixtrace.cli._options import Options
    from pixtrace.cli._terminal import Terminal
    from pixtrace.io import Exposure
    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.result import FittedImage, OversampledImage, TraceSummary

    Process = Callable[[Path, Options, Terminal, dict[Path, Path], JointFits | None], str]

__all__ = ["describe", "new_target", "run", "summarise"]

_log = logging.getLogger(__name__)


def run(arguments: Sequence[str], options: Options, terminal: Terminal, process: Process | None = None) -> Exit:
    """Process all files.

    Parameters
    ----------
    arguments : sequence of str
        Files, folders, associations.
    options : Options
        What to do with them.
    terminal : Terminal
        Where to report.
    process : callable, optional
        What to do with each file, called as ``process(path, options, terminal, written, joint)``; it adds what it
        writes, by name, to `written`, takes its models from `joint` unless that is None, and returns the line about the
        file. By default the file is oversampled.

    Returns
    -------
    Exit
        OK, or FAILED if any file failed.

    Raises
    ------
    ParameterError, MissingExtraError, OutputError
        Nothing can work with these options; nothing was done.
    KeyboardInterrupt
        Ctrl-C; how far it came has been said.
    """
    _check(options)
    terminal.take_over_astropy()
    inputs, failures = _collect(arguments)
    joint = _joint(inputs, options)
    written: dict[Path, Path] = {}
    done = 0
    try:
        for path in inputs:
            try:
                terminal.say((process or _process)(path, options, terminal, written, joint))
                done += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the other files are done
                failures.append(_failure(str(path), error))
    except (KeyboardInterrupt, SystemExit):
        _log.error("stopped: %d of %d files done; the others were left untouched", done, len(inputs))
        raise
    total = done + len(failures)
    if failures and total > 1:
        listing = "".join(f"\n  {failure}" for failure in failures)
        _log.error("%d of %d files failed:%s", len(failures), total, listing)
    return Exit.FAILED if failures else Exit.OK


def describe(error: BaseException) -> str:
    """Return what to tell the user of an error: ours speak for themselves, others are named.

    Parameters
    ----------
    error : BaseException
        What went wrong.

    Returns
    -------
    str
        One line.
    """
    if isinstance(error, PixtraceError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory; take a smaller factor"
    return f"unexpected {type(error).__name__}: {error} (run again with -vv for the traceback, and please report it)"


def _check(options: Options) -> None:
    """Refuse at once what cannot work for any file, and make the output folder."""
    if options.preset is not None or options.joint:
        from pixtrace.cli._joint import check_method
        from pixtrace.trace.params import TraceParams

        params = options.params_for(TraceParams.preset(options.preset or "robust"))
        if options.joint:
            check_method(params)
    drawing = [name for name in ("plot", "report", "report_png") if getattr(options, name)]
    if drawing:
        from importlib.util import find_spec

        if find_spec("matplotlib") is None:
            msg = (
                f"--{drawing[0].replace('_', '-')} needs matplotlib, which is not installed; install the extra: pip "
                "install 'pixtrace[plot]'"
            )
            raise MissingExtraError(msg)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cannot make the output folder {options.output}: {error.strerror or error}; choose another with -o"
        raise OutputError(msg) from error


def _collect(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the input files, each once, and the arguments that lead to none."""
    from pixtrace.io.collect import collect_inputs

    inputs: dict[Path, Path] = {}
    failures: list[str] = []
    for argument in arguments:
        try:
            for path in collect_inputs([argument], on_missing=lambda error: failures.append(_failure("", error))):
                inputs.setdefault(path.resolve(), path)
        except PixtraceError as error:
            failures.append(_failure(argument, error))
    return list(inputs.values()), failures


def _joint(inputs: Sequence[Path], options: Options) -> JointFits | None:
    """Return where the files find the fits that they share, None if each has its own."""
    if not options.joint:
        return None
    from pixtrace.cli._joint import JointFits

    return JointFits(inputs, options)


def _failure(name: str, error: Exception) -> str:
    """Report an error at once, and return the line for the list at the end."""
    reason = describe(error)
    # Our own messages often begin with the file's name; once is enough.
    line = reason if name in reason else f"{name}: {reason}"
    _log.error("%s", line, exc_info=error if _log.isEnabledFor(logging.DEBUG) else None)
    return line


def new_target(target: Path, written: dict[Path, Path], *, overwrite: bool) -> None:
    """Refuse a name for a result that cannot be written, or that another result of this run bears already.

    Parameters
    ----------
    target : Path
        The name.
    written : dict of Path to Path
        Inputs by the names of their results.
    overwrite : bool
        Whether a file that is there already may be replaced.

    Raises
    ------
    OutputExistsError, OutputError
        Another name is needed.
    """
    from pixtrace.io.atomic import check_output

    if target in written:
        msg = f"its result would be called {target}, as that of {written[target]}; use different folders (-o)"
        raise OutputExistsError(msg)
    check_output(target, overwrite=overwrite)


def _process(
    path: Path, options: Options, terminal: Terminal, written: dict[Path, Path], joint: JointFits | None
) -> str:
    """Process one file and return the line about it."""
    from pixtrace.cli._series import oversample_integrations, wants_integrations
    from pixtrace.io import open_exposure
    from pixtrace.io.atomic import check_output

    if wants_integrations(path, options):
        return oversample_integrations(path, options, terminal, written)
    started = time.perf_counter()
    shared, words = (None, "") if joint is None else joint.of(path, terminal)
    with terminal.progress(path.name) as progress, open_exposure(path, preset=options.preset) as exposure:
        target = options.output / exposure.output_name(options.factor)
        picture = target.with_suffix(".png")
        new_target(target, written, overwrite=options.overwrite)
        if options.plot:
            check_output(picture, overwrite=options.overwrite)
        report = Report(target, options)
        report.check()
        _log.info("%s: %s, %d image(s)", path, exposure.kind, len(exposure.images))
        params, fitted = _prepared(exposure, options, shared)
        results = _oversample(exposure, options, params, fitted, progress)
        _log.info("%s: computed after %.2f s", path, time.perf_counter() - started)
        files = exposure.save(
            results, target, overwrite=options.overwrite, intermediate=options.save_intermediate_results
        )
        written[target] = path
        _log.info("%s: wrote %s", path, ", ".join(map(str, files)))
        if options.plot:
            _plot(exposure, results, picture, options)
            _log.info("%s: drew %s", path, picture)
            files.append(picture)
        note = f"joint fit{words}".replace(";", ":") if words else ""
        report.write(exposure.images, results, title=exposure.name, files=files, note=note)
    return f"{path.name}: {_summary(results)}{words}, {time.perf_counter() - started:.2f} s -> {target}"


def _prepared(
    exposure: Exposure, options: Options, joint: list[FittedImage] | None
) -> tuple[TraceParams, list[FittedImage] | None]:
    """Return the parameters for an exposure, and its models if they are there already."""
    if joint is None and options.model is not None:
        from pixtrace.cli._models import prepared

        return prepared(exposure, options)
    return options.params_for(exposure.params), joint


def _oversample(
    exposure: Exposure,
    options: Options,
    params: TraceParams,
    fitted: list[FittedImage] | None,
    progress: Callable[[int, int], None] | None,
) -> list[OversampledImage]:
    """Return the result of each image of an exposure."""
    from pixtrace.io import oversample_exposure

    _log.debug("%s: %s", exposure.name, params)
    return oversample_exposure(
        exposure,
        options.factor,
        params,
        fitted=fitted,
        n_threads=options.threads,
        progress=progress,
        intermediate=options.save_intermediate_results,
    )


def _plot(exposure: Exposure, results: Sequence[OversampledImage], path: Path, options: Options) -> None:
    """Draw the image with the most fitted columns."""
    from pixtrace.plots import exposure_figure, save_figure

    index = max(range(len(results)), key=lambda i: results[i].summary.n_columns_fitted)
    image: SpectralImage = exposure.images[index]
    title = exposure.name if len(results) == 1 or not image.name else f"{exposure.name}   {image.name}"
    figure = exposure_figure(image, results[index], title=title)
    save_figure(figure, path, overwrite=options.overwrite)


def _summary(results: Sequence[OversampledImage]) -> str:
    """Return what was done, all images of a file together."""
    parts = [result.summary for result in results]
    filled = sum(part.n_pixels_filled for part in parts)
    return f"{summarise(parts)}; {filled} pixels filled{_of_errors(results)}"


def _of_errors(results: Sequence[OversampledImage]) -> str:
    """Return a warning if errors were propagated through models that have no record of a fit to this exposure."""
    has_errors = [one for one in results if one.params.errors == "propagated" and one.error is not None]
    if all(one.model.has_record for one in has_errors):
        return ""
    return " (errors leave out those of the profile: the model has no record of its fit)"


def summarise(parts: Sequence[TraceSummary]) -> str:
    """Return what was fitted, all images of a file together.

    Parameters
    ----------
    parts : sequence of TraceSummary
        What was done to each image.

    Returns
    -------
    str
        Regions, and columns fitted, reused and skipped; where none was fitted, why.
    """
    regions = sum(part.n_regions for part in parts)
    fitted = sum(part.n_regions_fitted for part in parts)
    columns = sum(part.n_columns_fitted for part in parts)
    reused = sum(part.n_columns_reused for part in parts)
    skipped = sum(part.n_columns_skipped for part in parts)
    refused = next((part.refused for part in parts if part.refused), "")
    why = f" (region {refused})" if refused and not fitted else ""
    return f"{fitted} of {regions} regions fitted{why}; {columns} columns fitted, {reused} reused, {skipped} skipped"
