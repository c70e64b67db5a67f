"""One exposure as a datamodel: its image in, its oversampled planes back.

This does what `fit_and_oversample` of jwst does, with our pipeline: pixels are asked for their coordinates where there
is a slice, once. Where the two differ on purpose (`pixtrace.trace.exposure`), jwst's is wrong.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pixtrace import __version__
from pixtrace.adapters.jwst._opening import file_pixels, open_exposure
from pixtrace.adapters.jwst._threads import remember, threads_for
from pixtrace.io.jwst.geometry import evaluate, finer
from pixtrace.trace.exposure import oversample_image
from pixtrace.trace.oversample import fine_rows, nearest_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.adapters.jwst._opening import Opened, Options
    from pixtrace.io.jwst.modes import Mode
    from pixtrace.trace.result import OversampledImage

    Plane = npt.NDArray[Any]

__all__ = ["fit_and_oversample"]

_log = logging.getLogger("jwst.adaptive_trace_model.trace_model")  # a name that stpipe shows and records
_AREAS: Final = ("pixelarea_steradians", "pixelarea_arcsecsq")
_ROWS_AND_COLUMNS: Final = 2


def fit_and_oversample(module: Any, model: Any, options: Options) -> Any:  # noqa: ANN401
    """Fit the trace of an exposure, and oversample it in place.

    Parameters
    ----------
    module : module
        ``jwst.adaptive_trace_model.trace_model``, whose helpers make the new WCS and the intermediate models.
    model : IFUImageModel, SlitModel, or slit of a MultiSlitModel
        The exposure; changed in place.
    options : Options
        How.

    Returns
    -------
    datamodel, tuple of datamodels, or None
        What jwst's function returns. None, with the exposure untouched, if it is one that we do not know: a time
        series, a mode without trace model, a WCS that is laid out otherwise, a factor below 1; the log says why. None
        also, with a warning, if reading it fails where it should not.
    """
    opened = open_exposure(model, options)
    if opened is None:
        return None
    if options.psf_optimal:
        _log.info("Ignoring fit threshold and slope limit: psf_optimal is set")
    threads = threads_for(options.maximum_cores)
    remember(threads)
    factor = float(options.oversample_factor)
    alpha_os, wavelength = (None, None) if factor == 1 else _fine_planes(opened, factor)
    result = oversample_image(
        opened.image,
        factor,
        opened.params,
        alpha_os=alpha_os,
        n_threads=threads,
        intermediate=options.return_intermediate_models,
    )
    _report(result, threads)
    turned = opened.mode.slice_axis == "x"
    if factor == 1:
        model.trace_model = _back(result.trace_used, turned=turned)
    else:
        _update(module, model, opened, result, wavelength)
    if not options.return_intermediate_models:
        return model
    planes = (result.full_trace, result.trace_used, result.linear_flux, result.residual_flux)
    made = [None if plane is None else _back(plane, turned=turned) for plane in planes]
    return (model, *module._intermediate_models(model, made))  # noqa: SLF001 - so is the whole business


def _fine_planes(opened: Opened, factor: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
    """Return alpha and wavelength at the centres of the fine pixels."""
    image = opened.image
    n_rows = image.shape[0]
    nearest = nearest_rows(n_rows, factor, flipped=image.flipped)
    along = file_pixels(fine_rows(n_rows, factor, flipped=image.flipped), n_rows, opened.mode)
    labels = image.region_map[nearest]
    regions = finer(opened.regions, nearest)
    return evaluate(opened.geometry, opened.mode, labels, regions, along, want_wavelength=True)


def _update(
    module: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    opened: Opened,
    result: OversampledImage,
    wavelength: npt.NDArray[np.float32] | None,
) -> None:
    """Put the oversampled planes into the exposure, with their WCS and the areas of their pixels."""
    turned = opened.mode.slice_axis == "x"
    native = model.data.shape
    planes: dict[str, Plane] = {"data": result.flux, "dq": result.dq, "trace_model": result.trace_used}
    if wavelength is not None:
        planes["wavelength"] = wavelength
    if result.error is not None:
        planes["err"] = result.error
    planes.update(result.variances)
    if opened.mode.geometry != "slit":
        planes["regions"] = result.region_map
    # Images of the native pixels that are not oversampled (areas, path losses, ...) belong to nothing any more.
    for name in _images(model, native):
        if name not in planes:
            setattr(model, name, None)
    for name, plane in planes.items():
        setattr(model, name, _back(plane, turned=turned))
    # Into the tree, past the setter: it would hold the WCS, as text, against a schema that says nothing about it.
    model.meta.instance["wcs"] = _finer_wcs(module, model.meta.wcs, opened.mode, result.factor)
    for name in _AREAS:
        area = getattr(model.meta.photometry, name, None)
        if area is not None:
            setattr(model.meta.photometry, name, area / result.factor)


def _images(model: Any, shape: tuple[int, ...]) -> list[str]:  # noqa: ANN401
    """Return the names of the arrays of an exposure that are images, or stacks of images, of this shape."""
    found: list[str] = []
    for name, value in list(model.instance.items()):
        size = getattr(value, "shape", None)
        if isinstance(size, tuple) and size[-_ROWS_AND_COLUMNS:] == shape:
            found.append(str(name))
    return found


def _finer_wcs(module: Any, wcs: Any, mode: Mode, factor: float) -> Any:  # noqa: ANN401
    """Return a WCS that begins with the fine pixels."""
    from astropy.modeling import models

    scale: Any = models.Scale(1 / factor)
    to_native: Any = scale | models.Shift(-(factor - 1) / (factor * 2))
    across: Any = models.Identity(1)
    to_detector = to_native & across if mode.slice_axis == "x" else across & to_native
    make = module._update_wcs_nrs_ifu if mode.geometry == "ifu" else module._update_wcs  # noqa: SLF001
    return make(wcs, to_detector)


def _report(result: OversampledImage, threads: int) -> None:
    done = result.summary
    _log.info(
        "pixtrace %s: %d of %d regions fitted; %d columns fitted, %d reused, %d skipped; %d pixels filled; %.2f s on "
        "%d thread%s",
        __version__,
        done.n_regions_fitted,
        done.n_regions,
        done.n_columns_fitted,
        done.n_columns_reused,
        done.n_columns_skipped,
        done.n_pixels_filled,
        done.seconds,
        threads,
        "" if threads == 1 else "s",
    )


def _back(plane: Plane, *, turned: bool) -> Plane:
    """Return a plane in the orientation of the exposure."""
    return np.rot90(plane, -1) if turned else plane
