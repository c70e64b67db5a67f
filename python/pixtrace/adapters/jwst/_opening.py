"""An open datamodel as what our computation wants: its planes, its slices and their coordinates."""

from __future__ import annotations

import logging
import math
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pixtrace.adapters.jwst._transforms import fast_transform
from pixtrace.exceptions import FileReadError, ParameterError, PixtraceError
from pixtrace.io.jwst.geometry import IfuGeometry, MrsGeometry, SlitGeometry, boxes, evaluate
from pixtrace.io.jwst.gwcs_model import GwcsModel
from pixtrace.io.jwst.modes import MODES, Mode
from pixtrace.io.jwst.units import is_flux_density
from pixtrace.trace.image import SpectralImage
from pixtrace.trace.params import TraceParams

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.io.jwst.geometry import Box, Geometry
    from pixtrace.io.jwst.polynomial import Transform

    Plane = npt.NDArray[Any]

__all__ = ["Opened", "Options", "file_pixels", "open_exposure", "oriented"]

_log = logging.getLogger("jwst.adaptive_trace_model.trace_model")  # a name that stpipe shows and records
_VARIANCES: Final = ("var_poisson", "var_rnoise", "var_flat")
_ROWS_AND_COLUMNS: Final = 2
#: What reading an exposure that we take for one of ours should not, and may raise.
_MISTAKES: Final = (
    PixtraceError,
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)
_warned: Final = set[tuple[type, str, int | None]]()


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
class Opened:
    """An exposure, and where its slices lie.

    Attributes
    ----------
    image : SpectralImage
        The planes, oriented as the computation wants them.
    geometry : Geometry
        What knows the coordinates of pixels.
    regions : dict of int to Box
        The part of the image that each slice lies in.
    mode : Mode
        How exposures of its kind are laid out.
    params : TraceParams
        How the trace is fitted.
    """

    image: SpectralImage
    geometry: Geometry
    regions: dict[int, Box]
    mode: Mode
    params: TraceParams


class _UnfamiliarError(PixtraceError):
    """An exposure is laid out otherwise than those we read; jwst may know it."""


def open_exposure(model: Any, options: Options) -> Opened | None:  # noqa: ANN401
    """Return an exposure with its geometry; None if it is left to jwst, and the log says why.

    Parameters
    ----------
    model : IFUImageModel, SlitModel, or slit of a MultiSlitModel
        The exposure.
    options : Options
        How it is to be done.

    Returns
    -------
    Opened or None
        None if it is one that we do not read; also, with a warning (once for each place in the code), if reading it
        fails where it should not.
    """
    try:
        return _read(model, options)
    except (_UnfamiliarError, FileReadError) as reason:
        _log.info("pixtrace leaves %s to jwst's own code: %s", _name(model), reason)
    except _MISTAKES as error:
        # Most likely a mistake of ours, which must not stop an exposure that jwst can do, nor pass for slowness.
        place = traceback.extract_tb(error.__traceback__)[-1]
        key = (type(error), place.filename, place.lineno)
        _log.log(
            logging.INFO if key in _warned else logging.WARNING,
            "pixtrace cannot read %s, which is left to jwst's own code at its own speed: %s: %s (%s:%s). If jwst can "
            "do it, please report this",
            _name(model),
            type(error).__name__,
            error,
            Path(place.filename).name,
            place.lineno,
            exc_info=error if _log.isEnabledFor(logging.DEBUG) else None,
        )
        _warned.add(key)
    return None


def _read(model: Any, options: Options) -> Opened:  # noqa: ANN401
    """Return an exposure with its geometry.

    Raises
    ------
    _UnfamiliarError, FileReadError
        It is not one of those we read.
    """
    meta = (model if options.metadata_model is None else options.metadata_model).meta
    exp_type = str(meta.exposure.type).upper()
    mode = MODES.get(exp_type)
    if mode is None:
        msg = f"there is no trace model for exposures of type {exp_type}"
        raise _UnfamiliarError(msg)
    _check(model, mode, float(options.oversample_factor))
    preset = TraceParams.for_mode(exp_type, str(meta.instrument.detector), str(getattr(meta.instrument, "grating", "")))
    try:
        params = preset.replace(
            fit_threshold=float(options.fit_threshold),
            slope_limit=float(options.slope_limit),
            psf_optimal=bool(options.psf_optimal),
        )
    except ParameterError as error:
        raise _UnfamiliarError(str(error)) from error
    geometry = _geometry(model, mode, model.data.shape)
    labels = geometry.labels()
    if labels.shape != oriented(model.data, mode).shape:
        msg = f"its slices are an image of shape {labels.shape}, its data of {oriented(model.data, mode).shape}"
        raise _UnfamiliarError(msg)
    regions = boxes(labels)
    along = file_pixels(np.arange(labels.shape[0], dtype=np.float64), labels.shape[0], mode)
    alpha, _ = evaluate(geometry, mode, labels, regions, along, want_wavelength=False)
    return Opened(_image(model, mode, labels, alpha), geometry, regions, mode, params)


