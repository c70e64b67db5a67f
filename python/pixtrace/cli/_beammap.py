"""``pixtrace beammap``: from raw scans to a table of detector positions and gains."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixtrace.cli._exit import Exit
from pixtrace.cli._options import read_toml
from pixtrace.cli._run import describe
from pixtrace.exceptions import ConfigError, OutputError, ParameterError, PixtraceError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pixtrace.cli._terminal import Terminal
    from pixtrace.io.beammap import BeamMapJob
    from pixtrace.scan import BeamMap

__all__ = ["BeamMapOptions", "beammap", "summary"]

_log = logging.getLogger(__name__)
#: Options of the reduction that have a word of their own on the command line.
_SHORT = {"rounds": "rounds", "diameter": "source.diameter", "flux": "source.flux", "grid": "grid", "memory": "memory"}
_COMMAND = "command"


@dataclass(frozen=True, kw_only=True)
class BeamMapOptions:
    """What to do with the scans.

    Attributes
    ----------
    output : Path
        Folder to write to.
    overwrite, resume, dry_run, maps, plot : bool
        As on the command line.
    pages : tuple of int or None
        Pixels with a page of their own; None: three that tell most.
    threads : int or None
        Number of threads; None: one per core.
    reduction : dict of str to object
        Options of the reduction by their dotted names.

    Raises
    ------
    ParameterError
        A value is not possible.
    """

    output: Path = field(default_factory=Path)
    overwrite: bool = False
    resume: bool = False
    dry_run: bool = False
    maps: bool = True
    plot: bool = True
    pages: tuple[int, ...] | None = None
    threads: int | None = None
    reduction: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Check what can be checked without a file."""
        if self.threads is not None and self.threads < 1:
            msg = f"threads = {self.threads}; it must be at least 1"
            raise ParameterError(msg)

    @classmethod
    def gather(cls, arguments: argparse.Namespace) -> BeamMapOptions:
        """Return the options of a command line and of the file that it names.

        Parameters
        ----------
        arguments : argparse.Namespace
            The command line; options that were not given are absent.

        Returns
        -------
        BeamMapOptions
            Command line over file over defaults.

        Raises
        ------
        ConfigError
            The file is not TOML, or an option is unknown or of the wrong kind.
        FileReadError
            The file cannot be read.
        ParameterError
            A value is not possible.
        """
        from pixtrace.scan.configuration import Configuration

        given = vars(arguments)
        values: dict[str, Any] = {}
        options = Configuration()
        if "config" in given:
            path = Path(given["config"])
            table = read_toml(path)
            values = _own(path, table.pop(_COMMAND, {}))
            try:
                options.update_nested(table)
            except ConfigError as error:
                msg = f"{path}: {error}"
                raise ConfigError(msg) from error
        for word, name in _SHORT.items():
            if word in given:
                options[name] = given[word]
        for text in given.get("option", []):
            name, equals, value = text.partition("=")
            if not equals:
                msg = (
                    f"-O {text}: expected NAME=VALUE, such as -O source.sign=-; `pixtrace beammap --options` lists all"
                )
                raise ConfigError(msg)
            options[name.strip()] = value.strip()
        values.update({item.name: given[item.name] for item in fields(cls) if item.name in given})
        if values.get("pages") is not None:
            values["pages"] = _numbers(values["pages"])
        values["output"] = Path(values.get("output", "beammap")).expanduser()
        return cls(reduction=options.changed(), **values)


def _numbers(text: str) -> tuple[int, ...]:
    """Return the whole numbers of a list such as "392,431"."""
    try:
        return tuple(int(word) for word in text.replace(",", " ").split())
    except ValueError:
        msg = f"--pages {text}: expected fixed indices of pixels, such as 392,431"
        raise ConfigError(msg) from None


def _own(path: Path, table: object) -> dict[str, Any]:
    """Return the table ``[command]`` of a configuration file with every name and value checked."""
    kinds: dict[str, type] = {"output": str, "overwrite": bool, "maps": bool, "plot": bool, "threads": int}
    if not isinstance(table, dict):
        msg = f"{path}: {_COMMAND} = {table!r}; expected a table, [{_COMMAND}]"
        raise ConfigError(msg)
    for name, value in table.items():
        if name not in kinds:
            msg = f"{path}, [{_COMMAND}]: there is no option {name!r}; the names are {', '.join(kinds)}"
            raise ConfigError(msg)
        if type(value) is not kinds[name]:
            msg = f"{path}, [{_COMMAND}]: {name} = {value!r}; expected a value of the kind {kinds[name].__name__}"
            raise ConfigError(msg)
    return dict(table)


