"""The trace of one region: the spline of each of its columns, its scale, and where it is valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from pixtrace.trace.bspline import BSpline, spline_from_core

__all__ = ["ColumnTrace", "RegionTrace", "Table"]

_T = TypeVar("_T")


Table: TypeAlias = tuple[
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.int64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
]


@dataclass(frozen=True, slots=True)
class ColumnTrace:
    """The trace in one detector column; also to be had as ``trace["model"]``, ``["scale"]`` and ``["bounds"]``.

    Attributes
    ----------
    model : BSpline
        Spatial profile against alpha, for a column whose flux sums to one. Columns that share a fit share the object.
    scale : float
        What `model` is to be multiplied by to give the flux of this column.
    bounds : tuple of float
        Lowest and highest alpha at which the model is valid.
    """

    model: BSpline
    scale: float
    bounds: tuple[float, float]

    def __getitem__(self, key: str) -> BSpline | float | tuple[float, float]:
        """Return the attribute of this name, as from the dictionaries of jwst."""
        match key:
            case "model":
                return self.model
            case "scale":
                return self.scale
            case "bounds":
                return self.bounds
            case _:
                raise KeyError(key)

    def keys(self) -> tuple[str, str, str]:
        """Names that can stand in the brackets."""
        return ("model", "scale", "bounds")

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())


class RegionTrace(Mapping[int, ColumnTrace]):
    """The trace of one region: column index to `ColumnTrace`, in the order in which the columns were fitted.

    A column that could not be fitted is absent.
    """

    __slots__ = ("_bounds", "_position", "_scale", "_spline", "_splines", "_table")

    def __init__(self, table: Table) -> None:
        columns, spline, scale, bounds, n_knots, knots, coefficients = table
        for array in table:
            array.flags.writeable = False
        self._table = table
        self._position = {column: i for i, column in enumerate(columns.tolist())}
        self._spline: list[int] = spline.tolist()
        self._scale: list[float] = scale.tolist()
        self._bounds: list[tuple[float, float]] = [(low, high) for low, high in bounds.tolist()]
        ends = np.cumsum(n_knots).tolist()
        starts = [0, *ends]
        self._splines = [
            spline_from_core(knots[a:b], coefficients[a - 4 * i : b - 4 * (i + 1)])
            for i, (a, b) in enumerate(zip(starts, ends, strict=False))
        ]

    def __getitem__(self, column: int) -> ColumnTrace:
        """Return the trace of a column."""
        i = self._position[column]
        return ColumnTrace(self._splines[self._spline[i]], self._scale[i], self._bounds[i])

    def __iter__(self) -> Iterator[int]:
        return iter(self._position)

    def __len__(self) -> int:
        return len(self._position)

    @property
    def n_fits(self) -> int:
        """Number of distinct splines."""
        return len({self._spline[i] for i in self._position.values()})

    @property
    def models(self) -> Mapping[int, BSpline]:
        """Spline by column."""
        return _View(self._position, lambda i: self._splines[self._spline[i]])

    @property
    def scales(self) -> Mapping[int, float]:
        """Scale by column."""
        return _View(self._position, self._scale.__getitem__)

    @property
    def bounds(self) -> Mapping[int, tuple[float, float]]:
        """Lowest and highest valid alpha by column."""
        return _View(self._position, self._bounds.__getitem__)

    def __reduce__(self) -> tuple[type[RegionTrace], tuple[Table]]:
        return RegionTrace, (self._table,)

    def __repr__(self) -> str:
        return f"<RegionTrace: {len(self)} columns, {self.n_fits} fits>"


class _View(Mapping[int, _T], Generic[_T]):
    """One of the three things a `RegionTrace` knows of each column."""

    __slots__ = ("_position", "_value")

    def __init__(self, position: Mapping[int, int], value: Callable[[int], _T]) -> None:
        self._position = position
        self._value = value

    def __getitem__(self, column: int) -> _T:
        return self._value(self._position[column])

    def __iter__(self) -> Iterator[int]:
        return iter(self._position)

    def __len__(self) -> int:
        return len(self._position)

    def __reduce__(self) -> tuple[type[dict[int, _T]], tuple[dict[int, _T]]]:
        """Make copies and pickles of it plain dictionaries."""
        return dict, (dict(self),)

    def __repr__(self) -> str:
        return repr(dict(self))
