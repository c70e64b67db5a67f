"""The spectrum in the brightest row of a slice, its continuum, and how much it wiggles."""

import math

import numpy as np
import pytest

from pixtrace.exceptions import DtypeError, ParameterError, ShapeError
from pixtrace.simulate import Scene, star_in_ifu
from pixtrace.trace import point_spectrum, profile_peak, smooth_continuum, wiggle_rms

N = 1024
X = np.arange(N)
SMOOTH = 100.0 * (1.0 + 0.2 * (X / N)) ** -1.6


@pytest.fixture(scope="module")
def scene() -> Scene:
    return star_in_ifu(n_columns=400, n_slices=3, seed=4)


class TestWiggleRms:
    @pytest.mark.parametrize("period", [20.0, 37.0, 110.0])
    def test_of_a_wave_is_that_of_the_wave(self, period: float) -> None:
        wave = SMOOTH * (1.0 + 0.07 * np.sin(2.0 * math.pi * X / period))
        assert wiggle_rms(wave) == pytest.approx(0.07 / math.sqrt(2.0), rel=0.05)

    def test_a_slow_spectrum_has_none(self) -> None:
        assert wiggle_rms(SMOOTH) < 1e-5
        assert wiggle_rms(np.full(200, 3.0)) < 1e-9

    def test_lines_cosmic_rays_and_gaps_do_not_count(self) -> None:
        noise = 0.01 * np.random.default_rng(1).standard_normal(N)
        spectrum = SMOOTH * (1.0 + noise)
        expected = wiggle_rms(spectrum)
        assert expected == pytest.approx(0.01, rel=0.1)
        spectrum = spectrum * (1.0 + 1.2 * np.exp(-0.5 * ((X - 300) / 2.0) ** 2))
        spectrum[[100, 700]] *= 20.0
        spectrum[500:520] = np.nan
        spectrum[:40] = np.nan
        assert wiggle_rms(spectrum) == pytest.approx(expected, rel=0.05)

    @pytest.mark.parametrize("unit", [1e-300, 1e-20, 1e200])
    def test_the_unit_does_not_matter(self, unit: float) -> None:
        wave = SMOOTH * (1.0 + 0.07 * np.sin(X / 7.0))
        assert wiggle_rms(unit * wave) == pytest.approx(wiggle_rms(wave), rel=1e-6)

    @pytest.mark.parametrize("spectrum", [np.zeros(0), np.zeros(5), np.full(100, np.nan), np.zeros(100), -SMOOTH])
    def test_without_a_positive_continuum_there_is_none(self, spectrum: np.ndarray) -> None:
        assert math.isnan(wiggle_rms(spectrum))

    def test_arrays_of_another_kind_are_refused(self) -> None:
        with pytest.raises(ShapeError, match="`spectrum` has 2 dimensions"):
            wiggle_rms(np.ones((3, 3)))
        with pytest.raises(DtypeError, match="spectrum"):
            smooth_continuum(["a", "b"])


def test_the_continuum_ends_where_the_data_end() -> None:
    spectrum = SMOOTH.copy()
    spectrum[:10] = np.nan
    spectrum[1000:] = np.inf
    spectrum[50] = np.nan
    continuum = smooth_continuum(spectrum)
    np.testing.assert_array_equal(np.isfinite(continuum), (X >= 10) & (X < 1000))
    np.testing.assert_allclose(continuum[10:1000], SMOOTH[10:1000], rtol=1e-5)


class TestProfilePeak:
    def test_it_is_where_the_star_is(self, scene: Scene) -> None:
        star = scene.stars[0]
        image, region = scene.image, scene.region_of(star)
        at, peak = profile_peak(image.flux, image.alpha, image.region_map, region=region)
        assert at == pytest.approx(star.alpha, abs=0.3 * scene.geometry.pixel_scale)
        highest = np.median(scene.spectrum_at(region, star.alpha))
        assert peak == pytest.approx(highest, rel=0.1)
        # No single bright pixel decides.
        flux = image.flux.copy()
        flux[tuple(np.argwhere(image.region_map == region)[-40:].T)] = 1e12
        assert profile_peak(flux, image.alpha, image.region_map, region=region)[0] == at

    def test_little_data(self) -> None:
        labels = np.ones((3, 4), dtype=int)
        alpha = np.repeat(np.arange(3.0)[:, np.newaxis], 4, axis=1)
        assert all(math.isnan(value) for value in profile_peak(np.full((3, 4), np.nan), alpha, labels, region=1))
        assert profile_peak(np.full((3, 4), 2.0), 0.0 * alpha + 5.0, labels, region=1) == (5.0, 2.0)
        flux = np.array([[1.0] * 4, [5.0] * 4, [2.0] * 4])
        at, peak = profile_peak(flux, alpha, labels, region=1)
        assert at == pytest.approx(1.0, abs=0.3)
        assert peak == 5.0
        with pytest.raises(ParameterError, match="`region` = 7"):
            profile_peak(flux, alpha, labels, region=7)


def test_the_spectrum_of_planes_that_do_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="`alpha`"):
        point_spectrum(np.ones((3, 4)), np.ones((4, 4)), np.ones((3, 4), dtype=int), region=1, at=0.0)
    with pytest.raises(ShapeError, match="`flux`"):
        point_spectrum(np.ones((2, 4)), np.ones((3, 4)), np.ones((3, 4), dtype=int), region=1, at=0.0)