def _check(model: Any, mode: Mode, factor: float) -> None:  # noqa: ANN401
    """Make sure that an exposure is one of those we read.

    Raises
    ------
    _UnfamiliarError
        It is not.
    """
    is_ifu = type(model).__name__ == "IFUImageModel"
    wcs = model.meta.wcs
    reason = None
    if is_ifu != (mode.geometry != "slit"):
        reason = f"a {type(model).__name__} is not what its mode comes as"
    elif model.data is None or model.data.ndim != _ROWS_AND_COLUMNS:
        reason = "it is no image of two dimensions, as a time series is not"
    elif not all(model.hasattr(name) for name in ("err", "dq")):
        reason = "it comes without errors or without flags"
    elif not (math.isfinite(factor) and factor >= 1):
        reason = f"the oversampling factor is {factor:g}"
    elif not hasattr(wcs, "available_frames"):
        reason = "it has no WCS"
    elif mode.geometry != "ifu" and next(iter(wcs.available_frames)) != "detector":
        reason = f"its WCS begins with the frame {next(iter(wcs.available_frames))!r}"
    elif mode.geometry == "ifu" and not model.hasattr("regions"):
        reason = "it has no image of slice numbers"
    if reason is not None:
        raise _UnfamiliarError(reason)


def _geometry(model: Any, mode: Mode, shape: tuple[int, int]) -> Geometry:  # noqa: ANN401
    """Return where the slices of an exposure lie."""
    wcs = model.meta.wcs
    where = _name(model)
    coordinates = GwcsModel(wcs, mode, where)
    if mode.geometry == "slit":
        box = wcs.bounding_box
        limits = None if box is None else [(float(low), float(high)) for low, high in box.bounding_box(order="F")]
        return SlitGeometry(shape, coordinates, limits, lambda plane: oriented(plane, mode))
    labels = coordinates.label_map if mode.geometry == "mrs" else model.regions
    if labels is None:
        msg = "its WCS has no map of slice numbers"
        raise _UnfamiliarError(msg)
    slices = np.ascontiguousarray(oriented(np.asarray(labels), mode), dtype=np.int32)
    transforms = _polynomials(wcs, mode) if mode.geometry == "mrs" else None
    if transforms is not None:
        return MrsGeometry(slices, transforms, where)
    return IfuGeometry(slices, coordinates, where)


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
        return np.ascontiguousarray(oriented(getattr(model, name), mode), dtype=np.float32)

    return SpectralImage(
        flux=plane("data"),
        error=plane("err"),
        alpha=alpha,
        region_map=labels,
        dq=np.ascontiguousarray(oriented(model.dq, mode), dtype=np.uint32),
        variances={name: plane(name) for name in _VARIANCES if getattr(model, name, None) is not None},
        flipped=mode.slice_axis == "x",
        flux_is_density=is_flux_density(str(model.meta.bunit_data or "")),
        name=_name(model),
    )


def _name(model: Any) -> str:  # noqa: ANN401
    """Return what messages call an exposure or a slit."""
    return str(getattr(model, "name", None) or getattr(model.meta, "filename", None) or "the exposure")


# -- the quarter turn of MIRI


def oriented(plane: Plane, mode: Mode) -> Plane:
    """Return a plane of the exposure in the orientation of the computation."""
    return np.rot90(plane) if mode.slice_axis == "x" else plane


def file_pixels(rows: npt.NDArray[np.float64], n_rows: int, mode: Mode) -> npt.NDArray[np.float64]:
    """Return the pixel numbers of the exposure that belong to rows of an image of `n_rows` rows."""
    return n_rows - 1 - rows if mode.slice_axis == "x" else rows
