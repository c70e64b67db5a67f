"""One exposure as a datamodel: its image in, its oversampled planes back.

This does what `fit_and_oversample` of jwst does, with our pipeline: pixels are asked for their coordinates where there
is a slice, once. Where the two differ on purpose (`pixtrace.trace.exposure`), jwst's is wrong.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pixtrace import __version__
from pixtrace.adapters.jwst._threads import remember, threads_for
from pixtrace.adapters.jwst._transforms import fast_transform
from pixtrace.exceptions import PixtraceError
from pixtrace.io.jwst.geometry import IfuGeometry, MrsGeometry, SlitGeometry, boxes, evaluate, finer
from pixtrace.io.jwst.gwcs_model import GwcsModel
from pixtrace.io.jwst.modes import MODES, Mode
from pixtrace.io.jwst.units import is_flux_density
from pixtrace.trace.exposure import oversample_image
from pixtrace.trace.image import SpectralImage
from pixtrace.trace.oversample import fine_rows, nearest_rows
from pixtrace.trace.params import TraceParams

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.io.jwst.geometry import Box, Geometry
    from pixtrace.io.jwst.polynomial import Transform
    from pixtrace.trace.result import OversampledImage

    Plane = npt.NDArray[Any]

__all__ = ["Options", "fit_and_oversample"]

_log = logging.getLogger("jwst.adaptive_trace_model.trace_model")  # a name that stpipe shows and records
_VARIANCES: Final = ("var_poisson", "var_rnoise", "var_flat")
_AREAS: Final = ("pixelarea_steradians", "pixelarea_arcsecsq")
_ROWS_AND_COLUMNS: Final = 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """What jwst's function is told beside the exposure; the names are its own.

    Attributes
    ----------
    fit_threshold, slope_limit : float
        See `TraceParams`.
    psf_optimal : bool
        See `TraceParams`.
    oversample_factor : float
        Fine pixels per native pixel.
    return_intermediate_models : bool
        Whether full and used trace, linear image and residual are returned too.
    maximum_cores : str or int
        See `threads_for`.
    metadata_model : datamodel or None
        The datamodel that a slit belongs to.
    """

    fit_threshold: float = 10.0
    slope_limit: float = 0.1
    psf_optimal: bool = False
    oversample_factor: float = 1.0
    return_intermediate_models: bool = False
    maximum_cores: str | int = "none"
    metadata_model: Any = None


@dataclass(frozen=True, eq=False)
class _Opened:
    """An exposure, and where its slices lie."""

    image: SpectralImage
    geometry: Geometry
    regions: dict[int, Box]
    mode: Mode
    params: TraceParams


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
        series, a mode without trace model, a WCS that is laid out otherwise, a factor below 1.
    """
    opened = _open(model, options)
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


# -- in


