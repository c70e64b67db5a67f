"""Trace models as Python objects, and models that come as dictionaries of anything."""

import copy
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import interpolate

from pixtrace.exceptions import DataError, DtypeError, ParameterError, PixtraceError, ShapeError
from pixtrace.trace import (
    BSpline,
    ColumnTrace,
    OversampledFlux,
    RegionTrace,
    TraceModel,
    fit_2d_spline_trace,
    oversample_flux,
)
from tests.strategies.small import STAR, small_scene, tables

SCENE = small_scene()
MODEL = SCENE.fit(col_index=range(30))
TRACE = MODEL[1][5]
SPLINE, SCALE = TRACE.model, TRACE.scale
ALPHA_OS = SCENE.alpha_os()
KNOTS = [0.0, 0, 0, 0, 1, 1, 1, 1]


def pickled(thing: Any) -> Any:
    """Return a copy that went through a pickle."""
    return pickle.loads(pickle.dumps(thing))  # noqa: S301  (our own)


def shared() -> TraceModel:
    """Return a model whose last columns, with four pixels each, take over a spline."""
    few = (np.arange(40) > 30) & ~(np.abs(SCENE.alpha - STAR) < 0.4)
    scene = SCENE.but(flux=np.where(few, np.float32(np.nan), SCENE.flux))
    return scene.fit(lrange=1, spline_bkpt=8, space_ratio=9.0)


def oversample(models: Any, scales: Any = None, **options: Any) -> OversampledFlux:
    """Oversample with a model in whatever form."""
    return oversample_flux(SCENE.flux, SCENE.alpha, SCENE.region_map, models, scales, 2, ALPHA_OS, 3, **options)


def test_the_model_is_a_mapping() -> None:
    assert isinstance(MODEL, Mapping)
    assert list(MODEL) == [1, 2]
    assert len(MODEL) == 2
    keys: Any
    for keys in (1, 2.0, np.int64(2)):
        assert keys in MODEL
        assert MODEL[keys] is MODEL[int(keys)]
    for keys in (0, 3, -1, "1", None, float("nan"), 2**70, 1.5):
        assert keys not in MODEL
        with pytest.raises(KeyError):
            MODEL[keys]
    for keys in ([1], np.array([1, 2]), {}):
        with pytest.raises(TypeError, match="unhashable"):
            MODEL[keys]
    assert MODEL.get(7) is None
    assert repr(MODEL) == f"<TraceModel: 2 regions, 60 columns, {MODEL.n_fits} fits>"


def test_a_region_is_a_mapping() -> None:
    region = MODEL[1]
    assert isinstance(region, Mapping)
    assert list(region) == list(range(30))
    assert len(region) == 30
    assert (5 in region, np.int64(5) in region) == (True, True)
    key: Any
    for key in (30, -1, "5", None, 2**70):
        assert key not in region
        with pytest.raises(KeyError):
            region[key]
    assert [column for column, _ in region.items()] == list(region.keys())
    assert repr(region) == f"<RegionTrace: 30 columns, {region.n_fits} fits>"


def test_a_column_has_the_keys_of_jwst() -> None:
    assert TRACE["model"] is TRACE.model is MODEL[1][5]["model"]
    assert TRACE["scale"] == TRACE.scale
    assert TRACE["bounds"] == TRACE.bounds
    assert list(TRACE) == list(TRACE.keys()) == ["model", "scale", "bounds"]
    assert ("bounds" in TRACE, "t" in TRACE) == (True, False)
    assert dict(TRACE) == {**TRACE} == {"model": SPLINE, "scale": SCALE, "bounds": TRACE.bounds}
    for key in ("t", "", None, 0):
        with pytest.raises(KeyError):
            TRACE[key]  # type: ignore[index]
    with pytest.raises(AttributeError):
        TRACE.scale = 3.0  # type: ignore[misc]
    low, high = TRACE.bounds
    assert isinstance(low, float)
    assert low < high


def test_columns_that_share_a_fit_share_the_spline() -> None:
    model = shared()
    region = model[1]
    assert region.n_fits < len(region)
    reused = [c for c in region if c > 32]
    assert reused
    assert len({id(region[c].model) for c in reused}) == 1
    assert len({id(trace.model) for trace in region.values()}) == region.n_fits
    assert region.models[reused[0]] is region[reused[0]].model
    assert len({region[c].scale for c in reused}) > 1
    for clone in (pickled(region), copy.deepcopy(region), pickled(model)[1]):
        assert len({id(clone[c].model) for c in reused}) == 1
        assert clone.n_fits == region.n_fits


