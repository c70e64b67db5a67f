"""The trace image at native sampling."""

from collections.abc import Callable

import numpy as np
import pytest

from pixtrace.trace import TraceModel
from tests.parity.agreement import FLOAT32, assert_planes_agree
from tests.parity.modes import oversample_options
from tests.reference import Case


@pytest.mark.parametrize("slope_limit", [0.1, 0.0])
def test_trace_image(case: Case, fitted: Callable[[Case], TraceModel], slope_limit: float) -> None:
    """Used and full trace, in float32, for both slope limits."""
    model = fitted(case)
    pad = oversample_options(case)["pad"]
    used, full = model.trace_image(case["region_map"], case["alpha"], slope_limit=slope_limit, pad=pad)
    assert used.dtype == full.dtype == np.float32
    for found, key in ((used, f"out_trace_used_s{slope_limit:g}"), (full, "out_trace_full")):
        assert_planes_agree(found, case[key], f"{case.name}, {key}", tolerance=FLOAT32)
