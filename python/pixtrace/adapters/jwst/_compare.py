"""Both implementations on one exposure, measured."""

from __future__ import annotations

import importlib
import statistics
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pixtrace import __version__
from pixtrace.adapters._comparison import Timing, targets
from pixtrace.adapters._switch import in_place
from pixtrace.adapters.jwst._peer import places, trace_module, version
from pixtrace.adapters.jwst._planes import differences
from pixtrace.adapters.jwst._report import Comparison
from pixtrace.adapters.jwst._switch import enable, original_of
from pixtrace.exceptions import FileReadError, ParameterError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Mapping

    from pixtrace.adapters.jwst._planes import Difference

__all__ = ["Comparison", "compare"]

_STEP: Final = "the whole step"
_TOGETHER: Final = "fit_and_oversample"
_PARTS: Final = ("fit_all_regions", "oversample_flux", "linear_oversample", "_trace_image")
_FIT: Final = _PARTS[0]


def compare(
    path: str | os.PathLike[str],
    *,
    oversample: float = 2.0,
    fit_threshold: float = 10.0,
    slope_limit: float = 0.1,
    psf_optimal: bool = False,
    threads: int = 1,
    rounds: int = 1,
    output: str | os.PathLike[str] | None = ".",
    plot: bool = True,
    overwrite: bool = False,
    report: Callable[[str], object] | None = print,
) -> Comparison:
    """Run jwst's own step on an exposure, and the same step under `enable`, and compare.

    Both get a copy of the same datamodel, which is in memory. While jwst's step runs, each call of its fit and
    oversampling functions is repeated with ours, on the same arguments and outside of the time of the step.

    Parameters
    ----------
    path : path-like
        A calibrated exposure of a mode that has a trace model.
    oversample, fit_threshold, slope_limit : float, optional
        Parameters of the step. The factor is 2 unless asked for otherwise (that of the step is 1).
    psf_optimal : bool, optional
        Parameter of the step.
    threads : int, optional
        Number of threads of pixtrace (``maximum_cores`` of the step); at most one per core. jwst runs in one process.
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
        jwst is not installed, or matplotlib where it is needed.
    UnsupportedVersionError
        jwst is installed in another release than 3.0.x.
    FileReadError
        There is no such file, or jwst cannot open it.
    ParameterError
        `rounds` or `threads` is less than 1, or the step did not do this exposure.
    OutputError, OutputExistsError
        A file cannot be written; found out before anything is run, if possible.
    """
    from pixtrace._arrays import as_count
    from pixtrace.adapters.jwst._threads import threads_for

    trace_module()
    n_rounds = as_count(rounds, "rounds", least=1)
    cores = {"maximum_cores": str(as_count(threads, "threads", least=1))}
    path = Path(path)
    files = targets(path, output, plot=plot, overwrite=overwrite)
    parameters: dict[str, Any] = {
        "oversample": float(oversample),
        "fit_threshold": float(fit_threshold),
        "slope_limit": float(slope_limit),
        "psf_optimal": bool(psf_optimal),
    }
    step: Any = importlib.import_module("jwst.adaptive_trace_model").AdaptiveTraceModelStep
    seconds: dict[str, tuple[list[float], list[float]]] = {}
    found: list[Difference] = []
    with _opened(path) as model:
        for _ in range(n_rounds):
            with _native(threads) as watch:
                theirs, took = _timed(lambda: step(**parameters).run(model))
            _note(seconds, 0, {**watch.jwst, _STEP: took - watch.overhead})
            _check_done(theirs, path)
            with enable(), _ours() as watch_ours:
                ours, took = _timed(lambda: step(**parameters, **cores).run(model))
            _note(seconds, 1, {**watch.pixtrace, _TOGETHER: watch_ours.pixtrace.get(_TOGETHER, 0.0), _STEP: took})
            found = found or differences(theirs, ours)
            theirs.close()
            ours.close()
    comparison = Comparison(
        path=path,
        parameters=parameters,
        versions={"jwst": version(), "pixtrace": __version__},
        threads=threads_for(threads),
        differences=found,
        times=[Timing(what, *map(statistics.median, both)) for what, both in seconds.items() if all(both)],
    )
    said = comparison.publish(files, overwrite=overwrite)
    if report is not None:
        report(said)
    return comparison


# -- measuring


class _Watch:
    """Seconds by function, of jwst's and of ours on the same arguments."""

    def __init__(self) -> None:
        self.jwst: dict[str, float] = {}
        self.pixtrace: dict[str, float] = {}
        self.overhead = 0.0


@contextmanager
def _native(threads: int) -> Generator[_Watch]:
    """Let jwst's own functions run, whatever is enabled, and time them; ours run beside them."""
    from pixtrace.adapters.jwst._kernels import OURS
    from pixtrace.adapters.jwst._threads import remember

    watch = _Watch()
    cores = {"maximum_cores": str(threads)}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
            before = watch.overhead
            result, took = _timed(lambda: function(*arguments, **keywords))
            watch.jwst[name] = watch.jwst.get(name, 0.0) + took - (watch.overhead - before)
            if name in _PARTS:
                start = time.perf_counter()
                remember(threads)
                _, took = _timed(lambda: OURS[name](*arguments, **{**keywords, **(cores if name == _FIT else {})}))
                watch.pixtrace[name] = watch.pixtrace.get(name, 0.0) + took
                watch.overhead += time.perf_counter() - start
            return result

        return call

    with in_place(
        [
            (there, name, timed(name, function) if name in {*_PARTS, _TOGETHER} else function)
            for there, name in places()
            for function in [original_of(there, name)]
        ]
    ):
        yield watch


@contextmanager
def _ours() -> Generator[_Watch]:
    """Time what the step calls while ours are enabled."""
    watch = _Watch()

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
            result, took = _timed(lambda: function(*arguments, **keywords))
            watch.pixtrace[_TOGETHER] = watch.pixtrace.get(_TOGETHER, 0.0) + took
            return result

        return call

    there, name = places()[-1]
    with in_place([(there, name, timed(getattr(there, name)))]):
        yield watch


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call, and the seconds it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def _note(seconds: dict[str, tuple[list[float], list[float]]], which: int, times: Mapping[str, float]) -> None:
    """Add the times of one run."""
    order = [*_PARTS, _TOGETHER, _STEP]
    for what in sorted(times, key=order.index):
        seconds.setdefault(what, ([], []))[which].append(times[what])


# -- files


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    """Open an exposure as jwst does, with all its arrays in memory."""
    datamodels: Any = importlib.import_module("stdatamodels.jwst.datamodels")
    try:
        model = datamodels.open(path)
    except (OSError, ValueError, TypeError) as error:
        msg = f"{path}: jwst cannot open it: {error}"
        raise FileReadError(msg) from error
    with model:
        for part in [model, *getattr(model, "slits", [])]:
            for value in list(part.instance.values()):
                if hasattr(value, "shape"):
                    np.asarray(value)
        yield model


def _check_done(result: Any, path: Path) -> None:  # noqa: ANN401
    status = result.meta.cal_step.adaptive_trace_model
    if status != "COMPLETE":
        msg = f"{path}: jwst's step ended with {status}; it does not do datamodels of type {type(result).__name__}"
        raise ParameterError(msg)
