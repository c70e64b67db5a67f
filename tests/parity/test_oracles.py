"""The slow definitions, which the core is tested against, are those of the reference."""

import numpy as np
import pytest

from tests.oracles import columns, oversample
from tests.oracles.bspline import Spline
from tests.parity.agreement import FLOAT32, assert_planes_agree
from tests.parity.modes import column_order, oversample_options, settings
from tests.reference import Case, load_case

CASES = ("edge_bad_end", "edge_trim_all", "mos")


@pytest.fixture(params=CASES)
def small(request: pytest.FixtureRequest, reference_dir: object) -> Case:
    """Return one of the small cases."""
    del reference_dir
    return load_case(str(request.param))


def stored_models(case: Case) -> dict[int, dict[int, columns.Column]]:
    """Return the fits of the reference."""
    models: dict[int, dict[int, columns.Column]] = {int(region): {} for region in case["out_fitted_regions"]}
    at = zip(case["out_spline_region"].tolist(), case["out_spline_column"].tolist(), strict=True)
    for i, (region, column) in enumerate(at):
        n = int(case["out_spline_nknot"][i])
        low, high = case["out_spline_bounds"][i].tolist()
        models[region][column] = columns.Column(
            Spline(case["out_spline_t"][i, :n], case["out_spline_c"][i, : n - 4]),
            float(case["out_spline_scale"][i]),
            (low, high),
            int(case["out_spline_model_id"][i]),
        )
    return models


def test_the_first_columns_are_fitted_as_in_the_reference(small: Case) -> None:
    stored = stored_models(small)
    order = column_order(small)[:10]
    for region in small.regions:
        inside = small["region_map"] == region
        flux, error, alpha = (
            np.where(inside, small[name], np.nan).astype(np.float32) for name in ("flux", "err", "alpha")
        )
        found = columns.fit_region(flux, error, alpha, order, settings(small))
        expected = {column: stored[region][column] for column in order if column in stored[region]}
        assert list(found) == list(expected)
        for column, fit in expected.items():
            np.testing.assert_array_equal(found[column].spline.t, fit.spline.t)
            np.testing.assert_allclose(found[column].spline.c, fit.spline.c, atol=1e-11 * np.abs(fit.spline.c).max())
            np.testing.assert_allclose(found[column].scale, fit.scale, rtol=1e-11)
            assert found[column].bounds == fit.bounds


def test_planes_are_made_as_in_the_reference(small: Case) -> None:
    models = stored_models(small)
    (options,) = small.params["oversample"]
    found = oversample.oversample(
        small["flux"],
        small["alpha"],
        small["region_map"],
        models,
        options["factor"],
        small[f"alpha_os_{options['factor']:g}"],
        **oversample_options(small),
    )
    for name, plane in found._asdict().items():
        if f"out_os0_{name}" in small:
            assert_planes_agree(plane, small[f"out_os0_{name}"], name, tolerance=1e-12)


@pytest.mark.parametrize("slope_limit", [0.1, 0.0])
def test_trace_images_are_made_as_in_the_reference(small: Case, slope_limit: float) -> None:
    used, full = oversample.trace_image(
        small["alpha"],
        small["region_map"],
        stored_models(small),
        slope_limit=slope_limit,
        pad=oversample_options(small)["pad"],
    )
    assert_planes_agree(used, small[f"out_trace_used_s{slope_limit:g}"], "used", tolerance=FLOAT32)
    assert_planes_agree(full, small["out_trace_full"], "full", tolerance=FLOAT32)
