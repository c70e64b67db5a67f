"""Oversampling: the five planes, and error planes by linear interpolation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pixtrace.trace import OversampledFlux, TraceModel, linear_oversample
from tests.parity.agreement import FLOAT32, FloatArray, assert_planes_agree
from tests.parity.modes import oversample_options, run_options
from tests.reference import Case, case_names, load_case

Fitted = Callable[[Case], TraceModel]

NAMES = {
    "flux": "flux_os",
    "used": "trace_used",
    "full": "full_trace",
    "linear": "linear_flux",
    "residual": "residual_flux",
}


def run(case: Case, model: TraceModel, options: dict[str, Any]) -> OversampledFlux:
    """Repeat one oversampling run of a case."""
    factor = options["factor"]
    return model.oversample(
        case["flux"],
        case["alpha"],
        case["region_map"],
        factor,
        case[f"alpha_os_{factor:g}"],
        **run_options(options),
        **oversample_options(case),
    )


def exact_runs(case: Case) -> list[tuple[int, dict[str, Any]]]:
    """Return the runs with an integer factor, where the grid of the reference is right."""
    return [
        (k, options) for k, options in enumerate(case.params["oversample"]) if float(options["factor"]).is_integer()
    ]


def test_planes(case: Case, fitted: Fitted) -> None:
    """Every plane that is stored, to 1e-6, with the same pixels NaN."""
    model = fitted(case)
    for k, options in exact_runs(case):
        result = run(case, model, options)
        for stored, name in NAMES.items():
            if f"out_os{k}_{stored}" in case:
                found = getattr(result, name)
                assert found.dtype == np.float64
                assert_planes_agree(found, case[f"out_os{k}_{stored}"], f"{case.name}, run {k}, {name}")


def test_error_planes(case: Case) -> None:
    """`linear_oversample` of the errors, in float32."""
    for k, options in exact_runs(case):
        if f"out_os{k}_err" in case:
            require = oversample_options(case)["require_ngood"]
            found = linear_oversample(
                case["err"], case["region_map"], options["factor"], require, edge_limit=0, preserve_nan=False
            )
            assert found.dtype == np.float32
            assert_planes_agree(found, case[f"out_os{k}_err"], f"{case.name}, run {k}, error", tolerance=FLOAT32)


def differing_only_at_the_ends(found: FloatArray, expected: FloatArray, factor: float) -> bool:
    """Tell whether two planes of one region differ only in the outermost rows of each column.

    The reference truncates the first row of a region to an integer, so that its region starts up to one oversampled row
    early; `int(factor)` rows from both ends are then NaN.
    """
    reach = int(factor) + 2
    agree = np.isclose(found, expected, rtol=1e-6, atol=1e-9, equal_nan=True)
    for column in np.nonzero(~agree.all(axis=0))[0]:
        (seen,) = np.nonzero(np.isfinite(found[:, column]) | np.isfinite(expected[:, column]))
        (wrong,) = np.nonzero(~agree[:, column])
        if np.any((wrong > seen[0] + reach) & (wrong < seen[-1] - reach)):
            return False
    return True


NON_INTEGER = [(k, factor) for k, factor in enumerate((1.5, 2.5, 1.3)) if "factors" in case_names()]


@pytest.mark.parametrize(("run_number", "factor"), NON_INTEGER)
def test_non_integer_factors_differ_only_at_the_region_ends(
    run_number: int, factor: float, fitted: Fitted, reference_dir: object
) -> None:
    """The ends of regions are where the reference is wrong for these factors (semantics.md, 8.5 and 8.6)."""
    del reference_dir
    case = load_case("factors")
    options = case.params["oversample"][run_number]
    assert options["factor"] == factor
    result = run(case, fitted(case), options)
    assert_planes_agree(result.trace_used, case[f"out_os{run_number}_used"], f"factor {factor}, trace_used")
    for stored, name in (("flux", "flux_os"), ("linear", "linear_flux")):
        assert differing_only_at_the_ends(getattr(result, name), case[f"out_os{run_number}_{stored}"], factor)
