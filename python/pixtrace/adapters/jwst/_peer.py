"""The package jwst: whether it is there, whether it is one we know, and its trace functions."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import re
from typing import Any, Final

from pixtrace.exceptions import MissingExtraError, UnsupportedVersionError

__all__ = ["PARAMETERS", "SUPPORTED", "is_installed", "missing", "places", "trace_module", "version"]

#: Releases of jwst that this adapter is made for, and tested with.
SUPPORTED: Final = "3.0.x"
_KNOWN = re.compile(r"3\.0\.\d+(?!\d)")
_REMEDY = 'pip install "pixtrace[jwst]" "jwst>=3.0,<3.1"'
_MODULE = "jwst.adaptive_trace_model.trace_model"
_STEP_MODULE = "jwst.adaptive_trace_model.adaptive_trace_model_step"

#: Functions of the step that are replaced, with the parameters by which they are called.
PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    "fit_all_regions": ("flux", "error", "alpha", "region_map", "maximum_cores", "fit_kwargs"),
    "fit_2d_spline_trace": (
        "flux",
        "alpha",
        "fit_scale",
        "lrange",
        "col_index",
        "space_ratio",
        "sigma_low",
        "sigma_high",
        "fit_iter",
        "require_ngood",
        "spline_bkpt",
        "auto_ngood_factor",
        "auto_bkpt_factor",
    ),
    "oversample_flux": (
        "flux",
        "alpha",
        "region_map",
        "spline_models",
        "oversample_factor",
        "alpha_os",
        "require_ngood",
        "slope_limit",
        "psf_optimal",
        "trim_ends",
        "pad",
    ),
    "linear_oversample": (
        "data",
        "region_map",
        "oversample_factor",
        "require_ngood",
        "edge_limit",
        "preserve_nan",
    ),
    "_trace_image": ("shape", "spline_models", "region_map", "alpha", "slope_limit", "pad"),
    "fit_and_oversample": (
        "model",
        "fit_threshold",
        "slope_limit",
        "psf_optimal",
        "oversample_factor",
        "return_intermediate_models",
        "maximum_cores",
        "metadata_model",
    ),
}


def is_installed() -> bool:
    """Tell whether jwst is installed, without importing it."""
    try:
        return importlib.util.find_spec("jwst") is not None
    except ValueError:  # blocked
        return False


def missing() -> MissingExtraError:
    """Return the error that says what to install."""
    return MissingExtraError(
        f"pixtrace.adapters.jwst needs the package jwst ({SUPPORTED}), which is not installed: {_REMEDY}"
    )


def version() -> str:
    """Return the release of jwst that is installed.

    Raises
    ------
    MissingExtraError
        None is.
    """
    try:
        return importlib.metadata.version("jwst")
    except importlib.metadata.PackageNotFoundError as error:
        raise missing() from error


def trace_module() -> Any:  # noqa: ANN401 - a module of a package without types
    """Return the module of jwst that holds the step's functions.

    Raises
    ------
    MissingExtraError
        jwst, or something that it needs, is not installed.
    UnsupportedVersionError
        It is installed in a release for which this adapter is not made.
    """
    if not is_installed():
        raise missing()
    found = version()
    if _KNOWN.match(found) is None:
        msg = f"jwst {found} is installed, and pixtrace.adapters.jwst works with jwst {SUPPORTED}: {_REMEDY}"
        raise UnsupportedVersionError(msg)
    try:
        module = importlib.import_module(_MODULE)
    except ImportError as error:
        msg = f"jwst {found} is installed but cannot be imported ({error}); install it anew: {_REMEDY}"
        raise MissingExtraError(msg) from error
    for name, expected in PARAMETERS.items():
        function = getattr(module, name, None)
        parameters = tuple(inspect.signature(function).parameters) if callable(function) else None
        if parameters != expected:
            what = "does not exist" if parameters is None else f"has the parameters {', '.join(parameters)}"
            msg = (
                f"{_MODULE}.{name} of jwst {found} {what}; expected {', '.join(expected)}, as in jwst 3.0.0: "
                f"{_REMEDY} brings one that works"
            )
            raise UnsupportedVersionError(msg)
    return module


def places() -> list[tuple[Any, str]]:
    """Return where the functions that are replaced are looked up: modules of jwst, and names in them.

    Raises
    ------
    MissingExtraError, UnsupportedVersionError
        See `trace_module`.
    """
    module = trace_module()
    step = importlib.import_module(_STEP_MODULE)
    return [*((module, name) for name in PARAMETERS), (step, "fit_and_oversample")]
