"""Both implementations of pixel maps on one scan, measured."""

from __future__ import annotations

import gzip
import logging
import shutil
import statistics
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from pixtrace import __version__
from pixtrace.adapters import _comparison
from pixtrace.adapters._comparison import Gap, Timing, gap, targets
from pixtrace.adapters._switch import in_place
from pixtrace.adapters.sofia._operations import STEPS, Scan
from pixtrace.adapters.sofia._peer import check, peer_module, places, version
from pixtrace.adapters.sofia._switch import original_of
from pixtrace.exceptions import FileReadError, ParameterError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Mapping

    from pixtrace.adapters.sofia._operations import Outcome

__all__ = ["Comparison", "Difference", "compare"]

#: What the reduction is told unless the caller says otherwise: one process, maps that are not processed between adding
#: and fitting, and the one of its methods that needs no cells without holes.
_OPTIONS: Final = {
    "beammap": "True",
    "parallel.source": "False",
    "parallel.cores": "1",
    "parallel.jobs": "1",
    "write.png": "False",
    "blacklist": "vclip",
    "pixelmap.process": "False",
    "pointing.method": "peak",
    "pointing.reduce_degrees": "True",
}
_GZIP: Final = b"\x1f\x8b"
_GAUSSIAN: Final = "fit, gaussian"


@dataclass(frozen=True)
class Difference:
    """How far two arrays are apart for one pixel.

    Attributes
    ----------
    step : str
        What was done: "add", "merge", "process", "sync" or "fit"; or "sync as it is", in which sofia_redux takes the
        cells of other frames.
    name : str
        Name of the array: planes of the map, signal and flags of the samples, or position and coupling.
    pixel : int
        Fixed index; -1 for all pixels.
    n_values : int
        Values in the array.
    n_differing : int
        Values that are not the same, bit for bit.
    n_missing : int
        Values that are NaN in one of the two alone: pixels that one has not measured.
    largest : float
        Largest difference [unit of the array; positions in arcsec]; of flags 0 or NaN.
    relative : float
        Largest difference relative to the value or, where that is larger, to the median magnitude of the array; of
        flags the share of values that differ.
    """

    step: str
    name: str
    pixel: int
    n_values: int
    n_differing: int
    n_missing: int
    largest: float
    relative: float

    @property
    def label(self) -> str:
        """Step and array."""
        return f"{self.step}: {self.name}"

    @property
    def place(self) -> int | None:
        """The pixel; None for all."""
        return None if self.pixel < 0 else self.pixel

    @property
    def gap(self) -> Gap:
        """The numbers."""
        return Gap(self.n_values, self.n_differing, self.n_missing, self.largest, self.relative)


class Comparison(_comparison.Comparison):
    """What `compare` found; printed, it is a report.

    Attributes
    ----------
    path : Path
        The scan.
    parameters : mapping of str to object
        Numbers of maps and frames, and the options of the reduction that were set.
    versions : mapping of str to str
        Of sofia_redux and pixtrace.
    threads : int
        Number of threads that pixtrace used.
    differences : sequence of Difference
        By step, array and pixel; pixel -1 stands for all.
    times : sequence of Timing
        Step by step, then all together; last what sofia_redux does not have.
    """

    kind: ClassVar[str] = "scan"
    place: ClassVar[str] = "pixel"
    everywhere: ClassVar[str] = "over all pixels"


def compare(
    path: str | os.PathLike[str],
    *,
    options: Mapping[str, str] | None = None,
    instrument: str = "hawc_plus",
    threads: int = 1,
    rounds: int = 1,
    output: str | os.PathLike[str] | None = ".",
    plot: bool = True,
    overwrite: bool = False,
    report: Callable[[str], object] | None = print,
) -> Comparison:
    """Run the operations of pixel maps on a scan, by sofia_redux alone and by pixtrace, and compare.

    sofia_redux reads the scan. Then samples are added to the maps of all pixels, as many maps are merged into them,
    sums are turned into means, the source is subtracted from the timestreams (all gains one), and positions and
    couplings are measured: each by sofia_redux's `PixelMap` and by ours, from the same samples. Everything is run once
    before it is timed, for sofia_redux compiles its functions when they are first called.

    Parameters
    ----------
    path : path-like
        A raw scan, plain or packed with gzip.
    options : mapping of str to str, optional
        Options of the reduction, as in a configuration of sofia_redux: ``{"grid": "5.0"}``.
    instrument : str, optional
        The instrument, by its name in sofia_redux.
    threads : int, optional
        Number of threads of pixtrace. sofia_redux works in one.
    rounds : int, optional
        How often both are run, in turns; the times are medians.
    output : path-like or None, optional
        Folder for ``..._compare.ecsv`` and ``..._compare.png``, made if need be; None writes nothing.
    plot : bool, optional
        Whether the picture is drawn (extra ``plot``).
    overwrite : bool, optional
        Whether files that are there already may be replaced.
    report : callable or None, optional
        Is given the report as text.

    Returns
    -------
    Comparison
        Differences and times.

    Raises
    ------
    MissingExtraError
        sofia_redux is not installed, or matplotlib where it is needed.
    UnsupportedVersionError
        sofia_redux is installed in another release than 1.5.2.
    FileReadError
        There is no such file, or sofia_redux cannot read it.
    ParameterError
        `rounds` or `threads` is less than 1, or no pixel of the scan can be mapped with these options.
    OutputError, OutputExistsError
        A file cannot be written; found out before anything is run, if possible.
    """
    from pixtrace._arrays import as_count

    check()
    n_rounds, n_threads = as_count(rounds, "rounds", least=1), as_count(threads, "threads", least=1)
    path = Path(path)
    files = targets(path, output, plot=plot, overwrite=overwrite)
    given = {str(name): str(value) for name, value in (options or {}).items()}
    originals = [(module, name, original_of(module, name)) for module, name in places()]
    theirs, ours = originals[0][2], _ours()
    # Theirs asks for objects of the class that is in place.
    with in_place(originals), _reading(path, instrument, {**_OPTIONS, **given}) as reduction:
        scan = Scan(reduction)
        kept = _run(scan, theirs, 1, keep=True, by_kernel=True), _run(scan, ours, n_threads, keep=True)
        n_maps = len(kept[1].values["add", "data"])
        if n_maps == 0:
            msg = f"{path}: no pixel can be mapped with these options; is the scan long enough?"
            raise ParameterError(msg)
        seconds: dict[str, tuple[list[float], list[float]]] = {step: ([], []) for step in STEPS}
        gaussian: list[float] = []
        for _ in range(n_rounds):
            for which, (kind, cores) in enumerate(((theirs, 1), (ours, n_threads))):
                for step, took in _run(scan, kind, cores).seconds.items():
                    seconds[step][which].append(took)
            with _method(reduction, "gaussian"):
                gaussian.append(_run(scan, ours, n_threads).seconds["fit"])
        n_frames = sum(integration.frames.size for integration in scan.scan.integrations)
    times = [Timing(step, *map(statistics.median, both)) for step, both in seconds.items()]
    times.append(Timing("all together", sum(t.reference for t in times), sum(t.pixtrace for t in times)))
    times.append(Timing(_GAUSSIAN, float("nan"), statistics.median(gaussian)))
    comparison = Comparison(
        path=path,
        parameters={"maps": n_maps, "frames": n_frames, **given},
        versions={"sofia_redux": version(), "pixtrace": __version__},
        threads=n_threads,
        differences=_differences(*kept),
        times=times,
    )
    said = comparison.publish(files, overwrite=overwrite)
    if report is not None:
        report(said)
    return comparison