def beammap(files: Sequence[str], options: BeamMapOptions, terminal: Terminal) -> Exit:
    """Make a beam map of all scans together.

    Parameters
    ----------
    files : sequence of str
        Scans of one camera.
    options : BeamMapOptions
        What to do.
    terminal : Terminal
        Where to report.

    Returns
    -------
    Exit
        OK; FAILED if scans cannot be used or no pixel was measured.

    Raises
    ------
    OutputError
        Nothing can be written there; nothing was done.
    KeyboardInterrupt
        Ctrl-C; how to go on has been said.
    """
    from pixtrace.io.beammap import BeamMapJob

    terminal.take_over_astropy()
    started = time.perf_counter()
    try:
        job = BeamMapJob(files, options.reduction, options.output)
    except PixtraceError as error:
        return _failed(error)
    if options.dry_run:
        terminal.say(_plan_in_words(job, options))
        return Exit.OK
    job.prepare(overwrite=options.overwrite, resume=options.resume)
    try:
        if not options.resume:
            job.forget()
        with terminal.stages() as progress:
            found = job.run(resume=options.resume, progress=progress, n_threads=options.threads)
            written = _write(job, found, options, progress)
    except (KeyboardInterrupt, SystemExit):
        _say_how_to_go_on(job)
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said in a line and not in a traceback
        outcome = _failed(error)
        if isinstance(error, OutputError):
            _say_how_to_go_on(job)
        return outcome
    for path in written:
        _log.info("wrote %s", path)
    shown = job.path("report.html" if options.plot else "ecsv")
    terminal.say(f"{summary(found)}, {time.perf_counter() - started:.1f} s -> {shown}")
    if found.problem:
        _log.error("%s", found.problem)
        return Exit.FAILED
    return Exit.OK


def _write(job: BeamMapJob, found: BeamMap, options: BeamMapOptions, progress: Any) -> list[Path]:  # noqa: ANN401
    """Write all products."""
    if progress is not None:
        progress("writing", 0, 1)
    written = job.write(found, maps=options.maps)
    if options.plot:
        from pixtrace.cli._beammap_pictures import draw

        if progress is not None:
            progress("drawing", 0, 1)
        written += draw(job, found, written, options.pages)
        if progress is not None:
            progress("drawing", 1, 1)
    if progress is not None:
        progress("writing", 1, 1)
    return written


def _say_how_to_go_on(job: BeamMapJob) -> None:
    """Tell whoever was stopped, if there is anything to go on from."""
    if job.path("checkpoint.json").exists():
        _log.error("stopped; with `--resume` the same command goes on after the last complete round")


def _failed(error: Exception) -> Exit:
    """Say what went wrong."""
    _log.error("%s", describe(error), exc_info=error if _log.isEnabledFor(logging.DEBUG) else None)
    return Exit.FAILED


def summary(found: BeamMap) -> str:
    """Return in a line what was measured.

    Parameters
    ----------
    found : BeamMap
        The result.

    Returns
    -------
    str
        Numbers a person asks first.
    """
    import numpy as np

    table, good = found.table, found.is_good
    head = f"{found.n_good} of {table.n_pixels} pixels measured"
    if not found.n_good:
        return head
    error = float(np.median(np.hypot(table.x_error[good], table.y_error[good])))
    width = float(np.median(table.extra["beam_fwhm"].values[good]))
    spread = float(np.std(table.coupling[good]))
    settled = "settled" if found.is_settled else "NOT settled"
    return (
        f"{head}, positions to {error:.3g} arcsec, beam {width:.2f} arcsec, gains scatter by {spread:.1%}, {settled} "
        f"after {len(found.records)} rounds"
    )


def _plan_in_words(job: BeamMapJob, options: BeamMapOptions) -> str:
    """Return what would be done."""
    plan = job.plan()
    lines = [*plan.scans]
    lines.append(f"maps       {plan.n_maps} of {plan.shape[1]} x {plan.shape[0]} cells of {plan.cell:.3g} arcsec")
    lines.append(f"rounds     at most {plan.rounds}")
    lines.append(f"memory     at most {plan.memory / 2**20:.0f} MiB")
    if plan.windows > len(plan.scans):
        room = f"{plan.scratch / 2**20:.0f} MiB on the disk of the output folder while it runs"
        lines.append(f"windows    {plan.windows}, so that signals fit into memory; {room}")
    files = [path for path in plan.files if options.maps or not path.name.endswith(".maps.fits")]
    files.append(job.path("checkpoint.json"))
    if options.plot:
        from pixtrace.cli._beammap_pictures import PICTURES

        files += [job.path(suffix) for suffix in (*PICTURES, "pixel.N.png", "report.html")]
    for k, path in enumerate(files):
        there = "   (is there already)" if path.exists() else ""
        lines.append(f"{'files' if k == 0 else '':<10} {path}{there}")
    return "\n".join(lines)
