"""Numbers and switches out of their range: each is refused by name, or does what the documentation says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import MemoryLimitError, ParameterError, PixtraceError, ShapeError
from pixtrace.trace import TraceModel, fit_2d_spline_trace, linear_oversample, oversample_flux, trace_image
from pixtrace.trace.oversample import (
    alpha_on_grid,
    fine_rows,
    linear_planes,
    nearest_rows,
    oversample_planes,
    trace_planes,
)
from tests.strategies.small import small_scene, tables

SCENE = small_scene()
MODEL = SCENE.fit()
FIRST = np.where(SCENE.region_map == 1, SCENE.flux, np.nan)

NO_NUMBERS: list[Any] = [None, "2", b"2", "x", 1j, [], [2, 3], {}, True, False, np.True_, object()]
NO_COUNTS: list[Any] = [*NO_NUMBERS, 1.5, np.nan, np.inf, -np.inf, -1, np.int64(-3), -2.0, 10**30]
NO_FLAGS: list[Any] = [None, "no", "False", "", 0, 1, 2.0, [], [True], np.int64(1)]

FIT_COUNTS = {"lrange": 1, "fit_iter": 1, "require_ngood": 0, "spline_bkpt": 1, "n_threads": 1}
FIT_NUMBERS = ["space_ratio", "sigma_low", "sigma_high", "auto_ngood_factor", "auto_bkpt_factor", "snr_threshold"]


def is_optional(name: str, value: object) -> bool:
    """Tell whether None stands for the default."""
    return value is None and name in {"require_ngood", "spline_bkpt", "n_threads", "snr_threshold"}


@pytest.mark.parametrize("name", FIT_COUNTS)
def test_counts_of_the_fit(name: str) -> None:
    too_small = [FIT_COUNTS[name] - 1, float(FIT_COUNTS[name] - 1)]
    for value in [*NO_COUNTS, *too_small]:
        if is_optional(name, value):
            continue
        option: dict[str, Any] = {name: value}
        with pytest.raises(ParameterError, match=rf"`{name}` = .*; it must be ") as caught:
            SCENE.fit(**option)
        assert isinstance(caught.value, ValueError)
        if name != "n_threads":
            with pytest.raises(ParameterError, match=f"`{name}` = "):
                fit_2d_spline_trace(FIRST, SCENE.alpha, **option)


@pytest.mark.parametrize("name", FIT_NUMBERS)
def test_numbers_of_the_fit(name: str) -> None:
    bad = [np.nan] if name in {"space_ratio", "snr_threshold"} else [np.nan, -1.0, -np.inf]
    bad += [np.inf] if name.startswith("auto") else []
    for value in [*NO_NUMBERS, *bad, 10**400]:
        if not is_optional(name, value):
            with pytest.raises(ParameterError, match=rf"`{name}` .*it must be "):
                SCENE.fit(**{name: value})


@pytest.mark.parametrize("convert", [float, np.float32, np.int8, np.uint64, np.array])
def test_counts_of_any_type(convert: Callable[[int], Any]) -> None:
    expected = tables(SCENE.fit())
    assert tables(SCENE.fit(lrange=convert(10), spline_bkpt=convert(14), n_threads=convert(1))) == expected


def test_extreme_parameters_of_the_fit() -> None:
    """Each is allowed, and leads where the documentation says."""
    assert SCENE.fit(require_ngood=14).n_columns == 0  # more than the slit has rows
    assert SCENE.fit(require_ngood=10**9).n_columns == 0
    assert tables(SCENE.fit(lrange=10**6)) == tables(SCENE.fit(lrange=2**62)) == tables(SCENE.fit(lrange=40))
    assert SCENE.fit(space_ratio=-1.0).n_columns == 0  # all gaps are too wide
    assert SCENE.fit(space_ratio=np.inf).n_columns == 80
    assert tables(SCENE.fit(sigma_low=np.inf, sigma_high=np.inf)) == tables(SCENE.fit(fit_iter=1))  # no rejection
    assert SCENE.fit(fit_iter=10**9).n_columns == 80
    assert SCENE.fit(spline_bkpt=1).n_columns == 80
    assert SCENE.fit(spline_bkpt=2**20).n_columns == 0  # knots closer than the points
    assert SCENE.fit(snr_threshold=np.inf).n_columns == 0
    assert SCENE.fit(snr_threshold=-np.inf).n_columns == 80
    assert SCENE.fit(spline_bkpt=None, auto_bkpt_factor=0.0).n_columns == 0
    assert SCENE.fit(require_ngood=None, auto_ngood_factor=1e300).n_columns == 0
    with pytest.raises(ParameterError, match=r"`spline_bkpt` = 1048577; it must be from 1 to 1048576"):
        SCENE.fit(spline_bkpt=2**20 + 1)
    with pytest.raises(ParameterError, match=r"`n_threads` = 1000000; it must be from 1 to 1024"):
        SCENE.fit(n_threads=10**6)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ([40], ParameterError, "`col_index` holds column 40; the image has 40 columns, counted from 0"),
        ([0, 2**40], ParameterError, "`col_index` holds column 1099511627776; the image has 40 columns"),
        ([-1], ParameterError, "`col_index` = -1; it must be a whole number from 0 on"),
        ([2**70], ParameterError, "`col_index` = 1180591620717411303424; it must be a whole number"),
        ([1.5], ParameterError, "`col_index` = 1.5; it must be a whole number"),
        ([np.nan], ParameterError, "`col_index` = nan; it must be a whole number"),
        (np.ones(40, dtype=bool), ParameterError, "`col_index` = True; it must be a number"),
        (["1"], ParameterError, "`col_index` = '1'; it must be a number"),
        ([None], ParameterError, "`col_index` = None; it must be a number"),
        ([1j], ParameterError, "`col_index` = 1j; it must be a number"),
        ([[1]], ShapeError, r"`col_index` has shape \(1, 1\); expected a sequence"),
        (np.zeros((0, 2)), ShapeError, r"`col_index` has shape \(0, 2\); expected a sequence"),
        ([[1], [2, 3]], ShapeError, "`col_index` is not a sequence of column numbers"),
        (3, ShapeError, r"`col_index` has shape \(\); expected a sequence"),
        ("abc", ShapeError, r"`col_index` has shape \(\); expected a sequence"),
        ({1, 2}, ShapeError, r"`col_index` has shape \(\); expected a sequence"),
    ],
)
def test_columns_that_are_none(columns: Any, error: type[PixtraceError], message: str) -> None:
    with pytest.raises(error, match=message):
        SCENE.fit(col_index=columns)
    with pytest.raises(error, match=message):
        fit_2d_spline_trace(FIRST, SCENE.alpha, spline_bkpt=14, col_index=columns)


def test_columns_to_fit() -> None:
    assert [len(region) for region in SCENE.fit(col_index=[]).values()] == [0, 0]
    for columns in ([7, 3, 39, 0], (7, 3, 39, 0), np.array([7, 3, 39, 0], dtype=">i2"), [7.0, 3.0, 39.0, 0.0]):
        model = SCENE.fit(col_index=columns)
        assert list(model[1]) == list(model[2]) == [7, 3, 39, 0]
        assert all(model[1][column] == MODEL[1][column] for column in model[1])
    twice = SCENE.fit(col_index=[7, 3, 7, 7])
    assert (list(twice[1]), twice.n_columns, twice.n_fits) == ([7, 3], 4, 4)
    assert twice == SCENE.fit(col_index=[7, 3])


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ({}, "region 1 has no entry in `peak_threshold`; give one for every region"),
        ({1: 5.0}, "region 2 has no entry in `peak_threshold`"),
        ({1: 5.0, 3: 5.0}, "region 2 has no entry in `peak_threshold`"),
        ({1: 5.0, 2: np.nan}, r"`peak_threshold\[2\]` is NaN"),
        ({1: 5.0, 2: "5"}, r"`peak_threshold\[2\]` = '5'; it must be a number"),
        ({1: 5.0, 2: None}, r"`peak_threshold\[2\]` = None; it must be a number"),
        ({1: 5.0, 2: 5.0, "3": 5.0}, "`region in `peak_threshold`` = '3'; it must be a number"),
        (
            {1: 5.0, 2: 5.0, -1: 5.0},
            "`region in `peak_threshold`` = -1; it must be a whole number from 0 to 2147483647",
        ),
        ({1: 5.0, 2: 5.0, 2**40: 5.0}, "`region in `peak_threshold`` = 1099511627776; it must be a whole number"),
        (5.0, "`peak_threshold` is a float; expected a mapping of region number to flux"),
        ([5.0, 5.0], "`peak_threshold` is a list; expected a mapping"),
    ],
)
def test_peak_thresholds(threshold: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        SCENE.fit(peak_threshold=threshold)


def test_peak_thresholds_of_any_type_and_of_other_regions() -> None:
    threshold = {np.int16(1): np.float32(5.0), 2.0: np.inf, 77: 0, 0: 0}
    model = SCENE.fit(peak_threshold=threshold)
    assert [len(region) for region in model.values()] == [40, 0]


FACTORS_BELOW: list[Any] = [np.nan, np.inf, -np.inf, 0, -0.0, -1, 0.5, np.nextafter(1.0, 0.0), np.float32(0.9)]
BY_FACTOR: dict[str, Callable[[Any], Any]] = {
    "oversample_flux": lambda f: oversample_flux(
        SCENE.flux, SCENE.alpha, SCENE.region_map, MODEL, None, f, SCENE.alpha_os()
    ),
    "oversample": lambda f: MODEL.oversample(SCENE.flux, SCENE.alpha, SCENE.region_map, f, SCENE.alpha_os()),
    "linear_oversample": lambda f: linear_oversample(SCENE.flux, SCENE.region_map, f, 3),
    "alpha_on_grid": lambda f: alpha_on_grid(SCENE.alpha, SCENE.region_map, f),
    "fine_rows": lambda f: fine_rows(38, f),
    "nearest_rows": lambda f: nearest_rows(38, f),
}


@pytest.mark.parametrize("function", BY_FACTOR)
def test_factors_that_are_none(function: str) -> None:
    for factor in [*FACTORS_BELOW, *NO_NUMBERS, 10**400]:
        with pytest.raises(ParameterError, match=r"`oversample_factor` .*it must be "):
            BY_FACTOR[function](factor)


@pytest.mark.parametrize("function", list(BY_FACTOR)[:4])
@pytest.mark.parametrize("factor", [1e9, 1e12, 1e300, 1.7e308])
def test_factors_beyond_the_memory_are_refused_with_the_number(function: str, factor: float) -> None:
    with pytest.raises(MemoryLimitError, match=r"`oversample_factor` = \S+ makes . planes of .* x 40 pixels") as caught:
        BY_FACTOR[function](factor)
    assert isinstance(caught.value, MemoryError)
    bytes_per_pixel = {"linear_oversample": 4, "alpha_on_grid": 8}.get(function, 40)
    with np.errstate(over="ignore"):
        expected = np.float64(38 * 40 * bytes_per_pixel) * factor / 1e9
    assert f"{expected:.6g} GB" in str(caught.value)
    assert "Use a smaller factor" in str(caught.value)


def test_a_huge_factor_is_found_before_the_models_are_looked_at() -> None:
    with pytest.raises(MemoryLimitError):
        oversample_flux(SCENE.flux, SCENE.alpha, SCENE.region_map, {1: {1: "no spline"}}, None, 1e9, SCENE.alpha_os())


@pytest.mark.parametrize("factor", [1, 1.0, 1.01, 1.3, 1.7, 2.5, np.pi, np.float32(1.5), np.int8(3), np.array(2.0)])
def test_any_factor_from_one_on(factor: Any) -> None:
    n_fine = int(np.ceil(38 * float(factor)))
    for plane in SCENE.oversample(MODEL, factor):
        assert plane.shape == (n_fine, 40)
        assert plane.dtype == np.float64
    assert linear_oversample(SCENE.flux, SCENE.region_map, factor, 3).shape == (n_fine, 40)
    rows = fine_rows(38, factor)
    assert rows.shape == nearest_rows(38, factor).shape == (n_fine,)
    np.testing.assert_allclose(rows, (np.arange(n_fine) + 0.5) / float(factor) - 0.5, atol=1e-9)


def test_alpha_os_of_another_factor() -> None:
    for wrong in (1, 1.9, 3):
        with pytest.raises(ShapeError, match=r"`alpha_os` has shape .*; expected \[76, 40\]"):
            MODEL.oversample(SCENE.flux, SCENE.alpha, SCENE.region_map, 2, SCENE.alpha_os(wrong))


OVERSAMPLING: dict[str, list[Any]] = {
    "require_ngood": NO_COUNTS,
    "slope_limit": [*NO_NUMBERS, np.nan],
    "pad": [*NO_NUMBERS, np.nan, np.inf, -np.inf, -1, -1e-300],
    "psf_optimal": NO_FLAGS,
    "trim_ends": NO_FLAGS,
}


@pytest.mark.parametrize("name", OVERSAMPLING)
def test_parameters_of_oversampling(name: str) -> None:
    planes = (SCENE.flux, SCENE.alpha, SCENE.region_map)
    for value in OVERSAMPLING[name]:
        with pytest.raises(ParameterError, match=f"`{name}` = .*; it must be "):
            MODEL.oversample(*planes, 2, SCENE.alpha_os(), **{name: value})
        with pytest.raises(ParameterError, match=f"`{name}` = "):
            oversample_flux(*planes, MODEL.spline_models, MODEL.spline_scales, 2, SCENE.alpha_os(), **{name: value})
        if name in {"slope_limit", "pad"}:
            with pytest.raises(ParameterError, match=f"`{name}` = "):
                trace_image(MODEL, SCENE.region_map, SCENE.alpha, **{name: value})


def test_extreme_parameters_of_oversampling() -> None:
    assert np.isnan(SCENE.oversample(MODEL, require_ngood=14).flux_os).all()  # more than the slit has rows
    assert np.isfinite(SCENE.oversample(MODEL, require_ngood=13).flux_os).any()
    never = SCENE.oversample(MODEL, slope_limit=np.inf)
    assert np.isnan(never.trace_used).all()
    np.testing.assert_array_equal(never.flux_os, never.linear_flux)
    for limit in (0, -1.0, -np.inf):
        always = SCENE.oversample(MODEL, slope_limit=limit)
        np.testing.assert_array_equal(always.trace_used, always.full_trace)
    everywhere = SCENE.oversample(MODEL, pad=1e300)
    np.testing.assert_array_equal(everywhere.trace_used, everywhere.full_trace)
    nowhere = SCENE.oversample(MODEL, pad=0)
    assert np.isnan(nowhere.trace_used).all()
    np.testing.assert_array_equal(
        SCENE.oversample(MODEL, psf_optimal=np.True_).flux_os, SCENE.oversample(MODEL, psf_optimal=True).flux_os
    )


def test_parameters_of_linear_oversampling() -> None:
    plane, labels = SCENE.flux, SCENE.region_map
    for value in NO_COUNTS:
        with pytest.raises(ParameterError, match="`require_ngood` = "):
            linear_oversample(plane, labels, 2, value)
        with pytest.raises(ParameterError, match="`edge_limit` = "):
            linear_oversample(plane, labels, 2, 3, edge_limit=value)
    for value in NO_FLAGS:
        with pytest.raises(ParameterError, match=r"`preserve_nan` = .*; it must be True or False"):
            linear_oversample(plane, labels, 2, 3, preserve_nan=value)
    for edge_limit, n_left in [(0, 28), (1, 26), (13, 2), (14, 0), (15, 0), (10**9, 0), (2**62, 0)]:
        found = linear_oversample(plane, np.where(labels == 1, 1, 0), 2, 3, edge_limit=edge_limit)
        assert np.isfinite(found).sum(axis=0).tolist() == [n_left] * 40
    assert np.isnan(linear_oversample(plane, labels, 2, 14)).all()


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, True, "2", 1025, 10**6, np.nan])
def test_threads_that_are_none(n_threads: Any) -> None:
    planes = (SCENE.flux, SCENE.alpha, SCENE.region_map)
    calls: list[Callable[[], object]] = [
        lambda: SCENE.fit(n_threads=n_threads),
        lambda: oversample_planes(MODEL, *planes, 2, SCENE.alpha_os(), n_threads=n_threads),
        lambda: linear_planes(SCENE.flux, SCENE.region_map, 2, 3, n_threads=n_threads),
        lambda: trace_planes(MODEL, SCENE.region_map, SCENE.alpha, n_threads=n_threads),
        lambda: alpha_on_grid(SCENE.alpha, SCENE.region_map, 2, n_threads=n_threads),
    ]
    for call in calls:
        with pytest.raises(ParameterError, match="`n_threads` = "):
            call()


@pytest.mark.parametrize("model", [None, {}, {1: {}}, MODEL[1], MODEL.native, 3])
def test_models_that_are_none(model: Any) -> None:
    with pytest.raises(ParameterError, match=r"`model` is a .*; expected a TraceModel"):
        trace_image(model, SCENE.region_map, SCENE.alpha)
    with pytest.raises(ParameterError, match=r"`model` is a .*; expected a TraceModel"):
        oversample_planes(model, SCENE.flux, SCENE.alpha, SCENE.region_map, 2, SCENE.alpha_os())


def test_progress_that_is_no_function() -> None:
    unfit: list[Any] = [5, "p", [], True]
    for progress in unfit:
        with pytest.raises(ParameterError, match=r"`progress` = .*; it must be a function, or None"):
            SCENE.fit(progress=progress)
        with pytest.raises(ParameterError, match=r"`progress` = .*; it must be a function, or None"):
            SCENE.oversample(MODEL, progress=progress)


def test_planes_that_nobody_knows() -> None:
    with pytest.raises(ParameterError, match=r"unknown planes \['sky'\]; there are \['trace_used'"):
        SCENE.oversample(MODEL, want=("sky", "full_trace"))
    assert isinstance(MODEL, TraceModel)
