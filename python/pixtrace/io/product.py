"""From a file to its product in one call: open, fit, oversample, write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pixtrace.io.dispatch import open_exposure
from pixtrace.trace.exposure import oversample_image

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from pixtrace.io.exposure import Exposure
    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.result import OversampledImage

__all__ = ["oversample_exposure", "oversample_file"]


def oversample_exposure(
    exposure: Exposure,
    factor: float,
    params: TraceParams | None = None,
    *,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    intermediate: bool = False,
) -> list[OversampledImage]:
    """Oversample all images of an opened exposure.

    Parameters
    ----------
    exposure : Exposure
        What `open_exposure` returned.
    factor : float
        Oversampling factor, at least 1; 1 makes the trace alone.
    params : TraceParams, optional
        How; None takes the exposure's own, those of its mode.
    n_threads, progress, intermediate : optional
        See `pixtrace.trace.oversample_image`.

    Returns
    -------
    list of OversampledImage
        One per image, for `Exposure.save`.

    Raises
    ------
    ParameterError, DataError, MemoryLimitError
        See `pixtrace.trace.oversample_image`.
    """
    return [
        oversample_image(
            image,
            factor,
            exposure.params if params is None else params,
            alpha_os=None if factor == 1 else exposure.alpha_os(index, factor),
            n_threads=n_threads,
            progress=progress,
            intermediate=intermediate,
        )
        for index, image in enumerate(exposure.images)
    ]


def oversample_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    factor: float,
    params: TraceParams | None = None,
    *,
    n_threads: int | None = None,
    overwrite: bool = False,
    intermediate: bool = False,
) -> Path:
    """Oversample an exposure on disk, as ``pixtrace oversample`` does.

    Parameters
    ----------
    path : path-like
        JWST exposure (extra ``jwst``) or file of the plain format.
    output : path-like
        File to write, or a folder, in which the product gets its usual name.
    factor : float
        Oversampling factor, at least 1; 1 makes the trace alone.
    params : TraceParams, optional
        How; None takes those of the exposure's mode.
    n_threads : int, optional
        Number of threads; None uses as many as there are cores. The result does not depend on it.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.
    intermediate : bool, optional
        Whether the full trace, the linear image and the residual are written too.

    Returns
    -------
    Path
        The product.

    Raises
    ------
    FileReadError, UnsupportedModeError, MissingExtraError
        It cannot be read; see `open_exposure`.
    OutputError, OutputExistsError
        It cannot be written.
    ParameterError, DataError, MemoryLimitError
        See `pixtrace.trace.oversample_image`.
    """
    with open_exposure(path) as exposure:
        target = Path(output)
        if target.is_dir():
            target /= exposure.output_name(factor)
        results = oversample_exposure(exposure, factor, params, n_threads=n_threads, intermediate=intermediate)
        return exposure.save(results, target, overwrite=overwrite, intermediate=intermediate)[0]
