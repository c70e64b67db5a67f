"""Cubic B-splines with the attributes of `scipy.interpolate.BSpline`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pixtrace import _native
from pixtrace._arrays import as_count, as_double
from pixtrace.exceptions import DataError, MissingExtraError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable

#: A `scipy.interpolate.BSpline`; scipy is an optional package, released without types.
ScipyBSpline: TypeAlias = Any

__all__ = ["BSpline", "spline_from_core"]

_CUBIC: Final = 3


class BSpline:
    """A cubic B-spline.

    Parameters
    ----------
    t : array_like, shape (n + 4,)
        Knots, rising; they may repeat.
    c : array_like, shape (n,)
        Coefficients. More than n are cut off, as scipy pads them.
    k : int
        Degree; 3.

    Attributes
    ----------
    t, c : ndarray of float64
        Knots and coefficients, read-only.
    k : int
        Degree; always 3.

    Raises
    ------
    ParameterError
        If the degree is not 3.
    DataError
        If knots and coefficients do not make a spline.

    Notes
    -----
    Calling it gives values, beyond its own interval (``t[3]`` to ``t[-4]``) those of its first and last polynomial.

    Examples
    --------
    >>> spline = BSpline([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1])
    >>> float(spline(0.5))
    0.125
    """

    __slots__ = ("c", "t")

    k: Final = _CUBIC
    t: npt.NDArray[np.float64]
    c: npt.NDArray[np.float64]

    def __init__(self, t: npt.ArrayLike, c: npt.ArrayLike, k: int = _CUBIC) -> None:
        if as_count(k, "k") != _CUBIC:
            msg = f"a spline of degree k = {k}; trace models are cubic splines, k = 3"
            raise ParameterError(msg)
        self.t = np.array(as_double(t, "t", ndim=1), dtype=np.float64)
        self.c = np.array(as_double(c, "c", ndim=1)[: max(self.t.size - 4, 0)], dtype=np.float64)
        _native.evaluate_spline(self.t, self.c, np.empty(0))  # refuses what is not a spline
        self.t.flags.writeable = False
        self.c.flags.writeable = False

    def __call__(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the values at `x`, in an array of its shape; NaN at NaN and at masked elements."""
        points = as_double(x, "x", ndim=None)
        return _native.evaluate_spline(self.t, self.c, points.ravel()).reshape(points.shape)

    @property
    def base_interval(self) -> tuple[float, float]:
        """The interval on which the basis functions sum to one."""
        return float(self.t[_CUBIC]), float(self.t[-_CUBIC - 1])

    def to_scipy(self) -> ScipyBSpline:
        """Return the same spline as a `scipy.interpolate.BSpline`.

        Raises
        ------
        MissingExtraError
            If scipy is not installed.
        """
        try:
            from scipy import interpolate
        except ImportError as error:
            msg = "scipy is not installed; `pip install pixtrace[scipy]` brings it"
            raise MissingExtraError(msg) from error
        make: Callable[..., Any] = interpolate.BSpline
        return make(self.t.copy(), self.c.copy(), _CUBIC)

    @classmethod
    def from_scipy(cls, spline: ScipyBSpline) -> BSpline:
        """Take over a `scipy.interpolate.BSpline`, or anything with its attributes ``t``, ``c`` and ``k``.

        Raises
        ------
        DataError
            If it does not have them, or they do not make a spline.
        ParameterError
            If the degree is not 3.
        """
        try:
            t, c, k = spline.t, spline.c, spline.k
        except AttributeError as error:
            msg = f"found a {type(spline).__name__}; expected a spline with attributes t, c and k"
            raise DataError(msg) from error
        return cls(t, c, k)

    def __eq__(self, other: object) -> bool:
        """Whether knots and coefficients are the same, bit for bit."""
        if not isinstance(other, BSpline):
            return NotImplemented
        return self.t.tobytes() == other.t.tobytes() and self.c.tobytes() == other.c.tobytes()

    def __hash__(self) -> int:
        return hash((self.t.tobytes(), self.c.tobytes()))

    def __reduce__(self) -> tuple[type[BSpline], tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        return BSpline, (self.t, self.c)

    def __repr__(self) -> str:
        low, high = self.base_interval
        return f"<BSpline: cubic, {self.c.size} coefficients, {low:g} to {high:g}>"


def spline_from_core(t: npt.NDArray[np.float64], c: npt.NDArray[np.float64]) -> BSpline:
    """Return the spline with knots and coefficients that come from the core, and need neither check nor copy."""
    spline = BSpline.__new__(BSpline)
    spline.t, spline.c = t, c
    return spline
