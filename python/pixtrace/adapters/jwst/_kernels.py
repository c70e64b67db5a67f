"""Our kernels with the signatures of jwst's functions.

Each takes what its namesake takes and returns what that returns: nested dictionaries of scipy's splines, arrays of the
same precision. One that returns None has declined, and the namesake does it (and may complain).

What a namesake is made of (`bspline_fit` and so on) may have been replaced by someone who wants it otherwise, for a
test or for good; then the namesake runs, because ours would pass over the replacement.
"""

from __future__ import annotations

import functools
import logging
import math
import types
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pixtrace import __version__
from pixtrace._arrays import check_shape
from pixtrace.adapters.jwst._models import column_dicts, model_from_dicts, region_dicts
from pixtrace.adapters.jwst._threads import last_asked_for, remember, threads_for
from pixtrace.trace.fit import fit_2d_spline_trace, fit_all_regions
from pixtrace.trace.oversample import linear_planes, oversample_planes, trace_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    import numpy.typing as npt

    from pixtrace.adapters.jwst._models import SplineModels

    Plane = npt.NDArray[np.floating[Any]]

__all__ = ["OURS", "Kernels"]

_log = logging.getLogger("jwst.adaptive_trace_model.trace_model")  # a name that stpipe shows and records
_PACKAGE = "jwst.adaptive_trace_model"

_Call: TypeAlias = "Callable[..., Any]"

_FIT = ("bspline_fit", "_get_weights_for_fit_scale", "_native_dalpha")
_SHARED = ("_is_compact_source", "_native_dalpha")
#: What each of jwst's functions is made of.
_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "fit_2d_spline_trace": _FIT,
    "fit_all_regions": (*_FIT, "_fit_one_region", "_crossdisp_profile", "_trim_edges", "_threshold_test"),
    "oversample_flux": (*_SHARED, "_reindex", "_linear_interp"),
    "linear_oversample": ("_reindex", "_linear_interp"),
    "_trace_image": _SHARED,
    "fit_and_oversample": (
        *_FIT,
        *_SHARED,
        "_reindex",
        "_linear_interp",
        "_fit_one_region",
        "_crossdisp_profile",
        "_trim_edges",
        "_threshold_test",
        "_set_fit_kwargs",
        "_set_oversample_kwargs",
        "_get_alpha_nrs_ifu",
        "_get_alpha_nrs_slit",
        "_get_alpha_mir_mrs",
        "_get_alpha_mir_lrs",
        "_get_oversampled_coords_nrs_ifu",
        "_inflate_error",
        "fit_all_regions",
        "fit_2d_spline_trace",
        "oversample_flux",
        "linear_oversample",
        "_trace_image",
    ),
}


