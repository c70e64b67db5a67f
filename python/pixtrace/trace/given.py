"""Models that come from elsewhere: dictionaries of splines and scales."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pixtrace import _native
from pixtrace.exceptions import DataError, ParameterError, PixtraceError
from pixtrace.trace.bspline import BSpline
from pixtrace.trace.model import ColumnTrace, TraceModel

if TYPE_CHECKING:
    from pixtrace.trace.model import Table

__all__ = ["native_model"]


def native_model(
    spline_models: Mapping[int, Mapping[int, Any]] | object, spline_scales: Mapping[int, Mapping[int, float]] | None
) -> "_native.TraceModel":
    """Return the core's model for splines and scales by region and column, in any of the forms that are in use.

    Raises
    ------
    DataError
        If a value is not a cubic spline, or has no scale; the message names region and column.
    """
    if isinstance(spline_models, TraceModel) and spline_scales is None:
        return spline_models.native
    if not isinstance(spline_models, Mapping):
        msg = f"`spline_models` is a {type(spline_models).__name__}; expected a mapping of region to column to spline"
        raise ParameterError(msg)
    return _native.TraceModel.from_tables(
        {
            int(region): _table(region, columns, None if spline_scales is None else spline_scales.get(region, {}))
            for region, columns in spline_models.items()
        }
    )


def _table(region: int, columns: Mapping[int, Any], scales: Mapping[int, float] | None) -> "Table":
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
        if scales is not None:
            scale = scales.get(column)
        if scale is None:
            msg = f"{where}: there is a spline, but `spline_scales` has no scale for it"
            raise DataError(msg)
        number = splines.setdefault(id(spline), len(splines))
        if number == len(knots):
            t, c = _spline(spline, where)
            knots.append(t)
            coefficients.append(c)
        spline_numbers.append(number)
        scale_values.append(float(scale))
        bounds.append(limits if limits is not None else (float(knots[number][3]), float(knots[number][-4])))
    empty = [np.empty(0)]
    return (
        np.array([int(column) for column, _ in keep], dtype=np.int64),
        np.array(spline_numbers, dtype=np.int64),
        np.array(scale_values, dtype=np.float64),
        np.array(bounds, dtype=np.float64).reshape(-1, 2),
        np.array([t.size for t in knots], dtype=np.int64),
        np.concatenate(knots or empty),
        np.concatenate(coefficients or empty),
    )


def _parts(given: Any) -> tuple[Any, float | None, tuple[float, float] | None]:  # noqa: ANN401 - anything a user has
    """Take a value apart: spline, scale and bounds, the latter two if it has them."""
    if isinstance(given, ColumnTrace):
        return given.model, given.scale, given.bounds
    if isinstance(given, Mapping):
        low_and_high = given.get("bounds")
        limits = None if low_and_high is None else (float(low_and_high[0]), float(low_and_high[1]))
        return given.get("model"), given.get("scale"), limits
    return given, None, None


def _spline(spline: Any, where: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:  # noqa: ANN401
    if isinstance(spline, BSpline):
        return spline.t, spline.c
    try:
        ours = BSpline(spline.t, spline.c, int(spline.k))
    except AttributeError as error:
        msg = f"{where}: found a {type(spline).__name__}; expected a spline with attributes t, c and k"
        raise DataError(msg) from error
    except PixtraceError as error:
        msg = f"{where}: {error}"
        raise DataError(msg) from error
    return ours.t, ours.c
