from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixtrace.exceptions import DataError, MemoryLimitError, ParameterError, ShapeError
from pixtrace.trace import linear_oversample
from pixtrace.trace.exposure import oversample_image, trace_image_planes
from pixtrace.trace.fitting import fit_image
from pixtrace.trace.image import DO_NOT_USE, FLUX_ESTIMATED, SpectralImage
from pixtrace.trace.oversample import alpha_on_grid, fine_rows, nearest_rows
from pixtrace.trace.params import TraceParams
from pixtrace.trace.result import OversampledImage
from tests.reference import case_names, load_case
from tests.strategies.scenes import Scene, scenes

PARAMS = TraceParams(lrange=15, spline_bkpt=14, require_ngood=5, pad=3)
PLANES = ("flux", "error", "dq", "region_map", "alpha", "trace_used", "full_trace", "linear_flux", "residual_flux")


def star_image(*, dtype: npt.DTypeLike = np.float64, offset: float = 0.0, **changes: Any) -> SpectralImage:
    """Return two tilted slices, one with an undersampled star and one with sky alone, with some bad pixels."""
    n_y, n_x = 44, 40
    y, x = np.mgrid[:n_y, :n_x].astype(float)
    alpha, region_map = np.full((n_y, n_x), np.nan), np.zeros((n_y, n_x), np.int32)
    for label, middle in ((7, 11.0), (9, 32.0)):
        a = 0.2 * (y - middle - 0.1 * (x - 20))
        inside = np.abs(a) < 1.5
        alpha[inside], region_map[inside] = a[inside], label
    rng = np.random.default_rng(11)
    clean = 5.0 + np.where(region_map == 7, 900.0 * np.exp(-0.5 * (np.nan_to_num(alpha) / 0.17) ** 2), 0.0)
    error = np.sqrt(clean + 4.0)
    flux = clean + 0.2 * error * rng.standard_normal(clean.shape) + offset
    bad = rng.random(clean.shape) < 0.02
    flux[bad] = np.nan
    error[bad] = np.nan
    planes: dict[str, Any] = {
        "flux": flux.astype(dtype),
        "error": error.astype(dtype),
        "dq": np.where(bad, DO_NOT_USE, 0).astype(np.uint32),
        "alpha": alpha,
        "region_map": region_map,
        "variances": {"var_poisson": (0.7 * error**2).astype(dtype), "var_rnoise": (0.3 * error**2).astype(dtype)},
    }
    return SpectralImage(**(planes | changes))


