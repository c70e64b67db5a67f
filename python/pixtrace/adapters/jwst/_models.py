"""Trace models as jwst has them, nested dictionaries of scipy's splines, and as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pixtrace import _native
from pixtrace.trace.given import native_model
from pixtrace.trace.model import TraceModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pixtrace.trace.model import RegionTrace
    from pixtrace.trace.region_trace import Table

__all__ = ["SplineModels", "column_dicts", "model_from_dicts", "region_dicts"]

#: Region number to column index to {"model": scipy BSpline, "scale": float, "bounds": (low, high)}.
SplineModels: TypeAlias = "dict[int, dict[int, dict[str, Any]]]"

_CUBIC = 3


def column_dicts(region: RegionTrace) -> dict[int, dict[str, Any]]:
    """Return the trace of a region as jwst has it; columns that share a fit share the spline.

    Parameters
    ----------
    region : RegionTrace
        Column index to `ColumnTrace`.

    Returns
    -------
    dict of int to dict
        With "model" (`scipy.interpolate.BSpline`), "scale" (float) and "bounds" (two floats) for each column.
    """
    from scipy.interpolate import BSpline

    make: Any = BSpline.construct_fast
    splines: dict[int, Any] = {}
    found: dict[int, dict[str, Any]] = {}
    for column, trace in region.items():
        ours = trace.model
        spline = splines.get(id(ours))
        if spline is None:
            spline = splines[id(ours)] = make(ours.t, ours.c, _CUBIC, extrapolate=True)
        found[column] = {"model": spline, "scale": trace.scale, "bounds": trace.bounds}
    return found


def region_dicts(model: TraceModel) -> SplineModels:
    """Return the traces of all regions as jwst has them; a region that was not fitted is there, and empty."""
    return {label: column_dicts(region) for label, region in model.items()}


def model_from_dicts(spline_models: Mapping[int, Mapping[int, Any]]) -> TraceModel:
    """Return the model for what `region_dicts` or jwst made.

    Parameters
    ----------
    spline_models : mapping of int to mapping of int to mapping
        See `SplineModels`.

    Returns
    -------
    TraceModel
        The same in the core.

    Raises
    ------
    ParameterError, DataError
        It is something else; the message names region and column.
    """
    try:
        return TraceModel(
            _native.TraceModel.from_tables({int(label): _table(columns) for label, columns in spline_models.items()})
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        # Something out of the ordinary: the general way is slower, takes more, and says what is wrong.
        return TraceModel(native_model(spline_models, None))


def _table(columns: Mapping[int, Any]) -> Table:
    """Return the table of one region, without a check: the core makes those."""
    traces = list(columns.values())
    numbers: dict[int, int] = {}
    knots: list[npt.NDArray[np.float64]] = []
    coefficients: list[npt.NDArray[np.float64]] = []
    which = np.empty(len(traces), dtype=np.int64)
    for i, trace in enumerate(traces):
        spline = trace["model"]
        number = numbers.setdefault(id(spline), len(knots))
        if number == len(knots):
            t, c = spline.t, spline.c  # once each: scipy makes them anew every time
            n = len(t) - _CUBIC - 1
            if spline.k != _CUBIC or len(c) < n:
                raise ValueError
            knots.append(t)
            coefficients.append(c if len(c) == n else c[:n])
        which[i] = number
    empty: list[npt.NDArray[np.float64]] = [np.empty(0)]
    return (
        np.fromiter(columns, dtype=np.int64, count=len(traces)),
        which,
        np.array([trace["scale"] for trace in traces], dtype=np.float64),
        np.array([trace["bounds"] for trace in traces], dtype=np.float64).reshape(-1, 2),
        np.array([len(t) for t in knots], dtype=np.int64),
        np.concatenate(empty + knots, dtype=np.float64),
        np.concatenate(empty + coefficients, dtype=np.float64),
    )
