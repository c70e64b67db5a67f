"""The values of a model anywhere, and how uncertain they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pixtrace import _native
from pixtrace._arrays import as_count, as_double, as_floating
from pixtrace.exceptions import DtypeError, ParameterError, ShapeError
from pixtrace.trace.companions import usable_flux
from pixtrace.trace.image import check_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pixtrace.trace.image import SpectralImage

__all__ = ["EvaluatedModel", "evaluate"]


class EvaluatedModel(NamedTuple):
    """A trace model at some points; every array has the shape of the points, and NaN where there is no model.

    Attributes
    ----------
    flux : ndarray of float64
        The model: scale times spline, in the unit of the flux that it was fitted to.
    variance : ndarray of float64 or None
        Its variance; None where no exposure with errors was given.
    variances : mapping of str to ndarray of float64
        What each variance of the exposure contributes, by name, where the record of the fit knows of them.
    """

    flux: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64] | None
    variances: Mapping[str, npt.NDArray[np.float64]]


def evaluate(
    native: _native.TraceModel,
    alpha: npt.ArrayLike,
    region: npt.ArrayLike,
    column: npt.ArrayLike | None = None,
    *,
    image: SpectralImage | None = None,
    n_threads: int | None = None,
) -> EvaluatedModel:
    """Evaluate a model; see `pixtrace.trace.TraceModel.evaluate`, whose parameters these are."""
    if image is not None:
        check_image(image)
    at = as_double(alpha, "alpha", ndim=None)
    label = _whole(region, "region")
    place = np.arange(at.shape[-1]) if column is None and at.ndim else _whole(0 if column is None else column, "column")
    if column is None and not at.ndim:
        msg = "`alpha` is a single number; give the column that it lies in"
        raise ParameterError(msg)
    try:
        at, label, place = np.broadcast_arrays(at, label, place)
    except ValueError as error:
        msg = (
            f"`alpha`, `region` and `column` have the shapes {at.shape}, {label.shape} and {place.shape}; "
            "expected shapes that go together"
        )
        raise ShapeError(msg) from error
    limits = np.iinfo(np.int32)
    points: _native._PointArguments = {
        "alpha": np.ascontiguousarray(at).ravel(),
        # What is no label of any region is as good as zero.
        "region": np.where((label < limits.min) | (label > limits.max), 0, label).astype(np.int32).ravel(),
        "column": place.astype(np.int64).ravel(),
    }
    threads = None if n_threads is None else as_count(n_threads, "n_threads", least=1)
    if image is None or image.error is None:
        flux = _native.evaluate(native, points, n_threads=threads)
        return EvaluatedModel(flux.reshape(at.shape), None, {})
    known = _n_components(native)
    names = list(image.variances) if known is not None and known > len(image.variances) else []
    flux, found = _native.evaluate_with_errors(
        native,
        usable_flux(image),
        image.error,
        image.alpha,
        image.region_map,
        points,
        variances=[as_floating(image.variances[name], name) for name in names],
        n_threads=threads,
    )
    shaped = [variance.reshape(at.shape) for variance in found]
    return EvaluatedModel(flux.reshape(at.shape), shaped[0], dict(zip(names, shaped[1:], strict=True)))


def _n_components(native: _native.TraceModel) -> int | None:
    """Return how many components of the variance the records of a model know of, None if it has no record."""
    known = (native.n_components(label) for label in native.labels())
    return min((number for number in known if number is not None), default=None)


def _whole(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Return whole numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        msg = f"`{name}` has dtype {array.dtype}; expected whole numbers"
        raise DtypeError(msg)
    return array
