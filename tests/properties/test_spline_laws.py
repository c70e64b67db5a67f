"""Laws of the spline and of its fit."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import interpolate

from pixtrace import _native
from pixtrace.trace import BSpline
from tests.oracles import bspline as oracle

Float64Array = npt.NDArray[np.float64]


@st.composite
def knot_vectors(draw: st.DrawFn) -> Float64Array:
    """Draw rising knots with four-fold ends."""
    steps = draw(st.lists(st.floats(0.01, 3.0), min_size=1, max_size=20))
    inner = draw(st.floats(-100.0, 100.0)) + np.concatenate([[0.0], np.cumsum(steps)])
    return np.concatenate([[inner[0]] * 3, inner, [inner[-1]] * 3])


@st.composite
def points(draw: st.DrawFn) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], int]:
    """Draw sorted points that support a fit, and a number of knot intervals."""
    n_intervals = draw(st.integers(4, 30))
    per_interval = draw(st.integers(8, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = np.sort(rng.uniform(-2.0, 2.0, per_interval * n_intervals)).astype(np.float32)
    noise = draw(st.floats(0.0, 0.1))
    y = np.exp(-0.5 * ((x - 0.2) / 0.5) ** 2) + noise * rng.standard_normal(x.size)
    y[rng.random(x.size) < 0.02] += 1.0
    return x, y.astype(np.float32), n_intervals


def fit_spline(
    x: npt.NDArray[Any], y: npt.NDArray[Any], n_intervals: int, *, n_rounds: int = 3, space_ratio: float = 1.2
) -> tuple[Float64Array, Float64Array] | None:
    """Fit with the core."""
    return _native.fit_spline(
        x,
        y.astype(np.float64),
        n_intervals,
        sigma_low=2.5,
        sigma_high=2.5,
        n_rounds=n_rounds,
        space_ratio=space_ratio,
    )


@given(knot_vectors(), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_the_basis_sums_to_one(t: Float64Array, where: list[float]) -> None:
    """With all coefficients one, the spline is one on its base interval."""
    spline = BSpline(t, np.ones(t.size - 4))
    x = t[3] + np.array(where) * (t[-4] - t[3])
    np.testing.assert_allclose(spline(x), 1.0, rtol=1e-12)


@given(knot_vectors(), st.integers(0, 2**32 - 1))
def test_evaluation_agrees_with_the_definition_and_with_scipy(t: Float64Array, seed: int) -> None:
    """Also beyond the ends, by extrapolation."""
    rng = np.random.default_rng(seed)
    c = rng.standard_normal(t.size - 4)
    width = t[-1] - t[0]
    x = rng.uniform(t[0] - 0.1 * width, t[-1] + 0.1 * width, 40)
    found = BSpline(t, c)(x)
    scale = np.max(np.abs(interpolate.BSpline(t, c, 3)(x))) + 1.0
    np.testing.assert_allclose(found, interpolate.BSpline(t, c, 3)(x), atol=1e-9 * scale)
    np.testing.assert_allclose(found, oracle.evaluate(oracle.Spline(t, c), x), atol=1e-9 * scale)


@given(points(), st.tuples(*[st.floats(-3.0, 3.0)] * 4))
def test_a_fitted_cubic_returns_itself(
    drawn: tuple[npt.NDArray[np.float32], Any, int], cubic: tuple[float, float, float, float]
) -> None:
    """A cubic polynomial lies in the space of splines."""
    x, _, n_intervals = drawn
    y = np.polynomial.Polynomial(cubic)(x.astype(np.float64))
    fit = fit_spline(x.astype(np.float64), y, n_intervals, n_rounds=1, space_ratio=100.0)
    assert fit is not None
    t, c = fit
    inside = (x >= t[3]) & (x <= t[-4])
    np.testing.assert_allclose(BSpline(t, c)(x[inside]), y[inside], atol=1e-8 * (1.0 + np.abs(y).max()))


@given(points(), st.integers(1, 4))
def test_the_fit_agrees_with_dense_least_squares(
    drawn: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], int], n_rounds: int
) -> None:
    """The same knots and coefficients, or both nothing."""
    x, y, n_intervals = drawn
    expected = oracle.fit(x, y, n_intervals, n_rounds=n_rounds)
    found = fit_spline(x, y, n_intervals, n_rounds=n_rounds)
    if expected is not None:
        assume(np.linalg.cond(oracle.basis(expected.t, x.astype(np.float64))) < 1e5)
    if found is None or expected is None:
        assert found is None
        assert expected is None
    else:
        np.testing.assert_array_equal(found[0], expected.t)
        np.testing.assert_allclose(found[1], expected.c, rtol=1e-9, atol=1e-9 * np.abs(expected.c).max())


def test_fewer_than_ten_points_are_refused() -> None:
    """As the reference does, so that the column falls back on its neighbour."""
    x = np.linspace(0.0, 1.0, 9)
    with pytest.raises(ValueError, match=r"10|ten"):
        fit_spline(x, x, 4)
