"""The parts of `pixtrace.adapters.jwst` that do without jwst."""

import logging
import os
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from pixtrace._plotcompare import comparison_figure
from pixtrace.adapters.jwst._models import model_from_dicts, region_dicts
from pixtrace.adapters.jwst._planes import differences
from pixtrace.adapters.jwst._threads import threads_for
from pixtrace.adapters.jwst._transforms import fast_transform
from pixtrace.exceptions import DataError, ParameterError
from pixtrace.trace import fit_all_regions
from tests.jwst_models import miri_mrs, nirspec_slits
from tests.parity.modes import fit_options
from tests.reference import load_case
from tests.untyped import models

interpolate: Any = import_module("scipy.interpolate")


# -- threads


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("none", 1),
        (None, 1),
        ("None", 1),
        ("quarter", 2),
        ("half", 4),
        ("all", 8),
        (" All ", 8),
        ("0", 1),
        ("1", 1),
        ("3", 3),
        (5, 5),
        ("99", 8),
    ],
)
def test_maximum_cores_becomes_threads(word: str | int | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert threads_for(word) == expected


def test_a_quarter_of_few_cores_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert threads_for("quarter") == 1


@pytest.mark.parametrize("word", ["some", "-1", "2.5", ""])
def test_what_jwst_takes_for_one_core_is_one_thread_with_a_warning(word: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert threads_for(word) == 1
    assert "one thread is used" in caplog.text


# -- models


def test_models_survive_the_way_to_jwst_and_back() -> None:
    case = load_case("mrs_1a_middle_all")
    ours = fit_all_regions(case["flux"], case["err"], case["alpha"], case["region_map"], **fit_options(case))
    dicts = region_dicts(ours)
    assert {region: list(columns) for region, columns in dicts.items()} == {
        region: list(columns) for region, columns in ours.items()
    }
    for region, columns in ours.items():
        splines = {id(trace["model"]) for trace in dicts[region].values()}
        assert len(splines) == columns.n_fits  # columns that share a fit share the object
        for column, trace in columns.items():
            theirs = dicts[region][column]
            assert type(theirs["model"]) is interpolate.BSpline
            x = np.linspace(*trace.bounds, 7)
            np.testing.assert_allclose(theirs["model"](x), trace.model(x), rtol=1e-12, atol=1e-15)
            assert (theirs["scale"], theirs["bounds"]) == (trace.scale, trace.bounds)
    back = model_from_dicts(dicts)
    for region, columns in ours.items():
        assert back[region].n_fits == columns.n_fits
        assert {c: (t.model, t.scale, t.bounds) for c, t in back[region].items()} == {
            c: (t.model, t.scale, t.bounds) for c, t in columns.items()
        }


def test_models_with_padded_coefficients_and_no_column() -> None:
    spline = interpolate.BSpline([0, 0, 0, 0, 1, 1, 1, 1], [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0], 3)
    given: Any = {np.int32(3): {np.int64(7): {"model": spline, "scale": 2, "bounds": (0, 1)}}, 4: {}}
    model = model_from_dicts(given)
    assert model[3][7].scale == 2.0
    np.testing.assert_array_equal(model[3][7].model.c, [1.0, 2.0, 3.0, 4.0])
    assert len(model[4]) == 0


@pytest.mark.parametrize(
    ("trace", "error", "message"),
    [
        ({"model": None, "scale": 1.0, "bounds": (0, 1)}, DataError, "region 3, column 7"),
        ({"scale": 1.0}, DataError, "region 3, column 7"),
        (5, DataError, "region 3, column 7"),
        (
            {"model": interpolate.BSpline([0, 0, 0, 1, 1, 1], [1.0, 2.0, 3.0], 2), "scale": 1.0, "bounds": (0, 1)},
            ParameterError,
            "k = 2",
        ),
    ],
)
def test_models_that_are_none_are_refused_by_name(trace: Any, error: type[Exception], message: str) -> None:
    with pytest.raises((error, DataError), match=message):
        model_from_dicts({3: {7: trace}})


# -- transforms


def test_polynomial_transforms_agree_with_astropy() -> None:
    wcs = miri_mrs().meta.wcs
    selector = wcs.get_transform("detector", "alpha_beta").selector
    x, y = np.linspace(3.0, 60.0, 9)[None, :], np.linspace(4.0, 110.0, 11)[:, None]
    for label, transform in selector.items():
        fast = fast_transform(transform)
        assert fast is not None, label
        expected = transform(*np.broadcast_arrays(x, y))
        for found, right in zip(fast([x, y]), expected, strict=True):
            np.testing.assert_allclose(np.broadcast_to(found, right.shape), right, rtol=1e-13, atol=1e-13)


def test_arithmetic_of_transforms() -> None:
    one = models.Polynomial1D(2, c0=1.0, c1=2.0, c2=-0.5)
    for model in (
        one + models.Scale(3.0),
        one - models.Shift(1.0),
        one * models.Const1D(2.0),
        one / models.Const1D(4.0),
    ):
        fast = fast_transform(model)
        assert fast is not None
        x = np.linspace(-2.0, 2.0, 5)
        np.testing.assert_allclose(fast([x])[0], model(x), rtol=1e-14)


@pytest.mark.parametrize(
    "model",
    [
        models.Exponential1D(1.0, 1.0),
        models.Shift(1.0) | models.Exponential1D(1.0, 1.0),
        models.Polynomial1D(1, c0=1.0, domain=(0, 10)),
        models.Polynomial2D(1, c0_0=1.0, x_domain=(0, 10)),
        models.Identity(1) ** models.Const1D(2.0),
    ],
)
def test_transforms_that_are_more_than_polynomials_are_left_to_astropy(model: Any) -> None:
    assert fast_transform(model) is None


# -- differences


def test_equal_products_differ_nowhere() -> None:
    model = miri_mrs()
    rows = differences(model, model.copy())
    assert {row.region for row in rows} == {0, 101, 102}
    assert {row.plane for row in rows} >= {"data", "err", "dq", "var_flat"}
    assert all((row.n_differing, row.n_missing, row.relative) == (0, 0, 0.0) for row in rows)


def test_differences_are_found_where_they_are() -> None:
    one, other = miri_mrs(), miri_mrs()
    labels = one.meta.wcs.get_transform("detector", "alpha_beta").label_mapper.mapper
    row, column = (int(i) for i in np.argwhere((labels == 102) & np.isfinite(one.data))[40])
    one.data[row, column] = 8.0
    other.data[row, column] = 12.0
    place = tuple(np.argwhere((labels == 101) & np.isfinite(one.data))[7])
    other.err[place] = np.nan
    other.dq[place] |= 4
    found = {(row.plane, row.region): row for row in differences(one, other) if row.n_differing}
    assert set(found) == {("data", 0), ("data", 102), ("err", 0), ("err", 101), ("dq", 0), ("dq", 101)}
    assert found["data", 102].largest == 4.0
    assert found["data", 102].relative == pytest.approx(0.5)
    assert (found["err", 101].n_missing, found["err", 101].n_differing) == (1, 1)
    assert found["dq", 101].relative == pytest.approx(1 / found["dq", 101].n_pixels)


def test_slits_are_compared_one_by_one_and_missing_planes_are_seen() -> None:
    one, other = nirspec_slits(), nirspec_slits()
    other.slits[1].trace_model = np.zeros(other.slits[1].data.shape, dtype=np.float32)
    rows = differences(one, other)
    assert {row.image for row in rows} == {"S1", "S2"}
    (odd,) = [row for row in rows if row.n_differing]
    assert (odd.image, odd.plane, odd.relative) == ("S2", "trace_model", float("inf"))


def test_the_picture_shows_every_plane_and_time() -> None:
    cells = [("data", 101, 0.0, 0), ("data", 102, 1e-3, 0), ("err", 101, 2.0, 5), ("err", 102, float("inf"), 1)]
    figure = comparison_figure(
        cells, [("fit", 2.0, 0.1), ("step", 3.0, 0.5)], title="t", subtitle="s", peer="jwst", place="region"
    )
    differences_axes, times_axes = figure.axes[0], figure.axes[-1]  # between them the colour bar
    assert [label.get_text() for label in differences_axes.get_yticklabels()] == ["data", "err"]
    assert [text.get_text() for text in differences_axes.texts] == ["5", "1"]
    assert [text.get_text() for text in times_axes.texts] == ["20 x", "6 x"]
    figure.canvas.draw()
