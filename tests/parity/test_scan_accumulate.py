"""Samples and maps added to maps, held against `Observation2D` and `AstroIntensityMap` of sofia_redux 1.5.2.

Defects of the reference that are not followed:

19  NaN data poison their cell for good. Set 1 has some; here those samples are skipped and counted.
20  A second `end_accumulation` divides by the weights once more; here it changes nothing.
"""

from typing import Any

import numpy as np
import pytest

from pixtrace.scan import MapStack
from tests.oracles.map_stack import MapStack as SlowMapStack
from tests.parity.maps import RTOL, assert_close, assert_state, grid_of, map_shape, stack_of
from tests.reference import Case, load_pixelmap, pixelmap_names

NAMES = pixelmap_names("accumulate")
POISONED = "accumulate_1"


def samples(case: Case, which: str) -> list[Any]:
    names = ("data", "gains", "weights", "indices")
    return [*(case[f"{which}_sample_{name}"] for name in names), float(case["dt"])]


def empty(case: Case) -> MapStack:
    return MapStack(case["a_sample_data"].shape[1], map_shape(case), **grid_of(case))


def filled(case: Case, which: str) -> MapStack:
    stack = empty(case)
    stack.accumulate(*samples(case, which))
    return stack


def sound(case: Case) -> Any:
    """Return the cells that no NaN has spoilt in the reference."""
    return ~np.isnan(case["a1_data"])


@pytest.mark.parametrize("name", NAMES)
def test_accumulating_once_and_twice(name: str) -> None:
    case = load_pixelmap(name)
    stack = filled(case, "a")
    assert_state(stack, case, "a1", cells=sound(case))
    stack.accumulate(*samples(case, "a"))
    assert_state(stack, case, "a2", cells=sound(case))
    assert_state(filled(case, "b"), case, "b1")


@pytest.mark.parametrize("name", NAMES)
def test_ending(name: str) -> None:
    case = load_pixelmap(name)
    stack = filled(case, "a")
    stack.accumulate(*samples(case, "a"))
    for _ in range(2):
        stack.end_accumulation()
        assert_state(stack, case, "end", cells=sound(case))
    other = filled(case, "b")
    other.end_accumulation()
    assert_state(other, case, "bend")
    np.testing.assert_array_equal((stack.valid & sound(case)).sum(axis=(1, 2)), case["end_count_points"])
    assert stack.count_points() == stack.n_valid.sum() == stack.valid.sum()


def test_samples_that_are_nan_leave_their_cells_whole() -> None:
    case = load_pixelmap(POISONED)
    stack, slow = filled(case, "a"), SlowMapStack(5, map_shape(case), resolution=(3, 3), reference_index=(0, 0))
    slow.accumulate(*samples(case, "a"))
    spoilt = ~sound(case)
    assert spoilt.sum() == stack.n_skipped == slow.n_skipped > 0
    assert np.isfinite(stack.data).all()
    for key in ("data", "weight", "exposure"):
        assert_close(getattr(stack, key), getattr(slow, key), key)
    # The reference counts their time and weight although there is nothing to show for it.
    excess = case["a1_exposure"][spoilt] - stack.exposure[spoilt]
    np.testing.assert_allclose(excess, float(case["dt"]), rtol=RTOL)


@pytest.mark.parametrize("name", NAMES)
def test_merging(name: str) -> None:
    case = load_pixelmap(name)
    stack = filled(case, "a")
    stack.merge_accumulate(filled(case, "b"))
    assert_state(stack, case, "merge", cells=sound(case))
    stack.end_accumulation()
    assert_state(stack, case, "mergeend", cells=sound(case))


@pytest.mark.parametrize("name", NAMES)
def test_adding_a_model(name: str) -> None:
    case = load_pixelmap(name)
    stack, model = filled(case, "a"), filled(case, "b")
    model.end_accumulation()
    stack.add_model_data(model, float(case["add_weight"]))
    assert_state(stack, case, "model", cells=sound(case))
    assert_state(model, case, "bend")  # and the model is left as it is (defect 7)
    stack.end_accumulation()
    assert_state(stack, case, "modelend", cells=sound(case))


@pytest.mark.parametrize("name", NAMES)
def test_from_the_states_themselves(name: str) -> None:
    case = load_pixelmap(name)
    kept = sound(case)
    stack = stack_of(case, "a1")
    stack.merge_accumulate(stack_of(case, "b1"))
    assert_state(stack, case, "merge", cells=kept)
    stack = stack_of(case, "a1")
    stack.add_model_data(stack_of(case, "bend"), weight=float(case["add_weight"]))
    assert_state(stack, case, "model", cells=kept)
    stack = stack_of(case, "a2")
    stack.end_accumulation()
    assert_state(stack, case, "end", cells=kept)


@pytest.mark.parametrize("name", NAMES)
def test_one_map_after_another(name: str) -> None:
    case = load_pixelmap(name)
    stack = empty(case)
    data, gains, weights, indices, dt = samples(case, "a")
    for pixel in reversed(range(stack.n_pixels)):
        columns = [array[..., [pixel]] for array in (data, gains, weights, indices)]
        stack.accumulate(columns[0], columns[1], columns[2], columns[3], dt, pixels=[pixel])
    assert_state(stack, case, "a1", cells=sound(case))


def test_one_index_for_all_maps() -> None:
    case = load_pixelmap("accumulate_0")
    data, gains, weights, indices, dt = samples(case, "a")
    # Blank samples have an index of -1 in the file; a weight that is not a number leaves them out as well.
    shared = indices.max(axis=2, keepdims=True)
    stack = empty(case)
    stack.accumulate(data, gains, weights, shared, dt)
    assert_state(stack, case, "a1")
