"""Column fits: the same knots, coefficients, scales and bounds, and the same columns fitted, reused and absent."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.trace import TraceModel, fit_2d_spline_trace
from tests.oracles import bspline
from tests.oracles.columns import window
from tests.parity import record_fit_as_it_is as as_it_is
from tests.parity.agreement import SINGULAR
from tests.parity.modes import settings
from tests.reference import Case, case_names, load_case

WELL_POSED = 1e-9

Fitted = Callable[[Case], TraceModel]


def rows(model: TraceModel) -> list[tuple[int, int]]:
    """Return region and column of every fit."""
    return [(region, column) for region in model for column in model[region]]


def reference_rows(case: Case) -> list[tuple[int, int]]:
    """Return region and column of every fit of the reference."""
    return list(zip(case["out_spline_region"].tolist(), case["out_spline_column"].tolist(), strict=True))


def reference_spline(case: Case, i: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return knots and coefficients in row `i` of the reference table."""
    n = int(case["out_spline_nknot"][i])
    return case["out_spline_t"][i, :n], case["out_spline_c"][i, : n - 4]


def relative(found: npt.ArrayLike, expected: npt.NDArray[Any] | float) -> float:
    """Return the largest difference, relative to the largest of the expected numbers."""
    return float(np.max(np.abs(np.asarray(found) - expected)) / np.max(np.abs(expected)))


def disagreement(case: Case, model: TraceModel, i: int) -> str | None:
    """Return how row `i` of the reference differs from our model, or None if it does not."""
    region, column = reference_rows(case)[i]
    ours = model[region][column]
    t, c = reference_spline(case, i)
    if ours.model.t.shape != t.shape or not np.array_equal(ours.model.t, t):
        return "knots"
    if relative(ours.model.c, c) > WELL_POSED:
        return f"coefficients by {relative(ours.model.c, c):.2g}"
    if relative(ours.scale, float(case["out_spline_scale"][i])) > WELL_POSED:
        return f"scale by {relative(ours.scale, float(case['out_spline_scale'][i])):.2g}"
    if not np.array_equal(ours.bounds, case["out_spline_bounds"][i]):
        return "bounds"
    return None


def conditioning(case: Case, i: int) -> float:
    """Return the condition number of the least-squares problem that the reference solved in row `i`."""
    region, column = reference_rows(case)[i]
    inside = case["region_map"] == region
    alpha = np.where(inside & np.isfinite(case["flux"]), case["alpha"], np.nan).astype(np.float32)
    x = window(alpha, column, settings(case).lrange).ravel()
    t, _ = reference_spline(case, i)
    x = x[np.isfinite(x) & (x >= t[0]) & (x <= t[-1])]
    return float(np.linalg.cond(bspline.basis(t, x.astype(np.float64))))


def singular_windows(case: Case, model: TraceModel) -> dict[tuple[int, int], str]:
    """Return the columns that differ from the reference, with the reason; fail where there is no good one."""
    found: dict[tuple[int, int], str] = {}
    for i, at in enumerate(reference_rows(case)):
        how = disagreement(case, model, i)
        if how is not None:
            condition = conditioning(case, i)
            assert condition > SINGULAR, (
                f"{case.name}, region {at[0]}, column {at[1]}: {how} (condition {condition:.2g})"
            )
            found[at] = f"{how}: nearly singular window, condition {condition:.2g}"
    return found


def test_the_same_regions_and_columns(case: Case, fitted: Fitted) -> None:
    """Nothing is fitted that the reference does not fit, and nothing is left out."""
    model = fitted(case)
    assert sorted(model) == sorted(case["out_fitted_regions"].tolist())
    assert sorted(rows(model)) == sorted(reference_rows(case))


def test_the_same_fits_are_reused(case: Case, fitted: Fitted) -> None:
    """Columns share a spline exactly where they do in the reference."""
    model = fitted(case)
    pairs = {
        (id(model[region][column].model), reference)
        for (region, column), reference in zip(reference_rows(case), case["out_spline_model_id"].tolist(), strict=True)
    }
    ours, theirs = ({pair[k] for pair in pairs} for k in (0, 1))
    assert len(pairs) == len(ours) == len(theirs) == model.n_fits


def test_knots_coefficients_scales_and_bounds(case: Case, fitted: Fitted) -> None:
    """To nine digits, except in windows that are nearly singular."""
    singular_windows(case, fitted(case))


def test_one_slit_whose_columns_are_not_divided() -> None:
    """Without `fit_scale` the flux is fitted as it is, as in the reference."""
    flux, alpha = as_it_is.planes()
    found = fit_2d_spline_trace(flux, alpha, col_index=as_it_is.COLUMNS, **as_it_is.OPTIONS)
    with np.load(as_it_is.RECORD) as record:
        assert list(found) == sorted(record["columns"].tolist())
        for column, scale, bounds in zip(record["columns"].tolist(), record["scale"], record["bounds"], strict=True):
            fit = found[column]
            np.testing.assert_array_equal(fit.model.t, record[f"t{column}"])
            assert relative(fit.model.c, record[f"c{column}"]) < WELL_POSED
            assert relative(fit.scale, float(scale)) < WELL_POSED
            assert fit.bounds == tuple(bounds)


def test_under_one_percent_of_all_windows_are_nearly_singular(
    fitted: Fitted, reference_dir: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exceptions are listed with their reasons."""
    del reference_dir
    n_columns, exceptions = 0, dict[tuple[str, int, int], str]()
    for name in case_names():
        case = load_case(name)
        n_columns += len(reference_rows(case))
        for (region, column), reason in singular_windows(case, fitted(case)).items():
            exceptions[name, region, column] = reason
    with capsys.disabled():
        for (name, region, column), reason in exceptions.items():
            print(f"\n{name}, region {region}, column {column}: {reason}", end="")  # noqa: T201  (the list is the result)
    assert len(exceptions) < 0.01 * n_columns
