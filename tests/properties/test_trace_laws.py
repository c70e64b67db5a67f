"""Laws of fitting and oversampling whole images."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pixtrace.simulate import star_in_ifu
from pixtrace.trace import OversampledFlux, TraceModel, fit_all_regions, linear_oversample
from pixtrace.trace.oversample import linear_planes, oversample_planes, trace_planes
from tests.oracles import bspline, columns
from tests.oracles import oversample as oracle
from tests.parity.agreement import FLOAT32, assert_planes_agree
from tests.strategies.scenes import BACKGROUND, Scene, scenes

PLANES = ("flux_os", "trace_used", "full_trace", "linear_flux", "residual_flux")
ONE_OR_TWO = st.integers(1, 2)
FACTORS = st.sampled_from([1.0, 1.5, 2.0, 2.3, 3.0, 4.0])


def fit(scene: Scene, **options: Any) -> TraceModel:
    """Fit a scene without thresholds."""
    return fit_all_regions(*scene.planes, **{**scene.fit_options, **options})


def oversample(scene: Scene, model: TraceModel, factor: float, **options: Any) -> OversampledFlux:
    """Oversample a scene with its model."""
    return model.oversample(scene.flux, scene.alpha, scene.region_map, factor, scene.alpha_os(factor), **options)


def assert_same_model(found: TraceModel, expected: TraceModel) -> None:
    """Assert that both models hold the same numbers, bit for bit."""
    assert list(found) == list(expected)
    for region in expected:
        assert list(found[region]) == list(expected[region])
        for column, trace in expected[region].items():
            other = found[region][column]
            assert (other.scale, other.bounds) == (trace.scale, trace.bounds)
            np.testing.assert_array_equal(other.model.t, trace.model.t)
            np.testing.assert_array_equal(other.model.c, trace.model.c)


def assert_same_planes(found: OversampledFlux, expected: OversampledFlux) -> None:
    """Assert that all planes are the same, bit for bit."""
    for name in PLANES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def oracle_models(scene: Scene) -> dict[int, dict[int, columns.Column]]:
    """Fit a scene by the slow definition."""
    settings = columns.Settings(lrange=scene.lrange, n_intervals=scene.n_intervals, require_ngood=5, space_ratio=1.6)
    found: dict[int, dict[int, columns.Column]] = {}
    for region in np.unique(scene.region_map[scene.region_map > 0]).tolist():
        inside = scene.region_map == region
        flux, error, alpha = (
            np.where(inside, plane, np.nan).astype(scene.flux.dtype) for plane in (scene.flux, scene.error, scene.alpha)
        )
        found[region] = columns.fit_region(flux, error, alpha, list(range(flux.shape[1])), settings)
    return found


def is_well_posed(scene: Scene, models: dict[int, dict[int, columns.Column]]) -> bool:
    """Tell whether rounding leaves nine digits of every fit."""
    for region, found in models.items():
        alpha = np.where((scene.region_map == region) & np.isfinite(scene.flux), scene.alpha, np.nan)
        for i, column in found.items():
            x = columns.window(alpha, i, scene.lrange).ravel()
            x = x[(x >= column.spline.t[0]) & (x <= column.spline.t[-1])]
            if np.linalg.cond(bspline.basis(column.spline.t, x)) > 1e5:
                return False
    return True


@given(scenes(n_regions=ONE_OR_TWO), FACTORS, st.sampled_from([0.0, 0.02, 0.1]), st.booleans(), st.booleans())
def test_agrees_with_the_definition(
    scene: Scene, factor: float, slope_limit: float, psf_optimal: bool, trim_ends: bool
) -> None:
    """Columns, knots, coefficients, scales and all planes are those of the slow oracle."""
    expected = oracle_models(scene)
    assume(is_well_posed(scene, expected))
    model = fit(scene)
    assert {region: sorted(found) for region, found in model.items()} == {r: sorted(f) for r, f in expected.items()}
    for region, found in expected.items():
        for i, column in found.items():
            ours = model[region][i]
            np.testing.assert_array_equal(ours.model.t, column.spline.t)
            size = np.abs(column.spline.c).max()
            np.testing.assert_allclose(ours.model.c, column.spline.c, rtol=1e-9, atol=1e-9 * size)
            np.testing.assert_allclose(ours.scale, column.scale, rtol=1e-9)
            assert ours.bounds == column.bounds
    options: dict[str, Any] = {"slope_limit": slope_limit, "psf_optimal": psf_optimal, "trim_ends": trim_ends}
    planes = oracle.oversample(
        scene.flux, scene.alpha, scene.region_map, expected, factor, scene.alpha_os(factor), require_ngood=3, **options
    )
    result = oversample(scene, model, factor, require_ngood=3, **options)
    for name, plane in zip(PLANES, planes, strict=True):
        assert_planes_agree(getattr(result, name), plane, name)
    for ours_image, image in zip(
        model.trace_image(scene.region_map, scene.alpha, slope_limit=slope_limit),
        oracle.trace_image(scene.alpha, scene.region_map, expected, slope_limit=slope_limit),
        strict=True,
    ):
        assert_planes_agree(ours_image, image, "trace image", tolerance=FLOAT32)


@given(scenes(n_regions=ONE_OR_TWO), st.integers(-8, 8))
def test_scaling_the_flux_scales_every_plane(scene: Scene, power: int) -> None:
    """By powers of two, which change no digit, exactly."""
    k = 2.0**power
    once, times = (oversample(s, fit(s), 2.0) for s in (scene, scene.scaled(k)))
    for name in PLANES:
        np.testing.assert_array_equal(getattr(times, name), k * getattr(once, name), err_msg=name)


@given(scenes(n_regions=st.just(2)), FACTORS)
def test_regions_do_not_see_each_other(scene: Scene, factor: float) -> None:
    """Whatever happens in the second region, the first stays as it is."""
    first = scene.region_map == 1
    alone = replace(scene, flux=np.where(first, scene.flux, np.nan).astype(scene.flux.dtype))
    both, one = (oversample(s, fit(s), factor) for s in (scene, alone))
    assert_same_model_of(1, fit(scene), fit(alone))
    here = np.nonzero(np.isfinite(one.linear_flux))
    for name in PLANES:
        np.testing.assert_array_equal(getattr(both, name)[here], getattr(one, name)[here], err_msg=name)


def assert_same_model_of(region: int, found: TraceModel, expected: TraceModel, *, label: int | None = None) -> None:
    """Assert that a region has the same fits in both models, in the first under another label."""
    ours, theirs = found[region if label is None else label], expected[region]
    assert list(ours) == list(theirs)
    for column, trace in theirs.items():
        assert ours[column].scale == trace.scale
        np.testing.assert_array_equal(ours[column].model.c, trace.model.c)


@given(scenes(n_regions=st.just(2)), st.permutations([3, 70]))
def test_permuting_the_labels_permutes_the_results(scene: Scene, labels: list[int]) -> None:
    """A label is a name and nothing more."""
    named = replace(scene, region_map=np.array([0, *labels], dtype=np.int32)[scene.region_map])
    model, permuted = fit(scene), fit(named)
    assert list(permuted) == sorted(labels)
    for region, label in zip((1, 2), labels, strict=True):
        assert_same_model_of(region, permuted, model, label=label)
    ours, theirs = oversample(named, permuted, 2.0), oversample(scene, model, 2.0)
    for name in ("full_trace", "linear_flux", "residual_flux"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


@given(scenes(noise=False, dtype=np.float64))
def test_a_noiseless_smooth_profile_is_recovered(scene: Scene) -> None:
    """Knots every half pixel follow a star not much wider than one to a per cent of its peak, between the samples too.

    Without background, whose share in the sum of a column depends on its rows; with the same error everywhere, as faint
    wings beside a bright star would be taken for bad edges (semantics.md, 8.1).
    """
    position, peak, width = scene.star
    height = int(np.max(np.count_nonzero(scene.region_map, axis=0)))
    star = replace(scene, star=(position / 2.0, peak, min(width, 0.2)), n_intervals=2 * height, lrange=20)
    star = replace(star, flux=star.truth(star.alpha) - BACKGROUND, error=np.ones_like(star.error))
    found = oversample(star, fit(star), 2.0, require_ngood=3, slope_limit=0.0, psf_optimal=True).full_trace
    truth = star.truth(star.alpha_os(2.0)) - BACKGROUND
    seen = np.isfinite(found) & np.isfinite(truth)
    assert seen.any()
    assert np.max(np.abs(found[seen] - truth[seen])) < 0.01 * peak


@given(scenes(noise=False), st.sampled_from([1, 2, 3, 4, 5]))
def test_averaging_back_conserves_the_sum_of_each_column(scene: Scene, factor: int) -> None:
    """Linear interpolation gives every native pixel the same weight in the sum."""
    fine = linear_oversample(scene.flux, scene.region_map, factor, 3, edge_limit=0, preserve_nan=False)
    np.testing.assert_allclose(
        np.nansum(fine.astype(np.float64), axis=0) / factor,
        np.nansum(np.where(scene.region_map > 0, scene.flux, np.nan).astype(np.float64), axis=0),
        rtol=1e-6,
    )


@pytest.mark.parametrize("n_threads", [2, 8])
def test_threads_change_nothing(n_threads: int) -> None:
    """The same bits for any number of threads; on an image that is large enough to be shared out."""
    scene = star_in_ifu(n_columns=600)
    image, alpha_os = scene.image, scene.alpha_os(2.0)
    planes = image.flux, image.error, image.alpha, image.region_map

    def model(n: int) -> TraceModel:
        return fit_all_regions(*planes, n_threads=n, spline_bkpt=36, require_ngood=8)

    one = model(1)
    assert_same_model(model(n_threads), one)
    fine = [
        oversample_planes(one, image.flux, image.alpha, image.region_map, 2.0, alpha_os, n_threads=n)
        for n in (1, n_threads)
    ]
    assert_same_planes(*fine)
    lonely, shared = (linear_planes(image.flux, image.region_map, 2.0, 3, n_threads=n) for n in (1, n_threads))
    np.testing.assert_array_equal(shared, lonely)
    traces = [trace_planes(one, image.region_map, image.alpha, n_threads=n) for n in (1, n_threads)]
    for few, many in zip(*traces, strict=True):
        np.testing.assert_array_equal(few, many)


def big_endian(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the same numbers in the byte order of FITS files."""
    return array.astype(array.dtype.newbyteorder(">"))


