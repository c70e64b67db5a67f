"""States of maps in the reference data, as stacks of ours, and what it means that both are the same."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pixtrace.scan import MapStack
from tests.reference import Case

RTOL = 1e-9
FloatArray = npt.NDArray[np.floating[Any]]


def grid_of(case: Case) -> dict[str, Any]:
    """Return the grid of the maps of a file: cells of equal sides, the reference in the middle."""
    n_y, n_x = map_shape(case)
    return {"resolution": float(case["resolution"]), "reference_index": (0.5 * (n_x - 1), 0.5 * (n_y - 1))}


def map_shape(case: Case) -> tuple[int, int]:
    """Return the shape of a map, (n_y, n_x)."""
    n_y, n_x = case["shape"] if "shape" in case else case["in_data"].shape[1:]
    return int(n_y), int(n_x)


def stack_of(case: Case, prefix: str, **rest: Any) -> MapStack:
    """Return the maps of a state; what its numbers mean is left open, as it is in the reference."""
    planes = [case[f"{prefix}_{name}"] for name in ("data", "weight", "exposure", "flag")]
    return MapStack.from_arrays(*planes, **(grid_of(case) | rest) if "resolution" in case else rest)


def assert_close(found: FloatArray, expected: FloatArray, what: str, rtol: float = RTOL) -> None:
    """Assert that numbers agree, relative to themselves or, for what is left of a difference, to the largest."""
    seen = np.isfinite(expected)
    scale = float(np.abs(expected[seen]).max()) if seen.any() else 0.0
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * scale, equal_nan=True, err_msg=what)


def assert_state(
    stack: MapStack, case: Case, prefix: str, *, cells: npt.NDArray[np.bool_] | None = None, rtol: float = RTOL
) -> None:
    """Assert that a stack is in a state of the reference, in all cells or in some.

    Parameters
    ----------
    stack : MapStack
        Ours.
    case : Case
        The file.
    prefix : str
        The state.
    cells : ndarray of bool, optional
        The cells that are compared.
    rtol : float, optional
        Relative tolerance.
    """
    chosen = np.ones(stack.data.shape, dtype=np.bool_) if cells is None else cells
    assert chosen.any()
    np.testing.assert_array_equal(stack.valid[chosen], case[f"{prefix}_valid"][chosen], err_msg=f"{prefix} valid")
    np.testing.assert_array_equal(stack.flag[chosen], case[f"{prefix}_flag"][chosen], err_msg=f"{prefix} flag")
    for name in ("data", "weight", "exposure"):
        expected = case[f"{prefix}_{name}"]
        for pixel, inside in enumerate(chosen):
            found = getattr(stack, name)[pixel][inside]
            assert_close(found, expected[pixel][inside], f"{prefix} {name} of map {pixel}", rtol)