def _open(model: Any, options: Options) -> _Opened | None:  # noqa: ANN401
    """Return an exposure with its geometry; None if it is one that we do not know."""
    meta = (model if options.metadata_model is None else options.metadata_model).meta
    exp_type = str(meta.exposure.type).upper()
    mode = MODES.get(exp_type)
    factor = float(options.oversample_factor)
    is_ifu = type(model).__name__ == "IFUImageModel"
    data = model.data
    if (
        mode is None
        or data is None
        or data.ndim != _ROWS_AND_COLUMNS
        or is_ifu != (mode.geometry != "slit")
        or not (math.isfinite(factor) and factor >= 1)
        or not all(model.hasattr(name) for name in ("err", "dq"))
    ):
        return None
    try:
        params = TraceParams.for_mode(
            exp_type, str(meta.instrument.detector), str(getattr(meta.instrument, "grating", ""))
        ).replace(
            fit_threshold=float(options.fit_threshold),
            slope_limit=float(options.slope_limit),
            psf_optimal=bool(options.psf_optimal),
        )
        geometry = _geometry(model, mode, data.shape)
        labels = geometry.labels()
        if labels.shape != _oriented(data, mode).shape:
            return None
        regions = boxes(labels)
        along = _file_pixels(np.arange(labels.shape[0], dtype=np.float64), labels.shape[0], mode)
        alpha, _ = evaluate(geometry, mode, labels, regions, along, want_wavelength=False)
        image = _image(model, mode, labels, alpha)
    except (PixtraceError, AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        _log.debug("pixtrace leaves this exposure to jwst: %s: %s", type(error).__name__, error)
        return None
    return _Opened(image, geometry, regions, mode, params)


def _geometry(model: Any, mode: Mode, shape: tuple[int, int]) -> Geometry:  # noqa: ANN401
    """Return where the slices of an exposure lie."""
    wcs = model.meta.wcs
    where = _name(model)
    frames = list(wcs.available_frames)
    if mode.geometry != "ifu" and frames[0] != "detector":
        msg = f"{where}: the WCS begins with the frame {frames[0]!r}"
        raise PixtraceError(msg)
    coordinates = GwcsModel(wcs, mode, where)
    if mode.geometry == "slit":
        box = wcs.bounding_box
        limits = None if box is None else [(float(low), float(high)) for low, high in box.bounding_box(order="F")]
        return SlitGeometry(shape, coordinates, limits, lambda plane: _oriented(plane, mode))
    labels = coordinates.label_map if mode.geometry == "mrs" else model.regions
    oriented = np.ascontiguousarray(_oriented(np.asarray(labels), mode), dtype=np.int32)
    transforms = _polynomials(wcs, mode) if mode.geometry == "mrs" else None
    if transforms is not None:
        return MrsGeometry(oriented, transforms, where)
    return IfuGeometry(oriented, coordinates, where)


def _polynomials(wcs: Any, mode: Mode) -> dict[int, Transform] | None:  # noqa: ANN401
    """Return the transforms of the slices of an MRS exposure, None if one is not made of polynomials."""
    selector = getattr(wcs.get_transform("detector", mode.frame), "selector", {})
    found: dict[int, Transform] = {}
    for label, transform in selector.items():
        fast = fast_transform(transform)
        if fast is None:
            return None
        found[int(label)] = fast
    return found or None


def _image(model: Any, mode: Mode, labels: npt.NDArray[np.int32], alpha: npt.NDArray[np.float64]) -> SpectralImage:  # noqa: ANN401
    """Return the planes of an exposure, put together."""

    def plane(name: str) -> Plane:
        return np.ascontiguousarray(_oriented(getattr(model, name), mode), dtype=np.float32)

    return SpectralImage(
        flux=plane("data"),
        error=plane("err"),
        alpha=alpha,
        region_map=labels,
        dq=np.ascontiguousarray(_oriented(model.dq, mode), dtype=np.uint32),
        variances={name: plane(name) for name in _VARIANCES if getattr(model, name, None) is not None},
        flipped=mode.slice_axis == "x",
        flux_is_density=is_flux_density(str(model.meta.bunit_data or "")),
        name=_name(model),
    )


def _name(model: Any) -> str:  # noqa: ANN401
    """Return what messages call an exposure or a slit."""
    return str(getattr(model, "name", None) or getattr(model.meta, "filename", None) or "the exposure")


def _fine_planes(opened: _Opened, factor: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
    """Return alpha and wavelength at the centres of the fine pixels."""
    image = opened.image
    n_rows = image.shape[0]
    nearest = nearest_rows(n_rows, factor, flipped=image.flipped)
    along = _file_pixels(fine_rows(n_rows, factor, flipped=image.flipped), n_rows, opened.mode)
    labels = image.region_map[nearest]
    regions = finer(opened.regions, nearest)
    return evaluate(opened.geometry, opened.mode, labels, regions, along, want_wavelength=True)


# -- out


def _update(
    module: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    opened: _Opened,
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


# -- the quarter turn of MIRI


def _oriented(plane: Plane, mode: Mode) -> Plane:
    """Return a plane of the exposure in the orientation of the computation."""
    return np.rot90(plane) if mode.slice_axis == "x" else plane


def _back(plane: Plane, *, turned: bool) -> Plane:
    """Return a plane in the orientation of the exposure."""
    return np.rot90(plane, -1) if turned else plane


def _file_pixels(rows: npt.NDArray[np.float64], n_rows: int, mode: Mode) -> npt.NDArray[np.float64]:
    """Return the pixel numbers of the exposure that belong to rows of an image of `n_rows` rows."""
    return n_rows - 1 - rows if mode.slice_axis == "x" else rows