class Kernels:
    """The functions that take the places of jwst's.

    Parameters
    ----------
    module : module
        ``jwst.adaptive_trace_model.trace_model``.
    originals : mapping of str to callable
        Its own functions.
    is_on : callable
        Tells whether ours are to be used; whoever kept one of them when they were taken out gets the original.
    """

    def __init__(self, module: Any, originals: Mapping[str, _Call], is_on: Callable[[], bool]) -> None:  # noqa: ANN401
        self._module = module
        self.originals = originals
        self._is_on = is_on
        self.functions: dict[str, _Call] = {name: self._behind(name) for name in originals}

    def _behind(self, name: str) -> _Call:
        """Return what is put in the place of a function: ours, unless there is a reason to call the original."""
        original = self.originals[name]
        ours: _Call = OURS[name]

        @functools.wraps(original)
        def function(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
            if not self._is_on():
                return original(*arguments, **keywords)
            replaced = [part for part in _PARTS[name] if not self._is_original(part)]
            if replaced:
                _log.info("%s has been replaced: jwst's own %s is used", ", ".join(replaced), name)
                return original(*arguments, **keywords)
            if name == "fit_and_oversample":
                done = ours(self._module, *arguments, **keywords)
            else:
                done = ours(*arguments, **keywords)
            return original(*arguments, **keywords) if done is None else done

        return function

    def _is_original(self, name: str) -> bool:
        """Whether a function of jwst is its own."""
        part = getattr(self._module, name, None)
        if name in self.originals and part is self.functions[name]:
            return True
        return (
            isinstance(part, types.FunctionType) and part.__module__.startswith(_PACKAGE) and part.__qualname__ == name
        )


def _fit_all_regions(
    flux: npt.ArrayLike,
    error: npt.ArrayLike,
    alpha: npt.ArrayLike,
    region_map: npt.ArrayLike,
    maximum_cores: str | int = "none",
    *,
    peak_threshold: Mapping[int, float] | None = None,
    snr_threshold: float | None = None,
    **fit_kwargs: Any,  # noqa: ANN401 - those of `fit_2d_spline_trace`
) -> SplineModels:
    threads = threads_for(maximum_cores)
    remember(threads)
    if peak_threshold is not None:  # a region with a threshold of NaN is not fitted
        peak_threshold = {
            int(region): math.inf if math.isnan(level) else float(level) for region, level in peak_threshold.items()
        }
    if snr_threshold is not None and math.isnan(snr_threshold):
        snr_threshold = math.inf
    model = fit_all_regions(
        flux,
        error,
        alpha,
        region_map,
        peak_threshold=peak_threshold,
        snr_threshold=snr_threshold,
        n_threads=threads,
        **_fit_arguments(fit_kwargs),
    )
    _log.info(
        "pixtrace %s fitted %d of %d regions: %d columns, %d fits, %d thread%s",
        __version__,
        sum(len(region) > 0 for region in model.values()),
        len(model),
        model.n_columns,
        model.n_fits,
        threads,
        "" if threads == 1 else "s",
    )
    return region_dicts(model)


def _fit_2d_spline_trace(
    flux: npt.ArrayLike,
    alpha: npt.ArrayLike,
    fit_scale: npt.ArrayLike | None = None,
    lrange: int = 50,
    col_index: Iterable[int] | None = None,
    space_ratio: float = 1.2,
    sigma_low: float = 2.5,
    sigma_high: float = 2.5,
    fit_iter: int = 3,
    require_ngood: int | None = None,
    spline_bkpt: int | None = None,
    auto_ngood_factor: float | None = 0.5,
    auto_bkpt_factor: float | None = 2.0,
) -> dict[int, dict[str, Any]]:
    arguments = _fit_arguments(
        {
            "lrange": lrange,
            "col_index": col_index,
            "space_ratio": space_ratio,
            "sigma_low": sigma_low,
            "sigma_high": sigma_high,
            "fit_iter": fit_iter,
            "require_ngood": require_ngood,
            "spline_bkpt": spline_bkpt,
            "auto_ngood_factor": auto_ngood_factor,
            "auto_bkpt_factor": auto_bkpt_factor,
        }
    )
    return column_dicts(fit_2d_spline_trace(flux, alpha, fit_scale, **arguments))


def _fit_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a fit as ours want them: a list of columns, and no factor rather than none."""
    arguments = {name: value for name, value in given.items() if not (value is None and name.startswith("auto_"))}
    columns: Any = arguments.get("col_index")
    if columns is not None:
        arguments["col_index"] = list(columns)
    return arguments


def _oversample_flux(
    flux: npt.ArrayLike,
    alpha: npt.ArrayLike,
    region_map: npt.ArrayLike,
    spline_models: Mapping[int, Mapping[int, Any]],
    oversample_factor: float,
    alpha_os: npt.ArrayLike,
    require_ngood: int = 10,
    slope_limit: float = 0.1,
    psf_optimal: bool = False,  # noqa: FBT001, FBT002 - the signature of jwst, here and below
    trim_ends: bool = False,  # noqa: FBT001, FBT002
    pad: float = 3,
) -> tuple[Plane, Plane, Plane, Plane, Plane] | None:
    if not oversample_factor >= 1:  # fewer pixels than there are, which is not for us
        return None
    flux_os, trace_used, full_trace, linear, residual = oversample_planes(
        model_from_dicts(spline_models),
        flux,
        alpha,
        region_map,
        oversample_factor,
        alpha_os,
        require_ngood=require_ngood,
        slope_limit=slope_limit,
        psf_optimal=bool(psf_optimal),
        trim_ends=bool(trim_ends),
        pad=pad,
        n_threads=last_asked_for(),
    )
    if slope_limit <= 0:
        # In jwst they are one array then, and what its step does to one of them afterwards it does to both.
        trace_used = full_trace
    return flux_os, trace_used, full_trace, linear, residual


def _linear_oversample(
    data: npt.ArrayLike,
    region_map: npt.ArrayLike,
    oversample_factor: float,
    require_ngood: int,
    edge_limit: int = 0,
    preserve_nan: bool = True,  # noqa: FBT001, FBT002
) -> Plane | None:
    if not oversample_factor >= 1:
        return None
    return linear_planes(
        data,
        region_map,
        oversample_factor,
        require_ngood,
        edge_limit=edge_limit,
        preserve_nan=bool(preserve_nan),
        n_threads=last_asked_for(),
    )


def _trace_image(
    shape: tuple[int, ...],
    spline_models: Mapping[int, Mapping[int, Any]],
    region_map: npt.NDArray[Any],
    alpha: npt.ArrayLike,
    slope_limit: float = 0.1,
    pad: float = 3,
) -> tuple[Plane, Plane]:
    check_shape(region_map, tuple(shape), "region_map", "shape")
    used, full = trace_planes(
        model_from_dicts(spline_models),
        region_map,
        alpha,
        slope_limit=slope_limit,
        pad=pad,
        n_threads=last_asked_for(),
    )
    return used, full


def _fit_and_oversample(
    module: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    fit_threshold: float = 10.0,
    slope_limit: float = 0.1,
    psf_optimal: bool = False,  # noqa: FBT001, FBT002
    oversample_factor: float = 1.0,
    return_intermediate_models: bool = False,  # noqa: FBT001, FBT002
    maximum_cores: str | int = "none",
    metadata_model: Any = None,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    from pixtrace.adapters.jwst._exposure import fit_and_oversample
    from pixtrace.adapters.jwst._opening import Options

    options = Options(
        fit_threshold=fit_threshold,
        slope_limit=slope_limit,
        psf_optimal=psf_optimal,
        oversample_factor=oversample_factor,
        return_intermediate_models=return_intermediate_models,
        maximum_cores=maximum_cores,
        metadata_model=metadata_model,
    )
    return fit_and_oversample(module, model, options)


#: Our functions by the names of jwst's.
OURS: Final[dict[str, _Call]] = {
    "fit_all_regions": _fit_all_regions,
    "fit_2d_spline_trace": _fit_2d_spline_trace,
    "oversample_flux": _oversample_flux,
    "linear_oversample": _linear_oversample,
    "_trace_image": _trace_image,
    "fit_and_oversample": _fit_and_oversample,
}
