"""What agreement means, number by number and plane by plane."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]

# Condition number of a least-squares problem from which rounding decides digits of the answer.
SINGULAR = 1e8
PLANES = 1e-6
FLOAT32 = 4 * float(np.finfo(np.float32).eps)


def assert_same_nan(found: FloatArray, expected: FloatArray, what: str) -> None:
    """Both planes lack the same pixels."""
    differ = np.argwhere(np.isnan(found) != np.isnan(expected))
    assert differ.size == 0, f"{what}: {len(differ)} pixels NaN in one plane alone, the first at {differ[0].tolist()}"


def assert_planes_agree(found: FloatArray, expected: FloatArray, what: str, *, tolerance: float = PLANES) -> None:
    """Both planes lack the same pixels, and agree in the others.

    The difference is measured against the value or, where the value is a difference of larger numbers, against the
    median magnitude of the plane.
    """
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    assert_same_nan(found, expected, what)
    seen = np.isfinite(expected)
    if seen.any():
        scale = np.maximum(np.abs(expected[seen]), np.median(np.abs(expected[seen])))
        worst = float(np.max(np.abs(found[seen].astype(np.float64) - expected[seen]) / scale))
        assert worst <= tolerance, f"{what}: differs by {worst:.3g}, more than {tolerance:g}"
