"""Planes of the right shape and kind with numbers that make no sense: an error, or the documented result."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.exceptions import DtypeError, ParameterError
from pixtrace.trace import OversampledFlux, TraceModel, fit_2d_spline_trace, linear_oversample
from pixtrace.trace.oversample import alpha_on_grid
from tests.strategies.small import PEAK, STAR, Array, SmallScene, small_scene, tables

SCENE = small_scene()
MODEL = SCENE.fit()
NATIVE_ALPHA = np.isfinite(SCENE.alpha)


def assert_linear_only(scene: SmallScene, model: TraceModel, factor: float = 2) -> OversampledFlux:
    """Assert that without a trace the flux is interpolated linearly, and that there is no other plane."""
    assert list(model) == [1, 2]
    assert [len(region) for region in model.values()] == [0, 0]
    planes = scene.oversample(model, factor)
    np.testing.assert_array_equal(planes.flux_os, planes.linear_flux)
    expected = linear_oversample(scene.flux, scene.region_map, factor, 3, edge_limit=int(factor))
    np.testing.assert_array_equal(planes.flux_os.astype(np.float32), expected)
    for plane in (planes.trace_used, planes.full_trace, planes.residual_flux):
        assert np.isnan(plane).all()
    for image in model.trace_image(scene.region_map, scene.alpha):
        assert np.isnan(image).all()
    return planes


def test_the_scene_is_good() -> None:
    assert [len(region) for region in MODEL.values()] == [40, 40]
    for region in MODEL.values():
        for trace in region.values():
            assert trace.scale * trace.model(STAR) == pytest.approx(PEAK, rel=0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("options", [{}, {"snr_threshold": 3.0}, {"peak_threshold": {1: 1.0, 2: 1.0}}])
def test_no_flux_at_all(value: float, options: dict[str, Any]) -> None:
    scene = SCENE.but(flux=np.full_like(SCENE.flux, value))
    planes = assert_linear_only(scene, scene.fit(**options))
    assert np.isnan(planes.flux_os).all()


@pytest.mark.parametrize(
    "alpha",
    [
        np.full_like(SCENE.alpha, np.nan),
        np.full_like(SCENE.alpha, np.inf),
        np.full_like(SCENE.alpha, -np.inf),
        np.zeros_like(SCENE.alpha),
        np.full_like(SCENE.alpha, 0.5),
        np.full_like(SCENE.alpha, -1e300),
        SCENE.alpha * 1e300,  # infinite in the precision of the flux
        SCENE.alpha * 1e-300,  # and here zero
        np.indices(SCENE.alpha.shape)[0] % 2.0,
    ],
    ids=["nan", "inf", "-inf", "zero", "constant", "-1e300", "huge", "tiny", "zigzag"],
)
@pytest.mark.parametrize("options", [{}, {"spline_bkpt": None, "require_ngood": None}])
def test_alpha_that_says_nothing(alpha: Array, options: dict[str, Any]) -> None:
    scene = SCENE.but(alpha=alpha)
    planes = assert_linear_only(scene, scene.fit(**options))
    assert np.isfinite(planes.flux_os).any()


def test_alpha_with_infinities_is_alpha_with_nan() -> None:
    holes = np.random.default_rng(0).random(SCENE.alpha.shape) < 0.1
    models, planes = [], []
    for value in (np.nan, np.inf, -np.inf):
        scene = SCENE.but(alpha=np.where(holes, value, SCENE.alpha))
        models.append(tables(scene.fit()))
        planes.append(SCENE.but(alpha=scene.alpha).oversample(MODEL, 1))
    assert models[0] == models[1] == models[2]
    for found in planes[1:]:
        for ours, theirs in zip(found, planes[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_flux_with_infinities_is_flux_with_nan() -> None:
    holes = np.random.default_rng(0).random(SCENE.flux.shape) < 0.1
    scenes = [SCENE.but(flux=np.where(holes, np.float32(value), SCENE.flux)) for value in (np.nan, np.inf, -np.inf)]
    models = [scene.fit() for scene in scenes]
    assert tables(models[0]) == tables(models[1]) == tables(models[2])
    planes = [scene.oversample(model, 1.7) for scene, model in zip(scenes, models, strict=True)]
    for found in planes[1:]:
        for ours, theirs in zip(found, planes[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_alpha_may_descend() -> None:
    """Turned upside down, the image has the same points: only the order of sums differs."""
    scene = small_scene(dtype=np.float64)
    turned = scene.map(lambda p: p[::-1])
    model, other = scene.fit(), turned.fit()
    for region, traces in model.items():
        for column, trace in traces.items():
            np.testing.assert_allclose(other[region][column].model.c, trace.model.c, rtol=1e-9, atol=1e-12)
            assert other[region][column].scale == pytest.approx(trace.scale, rel=1e-9)
    # Which of two pixels a steep step is booked on depends on the direction, so all of the model is used here.
    planes, mirrored = scene.oversample(model, slope_limit=0), turned.oversample(other, slope_limit=0)
    for ours, theirs in zip(mirrored, planes, strict=True):
        np.testing.assert_allclose(ours[::-1], theirs, rtol=1e-9, atol=1e-6)


def test_repeated_alphas() -> None:
    """Every row twice."""
    scene = SCENE.map(lambda p: np.repeat(p, 2, axis=0))
    model = scene.fit()
    assert [len(region) for region in model.values()] == [40, 40]
    for region in model.values():
        for trace in region.values():
            assert trace.scale * trace.model(STAR) == pytest.approx(PEAK, rel=0.1)
    assert np.isfinite(scene.oversample(model, slope_limit=0).full_trace[np.isfinite(scene.alpha_os())]).mean() > 0.9


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_errors_that_say_nothing_stay_out_of_the_profile_only(value: float) -> None:
    scene = SCENE.but(error=np.full_like(SCENE.error, value))
    assert tables(scene.fit()) == tables(SCENE.but(error=None).fit())
    assert_linear_only(scene, scene.fit(snr_threshold=1e-9))
    assert_linear_only(scene, scene.fit(peak_threshold={1: -1e30, 2: -1e30}))


def test_without_errors_every_error_is_one() -> None:
    none, ones = SCENE.but(error=None), SCENE.but(error=np.ones_like(SCENE.error))
    for options in ({}, {"snr_threshold": 0.5 * PEAK}, {"snr_threshold": 2.0 * PEAK}):
        assert tables(none.fit(**options)) == tables(ones.fit(**options))
    assert tables(none.fit(snr_threshold=2.0 * PEAK)) == []


def test_an_empty_region_map() -> None:
    for empty in (np.zeros_like(SCENE.region_map), -SCENE.region_map, np.full(SCENE.region_map.shape, -(2**31))):
        scene = SCENE.but(region_map=empty)
        thresholds: list[dict[str, Any]] = [{}, {"snr_threshold": 3.0}, {"peak_threshold": {}}]
        for options in thresholds:
            model = scene.fit(**options)
            assert dict(model) == {}
            assert (model.n_columns, model.n_fits, len(model)) == (0, 0, 0)
        for plane in (*scene.oversample(MODEL), *MODEL.trace_image(empty, SCENE.alpha)):
            assert np.isnan(plane).all()
        assert np.isnan(linear_oversample(SCENE.flux, empty, 2, 0)).all()


#: Region maps, and the labels that are regions in them.
GOOD_LABELS: dict[str, tuple[Callable[[Array], Any], list[int]]] = {
    "int8": (lambda m: (m * 60).astype(np.int8), [60, 120]),
    "uint16": (lambda m: (m * 30000).astype(np.uint16), [30000, 60000]),
    "int64": (lambda m: m.astype(np.int64), [1, 2]),
    "uint64": (lambda m: m.astype(np.uint64), [1, 2]),
    "largest": (lambda m: np.where(m == 2, 2**31 - 1, m), [1, 2**31 - 1]),
    "far below zero": (lambda m: np.where(m == 2, -(2**63), m), [1]),
    "smallest int32": (lambda m: np.where(m == 2, np.int32(-(2**31)), m), [1]),
    "bool": (lambda m: m > 0, [1]),
    "float16": (lambda m: m.astype(np.float16), [1, 2]),
    "float32": (lambda m: (m * 2.0**29).astype(np.float32), [2**29, 2**30]),
    "float64": (lambda m: m.astype(np.float64), [1, 2]),
    "float128": (lambda m: m.astype(np.longdouble), [1, 2]),
    "minus infinity": (lambda m: np.where(m == 2, -np.inf, m), [1]),
    "minus infinity, float16": (lambda m: np.where(m == 2, -np.inf, m).astype(np.float16), [1]),
    "big-endian": (lambda m: m.astype(">i8"), [1, 2]),
    "masked": (lambda m: np.ma.masked_equal(m, 2), [1]),
    "masked floats": (lambda m: np.ma.masked_invalid(np.where(m == 2, np.nan, m)), [1]),
    "list": (lambda m: m.tolist(), [1, 2]),
}


@pytest.mark.parametrize("form", GOOD_LABELS)
def test_labels(form: str) -> None:
    change, labels = GOOD_LABELS[form]
    scene = SCENE.but(region_map=change(SCENE.region_map))
    model = scene.fit()
    assert list(model) == labels
    planes = scene.oversample(model, slope_limit=0, psf_optimal=True)
    assert np.isfinite(planes.full_trace).sum(axis=0).min() >= 27 * min(len(labels), 2)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda m: m.astype(np.int64) * 2**31, "4294967296"),
        (lambda m: m.astype(np.uint32) * 2**31, "2147483648"),
        (lambda m: m.astype(np.uint64) * 2**63, "9223372036854775808"),
        (lambda m: np.where(m == 1, np.uint64(2**64 - 1), np.uint64(0)), "18446744073709551615"),
        (lambda m: np.where(m == 1, np.inf, m), "inf"),
        (lambda m: np.where(m == 1, np.inf, m).astype(np.float16), "inf"),
        (lambda m: m * 1e300, "2e\\+300"),
        (lambda m: m.astype(np.float32) * 2**31, "4294967296"),
    ],
)
def test_labels_beyond_32_bits(change: Callable[[Array], Array], found: str) -> None:
    with pytest.raises(ParameterError, match=f"`region_map` holds the label {found}.*the largest .* is 2147483647"):
        SCENE.but(region_map=change(SCENE.region_map)).fit()


@pytest.mark.parametrize("value", [0.5, np.nan, 1e-30, -1.5])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_labels_that_are_not_whole(value: float, dtype: npt.DTypeLike) -> None:
    if np.dtype(dtype) == np.float16 and value == 1e-30:
        value = 1e-7
    region_map = SCENE.region_map.astype(dtype)
    region_map[3, 4] = value
    with pytest.raises(DtypeError, match=r"`region_map` has dtype float.* not whole; expected integer labels"):
        SCENE.but(region_map=region_map).fit()


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5])
def test_slits_of_a_few_rows(n_rows: int) -> None:
    """The reference stops with an error if a column has fewer than five pixels (semantics.md, 8.5)."""
    scene = small_scene(n_rows, n_regions=1)
    rows = scene.region_map > 0
    assert rows.sum(axis=0).tolist() == [n_rows] * 40
    model = scene.fit(spline_bkpt=None, require_ngood=None)
    assert len(model[1]) == (0 if n_rows == 1 else 40)
    planes = scene.oversample(model, require_ngood=0, slope_limit=0, psf_optimal=True)
    for trace in model[1].values():
        assert trace.scale * trace.model(STAR) == pytest.approx(PEAK, rel=0.15)
    if n_rows > 1:
        assert np.isfinite(planes.full_trace).sum(axis=0).min() >= 2 * (n_rows - 1)
        np.testing.assert_array_equal(planes.flux_os, planes.full_trace)
    image = model.trace_image(scene.region_map, scene.alpha).full_trace
    assert np.isfinite(image).sum() == 40 * max(n_rows - 2, 0)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (38, 1), (1, 35), (38, 2), (2, 2)])
def test_images_of_a_few_pixels(rows: int, columns: int) -> None:
    scene = SCENE.map(lambda p: p[19 : 19 + rows, 5 : 5 + columns] if rows < 38 else p[:, 5 : 5 + columns])
    for options in ({}, {"spline_bkpt": None, "require_ngood": None}, {"require_ngood": 0, "snr_threshold": 3.0}):
        model = scene.fit(**options)
        assert list(model) == np.unique(scene.region_map[scene.region_map > 0]).tolist()
        for factor in (1, 1.7, 3):
            planes = scene.oversample(model, factor, require_ngood=0)
            assert {p.shape for p in planes} == {(int(np.ceil(rows * factor)), columns)}
        assert model.trace_image(scene.region_map, scene.alpha).full_trace.shape == (rows, columns)


def test_one_pixel_with_a_label() -> None:
    one: Array = np.ones((1, 1))
    scene = SmallScene(flux=7.0 * one, error=one, alpha=0.0 * one, region_map=one)
    model = scene.fit(require_ngood=0, spline_bkpt=1)
    assert {label: dict(region) for label, region in model.items()} == {1: {}}
    assert linear_oversample(scene.flux, scene.region_map, 3, 0).tolist() == [[7.0]] * 3
    assert np.isnan(linear_oversample(scene.flux, scene.region_map, 3, 1)).all()
    assert np.isnan(alpha_on_grid(scene.alpha, scene.region_map, 3)).all()  # one pixel has no slope


def test_a_column_outside_the_bounds_that_it_takes_over() -> None:
    """It keeps the spline, with a scale of zero, and no pixel of it is a pixel of the trace (semantics.md, 8.5)."""
    alpha = SCENE.alpha.copy()
    alpha[:, 30:] += 1000.0
    flux = SCENE.flux.copy()
    flux[:, 31:] = np.nan  # too few points for a fit of column 30
    scene = SCENE.but(alpha=alpha, flux=flux)
    model = scene.fit(lrange=1, col_index=[5, 30])
    assert list(model[1]) == [5, 30]
    assert model[1][30].model is model[1][5].model
    assert model[1][30].bounds == model[1][5].bounds
    assert model[1][30].scale == 0.0
    planes = scene.oversample(model, slope_limit=0)
    assert np.isnan(planes.full_trace[:, 30]).all()
    assert np.isfinite(planes.full_trace[:, 5]).any()
    np.testing.assert_array_equal(planes.flux_os[:, 30], planes.linear_flux[:, 30])
    assert np.isnan(model.trace_image(scene.region_map, alpha).full_trace[:, 30]).all()


@pytest.mark.parametrize("k", [1e-300, 1e-40, 1e34, 1e300])
def test_extreme_fluxes_scale(k: float) -> None:
    dtype = np.float64 if k in {1e-300, 1e300} else np.float32
    flux = (np.abs(SCENE.flux.astype(np.float64)) * k).astype(dtype)
    model = SCENE.but(flux=flux, error=None).fit()
    assert [len(region) for region in model.values()] == [40, 40]
    for region in model.values():
        for trace in region.values():
            assert trace.scale * trace.model(STAR) == pytest.approx(PEAK * k, rel=0.1)


def test_sums_that_overflow_and_sums_of_zero() -> None:
    for flux in (np.full_like(SCENE.flux, 3e38), np.zeros_like(SCENE.flux), -np.abs(SCENE.flux)):
        scene = SCENE.but(flux=flux)
        planes = scene.oversample(scene.fit())
        seen = np.isfinite(planes.linear_flux)
        np.testing.assert_allclose(planes.flux_os[seen], planes.linear_flux[seen], rtol=1e-6)


def test_column_scales_of_zero_and_nan_leave_the_data_of_the_columns_out() -> None:
    options: dict[str, Any] = {"lrange": 10, "spline_bkpt": 14, "require_ngood": 3, "space_ratio": 1.6}
    flux = np.where(SCENE.region_map == 1, SCENE.flux, np.nan)
    sums = np.nansum(flux.astype(np.float64), axis=0)
    left = np.arange(40) < 20
    expected = fit_2d_spline_trace(np.where(left, flux, np.nan), SCENE.alpha, sums, **options)
    for value in (0.0, np.nan):
        found = fit_2d_spline_trace(flux, SCENE.alpha, np.where(left, sums, value), **options)
        assert [found[column] for column in range(20)] == [expected[column] for column in range(20)]


def test_one_wild_alpha_costs_neither_memory_nor_the_other_pixels() -> None:
    for wild in (1e5, 3e5, 1e30):
        alpha = SCENE.alpha.copy()
        alpha[5, 5] = wild
        model = SCENE.but(alpha=alpha).fit(peak_threshold={1: -1e9, 2: 10.0})
        np.testing.assert_array_equal(list(model[2]), np.arange(40))
        assert [t.scale for t in model[2].values()] == [t.scale for t in MODEL[2].values()]


def test_every_pixel_a_region_of_its_own() -> None:
    n = 40
    labels = np.arange(1, n * n + 1).reshape(n, n)
    rows = np.indices((n, n))[0].astype(np.float64)
    scene = SmallScene(flux=rows, error=None, alpha=rows, region_map=labels)
    model = scene.fit()
    assert len(model) == n * n
    assert model.n_columns == 0
    assert np.isnan(scene.oversample(model).flux_os).all()
    np.testing.assert_array_equal(linear_oversample(rows, labels, 2, 0), np.repeat(rows, 2, axis=0))
