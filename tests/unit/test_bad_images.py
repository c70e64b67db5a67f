"""Images full of bad numbers, through the whole pipeline: the planes of the result agree, and nothing breaks."""

from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import DataError, DtypeError, MemoryLimitError, ParameterError, ShapeError
from pixtrace.trace.exposure import OversampledImage, oversample_image
from pixtrace.trace.image import DO_NOT_USE, FLUX_ESTIMATED, SpectralImage
from pixtrace.trace.oversample import nearest_rows
from pixtrace.trace.params import TraceParams
from tests.strategies.small import Array, small_scene

SCENE = small_scene()
SHAPE = SCENE.flux.shape
EVERY = TraceParams(lrange=10, spline_bkpt=14, fit_threshold=0.0)
PARAMS = {
    "every region": EVERY,
    "snr": EVERY.replace(fit_threshold=5.0),
    "peak": EVERY.replace(fit_threshold=5.0, threshold="peak"),
    "peak by channel": EVERY.replace(fit_threshold=5.0, threshold="peak_by_channel"),
    "psf_optimal": EVERY.replace(psf_optimal=True),
}


def image(**changes: Any) -> SpectralImage:
    """Return a good image, but for the changes."""
    given: dict[str, Any] = {
        **vars(SCENE),
        "dq": np.zeros(SHAPE, dtype=np.uint32),
        "wavelength": np.broadcast_to(np.linspace(5.0, 6.0, 40), SHAPE),
        "variances": {"var_poisson": SCENE.error**2},
    }
    return SpectralImage(**{**given, **changes})


def assert_consistent(given: SpectralImage, result: OversampledImage, factor: float) -> None:
    """Assert that all planes have the grid of the factor, and that they agree on what is missing."""
    rows = nearest_rows(given.shape[0], factor)
    shape = (rows.size, given.shape[1])
    missing = (result.dq & DO_NOT_USE).astype(bool)
    np.testing.assert_array_equal(result.region_map, given.region_map[rows])
    planes = [result.flux, *result.variances.values(), *([] if result.error is None else [result.error])]
    for plane in planes:
        assert plane.shape == shape
        np.testing.assert_array_equal(np.isnan(plane), missing)
    assert result.flux.dtype == given.flux.dtype
    filled = (result.dq & FLUX_ESTIMATED).astype(bool)
    assert not (filled & missing).any()
    assert result.summary.n_pixels_filled == filled.sum()
    assert np.isnan(result.flux[result.region_map <= 0]).all()


def spoilt(plane: Array, value: float, share: float) -> Array:
    """Return a copy with this value in a share of the pixels."""
    holes = np.random.default_rng(3).random(plane.shape) < share
    return np.where(holes, plane.dtype.type(value), plane)


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -1e30])
@pytest.mark.parametrize("name", ["flux", "error", "alpha", "var_poisson"])
def test_spoilt_planes(name: str, value: float, share: float, params: str) -> None:
    if name == "var_poisson":
        given = image(variances={name: spoilt(SCENE.error**2, value, share)})
    else:
        given = image(**{name: spoilt(getattr(SCENE, name), value, share)})
    for factor in (2, 1.3):
        result = oversample_image(given, factor, PARAMS[params])
        assert_consistent(given, result, factor)
        n_fitted = result.summary.n_regions_fitted
        if share == 1.0 and name in {"flux", "alpha"}:
            # A constant alpha, and a flux that is zero or below, have no profile to fit.
            assert n_fitted == 0
            assert np.isnan(result.trace_used).all()
        if share == 1.0 and params == "snr" and name == "error":
            assert n_fitted == 0
        if name == "var_poisson" and params in {"every region", "snr", "psf_optimal"}:
            assert n_fitted == 2


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("labels", [0, -1, -(2**31)])
def test_images_without_regions(labels: int, params: str) -> None:
    given = image(region_map=np.full(SHAPE, labels))
    result = oversample_image(given, 2, PARAMS[params], intermediate=True)
    assert given.regions == ()
    assert_consistent(given, result, 2)
    for plane in (result.flux, result.trace_used, result.full_trace, result.linear_flux, result.residual_flux):
        assert plane is not None
        assert np.isnan(plane).all()
    assert (result.summary.n_regions, result.summary.n_columns_fitted) == (0, 0)


@pytest.mark.parametrize("params", PARAMS)
def test_images_that_data_quality_rules_out(params: str) -> None:
    for dq in (np.ones(SHAPE, dtype=np.uint32), -np.ones(SHAPE, dtype=np.int32), np.ones(SHAPE, dtype=bool)):
        result = oversample_image(image(dq=dq), 2, PARAMS[params])
        assert np.isnan(result.flux).all()
        assert ((result.dq & DO_NOT_USE) == DO_NOT_USE).all()