def _ours() -> Any:  # noqa: ANN401
    from pixtrace.adapters.sofia._model import PixelMap

    return PixelMap


def _run(scan: Scan, kind: Any, threads: int, *, keep: bool = False, by_kernel: bool = False) -> Outcome:  # noqa: ANN401
    """Run the operations with a number of threads."""
    scan.reduction.available_reduction_jobs = threads
    return scan.run(kind, keep=keep, by_kernel=by_kernel)


def _differences(theirs: Outcome, ours: Outcome) -> list[Difference]:
    """Compare all that both have kept; what only one of them has for a pixel is missing in the other."""
    found: list[Difference] = []
    for (step, name), arrays in theirs.values.items():
        others = ours.values[step.removesuffix(" as it is"), name]
        pairs = {
            pixel: tuple(_or_missing(side.get(pixel), like) for side in (arrays, others))
            for pixel in sorted({*arrays, *others})
            for like in [arrays.get(pixel, others.get(pixel))]
        }
        whole = (np.concatenate([pair[side].ravel() for pair in pairs.values()]) for side in (0, 1))
        found.append(Difference(step, name, -1, *gap(*whole)))
        found += [Difference(step, name, pixel, *gap(*pair)) for pixel, pair in pairs.items()]
    return found


def _or_missing(array: Any, like: Any) -> Any:  # noqa: ANN401
    """Return an array, or one of the shape of the other's in which everything is missing."""
    return np.full(np.shape(like), np.nan) if array is None else array


# -- the peer


@contextmanager
def _reading(path: Path, instrument: str, options: Mapping[str, str]) -> Generator[Any]:
    """Let sofia_redux read a scan, and say nothing about it but errors."""
    reduction_class = peer_module("sofia_redux.scan.reduction.reduction").Reduction
    log = logging.getLogger("astropy")  # to which sofia_redux writes
    with tempfile.TemporaryDirectory(prefix="pixtrace-compare-") as folder:
        level = log.level
        try:
            reduction = reduction_class(instrument)
            log.setLevel(logging.ERROR)
            reduction.add_user_configuration(options=dict(options))
            log.setLevel(logging.ERROR)
            _read(reduction, _unpacked(path, Path(folder)), path)
            yield reduction
        finally:
            log.setLevel(level)


def _read(reduction: Any, file: Path, path: Path) -> None:  # noqa: ANN401
    """Let a reduction read and validate a file; in messages it goes by another name."""
    try:
        reduction.read_scans([str(file)])
        if reduction.scans:
            reduction.validate()
    except Exception as error:  # whatever it may be that a reader of sofia_redux raises
        msg = f"{path}: sofia_redux cannot read it: {type(error).__name__}: {error}"
        raise FileReadError(msg) from error
    if not reduction.scans:
        msg = f"{path}: sofia_redux finds no scan of its instrument in it"
        raise FileReadError(msg)


def _unpacked(path: Path, folder: Path) -> Path:
    """Return a file that is not packed."""
    try:
        with path.open("rb") as file:
            if file.read(len(_GZIP)) != _GZIP:
                return path
        target = folder / path.name.removesuffix(".gz")
        with gzip.open(path) as packed, target.open("wb") as whole:
            shutil.copyfileobj(packed, whole)
    except (OSError, EOFError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise FileReadError(msg) from error
    return target


@contextmanager
def _method(reduction: Any, method: str) -> Generator[None]:  # noqa: ANN401
    """Set the method of the fit while the block runs."""
    before = reduction.configuration.get_string("pointing.method")
    reduction.configuration.parse_key_value("pointing.method", method)
    try:
        yield
    finally:
        reduction.configuration.parse_key_value("pointing.method", before)