def strided(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the same numbers as a view with gaps and a negative stride."""
    wide = np.zeros((array.shape[0], 2 * array.shape[1]), dtype=array.dtype)
    wide[:, ::-2] = array
    return wide[:, ::-2]


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the same numbers in an array that cannot be written."""
    copy = array.copy()
    copy.setflags(write=False)
    return copy


@pytest.mark.parametrize("change", [big_endian, strided, read_only, np.asfortranarray])
@given(scene=scenes())
def test_layout_and_byte_order_change_nothing(change: Any, scene: Scene) -> None:
    """Arrays may come in any form."""
    changed = replace(
        scene, **{name: change(value) for name, value in vars(scene).items() if isinstance(value, np.ndarray)}
    )
    model = fit(scene)
    assert_same_model(fit(changed), model)
    assert_same_planes(oversample(changed, model, 2.0), oversample(scene, model, 2.0))


@given(scenes(n_regions=ONE_OR_TWO), FACTORS)
def test_inputs_come_back_untouched(scene: Scene, factor: float) -> None:
    """Nothing is written into the planes."""
    before = [plane.copy() for plane in scene.planes]
    oversample(scene, fit(scene), factor)
    linear_oversample(scene.error, scene.region_map, factor, 3)
    for plane, copy in zip(scene.planes, before, strict=True):
        np.testing.assert_array_equal(plane, copy)