@pytest.mark.parametrize("n_rows", [1, 2, 4])
def test_slits_of_a_few_rows(n_rows: int) -> None:
    """A one-shutter slitlet of four rows ends the step of the reference (semantics.md, 8.5)."""
    scene = small_scene(n_rows, n_regions=1)
    given = SpectralImage(**vars(scene))
    for name in ("nirspec-mos", "nirspec-mos-prism", "nirspec-ifu", "miri-mrs", "miri-lrs-slit", "generic"):
        params = TraceParams.preset(name).replace(fit_threshold=0.0, oversample_require_ngood=0)
        for factor in (1, 2, 1.7):
            result = oversample_image(given, factor, params)
            if factor != 1:
                assert_consistent(given, result, factor)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, np.int32, np.uint8, bool, ">f4", ">f8"])
def test_kinds_of_numbers(dtype: Any) -> None:
    flux = np.nan_to_num(SCENE.flux).clip(0, 250).astype(dtype)
    given = image(flux=flux)
    same = image(flux=flux.astype(given.flux.dtype))
    ours, theirs = (oversample_image(one, 1.7, EVERY) for one in (given, same))
    for name in ("flux", "error", "dq", "trace_used", "alpha", "wavelength"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_planes_in_other_units_than_their_type_allows() -> None:
    """What float32 cannot hold is missing, without a warning."""
    given = image(error=np.full(SHAPE, 1e300), variances={"var_poisson": np.full(SHAPE, -1e300)})
    assert given.error is not None
    assert np.isinf(given.error).all()
    assert np.isnan(oversample_image(given, 2, EVERY).flux).all()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"flux": SCENE.flux[0]}, ShapeError, "`flux` has 1 dimensions"),
        ({"flux": SCENE.flux[:0]}, ShapeError, "`flux` has shape .* at least one pixel"),
        ({"flux": SCENE.flux.astype(complex)}, DtypeError, "`flux` has dtype complex"),
        ({"error": SCENE.error.T}, ShapeError, r"`error` has shape \(40, 38\); expected \(38, 40\)"),
        ({"alpha": SCENE.alpha.astype("U8")}, DtypeError, "`alpha` has dtype <U8"),
        ({"region_map": SCENE.region_map + 0.5}, DtypeError, "`region_map` .* not whole"),
        ({"region_map": SCENE.region_map.astype(np.int64) * 2**40}, ParameterError, "`region_map` holds the label"),
        ({"dq": np.zeros(SHAPE)}, DtypeError, "`dq` has dtype float64; expected integers"),
        ({"dq": np.full(SHAPE, 2**32)}, DataError, "`dq` has values from 4294967296"),
        ({"wavelength": np.zeros(3)}, ShapeError, "`wavelength` has 1 dimensions"),
        ({"variances": {"var_flat": [[1], [2, 3]]}}, ShapeError, "`var_flat` is not an array"),
        ({"n_integrations": 0}, ParameterError, "it must be a whole number from 1 on"),
    ],
)
def test_images_that_are_none(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        image(**changes)


def test_factors_that_are_none() -> None:
    for factor in (np.nan, np.inf, -np.inf, 0, -1, 0.5, 1.0 - 1e-16 * 2):
        with pytest.raises(ParameterError, match=r"factor = .*; it must be a finite number of at least 1"):
            oversample_image(image(), factor, EVERY)
    for factor in (1e9, 1e300):
        with pytest.raises(MemoryLimitError, match=r" GB; this machine has .* GB"):
            oversample_image(image(), factor, EVERY)


def test_alpha_of_another_grid() -> None:
    for shape in [SHAPE, (76, 39), (76,), (1, 76, 40)]:
        with pytest.raises(ShapeError, match=r"alpha_os of the image has shape .*; expected \(76, 40\) for factor 2"):
            oversample_image(image(), 2, EVERY, alpha_os=np.zeros(shape))
    with pytest.raises(DtypeError, match="`alpha_os` has dtype complex128"):
        oversample_image(image(), 2, EVERY, alpha_os=np.zeros((76, 40), dtype=complex))


def test_a_name_is_in_every_message() -> None:
    with pytest.raises(ShapeError, match="`error of image 'SCI,7'` has shape"):
        image(error=SCENE.error[1:], name="SCI,7")
    named = image(error=None, name="SCI,7")
    with pytest.raises(DataError, match="image 'SCI,7' has no error plane"):
        oversample_image(named, 2, PARAMS["snr"])
