"""Stacks that cannot be, planes that do not fit, and work that makes no sense."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pixtrace.exceptions import DataError, DtypeError, MemoryLimitError, ParameterError, ShapeError
from pixtrace.scan import MapStack, SampleMoments
from tests.strategies.scan_calls import GRID, MAP_WORK, STREAM, means
from tests.strategies.timestreams import I64, PLANES, assert_same_maps

if TYPE_CHECKING:
    from collections.abc import Callable

FULL = (3, 4, 6)
ONES = np.ones(FULL)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"n_pixels": -1}, "`n_pixels` = -1; it must be a whole number from 0 on"),
        ({"n_pixels": 1.5}, "`n_pixels` = 1.5; it must be a whole number"),
        ({"n_pixels": "a"}, "`n_pixels` = 'a'; it must be a number"),
        ({"n_pixels": None}, "`n_pixels` = None; it must be a number"),
        ({"shape": (0, 4)}, "`shape` = 0; it must be a whole number from 1 to 65535"),
        ({"shape": (4, 65536)}, "`shape` = 65536; it must be a whole number from 1 to 65535"),
        ({"shape": 4}, r"`shape` = 4; it must be \(n_y, n_x\)"),
        ({"shape": (4, 4, 4)}, r"`shape` = \(4, 4, 4\); it must be \(n_y, n_x\)"),
        ({"shape": None}, r"`shape` = None; it must be \(n_y, n_x\)"),
        ({"resolution": 0.0}, "`resolution` = 0; it must be a positive number"),
        ({"resolution": (1.0, -1.0)}, "`resolution` = -1; it must be a positive number"),
        ({"resolution": np.nan}, "`resolution` = NaN; it must be a positive number"),
        ({"resolution": (1, 2, 3)}, r"`resolution` = \(1, 2, 3\); it must be a pair of numbers, \(x, y\)"),
        ({"resolution": None}, "`resolution` = None; it must be a number"),
        ({"reference_index": np.inf}, "`reference_index` = inf; it must be finite"),
        ({"reference_index": (0, "a")}, "`reference_index` = 'a'; it must be a number"),
        ({"pixel_ids": [1, 2, 1]}, "`pixel_ids` holds 1 more than once; every map needs a number of its own"),
    ],
)
def test_stacks_that_cannot_be(changes: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"n_pixels": 3, "shape": (4, 6), **GRID, **changes}
    with pytest.raises(ParameterError, match=text):
        MapStack(**given)


def test_numbers_of_pixels_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="`pixel_ids` has 2 numbers; expected 3, one for each map"):
        MapStack(3, (4, 6), pixel_ids=[1, 2], **GRID)
    with pytest.raises(DtypeError, match="`pixel_ids` has dtype float64; expected integers"):
        MapStack(3, (4, 6), pixel_ids=[0.5, 1, 2], **GRID)
    extremes = [I64.min, 0, I64.max]
    assert MapStack(3, (4, 6), pixel_ids=extremes, **GRID).pixel_ids.tolist() == extremes


def test_stacks_too_large_for_the_memory() -> None:
    for n, shape in ((2**60, (3, 4)), (10_000, (65_535, 65_535))):
        with pytest.raises(
            MemoryLimitError, match=r"no memory for \d+ maps of \d+ x \d+ cells \(\d+\.\d GB\); make fewer"
        ) as caught:
            MapStack(n, shape, **GRID)
        assert isinstance(caught.value, MemoryError)


@pytest.mark.parametrize("plane", ["data", "weight", "exposure", "flag", "base"])
def test_planes_that_do_not_fit(plane: str) -> None:
    good: dict[str, Any] = dict.fromkeys(("data", "weight", "exposure", "base"), ONES)
    good["flag"] = np.zeros(FULL, np.uint8)
    MapStack.from_arrays(**good, **GRID)
    for bad in (good[plane][:2], good[plane][:, :3], good[plane][0]):
        with pytest.raises(ShapeError, match=r"`\w+` has (shape|2 dimensions)"):
            MapStack.from_arrays(**{**good, plane: bad}, **GRID)
    for dtype in (np.complex64, object, "U1"):
        with pytest.raises(DtypeError, match=f"`{plane}` has dtype"):
            MapStack.from_arrays(**{**good, plane: np.zeros(FULL, dtype)}, **GRID)


@pytest.mark.parametrize("value", [4, 5, 255, -1, I64.min, I64.max])
def test_flags_of_cells_are_two(value: int) -> None:
    flag = np.zeros(FULL, np.int64)
    flag[1, 2, 3] = value
    with pytest.raises(ParameterError, match=r"`flag` holds other numbers than 1 \(DISCARD\), 2 \(MASK\)"):
        MapStack.from_arrays(ONES, ONES, ONES, flag, **GRID)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint64, ">i4", np.bool_])
def test_flags_of_cells_of_any_type(dtype: Any) -> None:
    flag = np.zeros(FULL, dtype)
    flag[1, 2, 3] = 1
    stack = MapStack.from_arrays(ONES, ONES, ONES, flag, **GRID)
    assert stack.valid.sum() == stack.valid.size - 1
    assert not stack.valid[1, 2, 3]


def test_planes_are_copied_and_can_be_written_to_but_not_exchanged() -> None:
    data = np.asfortranarray(ONES).astype(">f4")
    data.flags.writeable = False
    stack = MapStack.from_arrays(data, data, data, np.zeros(FULL, np.uint8), **GRID)
    stack.data[0] = 7.0
    assert data[0, 0, 0] == 1.0
    for name in (*PLANES, "base", "moments"):
        with pytest.raises(AttributeError):
            setattr(stack, name, 0)


@pytest.mark.parametrize(
    "name", ["smoothing_fwhm", "filter_fwhm", "correcting_fwhm", "filter_blanking", "noise_rescale"]
)
def test_records_that_make_no_sense(name: str) -> None:
    stack = MapStack(3, (4, 6), **GRID)
    before = getattr(stack, name)
    with pytest.raises(ShapeError, match=rf"`{name}` has shape \(2,\); expected \(3,\)"):
        setattr(stack, name, [1.0, 2.0])
    with pytest.raises(DtypeError, match=f"`{name}` has dtype"):
        setattr(stack, name, "a")
    with pytest.raises(ParameterError, match=f"`{name}` holds -1.0; it must be a number from 0 on"):
        setattr(stack, name, [1.0, -1.0, 2.0])
    np.testing.assert_array_equal(getattr(stack, name), before)
    setattr(stack, name, 3.0)
    np.testing.assert_array_equal(getattr(stack, name), [3.0] * 3)
    getattr(stack, name)[...] = 9.0  # a copy
    setattr(stack, name, np.array([1.0, 2.0, 3.0], ">f4"))
    np.testing.assert_array_equal(getattr(stack, name), [1.0, 2.0, 3.0])


def test_there_always_is_a_beam() -> None:
    stack = MapStack(3, (4, 6), **GRID)
    for wrong in (np.nan, np.inf):
        with pytest.raises(ParameterError, match=r"`smoothing_fwhm` holds (nan|inf); it must be a number from 0 on"):
            stack.smoothing_fwhm = [1.0, wrong, 2.0]


def test_contents_that_are_unknown() -> None:
    stack = MapStack(3, (4, 6), **GRID)
    with pytest.raises(ParameterError, match="`content` = 'x'; it must be one of given, sums, means"):
        stack.mark_content("x")
    with pytest.raises(ParameterError, match="`pixels` holds 3; the stack has 3 maps"):
        stack.mark_content("sums", [3])
    assert stack.content == ["given"] * 3


@pytest.mark.parametrize(
    "name", ["level", "chi2", "reweight", "smooth_to", "despike", "filter", "clip_significance", "mem_correct"]
)
def test_sums_are_no_maps(name: str) -> None:
    stack = STREAM.maps()
    stack.end_accumulation(pixels=[0])
    MAP_WORK[name](stack, pixels=[0])
    before = {plane: getattr(stack, plane).copy() for plane in PLANES}
    for pixels in (None, [0, 3], [3]):
        first = 1 if pixels is None else 3
        with pytest.raises(DataError, match=f"map {first} holds sums, not means; call `end_accumulation` first"):
            MAP_WORK[name](stack, pixels=pixels)
    for plane, array in before.items():
        np.testing.assert_array_equal(getattr(stack, plane), array)


def test_sums_are_no_prior_and_have_no_significance() -> None:
    stack = STREAM.maps()
    with pytest.raises(DataError, match="map 0 holds sums"):
        stack.set_base()
    assert not stack.has_base
    with pytest.raises(DataError, match="map 0 holds sums"):
        stack.update_mask(3.0)
    stack.update_mask()  # but every cell with a weight holds data


def test_fits_take_sums_for_the_means_that_they_stand_for() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:20, :20]
    weight = rng.uniform(50.0, 100.0, (2, 20, 20))
    signal = 5.0 * np.exp(-4.0 * np.log(2.0) * ((x - 9) ** 2 + (y - 11) ** 2) / 36.0) + rng.normal(0, 0.1, weight.shape)
    held = {"sums": signal * weight, "means": signal}
    fits, peaks = [], []
    for content, data in held.items():
        stack = MapStack.from_arrays(data, weight, weight, np.zeros(data.shape, np.uint8), **GRID)
        stack.mark_content(content)
        fits.append(stack.fit_gaussians(beam_fwhm=6.0))
        peaks.append(stack.find_peaks(beam_fwhm=6.0))
        np.testing.assert_array_equal(stack.data, data)
    np.testing.assert_allclose(fits[0].position, fits[1].position, rtol=1e-6)
    np.testing.assert_allclose(fits[0].position, [[9.0, 11.0]] * 2, atol=0.1)
    np.testing.assert_allclose(peaks[0].position, peaks[1].position, rtol=1e-6)
    np.testing.assert_allclose(peaks[0].position, [[9.0, 11.0]] * 2, atol=0.5)


@pytest.mark.parametrize("other", [None, 3, ONES, "abc", STREAM])
def test_what_is_no_stack(other: Any) -> None:
    for work in (MapStack.merge_accumulate, MapStack.add_model_data):
        with pytest.raises(ParameterError, match=r"`other` is a .*; expected a MapStack"):
            work(means(), other)


def test_maps_that_do_not_match() -> None:
    stack = means()
    grid = STREAM.grid
    shapes = (
        (MapStack(5, (4, 5), **grid), r"have shape \(4, 5\); expected \(4, 6\)"),
        (MapStack(4, (4, 6), **grid), "has 4 maps; expected 5, one for each map to add to"),
    )
    grids = (
        MapStack(5, (4, 6), **{**grid, "resolution": 2.0}),
        MapStack(5, (4, 6), **{**grid, "reference_index": (1.5, 2.001)}),
    )
    for work in (stack.merge_accumulate, stack.add_model_data):
        for other, text in shapes:
            with pytest.raises(ShapeError, match=text):
                work(other)
        for other in grids:
            with pytest.raises(ParameterError, match=r"lie on another grid: cells of .* with the reference at"):
                work(other)
        with pytest.raises(ShapeError, match="has 5 maps; expected 2"):
            work(means(), pixels=[0, 1])
    assert_same_maps(stack, means())


@pytest.mark.parametrize("weight", [np.nan, np.inf, -1.0, "1", None])
def test_weights_of_models_that_are_none(weight: Any) -> None:
    stack = means()
    with pytest.raises(ParameterError, match=r"`weight` = .*; it must be (0 or more|a number)"):
        stack.add_model_data(means(), weight)
    assert_same_maps(stack, means())


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("smooth_to", np.nan, "`fwhm` = NaN"),
        ("smooth_to", -1.0, "`fwhm` = -1"),
        ("smooth_to", np.inf, "`fwhm` = inf"),
        ("filter", 0.0, "`fwhm` = 0; it must be finite and larger than the beam"),
        ("filter", np.inf, "`fwhm` = inf"),
        ("despike", -1.0, "`level` = -1; it must be 0 or positive"),
        ("despike", np.nan, "`level` = NaN"),
        ("clip_noise", np.nan, "`factor` = NaN"),
        ("clip_exposure", np.nan, "`fraction` = NaN"),
        ("clip_significance", np.nan, "`level` = NaN"),
        ("clip_redundancy", np.nan, "`least_exposure` = NaN"),
        ("mem_correct", np.nan, "`lambda` = NaN"),
        ("mem_correct", np.inf, "`lambda` = inf"),
        ("update_mask", "3", "`level` = '3'; it must be a number"),
        *(
            (name, thing, "it must be a number")
            for name in ("smooth_to", "clip_noise", "despike")
            for thing in ("1", None)
        ),
    ],
)
def test_levels_and_widths_that_make_no_sense(name: str, value: Any, text: str) -> None:
    stack = means()
    with pytest.raises(ParameterError, match=text):
        getattr(stack, name)(value)
    assert_same_maps(stack, means())


def test_words_that_are_unknown() -> None:
    stack = means()
    wrong: list[tuple[str, Callable[[], object]]] = [
        ("`kind` = 'x'; it must be one of convolution, fft", lambda: stack.filter(50.0, kind="x")),
        ("`sign` = 2; it must be", lambda: stack.update_mask(sign=2)),
        ("`sign` = 'up'; it must be", lambda: stack.clip_significance(1.0, "up")),
        ("`sign` = True; it must be", lambda: stack.fit_gaussians(sign=True)),
        ("`robust` = 1; it must be True or False", lambda: stack.level(1)),  # type: ignore[arg-type]
        ("`min_neighbors` = -1; it must be", lambda: stack.update_mask(None, -1)),
        ("`shape` = 'oval'; it must be one of elliptical", lambda: stack.fit_gaussians(shape="oval")),
        ("`fixed` gives both widths", lambda: stack.fit_gaussians(shape="fixed")),
        ("`fixed` gives both widths", lambda: stack.fit_gaussians(fixed=(1, 2, 3))),
        (r"`fixed` = \(1, 2\); it must be", lambda: stack.fit_gaussians(shape="fixed", fixed=(1, 2))),
        ("`fixed` = 'a'; it must be", lambda: stack.fit_gaussians(shape="fixed", fixed=("a", 1, 1))),  # type: ignore[arg-type]
        ("`beam_fwhm` = 0; it must be", lambda: stack.fit_gaussians(beam_fwhm=0.0)),
        ("`region` = NaN; it must be", lambda: stack.fit_gaussians(region=np.nan)),
        ("`n_evaluations` = 0; it must be", lambda: stack.fit_gaussians(n_evaluations=0)),
        ("`progress` = 3; it must be a function", lambda: stack.fit_gaussians(progress=3)),  # type: ignore[arg-type]
        ("`parameter` = 'z'; it must be one of x, y", lambda: stack.fit_gaussians().error("z")),
    ]
    for text, work in wrong:
        with pytest.raises(ParameterError, match=text):
            work()
    for starts in ([[1.0, 2.0, 3.0]] * 5, [1.0, 2.0], [[1.0, 2.0]]):
        with pytest.raises(ShapeError, match="`starts` has"):
            stack.fit_gaussians(starts=starts)


def moments(**changes: Any) -> SampleMoments:
    arrays: dict[str, Any] = {
        "sums": np.ones((2, 6, 4, 6)),
        "factors": np.ones((2, 3)),
        "missed_at": np.zeros((1, 2), np.int64),
        "missed": np.zeros((1, 6)),
    }
    return SampleMoments(**(arrays | changes))


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"sums": np.ones((6, 4, 6))}, ShapeError, r"`sums` and `factors` have shapes \(6, 4, 6\) and \(2, 3\)"),
        ({"sums": np.ones((2, 5, 4, 6))}, ShapeError, r"`sums` of the moments has shape .*; expected \(2, 6, 4, 6\)"),
        ({"factors": np.ones((1, 3))}, ShapeError, r"`factors` of the moments has shape \(1, 3\); expected \(2, 3\)"),
        ({"missed_at": np.zeros((2, 2), np.int64)}, ShapeError, "`missed_at` of the moments has shape"),
        ({"missed_at": np.zeros((1, 2))}, DtypeError, "`missed_at` of the moments has dtype float64; expected int64"),
        ({"missed": np.zeros((1, 6), np.float32)}, DtypeError, "`missed` of the moments has dtype float32"),
        ({"missed_at": np.array([[3, 0]])}, ParameterError, "`missed_at` of the moments names a map or a cell beyond"),
        ({"missed_at": np.array([[0, 24]])}, ParameterError, "`missed_at` of the moments names a map or a cell beyond"),
        ({"missed_at": np.array([[0, -1]])}, ParameterError, "`missed_at` of the moments names a map or a cell beyond"),
    ],
)
def test_moments_that_do_not_fit_together(changes: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        moments(**changes)


def test_moments_of_other_maps() -> None:
    stack = MapStack(3, (4, 6), **GRID)
    stack.sample_moments = moments()
    assert stack.moments.sum() == 2 * 6 * 4 * 6
    with pytest.raises(ShapeError, match=r"`sample_moments` are of maps of shape \(3, 4, 6\); expected \(2, 4, 6\)"):
        MapStack(2, (4, 6), **GRID).sample_moments = moments()
    nothing = SampleMoments.unknown(3, 4, 6)
    stack.sample_moments = nothing
    assert not stack.sample_moments.of_pixel(2).any()
