"""Models of the reference cases, fitted once for all tests."""

from collections.abc import Callable
from functools import cache

import pytest

from pixtrace.trace import TraceModel, fit_all_regions
from tests.parity.modes import fit_options
from tests.reference import Case, case_names, load_case


@pytest.fixture(params=case_names())
def case(request: pytest.FixtureRequest, reference_dir: object) -> Case:
    """Return each case of the reference data in turn."""
    del reference_dir  # asked for, so that missing data are reported as such
    return load_case(str(request.param))


@cache
def fit_case(name: str) -> TraceModel:
    """Fit a case with the parameters of its mode, once."""
    found = load_case(name)
    return fit_all_regions(
        found["flux"],
        found["err"],
        found["alpha"],
        found["region_map"],
        peak_threshold=found.peak_threshold,
        snr_threshold=found.snr_threshold,
        **fit_options(found),
    )


@pytest.fixture
def fitted() -> Callable[[Case], TraceModel]:
    """Return a function that gives the model of a case."""
    return lambda found: fit_case(found.name)
