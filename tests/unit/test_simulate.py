"""The simulators: what they promise to be true of their scenes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixtrace.exceptions import ParameterError
from pixtrace.simulate import (
    Detector,
    IfuGeometry,
    Psf,
    Scene,
    Spectrum,
    Star,
    erf,
    nirspec_ifu,
    point_spectrum,
    simulate,
    star_in_ifu,
    wiggles,
)
from pixtrace.simulate.psf import fraction_between

GEOMETRY = IfuGeometry(
    shape=(130, 90), n_slices=3, height=30.0, pixel_scale=0.2, slice_width=0.2, tilt=10.0, bow=3.0, first_label=7
)
DETECTOR = Detector(read_noise=1.0, photons=4.0)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return star_in_ifu(n_columns=300, seed=3)


def without_background(fwhm: float = 0.35) -> Scene:
    return simulate(
        GEOMETRY,
        stars=(Star(alpha=0.13, beta=0.0, spectrum=Spectrum(level=1000.0)),),
        background=Spectrum(level=0.0),
        psf=Psf(fwhm=fwhm, wavelength=1.0, wing_fraction=0.1, wing_ratio=2.0),
        detector=DETECTOR,
        wavelength=(1.0, 1.2),
    )


class TestErf:
    def test_agrees_with_the_standard_library(self) -> None:
        x = np.concatenate([np.linspace(-8.0, 8.0, 40_001), np.logspace(-300, 1, 200)])
        np.testing.assert_allclose(erf(x), [math.erf(value) for value in x], rtol=0.0, atol=1e-10)

    def test_nan_and_infinities(self) -> None:
        np.testing.assert_array_equal(erf([np.nan, np.inf, -np.inf, 0.0]), [np.nan, 1.0, -1.0, 0.0])

    @given(st.floats(allow_nan=False), st.floats(allow_nan=False))
    def test_is_odd_and_does_not_fall(self, a: float, b: float) -> None:
        low, high = sorted((a, b))
        assert erf(low) <= erf(high)
        assert erf(-a) == -erf(a)

    def test_pixels_side_by_side_gather_all_the_light(self) -> None:
        edges = np.linspace(-30.0, 30.0, 200)
        parts = fraction_between(edges[:-1], edges[1:], 1.7)
        assert parts.min() >= 0.0
        assert math.isclose(parts.sum(), 1.0, abs_tol=1e-9)


class TestGeometry:
    def test_a_pixel_belongs_to_the_slice_whose_middle_is_near(self) -> None:
        rows = np.arange(GEOMETRY.shape[0])[:, None]
        expected = np.zeros(GEOMETRY.shape, dtype=np.int32)
        for label, trace in zip(GEOMETRY.labels, GEOMETRY.traces, strict=True):
            expected[np.abs(rows - trace) <= GEOMETRY.height / 2.0] = label
        np.testing.assert_array_equal(GEOMETRY.region_map, expected)
        assert set(np.unique(expected)) == {0, 7, 8, 9}

    def test_rows_of_undoes_alpha(self) -> None:
        columns = np.arange(90)
        slices = np.full(90, 1)
        for alpha in (-2.5, -0.1, 0.0, 1.7):
            rows = GEOMETRY.rows_of(1, alpha)
            np.testing.assert_allclose(GEOMETRY.alpha_at(rows, columns, slices), alpha, atol=1e-12)

    def test_the_pixel_width_is_the_slope_of_alpha(self) -> None:
        rows, columns, slices = np.array([40.0, 70.0]), np.array([5, 80]), np.array([0, 1])
        step = 1e-4
        slope = GEOMETRY.alpha_at(rows + step, columns, slices) - GEOMETRY.alpha_at(rows - step, columns, slices)
        np.testing.assert_allclose(GEOMETRY.pixel_width_at(rows, columns, slices), slope / (2.0 * step), rtol=1e-8)

    @given(
        st.integers(1, 120),
        st.integers(1, 40),
        st.integers(1, 6),
        st.floats(1.0, 40.0),
        st.floats(-30.0, 30.0),
        st.floats(-30.0, 30.0),
    )
    def test_fits_or_says_so(self, n_y: int, n_x: int, n_slices: int, height: float, tilt: float, bow: float) -> None:
        try:
            geometry = IfuGeometry(
                shape=(n_y, n_x),
                n_slices=n_slices,
                height=height,
                pixel_scale=0.1,
                slice_width=0.1,
                tilt=tilt,
                bow=bow,
            )
        except ParameterError as error:
            assert "do not fit" in str(error)  # noqa: PT017 - both outcomes are fine
            return
        # Every slice has all its rows in every column.
        counts = (geometry.region_map[..., None] == geometry.labels).sum(axis=0)
        assert counts.min() >= math.floor(height)
        assert counts.max() <= math.floor(height) + 1

    @pytest.mark.parametrize(
        "change",
        [
            {"n_slices": 0},
            {"height": math.nan},
            {"height": 0.5},
            {"pixel_scale": 0.0},
            {"slice_width": -1.0},
            {"first_label": 0},
        ],
    )
    def test_refuses_nonsense(self, change: dict[str, float]) -> None:
        with pytest.raises(ParameterError):
            replace(GEOMETRY, **change)  # type: ignore[arg-type]


class TestTruth:
    def test_the_light_of_a_star_is_all_there(self) -> None:
        scene = without_background()
        total = np.nansum(scene.truth.astype(np.float64), axis=0)
        through = np.zeros(90)
        for fraction, sigma in scene.psf.components(scene.wavelength):
            # Three slices side by side are one wide slit for the star in the middle of them.
            through += fraction * fraction_between(-0.3, 0.3, sigma)
        np.testing.assert_allclose(total, 1000.0 * through, rtol=2e-4)

    def test_a_pixel_is_the_integral_over_its_area(self) -> None:
        scene = without_background()
        image, geometry = scene.image, scene.geometry
        row, column = 64, 45
        index = int(image.region_map[row, column]) - geometry.first_label
        low, high = geometry.slice_width * (index - 1.5), geometry.slice_width * (index - 0.5)
        steps = np.linspace(-0.5, 0.5, 2001)
        fine = row + (steps[:-1] + steps[1:]) / 2.0
        at = geometry.alpha_at(fine, np.full(2000, column), np.full(2000, index)) - scene.stars[0].alpha
        widths = np.diff(
            geometry.alpha_at(row + steps, np.full(2001, column), np.full(2001, index)),
        )
        value = 0.0
        for fraction, sigma in scene.psf.components(scene.wavelength[column]):
            density = np.exp(-0.5 * (at / sigma) ** 2) / (sigma * math.sqrt(2.0 * math.pi))
            value += fraction * 1000.0 * float(np.sum(density * widths)) * float(fraction_between(low, high, sigma))
        assert math.isclose(scene.truth[row, column], value, rel_tol=1e-3)

    def test_oversampled_truth_holds_the_native_one(self, scene: Scene) -> None:
        # With an odd factor every third fine row has its centre on that of a detector row.
        np.testing.assert_allclose(scene.truth_os(3.0)[1::3], scene.truth, rtol=1e-6)
        np.testing.assert_allclose(scene.alpha_os(3.0)[1::3], scene.image.alpha, rtol=0.0, atol=1e-12)
        np.testing.assert_array_equal(scene.region_map_os(3.0)[1::3], scene.image.region_map)

    @pytest.mark.parametrize("factor", [1.0, 1.3, 2.0, 2.5])
    def test_shapes_and_gaps(self, scene: Scene, factor: float) -> None:
        n_y, n_x = scene.image.shape
        shape = (math.ceil(n_y * factor), n_x)
        truth, alpha = scene.truth_os(factor), scene.alpha_os(factor)
        assert truth.shape == alpha.shape == shape
        assert truth.dtype == np.float32
        outside = scene.region_map_os(factor) == 0
        assert np.isnan(truth[outside]).all()
        assert np.isnan(alpha[outside]).all()
        assert np.isfinite(truth[~outside]).all()

    def test_the_spectrum_at_a_pixel_is_its_signal(self, scene: Scene) -> None:
        row = int(scene.geometry.traces[2, 150])
        region = int(scene.image.region_map[row, 150])
        spectrum = scene.spectrum_at(region, float(scene.image.alpha[row, 150]))
        assert math.isclose(spectrum[150], scene.truth[row, 150], rel_tol=1e-6)


class TestExposure:
    def test_the_same_seed_gives_the_same_bits(self) -> None:
        first, again, other = (star_in_ifu(n_columns=120, seed=seed).image.flux for seed in (5, 5, 6))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other, equal_nan=True)

    def test_the_error_is_that_of_the_noise(self, scene: Scene) -> None:
        image = scene.image
        assert image.error is not None
        good = np.isfinite(image.flux) & ~scene.cosmic_rays
        deviation = (image.flux[good] - scene.truth[good]) / image.error[good]
        assert abs(deviation.mean()) < 0.02
        assert abs(deviation.std() - 1.0) < 0.02

    def test_bad_pixels_and_cosmic_rays(self, scene: Scene) -> None:
        image = scene.image
        inside = image.region_map > 0
        assert image.dq is not None
        np.testing.assert_array_equal(image.dq[inside] == 1, np.isnan(image.flux[inside]))
        assert np.isnan(image.flux[~inside]).all()
        assert abs(np.isnan(image.flux[inside]).mean() - 0.01) < 1e-3
        assert scene.cosmic_rays.sum() == round(2e-4 * inside.sum())
        hit = scene.cosmic_rays & np.isfinite(image.flux)
        assert np.median(image.flux[hit] - scene.truth[hit]) > 100.0

    def test_types(self, scene: Scene) -> None:
        image = scene.image
        assert image.error is not None
        assert image.dq is not None
        assert image.wavelength is not None
        kinds = [plane.dtype for plane in (image.flux, image.error, image.dq, image.alpha, image.wavelength)]
        assert kinds == [np.float32, np.float32, np.uint32, np.float64, np.float64]

    def test_the_signal_to_noise_ratio_is_as_asked(self) -> None:
        for make, snr in ((star_in_ifu, 150.0), (nirspec_ifu, 80.0)):
            scene = make(snr=snr) if make is star_in_ifu else nirspec_ifu(size=512, n_slices=8, snr=snr)
            assert scene.image.error is not None
            with np.errstate(invalid="ignore"):
                best = float(np.nanmax(scene.truth / scene.image.error))
            assert 0.75 * snr < best < 1.25 * snr

    @pytest.mark.parametrize(("size", "n_slices"), [(256, 3), (512, 8), (512, 14)])
    def test_nirspec_sizes(self, size: int, n_slices: int) -> None:
        scene = nirspec_ifu(size=size, n_slices=n_slices)
        assert scene.image.shape == (size, size)
        assert len(scene.image.regions) == n_slices
        assert scene.preset == "nirspec-ifu"

    @pytest.mark.parametrize(
        "change", [{"read_noise": 0.0}, {"photons": math.inf}, {"bad_fraction": 1.0}, {"cosmic_ray_fraction": -0.1}]
    )
    def test_refuses_impossible_detectors(self, change: dict[str, float]) -> None:
        with pytest.raises(ParameterError, match=next(iter(change))):
            replace(DETECTOR, **change)

    @pytest.mark.parametrize("change", [{"fwhm": 0.0}, {"wing_fraction": 1.5}, {"wing_ratio": math.nan}])
    def test_refuses_impossible_profiles(self, change: dict[str, float]) -> None:
        with pytest.raises(ParameterError, match=next(iter(change))):
            replace(Psf(fwhm=1.0, wavelength=1.0), **change)


class TestWiggles:
    def test_a_point_spectrum_of_a_plane_linear_in_alpha_is_exact(self, scene: Scene) -> None:
        alpha = scene.image.alpha
        spectrum = point_spectrum(3.0 - 2.0 * alpha, -alpha, scene.image.region_map, region=103, at=0.3)
        np.testing.assert_allclose(spectrum, 3.6, rtol=1e-12)

    def test_columns_without_data_are_nan(self, scene: Scene) -> None:
        flux = scene.truth.copy()
        flux[:, 10] = np.nan
        spectrum = point_spectrum(flux, scene.image.alpha, scene.image.region_map, region=103, at=0.0)
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(spectrum)), [10])
        assert np.isnan(point_spectrum(flux, scene.image.alpha, scene.image.region_map, region=103, at=50.0)).all()

    def test_an_unknown_region_is_refused(self, scene: Scene) -> None:
        with pytest.raises(ParameterError, match="9999"):
            point_spectrum(scene.truth, scene.image.alpha, scene.image.region_map, region=9999, at=0.0)

    def test_perfect_oversampling_takes_them_away(self, scene: Scene) -> None:
        star = scene.stars[0]
        found = [wiggles(scene, star, scene.truth_os(factor), factor) for factor in (2.0, 4.0)]
        assert found[0].rms_before > 0.05
        assert found[0].rms_after < 0.35 * found[0].rms_before
        assert found[1].rms_after < 0.35 * found[0].rms_after

    def test_outliers_do_not_count(self, scene: Scene) -> None:
        flux = scene.truth_os(2.0).copy()
        clean = wiggles(scene, scene.stars[0], flux, 2.0).rms_after
        flux[:, 50] *= 30.0
        assert math.isclose(wiggles(scene, scene.stars[0], flux, 2.0).rms_after, clean, rel_tol=0.01)

    def test_no_data_is_nan(self, scene: Scene) -> None:
        flux = np.full_like(scene.truth_os(2.0), np.nan)
        assert math.isnan(wiggles(scene, scene.stars[0], flux, 2.0).rms_after)