def there(plane: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    """Return a plane that has to be there."""
    assert plane is not None
    return plane


def assert_same(one: OversampledImage, two: OversampledImage) -> None:
    """Complain unless two results have the same bits."""
    for name in PLANES:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    for name in one.variances:
        np.testing.assert_array_equal(one.variances[name], two.variances[name], err_msg=name)


@pytest.mark.parametrize("factor", [2, 3, 1.5, 1.3, 2.7])
@pytest.mark.parametrize("flipped", [False, True])
def test_planes_have_the_grid_of_the_factor(factor: float, flipped: bool) -> None:
    image = star_image(dtype=np.float32, flipped=flipped, wavelength=np.full((44, 40), 5.0))
    result = oversample_image(image, factor, PARAMS, intermediate=True)
    shape = (int(np.ceil(44 * factor)), 40)
    for name in PLANES:
        assert getattr(result, name).shape == shape, name
    assert result.flux.dtype == result.trace_used.dtype == np.float32
    assert result.error is not None
    assert result.error.dtype == result.variances["var_poisson"].dtype == np.float32
    rows = nearest_rows(44, factor, flipped=flipped)
    np.testing.assert_array_equal(result.region_map, image.region_map[rows])
    assert result.wavelength is not None
    # a row whose centre lies on the edge between two native rows is in a region by one rule and not by another
    inside = (fine_rows(44, factor, flipped=flipped) % 1 != 0.5)[:, np.newaxis] & (result.region_map > 0)
    assert set(np.unique(result.wavelength[inside])) == {5.0}
    assert np.isfinite(result.trace_used).any()
    assert result.summary.n_regions == 2
    assert result.summary.n_regions_fitted == 1
    assert result.summary.n_columns_fitted == 40
    assert result.summary.n_columns_reused == result.summary.n_columns_skipped == 0
    assert result.summary.n_pixels_filled > 0


@pytest.mark.parametrize("factor", [2, 1.5])
def test_nan_and_do_not_use_agree_everywhere(factor: float) -> None:
    image = star_image()
    assert image.error is not None
    assert image.dq is not None
    error, dq = image.error.copy(), image.dq.copy()
    error[10, 5] = np.inf  # a finite flux without an error
    dq[12, 8] |= DO_NOT_USE  # a finite flux that is not to be used
    poisson = image.variances["var_poisson"].copy()
    poisson[11, 11] = -1.0
    image = replace(image, error=error, dq=dq, variances={**image.variances, "var_poisson": poisson})
    result = oversample_image(image, factor, PARAMS)
    missing = np.isnan(result.flux)
    assert result.error is not None
    np.testing.assert_array_equal((result.dq & DO_NOT_USE).astype(bool), missing)
    for plane in (result.error, *result.variances.values()):
        np.testing.assert_array_equal(np.isnan(plane), missing)
    assert missing[result.region_map == 0].all()
    rows = nearest_rows(44, factor)
    for y, x in ((10, 5), (11, 11)):
        assert missing[rows == y, x].all()
    assert not np.any((result.dq & FLUX_ESTIMATED).astype(bool) & missing)


def test_filled_pixels_are_marked() -> None:
    image = star_image()
    result = oversample_image(image, 2, PARAMS)
    native = np.repeat(np.isnan(image.flux), 2, axis=0)
    filled = native & np.isfinite(result.flux)
    assert filled.any()
    np.testing.assert_array_equal((result.dq & FLUX_ESTIMATED).astype(bool), filled)
    assert result.summary.n_pixels_filled == np.count_nonzero(filled)
    np.testing.assert_array_equal(np.isfinite(result.trace_used[filled]), np.ones(filled.sum(), bool))


def test_other_bits_stay() -> None:
    image = star_image()
    assert image.dq is not None
    result = oversample_image(replace(image, dq=image.dq | np.uint32(4)), 2, PARAMS)
    assert np.all(result.dq & 4)


def test_without_data_quality_missing_flux_is_marked() -> None:
    image = star_image()
    with_dq, without = oversample_image(image, 2, PARAMS), oversample_image(replace(image, dq=None), 2, PARAMS)
    np.testing.assert_array_equal(with_dq.dq, without.dq)
    np.testing.assert_array_equal(trace_image_planes(replace(image, dq=None), PARAMS).dq, image.dq)


def test_pixels_that_must_not_be_used_are_not() -> None:
    image = star_image()
    assert image.dq is not None
    flux = np.where(image.dq.astype(bool), 1e6, image.flux)
    one = oversample_image(image, 2, PARAMS, intermediate=True)
    two = oversample_image(replace(image, flux=flux), 2, PARAMS, intermediate=True)
    assert_same(one, two)


def test_errors_are_interpolated_and_inflated() -> None:
    image = star_image()
    assert image.error is not None
    factor = 3
    result = oversample_image(image, factor, PARAMS)
    expected = linear_oversample(image.error, image.region_map, factor, 3, 0, preserve_nan=False) * (
        0.23 * factor + 0.77
    )
    assert result.error is not None
    known = np.isfinite(result.error)
    np.testing.assert_allclose(result.error[known], expected[known], rtol=1e-6)
    poisson = result.variances["var_poisson"]
    np.testing.assert_allclose(poisson[known], 0.7 * expected[known] ** 2, rtol=1e-5)


@pytest.mark.parametrize("psf_optimal", [False, True])
def test_a_negative_mean_is_given_back_once(psf_optimal: bool) -> None:
    params = PARAMS.replace(psf_optimal=psf_optimal)
    one = oversample_image(star_image(offset=-300.0), 2, params, intermediate=True)
    two = oversample_image(star_image(offset=-400.0), 2, params, intermediate=True)
    for name in ("flux", "trace_used", "full_trace", "linear_flux"):
        np.testing.assert_allclose(getattr(one, name) - 100.0, getattr(two, name), atol=1e-8, err_msg=name)
    np.testing.assert_allclose(there(one.residual_flux), there(two.residual_flux), atol=1e-8)
    # and the trace lies on the data
    inside = np.isfinite(one.trace_used) & np.isfinite(there(one.linear_flux)) & (one.region_map == 7)
    assert abs(np.median(one.trace_used[inside] - one.flux[inside])) < 5.0
    for image, planes in ((star_image(offset=-300.0), one), (star_image(offset=-400.0), two)):
        trace = trace_image_planes(image, params)
        assert trace.full_trace is not None
        assert np.nanmedian(trace.full_trace) < -200.0
        assert planes.full_trace is not None
        assert np.nanmax(trace.full_trace) <= np.nanmax(planes.full_trace) * 1.2


def test_a_positive_mean_is_left_alone() -> None:
    assert fit_image(star_image(), PARAMS).offset == 0.0
    assert fit_image(star_image(offset=-300.0), PARAMS).offset < -200.0


@pytest.mark.parametrize("psf_optimal", [False, True])
@pytest.mark.parametrize("factor", [2, 2.5])
def test_flux_per_pixel_is_shared_out(factor: float, psf_optimal: bool) -> None:
    params = PARAMS.replace(psf_optimal=psf_optimal)
    brightness = oversample_image(star_image(offset=-300.0), factor, params, intermediate=True)
    density = oversample_image(star_image(offset=-300.0, flux_is_density=True), factor, params, intermediate=True)
    for name in ("flux", "error", "trace_used", "full_trace", "linear_flux", "residual_flux"):
        np.testing.assert_allclose(getattr(density, name), getattr(brightness, name) / factor, rtol=1e-6, err_msg=name)
    for name in brightness.variances:
        np.testing.assert_allclose(density.variances[name], brightness.variances[name] / factor**2, rtol=1e-6)
    np.testing.assert_array_equal(density.dq, brightness.dq)


def test_factor_one_leaves_the_data_alone() -> None:
    image = star_image(flux_is_density=True)
    result = oversample_image(image, 1, PARAMS)
    for name in ("flux", "error", "dq", "region_map", "alpha"):
        assert getattr(result, name) is getattr(image, name)
    assert result.variances is image.variances
    assert result.trace_used.dtype == np.float32
    assert result.full_trace is not None
    assert np.isfinite(result.trace_used).any()
    seen = np.isfinite(result.full_trace)
    assert (image.region_map[seen] == 7).all()
    assert result.linear_flux is None
    assert result.residual_flux is None
    assert result.factor == 1.0
    assert result.summary.n_pixels_filled == 0


def test_a_fit_can_be_used_again() -> None:
    image = star_image()
    fitted = fit_image(image, PARAMS)
    assert_same(
        oversample_image(image, 2, PARAMS, fitted=fitted, intermediate=True),
        oversample_image(image, 2, PARAMS, intermediate=True),
    )
    np.testing.assert_array_equal(
        trace_image_planes(image, PARAMS, fitted=fitted).trace_used, trace_image_planes(image, PARAMS).trace_used
    )


def test_intermediate_planes_come_on_request() -> None:
    result = oversample_image(star_image(), 2, PARAMS)
    assert result.full_trace is None
    assert result.linear_flux is None
    assert result.residual_flux is None


def test_threads_layout_and_byte_order_change_nothing() -> None:
    image = star_image(dtype=np.float32, offset=-300.0)
    one = oversample_image(image, 2, PARAMS, n_threads=1, intermediate=True)
    for n_threads in (2, 8):
        assert_same(one, oversample_image(image, 2, PARAMS, n_threads=n_threads, intermediate=True))
    other = SpectralImage(
        flux=np.asfortranarray(image.flux).astype(">f4"),
        error=None if image.error is None else image.error[::-1][::-1],
        dq=None if image.dq is None else image.dq.astype(">u4"),
        alpha=np.repeat(image.alpha, 2, axis=1)[:, ::2],
        region_map=image.region_map.astype(">i8"),
        variances=image.variances,
    )
    assert_same(one, oversample_image(other, 2, PARAMS, intermediate=True))


def test_inputs_come_back_untouched() -> None:
    image = star_image(offset=-300.0, wavelength=np.ones((44, 40)))
    names = ("flux", "error", "dq", "alpha", "region_map", "wavelength")
    before = {name: getattr(image, name).copy() for name in names}
    variances = {name: plane.copy() for name, plane in image.variances.items()}
    for factor in (1, 2):
        oversample_image(image, factor, PARAMS, intermediate=True)
    for name in names:
        np.testing.assert_array_equal(getattr(image, name), before[name], err_msg=name)
    for name, plane in variances.items():
        np.testing.assert_array_equal(image.variances[name], plane)


@pytest.mark.parametrize("factor", [1, 2])
def test_progress_goes_from_nothing_to_all(factor: float) -> None:
    seen: list[tuple[int, int]] = []
    oversample_image(star_image(), factor, PARAMS, progress=lambda done, total: seen.append((done, total)))
    shares = [done / total for done, total in seen if total]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert shares
    assert shares[-1] == 1.0


def test_alpha_can_be_given() -> None:
    image = star_image()
    alpha = alpha_on_grid(image.alpha, image.region_map, 2)
    assert_same(
        oversample_image(image, 2, PARAMS, intermediate=True),
        oversample_image(image, 2, PARAMS, alpha_os=alpha, intermediate=True),
    )
    with pytest.raises(ShapeError, match=r"alpha_os of the image has shape \(44, 40\); expected \(88, 40\)"):
        oversample_image(image, 2, PARAMS, alpha_os=image.alpha)


@pytest.mark.parametrize("factor", [0, -1, 0.5, np.nan, np.inf, -np.inf])
def test_factors_that_make_no_sense(factor: float) -> None:
    with pytest.raises(ParameterError, match=r"factor = .*; it must be a finite number of at least 1"):
        oversample_image(star_image(), factor, PARAMS)


def test_a_factor_beyond_all_memory() -> None:
    with pytest.raises(MemoryLimitError, match="GB"):
        oversample_image(star_image(), 1e9, PARAMS)


def test_a_time_series_has_a_trace_alone() -> None:
    image = star_image()
    cube = np.stack([image.flux - 1, image.flux, image.flux + 1])
    series = SpectralImage.from_cube(cube, image.alpha, image.region_map, error=np.stack([there(image.error)] * 3))
    result = oversample_image(series, 1, PARAMS)
    np.testing.assert_array_equal(result.trace_used, trace_image_planes(image, PARAMS).trace_used)
    with pytest.raises(ParameterError, match="time series of 3 integrations"):
        oversample_image(series, 2, PARAMS)


def test_a_threshold_on_noise_needs_errors() -> None:
    image = replace(star_image(), error=None, name="S1")
    with pytest.raises(DataError, match="image 'S1' has no error plane"):
        oversample_image(image, 2, PARAMS)
    result = oversample_image(image, 2, PARAMS.replace(threshold="peak", fit_threshold=3.0))
    assert result.error is None
    assert result.summary.n_regions_fitted == 1


def test_nothing_to_fit() -> None:
    image = star_image()
    empty = replace(image, region_map=np.zeros_like(image.region_map))
    result = oversample_image(empty, 2, PARAMS.replace(threshold="peak_by_channel"))
    assert np.isnan(result.flux).all()
    assert (result.dq & DO_NOT_USE).all()
    assert result.summary.n_regions == result.summary.n_columns_fitted == 0
    for params in (PARAMS, PARAMS.replace(threshold="peak"), PARAMS.replace(psf_optimal=True)):
        blank = oversample_image(replace(image, flux=np.full_like(image.flux, np.nan)), 2, params)
        assert np.isnan(blank.flux).all()
        assert blank.summary.n_columns_fitted == 0
    faint = oversample_image(image, 2, PARAMS.replace(fit_threshold=1e6))
    assert faint.summary.n_regions_fitted == 0
    assert np.isnan(faint.trace_used).all()
    assert np.isfinite(faint.flux).any()


@pytest.mark.parametrize("shape", [(1, 1), (30, 1), (1, 30), (4, 4)])
def test_tiny_images(shape: tuple[int, int]) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = SpectralImage(
        flux=np.ones(shape), error=np.ones(shape), alpha=0.2 * (y + 0.1 * x), region_map=np.ones(shape, np.int32)
    )
    for params in (PARAMS, TraceParams(psf_optimal=True)):
        for factor in (1, 2, 1.5):
            assert oversample_image(image, factor, params).flux.shape == (int(np.ceil(shape[0] * factor)), shape[1])


def test_columns_are_counted_per_region() -> None:
    image = star_image()
    flux = image.flux.copy()
    flux[:, 3:9] = np.nan
    result = oversample_image(replace(image, flux=flux), 2, PARAMS.replace(fit_threshold=0.0))
    summary = result.summary
    assert summary.n_regions_fitted == 2
    assert summary.n_columns_fitted + summary.n_columns_reused + summary.n_columns_skipped == 80
    assert summary.n_columns_skipped >= 12


@given(scenes(n_regions=st.integers(1, 3)), st.sampled_from([1.5, 2, 3]), st.integers(-20, 20), st.booleans())
def test_laws_of_any_scene(scene: Scene, factor: float, power: int, psf_optimal: bool) -> None:
    """Missing pixels agree in all planes, and k times the flux gives k times every plane."""
    params = PARAMS.replace(lrange=scene.lrange, spline_bkpt=scene.n_intervals, psf_optimal=psf_optimal)
    k = 2.0**power

    def result(given_scene: Scene) -> OversampledImage:
        flux, error, alpha, region_map = given_scene.planes
        image = SpectralImage(
            flux=flux, error=error, alpha=alpha, region_map=region_map, variances={"var_flat": error**2}
        )
        return oversample_image(image, factor, params, intermediate=True)

    one, scaled = result(scene), result(scene.scaled(k))
    missing = np.isnan(one.flux)
    np.testing.assert_array_equal((one.dq & DO_NOT_USE).astype(bool), missing)
    np.testing.assert_array_equal(np.isnan(there(one.error)), missing)
    np.testing.assert_array_equal(np.isnan(one.variances["var_flat"]), missing)
    assert not np.any((one.dq & FLUX_ESTIMATED).astype(bool) & missing)
    for name in ("flux", "error", "trace_used", "full_trace", "linear_flux", "residual_flux"):
        np.testing.assert_array_equal(getattr(scaled, name), k * getattr(one, name), err_msg=name)
    np.testing.assert_array_equal(scaled.variances["var_flat"], k**2 * one.variances["var_flat"])
    np.testing.assert_array_equal(scaled.dq, one.dq)
    assert scaled.summary.n_columns_fitted == one.summary.n_columns_fitted


SNR_CASES = [
    name for name in case_names() if name in {"mos", "fs_nod", "fs_prism", "lrs_slit", "lrs_slitless", "edge_bad_end"}
]


@pytest.mark.parametrize("name", SNR_CASES)
def test_the_preset_alone_gives_the_reference(name: str, reference_dir: object) -> None:
    """From the planes and the name of the mode to the oversampled planes, as jwst makes them."""
    del reference_dir
    case = load_case(name)
    params = TraceParams.for_mode(case.params["mode"], case.params["detector"], case.params["grating"])
    image = SpectralImage(
        flux=case["flux"], error=case["err"], alpha=case["alpha"], region_map=case["region_map"], name=name
    )
    result = oversample_image(image, 2, params, alpha_os=case["alpha_os_2"], intermediate=True)
    if fit_image(image, params).offset:  # the reference case was made without the rule for a negative mean
        pytest.fail(f"{name} has a negative mean and is of no use here")
    known = np.isfinite(result.flux)
    expected = case["out_os0_flux"]
    assert np.isfinite(expected[known]).all()
    scale = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(result.flux[known], expected[known], rtol=2e-6, atol=1e-7 * scale)
    for mine, stored in ((result.trace_used, "out_os0_used"), (there(result.full_trace), "out_os0_full")):
        if stored in case:
            np.testing.assert_allclose(mine, case[stored], rtol=2e-6, atol=1e-7 * scale)
