"""Function by function: the peer's own, and ours in its place, on the reference data."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from pixtrace.adapters.jwst import enable
from tests.adapters.jwst_peer.untyped import trace_model
from tests.parity.agreement import assert_planes_agree
from tests.reference import Case, load_case

CASES = ("edge_few_rows", "edge_trim_all", "fs_nod", "fs_prism", "lrs_slitless", "mos", "mrs_4a")
PLANES = ("flux_os", "trace_used", "full_trace", "linear_flux", "residual_flux")


def fit(case: Case) -> Any:
    """Fit a case with whatever is in the peer."""
    p = case.params
    keywords = trace_model._set_fit_kwargs(p["mode"], p["detector"], p["grating"], case["flux"].shape[1])
    return trace_model.fit_all_regions(
        case["flux"],
        case["err"],
        case["alpha"],
        case["region_map"],
        peak_threshold=case.peak_threshold,
        snr_threshold=case.snr_threshold,
        **keywords,
    )


def oversample(case: Case, models: Any, factor: float = 2, **changes: Any) -> Any:
    """Oversample a case with whatever is in the peer."""
    keywords = trace_model._set_oversample_kwargs(case.params["mode"], case.params["detector"]) | changes
    alpha_os = case[f"alpha_os_{factor:g}"]
    return trace_model.oversample_flux(
        case["flux"], case["alpha"], case["region_map"], models, factor, alpha_os, **keywords
    )


@cache
def both(name: str) -> tuple[Any, Any]:
    """Return the models of the peer and ours for a case."""
    case = load_case(name)
    theirs = fit(case)
    with enable():
        ours = fit(case)
    return theirs, ours


@pytest.mark.parametrize("name", CASES)
def test_fits(name: str) -> None:
    theirs, ours = both(name)
    assert list(theirs) == list(ours)
    for region, columns in theirs.items():
        assert list(columns) == list(ours[region])
        for column, trace in columns.items():
            found = ours[region][column]
            assert type(found["model"]) is type(trace["model"])
            np.testing.assert_array_equal(found["model"].t, trace["model"].t)
            np.testing.assert_allclose(found["model"].c, trace["model"].c, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(found["scale"], trace["scale"], rtol=1e-9)
            assert tuple(found["bounds"]) == tuple(trace["bounds"])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("changes", [{}, {"slope_limit": 0.0}, {"slope_limit": 0.0, "psf_optimal": True}])
def test_oversampling_with_each_others_models(name: str, changes: dict[str, Any]) -> None:
    """The four combinations of whose fit and whose oversampling agree: whoever switches midway notices nothing."""
    case = load_case(name)
    theirs, ours = both(name)
    expected = oversample(case, theirs, **changes)
    found = [oversample(case, ours, **changes)]
    with enable():
        found += [oversample(case, models, **changes) for models in (theirs, ours)]
    for planes in found:
        assert (planes[1] is planes[2]) == (expected[1] is expected[2])
        for plane, right, what in zip(planes, expected, PLANES, strict=True):
            assert plane.dtype == right.dtype
            assert_planes_agree(plane, right, f"{name} {what}")


@pytest.mark.parametrize("name", CASES)
def test_trace_images_and_linear_interpolation(name: str) -> None:
    case = load_case(name)
    theirs, _ = both(name)

    def make() -> list[Any]:
        used, full = trace_model._trace_image(
            case["flux"].shape, theirs, case["region_map"], case["alpha"], slope_limit=0.1, pad=2
        )
        linear = trace_model.linear_oversample(case["err"], case["region_map"], 3, 3, preserve_nan=False)
        return [used, full, linear]

    expected = make()
    with enable():
        found = make()
    for plane, right, what in zip(found, expected, ("used", "full", "linear"), strict=True):
        assert plane.dtype == right.dtype
        assert_planes_agree(plane, right, f"{name} {what}")


def test_a_factor_below_one_is_left_to_the_peer() -> None:
    case = load_case("factors")
    theirs, _ = both("factors")
    expected = oversample(case, theirs, 0.5)
    with enable():
        found = oversample(case, theirs, 0.5)
    for plane, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(plane, right)


def test_one_slice_alone() -> None:
    case = load_case("fs_prism")
    inside = case["region_map"] == 1
    flux, alpha = (np.where(inside, case[name], np.nan).astype(np.float32) for name in ("flux", "alpha"))
    for columns, scale in ((None, None), ([9, 3, 4], np.nansum(flux, axis=0))):
        expected = trace_model.fit_2d_spline_trace(flux, alpha, scale, col_index=columns)
        with enable():
            given = None if columns is None else iter(columns)  # any iterable will do
            found = trace_model.fit_2d_spline_trace(flux, alpha, scale, col_index=given)
        assert list(found) == list(expected)
        for column, trace in expected.items():
            np.testing.assert_allclose(found[column]["model"].c, trace["model"].c, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(found[column]["scale"], trace["scale"], rtol=1e-9)


def test_a_threshold_of_nan_is_never_passed() -> None:
    case = load_case("mos")
    keywords = trace_model._set_fit_kwargs("NRS_MOS", "NRS2", "G140M", case["flux"].shape[1])
    planes = case["flux"], case["err"], case["alpha"], case["region_map"]
    for threshold in ({"peak_threshold": {1: np.nan}}, {"snr_threshold": np.nan}):
        assert trace_model.fit_all_regions(*planes, **threshold, **keywords) == {1: {}}
        with enable():
            assert trace_model.fit_all_regions(*planes, **threshold, **keywords) == {1: {}}