def test_views() -> None:
    for view, name in [
        (MODEL.spline_models, "model"),
        (MODEL.spline_scales, "scale"),
        (MODEL.spline_bounds, "bounds"),
    ]:
        assert list(view) == [1, 2]
        assert view == {r: {c: trace[name] for c, trace in region.items()} for r, region in MODEL.items()}
        assert view[2][7] == MODEL[2][7][name]
        assert len(view[1]) == 30
        assert (29 in view[1], 30 in view[1]) == (True, False)
        with pytest.raises(KeyError):
            view[1][30]
        with pytest.raises(TypeError):
            view[1][5] = None  # type: ignore[index]
        assert "{0: " in repr(view[1])
        assert pickled(view) == copy.deepcopy(view) == view
    assert MODEL.spline_models[1][5] is MODEL[1][5].model


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickled])
def test_copies_are_equal_bit_for_bit(clone: Any) -> None:
    empty = SCENE.but(flux=SCENE.flux * 0.0).fit()
    for model in (MODEL, shared(), empty):
        other = clone(model)
        assert type(other) is TraceModel
        assert other == model
        assert tables(other) == tables(model)
        assert (other.n_columns, other.n_fits) == (model.n_columns, model.n_fits)
        for ours, theirs in zip(SCENE.oversample(other), SCENE.oversample(model), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for part in (MODEL[1], TRACE, SPLINE):
        other = clone(part)
        assert type(other) is type(part)
        assert other == part
    assert not clone(SPLINE).t.flags.writeable


def test_equality() -> None:
    assert SCENE.fit(col_index=range(30)) == MODEL
    assert SCENE.fit(col_index=range(29)) != MODEL
    assert dict(MODEL) == MODEL
    assert MODEL != {}
    assert MODEL[1] != MODEL[2]
    for unhashable in (MODEL, MODEL[1]):
        with pytest.raises(TypeError, match="unhashable"):
            hash(unhashable)
    assert len({TRACE, copy.deepcopy(TRACE), MODEL[1][6]}) == 2


def test_arrays_of_a_model_are_read_only() -> None:
    for array in (SPLINE.t, SPLINE.c):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
        with pytest.raises(ValueError, match=r"cannot set WRITEABLE|read-only"):
            array.flags.writeable = True
    given = SPLINE.t.copy(), SPLINE.c.copy()
    spline = BSpline(*given)
    given[1][0] = 99.0
    assert spline == SPLINE


def test_one_region_alone_gives_the_same_as_the_model() -> None:
    inside = SCENE.region_map == 1
    flux = np.where(inside, SCENE.flux, np.nan)
    region = fit_2d_spline_trace(
        flux,
        np.where(inside, SCENE.alpha, np.nan),
        np.nansum(flux, axis=0),
        lrange=10,
        spline_bkpt=14,
        require_ngood=3,
        space_ratio=1.6,
        col_index=range(30),
    )
    assert type(region) is RegionTrace
    assert region == MODEL[1]


def test_a_model_in_many_forms() -> None:
    bounded = {r: {c: dict(trace) for c, trace in region.items()} for r, region in MODEL.items()}
    expected = SCENE.oversample(MODEL)
    forms: list[tuple[Any, Any]] = [
        (MODEL, None),
        (MODEL, MODEL.spline_scales),
        (dict(MODEL), None),
        ({r: dict(region) for r, region in MODEL.items()}, None),
        (bounded, None),
        (bounded, MODEL.spline_scales),
        ({np.int64(r): {float(c): trace for c, trace in region.items()} for r, region in bounded.items()}, None),
    ]
    for models, scales in forms:
        for ours, theirs in zip(oversample(models, scales), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_splines_of_scipy_with_padded_coefficients() -> None:
    ours = oversample(MODEL.spline_models, MODEL.spline_scales, slope_limit=0)
    of_scipy = {r: {c: s.to_scipy() for c, s in region.items()} for r, region in MODEL.spline_models.items()}
    padded = {
        r: {c: interpolate.BSpline(s.t, np.r_[s.c, 7.0, 7.0, 7.0, 7.0], 3) for c, s in region.items()}
        for r, region in MODEL.spline_models.items()
    }
    scales = {r: dict(region) for r, region in MODEL.spline_scales.items()}
    for models in (of_scipy, padded):
        for found, expected in zip(oversample(models, scales, slope_limit=0), ours, strict=True):
            np.testing.assert_array_equal(found, expected)
    # Without bounds a spline is valid on its base interval.
    low, high = SPLINE.base_interval
    one = oversample({1: {5: SPLINE}}, {1: {5: SCALE}}, slope_limit=0).full_trace
    inside = (ALPHA_OS[:38, 5] >= low) & (ALPHA_OS[:38, 5] <= high)
    np.testing.assert_array_equal(np.isfinite(one[:38, 5]), inside)
    assert np.isfinite(one).sum() == inside.sum()


@pytest.mark.parametrize(
    ("value", "scales", "message"),
    [
        (None, {5: 1.0}, "found a NoneType; expected a spline with attributes t, c and k"),
        (3.0, {5: 1.0}, "found a float; expected a spline"),
        ((SPLINE.t, SPLINE.c, 3), {5: 1.0}, "found a tuple; expected a spline"),
        (MODEL[1], {5: 1.0}, "found a NoneType; expected a spline"),
        ({}, {5: 1.0}, "found a NoneType; expected a spline"),
        ({"scale": 1.0}, None, "found a NoneType; expected a spline"),
        (interpolate.BSpline([0, 0, 1, 1], [1, 2], 1), {5: 1.0}, "degree k = 1; trace models are cubic"),
        (interpolate.BSpline(KNOTS, np.ones((4, 2)), 3), {5: 1.0}, "`c` has 2 dimensions"),
        (interpolate.BSpline(KNOTS, np.ones(4) * 1j, 3), {5: 1.0}, "`c` has dtype complex128; expected real"),
        (SPLINE, None, "there is a spline, but no scale for it"),
        (SPLINE, {}, "there is a spline, but no scale for it"),
        (SPLINE, {4: 1.0}, "there is a spline, but no scale for it"),
        (SPLINE, {5: None}, "there is a spline, but no scale for it"),
        (SPLINE, {5: "1"}, "`scale` = '1'; it must be a number"),
        (SPLINE, {5: 1j}, "`scale` = 1j; it must be a number"),
        (SPLINE, {5: [1.0, 2.0]}, "it must be a number"),
        ({"model": SPLINE}, None, "there is a spline, but no scale for it"),
        ({"model": SPLINE, "scale": 1.0, "bounds": (1.0,)}, None, "expected the lowest and the highest alpha"),
        ({"model": SPLINE, "scale": 1.0, "bounds": (1, 2, 3)}, None, "expected the lowest and the highest alpha"),
        ({"model": SPLINE, "scale": 1.0, "bounds": 3.0}, None, "expected the lowest and the highest alpha"),
        ({"model": SPLINE, "scale": 1.0, "bounds": "ab"}, None, "expected the lowest and the highest alpha"),
        ({"model": SPLINE, "scale": 1.0, "bounds": (1.0, -1.0)}, None, "`bounds` = .*, in this order"),
        ({"model": SPLINE, "scale": 1.0, "bounds": (np.nan, 1.0)}, None, "`bounds` = .*nan"),
        (ColumnTrace(SPLINE, 1.0, (1.0, -1.0)), None, "`bounds` = .*, in this order"),
    ],
)
def test_values_that_are_no_traces(value: object, scales: object, message: str) -> None:
    with pytest.raises(DataError, match=f"region 1, column 5: .*{message}"):
        oversample({1: {5: value}}, None if scales is None else {1: scales})


@pytest.mark.parametrize(
    ("models", "scales", "message"),
    [
        (None, None, "`spline_models` is a NoneType; expected a mapping of region to column to spline"),
        ([MODEL[1]], None, "`spline_models` is a list; expected a mapping"),
        ("ab", None, "`spline_models` is a str; expected a mapping"),
        ({1: None}, None, r"`spline_models\[1\]` is a NoneType; expected a mapping of column to spline"),
        ({1: [TRACE]}, None, r"`spline_models\[1\]` is a list; expected a mapping"),
        (MODEL[1], None, r"`region in `spline_models`` = 0; it must be a whole number from 1 to 2147483647"),
        ({1: {5: SPLINE}}, 3, "`spline_scales` is a int; expected a mapping of region to column to scale"),
        ({1: {5: SPLINE}}, {1: [1.0]}, r"`spline_scales\[1\]` is a list; expected a mapping of column to scale"),
        *[
            ({key: {5: TRACE}}, None, r"`region in `spline_models`` = .*; it must be ")
            for key in (0, -1, 2**31, 2**63, 2**70, 1.5, np.nan, "1", None, True, (1,))
        ],
        *[
            ({1: {key: TRACE}}, None, r"`column of region 1` = .*; it must be ")
            for key in (-1, -(2**63), 2**63, 2**70, 1.5, np.nan, "5", None, False, (5,))
        ],
    ],
)
def test_dictionaries_that_are_no_models(models: object, scales: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        oversample(models, scales)


def test_regions_and_columns_that_the_image_does_not_have() -> None:
    plain = oversample({})
    others: list[dict[int, dict[int, ColumnTrace]]] = [
        {},
        {1: {}},
        {7: {5: TRACE}},
        {2**31 - 1: {5: TRACE}},
        {1: {40: TRACE}},
        {1: {2**40: TRACE}},
    ]
    for models in others:
        for ours, theirs in zip(oversample(models), plain, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert np.isfinite(plain.flux_os).any()
    assert np.isnan(plain.full_trace).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_traces_that_are_not_finite_change_nothing(value: float) -> None:
    plain = oversample({})
    broken = [
        ({1: {5: BSpline(SPLINE.t, np.full_like(SPLINE.c, value))}}, 1.0),
        ({1: {5: SPLINE}}, value),
    ]
    for models, scale in broken:
        planes = oversample(models, {1: {5: scale}}, slope_limit=0)
        seen = np.isfinite(planes.flux_os)
        np.testing.assert_array_equal(planes.flux_os[seen], plain.linear_flux[seen])
        np.testing.assert_array_equal(seen, np.isfinite(plain.flux_os))


def test_infinite_bounds_reach_everywhere() -> None:
    planes = oversample({1: {5: {"model": SPLINE, "scale": SCALE, "bounds": (-np.inf, np.inf)}}}, slope_limit=0)
    expected = np.where(SCENE.region_map.repeat(2, axis=0)[:, 5] == 1, SCALE * SPLINE(ALPHA_OS[:, 5]), np.nan)
    np.testing.assert_allclose(planes.full_trace[:, 5], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], []), DataError, "fewer than eight knots"),
        ((KNOTS, [1, 2, 3]), DataError, "fewer coefficients than"),
        (([0] * 8, [1] * 4), DataError, "the base interval, .*, is empty"),
        (([0, 0, 0, 0, 2, 1, 3, 3, 3, 3], [1] * 6), DataError, "not finite and rising"),
        (([0, 0, 0, 0, np.nan, 2, 2, 2, 2], [1] * 5), DataError, "not finite and rising"),
        (([0, 0, 0, 0] + [np.inf] * 4, [1] * 4), DataError, "not finite and rising"),
        (([KNOTS], [1] * 4), ShapeError, "`t` has 2 dimensions"),
        ((KNOTS, 1.0), ShapeError, "`c` has 0 dimensions"),
        ((KNOTS, [1j] * 4), DtypeError, "`c` has dtype complex128"),
        ((KNOTS, ["1"] * 4), DtypeError, "`c` has dtype <U1"),
        ((KNOTS, [1] * 4, 2), ParameterError, "k = 2; trace models are cubic splines, k = 3"),
        ((KNOTS, [1] * 4, "3"), ParameterError, "`k` = '3'"),
        ((KNOTS, [1] * 4, None), ParameterError, "`k` = None"),
        ((KNOTS, [1] * 4, np.array([3, 3])), ParameterError, "`k` = "),
    ],
)
def test_splines_that_are_none(arguments: Any, error: type[PixtraceError], message: str) -> None:
    with pytest.raises(error, match=message):
        BSpline(*arguments)


