"""Models that come from elsewhere: dictionaries of splines and scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pixtrace import _native
from pixtrace._arrays import LARGEST_LABEL, as_count, as_real
from pixtrace.exceptions import DataError, ParameterError, PixtraceError
from pixtrace.trace.bspline import BSpline
from pixtrace.trace.model import ColumnTrace, TraceModel

if TYPE_CHECKING:
    from pixtrace.trace.region_trace import Table

__all__ = ["native_model"]


def native_model(
    spline_models: Mapping[int, Mapping[int, Any]] | object, spline_scales: Mapping[int, Mapping[int, float]] | None
) -> _native.TraceModel:
    """Return the core's model for splines and scales by region and column, in any of the forms that are in use.

    Raises
    ------
    ParameterError
        If these are not mappings, or their keys not numbers of regions and columns.
    DataError
        If a value is not a cubic spline, has no scale, or has bounds that are none; the message names region and
        column.
    """
    if isinstance(spline_models, TraceModel) and spline_scales is None:
        return spline_models.native
    models = _mapping(spline_models, "spline_models", "region to column to spline")
    scales = None if spline_scales is None else _mapping(spline_scales, "spline_scales", "region to column to scale")
    tables: dict[int, Table] = {}
    for region, columns in models.items():
        label = as_count(region, "region in `spline_models`", least=1, most=LARGEST_LABEL)
        scales_here = None
        if scales is not None:
            scales_here = _mapping(scales.get(region) or {}, f"spline_scales[{region}]", "column to scale")
        tables[label] = _table(label, _mapping(columns, f"spline_models[{region}]", "column to spline"), scales_here)
    return _native.TraceModel.from_tables(tables)


def _mapping(given: object, name: str, what: str) -> Mapping[Any, Any]:
    if not isinstance(given, Mapping):
        msg = f"`{name}` is a {type(given).__name__}; expected a mapping of {what}"
        raise ParameterError(msg)
    return given


def _table(region: int, columns: Mapping[Any, Any], scales: Mapping[Any, Any] | None) -> Table:
    splines: dict[int, int] = {}
    knots: list[npt.NDArray[np.float64]] = []
    coefficients: list[npt.NDArray[np.float64]] = []
    spline_numbers: list[int] = []
    scale_values: list[float] = []
    bounds: list[tuple[float, float]] = []
    keep = list(columns.items())  # the objects stay alive, so that their identities stay theirs
    for column, given in keep:
        where = f"region {region}, column {column}"
        spline, scale, limits = _parts(given)
        number = splines.setdefault(id(spline), len(splines))
        if number == len(knots):
            t, c = _spline(spline, where)
            knots.append(t)
            coefficients.append(c)
        spline_numbers.append(number)
        scale_values.append(_scale(scale if scales is None else scales.get(column), where))
        bounds.append((float(knots[number][3]), float(knots[number][-4])) if limits is None else _bounds(limits, where))
    empty = [np.empty(0)]
    return (
        np.array([as_count(column, f"column of region {region}") for column, _ in keep], dtype=np.int64),
        np.array(spline_numbers, dtype=np.int64),
        np.array(scale_values, dtype=np.float64),
        np.array(bounds, dtype=np.float64).reshape(-1, 2),
        np.array([t.size for t in knots], dtype=np.int64),
        np.concatenate(knots or empty),
        np.concatenate(coefficients or empty),
    )


def _parts(given: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401 - anything a user has
    """Take a value apart: spline, scale and bounds, the latter two if it has them."""
    if isinstance(given, ColumnTrace):
        return given.model, given.scale, given.bounds
    if isinstance(given, Mapping):
        return given.get("model"), given.get("scale"), given.get("bounds")
    return given, None, None


def _scale(scale: Any, where: str) -> float:  # noqa: ANN401
    if scale is None:
        msg = f"{where}: there is a spline, but no scale for it, neither beside it nor in `spline_scales`"
        raise DataError(msg)
    try:
        return as_real(scale, "scale")
    except ParameterError as error:
        msg = f"{where}: {error}"
        raise DataError(msg) from error


def _bounds(limits: Any, where: str) -> tuple[float, float]:  # noqa: ANN401
    try:
        low, high = (as_real(limit, "bounds") for limit in limits)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not low <= high:
        msg = f"{where}: `bounds` = {limits!r}; expected the lowest and the highest alpha, in this order"
        raise DataError(msg)
    return low, high


def _spline(spline: Any, where: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:  # noqa: ANN401
    if isinstance(spline, BSpline):
        return spline.t, spline.c
    try:
        ours = BSpline.from_scipy(spline)
    except PixtraceError as error:
        msg = f"{where}: {error}"
        raise DataError(msg) from error
    return ours.t, ours.c
