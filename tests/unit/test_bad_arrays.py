"""Planes of the wrong shape and kind, and of the right kind in every layout, for every function that takes one."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy import units

from pixtrace.exceptions import DtypeError, ShapeError
from pixtrace.trace import fit_2d_spline_trace, fit_all_regions, linear_oversample, oversample_flux, trace_image
from pixtrace.trace.oversample import alpha_on_grid
from tests.strategies.small import Array, SmallScene, small_scene

SCENE = small_scene()
MODEL = SCENE.fit()
SHAPE = SCENE.flux.shape
FIT: dict[str, Any] = {"lrange": 10, "spline_bkpt": 14, "require_ngood": 3, "space_ratio": 1.6}

#: Every function, with the planes it takes.
PLANES: dict[str, tuple[str, ...]] = {
    "fit_all_regions": ("flux", "error", "alpha", "region_map"),
    "fit_2d_spline_trace": ("flux", "alpha"),
    "oversample_flux": ("flux", "alpha", "region_map", "alpha_os"),
    "TraceModel.oversample": ("flux", "alpha", "region_map", "alpha_os"),
    "linear_oversample": ("data", "region_map"),
    "trace_image": ("region_map", "alpha"),
    "TraceModel.trace_image": ("region_map", "alpha"),
    "alpha_on_grid": ("alpha", "region_map"),
}
CASES = [(function, plane) for function, planes in PLANES.items() for plane in planes]
GOOD = {**vars(SCENE), "data": SCENE.flux, "alpha_os": SCENE.alpha_os()}


CALLS: dict[str, Callable[..., Any]] = {
    "fit_all_regions": lambda *p: fit_all_regions(*p, **FIT),
    "fit_2d_spline_trace": lambda *p: fit_2d_spline_trace(*p, **FIT),
    "oversample_flux": lambda flux, alpha, labels, alpha_os: oversample_flux(
        flux, alpha, labels, MODEL.spline_models, MODEL.spline_scales, 2, alpha_os, 3
    ),
    "TraceModel.oversample": lambda flux, alpha, labels, alpha_os: MODEL.oversample(
        flux, alpha, labels, 2, alpha_os, require_ngood=3
    ),
    "linear_oversample": lambda data, labels: linear_oversample(data, labels, 2, 3),
    "trace_image": lambda labels, alpha: trace_image(MODEL, labels, alpha),
    "TraceModel.trace_image": MODEL.trace_image,
    "alpha_on_grid": lambda alpha, labels: alpha_on_grid(alpha, labels, 2),
}


def call(function: str, **changes: object) -> Any:
    """Call a function with good planes, but for the changes."""
    given: dict[str, Any] = {**GOOD, **changes}
    return CALLS[function](*(given[name] for name in PLANES[function]))


def assert_same(found: Any, expected: Any) -> None:
    """Assert that two results are the same, bit for bit."""
    if isinstance(expected, np.ndarray | tuple):
        for ours, theirs in zip(np.atleast_1d(found), np.atleast_1d(expected), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    else:
        assert found == expected


@pytest.mark.parametrize(("function", "plane"), CASES)
@pytest.mark.parametrize("shape", [(), (4,), (1, *SHAPE), (1, 1, *SHAPE)])
def test_wrong_number_of_dimensions(function: str, plane: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=rf"`{plane}` has {len(shape)} dimensions \(shape .*\); expected 2"):
        call(function, **{plane: np.zeros(shape, dtype=np.int32)})


@pytest.mark.parametrize(("function", "plane"), CASES)
@pytest.mark.parametrize("shape", [(37, 40), (38, 39), (40, 38), (39, 41), (0, 40), (38, 0), (0, 0), (1, 1)])
def test_wrong_shape(function: str, plane: str, shape: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match=r"has shape .*; expected .*, the shape that goes with") as caught:
        call(function, **{plane: np.zeros(shape, dtype=np.int32)})
    assert f"`{plane}`" in str(caught.value)
    assert all(str(n) in str(caught.value) for n in shape)


@pytest.mark.parametrize("function", PLANES)
def test_every_mixture_of_two_shapes(function: str) -> None:
    planes = PLANES[function]
    for mixture in itertools.product([False, True], repeat=len(planes)):
        if len(set(mixture)) == 2:
            cut = {name: GOOD[name][:-1] for name, is_cut in zip(planes, mixture, strict=True) if is_cut}
            with pytest.raises(ShapeError):
                call(function, **cut)


def test_shape_of_the_column_scales() -> None:
    flux, alpha = GOOD["flux"], GOOD["alpha"]
    for shape in [(39,), (41,), (0,), (38,)]:
        with pytest.raises(ShapeError, match=rf"`fit_scale` has shape \({shape[0]},\); expected \(40,\)"):
            fit_2d_spline_trace(flux, alpha, np.ones(shape))
    with pytest.raises(ShapeError, match="`fit_scale` has 2 dimensions"):
        fit_2d_spline_trace(flux, alpha, np.ones((1, 40)))
    with pytest.raises(DtypeError, match="`fit_scale` has dtype <U"):
        fit_2d_spline_trace(flux, alpha, np.full(40, "a"))


@pytest.mark.parametrize(("function", "plane"), CASES)
@pytest.mark.parametrize(
    "dtype", [np.complex64, np.complex128, object, "U8", "S8", "datetime64[s]", "timedelta64[s]", "V4"]
)
def test_what_is_no_number(function: str, plane: str, dtype: npt.DTypeLike) -> None:
    expected = "integer labels" if plane == "region_map" else r"real numbers \(float32, float64 or integers\)"
    with pytest.raises(DtypeError, match=f"`{plane}` has dtype .*; expected {expected}") as caught:
        call(function, **{plane: np.zeros(GOOD[plane].shape, dtype=dtype)})
    assert isinstance(caught.value, TypeError)
    assert str(np.dtype(dtype)) in str(caught.value)


@pytest.mark.parametrize(("function", "plane"), CASES)
@pytest.mark.parametrize("thing", [None, "abc", b"abc", 3, {}, object()])
def test_what_is_no_array(function: str, plane: str, thing: object) -> None:
    if thing is None and plane == "error":
        return  # no errors at all are fine
    with pytest.raises((ShapeError, DtypeError), match=f"`{plane}`.*expected"):
        call(function, **{plane: thing})


@pytest.mark.parametrize(("function", "plane"), CASES)
def test_ragged_lists(function: str, plane: str) -> None:
    with pytest.raises(ShapeError, match=f"`{plane}` is not an array"):
        call(function, **{plane: [[1, 2], [3]]})


class Wrapped:
    """Something with numbers inside, as `Quantity` and data frames are."""

    def __init__(self, values: Array) -> None:
        self._values = values

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self._values, dtype=dtype, copy=copy)


#: Other forms of a plane, and the plane that they stand for.
FORMS: dict[str, tuple[Callable[[Array], Any], Callable[[Array], Array]]] = {
    "float16": (lambda p: p.astype(np.float16), lambda p: p.astype(np.float16).astype(np.float32)),
    "float128": (lambda p: p.astype(np.longdouble), lambda p: p.astype(np.float64)),
    "int16": (lambda p: np.nan_to_num(p).astype(np.int16), lambda p: np.trunc(np.nan_to_num(p)).astype(np.float64)),
    "uint64": (
        lambda p: np.abs(np.nan_to_num(p)).astype(np.uint64),
        lambda p: np.trunc(np.abs(np.nan_to_num(p))).astype(np.float64),
    ),
    "bool": (lambda p: p > 10.0, lambda p: (p > 10.0).astype(np.float64)),
    "list": (lambda p: p.tolist(), lambda p: p.astype(np.float64)),
    "masked": (lambda p: np.ma.masked_greater(np.nan_to_num(p), 500.0), lambda p: _hole(np.nan_to_num(p))),
    "masked without a mask": (np.ma.asarray, lambda p: p),
    "masked integers": (
        lambda p: np.ma.masked_greater(np.nan_to_num(p).astype(np.int32), 500),
        lambda p: _hole(np.trunc(np.nan_to_num(p).astype(np.float64)), 501.0),
    ),
    "Quantity": (lambda p: units.Quantity(p, "Jy"), lambda p: p),
    "__array__": (Wrapped, lambda p: p),
}


def _hole(plane: Array, limit: float = 500.0) -> Array:
    return np.where(plane >= limit, plane.dtype.type(np.nan), plane)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("function", "plane"), [case for case in CASES if case[1] != "region_map"])
def test_forms_of_numbers(function: str, plane: str, form: str) -> None:
    as_given, as_meant = FORMS[form]
    assert_same(call(function, **{plane: as_given(GOOD[plane])}), call(function, **{plane: as_meant(GOOD[plane])}))


def test_errors_beyond_the_precision_of_the_flux_are_infinite_and_without_a_warning() -> None:
    huge = np.full(SHAPE, 1e300)
    assert_same(call("fit_all_regions", error=huge), call("fit_all_regions", error=np.full(SHAPE, np.inf)))


def test_signalling_nan_is_nan() -> None:
    wide, narrow = GOOD["flux"].astype(np.float64), GOOD["flux"].copy()
    wide.view(np.uint64)[15, 7] = 0x7FF0_0000_0000_0001
    narrow.view(np.uint32)[15, 7] = 0x7F80_0001
    quiet = GOOD["flux"].copy()
    quiet[15, 7] = np.nan
    assert_same(call("fit_all_regions", flux=narrow), call("fit_all_regions", flux=quiet))
    assert_same(call("linear_oversample", data=narrow), call("linear_oversample", data=quiet))
    assert_same(call("linear_oversample", data=wide), call("linear_oversample", data=quiet.astype(np.float64)))
    assert_same(call("fit_all_regions", error=wide), call("fit_all_regions", error=quiet))


def _strided(p: Array) -> Array:
    wide = np.zeros((2 * p.shape[0], 3 * p.shape[1]), dtype=p.dtype)
    wide[::2, ::3] = p
    return wide[::2, ::3]


def _backwards(p: Array) -> Array:
    return np.ascontiguousarray(p[::-1, ::-1])[::-1, ::-1]


def _unaligned(p: Array) -> Array:
    record = np.zeros(p.shape, dtype=[("flag", "u1"), ("value", p.dtype)])
    record["value"] = p
    return record["value"]


def _field(p: Array) -> Array:
    record = np.zeros(p.shape, dtype=np.dtype([("flag", "u1"), ("value", p.dtype)], align=True))
    record["value"] = p
    return record["value"]


def _shifted(p: Array) -> Array:
    buffer = np.zeros(p.nbytes + 1, dtype=np.uint8)
    array = buffer[1:].view(p.dtype).reshape(p.shape)
    array[...] = p
    return array


def _read_only(p: Array) -> Array:
    copy = p.copy()
    copy.flags.writeable = False
    return copy


def _big_endian(p: Array) -> Array:
    return p.astype(p.dtype.newbyteorder(">"))


LAYOUTS: list[Callable[[Array], Array]] = [
    _strided,
    _backwards,
    np.asfortranarray,
    _unaligned,
    _field,
    _shifted,
    _read_only,
    _big_endian,
    lambda p: _read_only(_unaligned(_big_endian(p))),
    lambda p: np.asfortranarray(_big_endian(p))[:, :],
    lambda p: np.stack([p, p], axis=-1)[..., 0],
    lambda p: p.view(np.ma.MaskedArray),
]


@pytest.mark.parametrize("change", LAYOUTS)
@pytest.mark.parametrize("function", PLANES)
def test_layouts_change_nothing_and_planes_come_back_untouched(function: str, change: Callable[[Array], Array]) -> None:
    given = {name: change(GOOD[name]) for name in PLANES[function]}
    before = {name: (np.asarray(p).tobytes(), p.dtype, p.strides, p.flags.writeable) for name, p in given.items()}
    assert_same(call(function, **given), call(function))
    for name, p in given.items():
        assert (np.asarray(p).tobytes(), p.dtype, p.strides, p.flags.writeable) == before[name], name


@pytest.mark.parametrize("function", PLANES)
def test_planes_without_strides(function: str) -> None:
    for name in PLANES[function]:
        constant = np.broadcast_to(GOOD[name].dtype.type(1), GOOD[name].shape)
        assert_same(call(function, **{name: constant}), call(function, **{name: constant.copy()}))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_images_without_pixels(shape: tuple[int, int]) -> None:
    nothing = np.zeros(shape, dtype=np.float32)
    for plane in (nothing, nothing[::-1], nothing.astype(">f4"), np.asfortranarray(nothing)):
        scene = SmallScene(flux=plane, error=plane, alpha=plane, region_map=plane.astype(np.int16))
        model = scene.fit()
        assert dict(model) == {}
        assert [p.shape for p in scene.oversample(model, 2.5)] == [(int(np.ceil(2.5 * shape[0])), shape[1])] * 5
        assert [p.shape for p in model.trace_image(scene.region_map, plane)] == [shape] * 2
        assert linear_oversample(plane, scene.region_map, 3, 1).shape == (3 * shape[0], shape[1])
        assert dict(fit_2d_spline_trace(plane, plane)) == {}


def test_a_plane_may_stand_in_two_places() -> None:
    """The same object as flux, error and alpha: it is only read, so that is no conflict."""
    plane = np.nan_to_num(SCENE.alpha, nan=1.0)
    model = fit_all_regions(plane, plane, plane, SCENE.region_map, **FIT)
    assert list(model) == [1, 2]
    model.oversample(plane, plane, SCENE.region_map, 1, plane)