def test_points_of_any_form() -> None:
    spline = BSpline(np.array(KNOTS, dtype=">i2"), [0, 0, 0, 1, 99], k=3)
    assert spline.c.tolist() == [0, 0, 0, 1]
    for x in (0.5, [0.5, 2.0, -1.0], np.ones((2, 3), dtype=">f4"), np.ones((2, 0, 3)), 3, True, np.float16(0.5)):
        np.testing.assert_allclose(spline(x), np.asarray(x, dtype=np.float64) ** 3, rtol=1e-14)
        assert spline(x).shape == np.shape(x)
    assert np.isnan(spline([np.nan, 1.0])).tolist() == [True, False]
    assert np.isnan(spline(np.ma.masked_equal([1.0, 2.0], 2.0))).tolist() == [False, True]
    unfit: list[tuple[Any, type[PixtraceError]]] = [
        ("a", DtypeError),
        (None, DtypeError),
        (1j, DtypeError),
        ([[1], [2, 3]], ShapeError),
    ]
    for thing, error in unfit:
        with pytest.raises(error, match="`x`"):
            spline(thing)


def test_what_scipy_splines_are_not() -> None:
    for thing in (None, 3, "spline", (KNOTS, [1] * 4, 3)):
        with pytest.raises(DataError, match="expected a spline with attributes t, c and k"):
            BSpline.from_scipy(thing)
    with pytest.raises(ParameterError, match="k = 2"):
        BSpline.from_scipy(interpolate.BSpline([0, 0, 0, 1, 1, 1], [1, 2, 3], 2))


def test_equal_splines_have_equal_hashes() -> None:
    zero: npt.NDArray[np.float64] = np.zeros(4)
    plus, minus = BSpline(KNOTS, zero), BSpline(KNOTS, -zero)
    assert plus != minus  # bit for bit
    assert BSpline(KNOTS, zero * np.nan) == BSpline(KNOTS, zero * np.nan)
    assert plus != "spline"
    assert len({plus, minus, BSpline(KNOTS, zero)}) == 2
