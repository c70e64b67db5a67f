"""How good a trace is: states of columns, chi2, pulls, reasons."""

import re
from dataclasses import replace

import numpy as np
import pytest

from pixtrace.simulate import Scene, star_in_ifu
from pixtrace.trace import (
    OversampledImage,
    PullStatistics,
    RegionQuality,
    SpectralImage,
    TraceParams,
    TraceQuality,
    apply_model,
    fit_image,
    oversample_image,
)
from pixtrace.trace.exposure import trace_image_planes
from pixtrace.trace.quality import slice_spectrum
from pixtrace.trace.record import ABSENCES
from tests.reference import load_case

PARAMS = TraceParams.preset("miri-mrs").replace(fit_threshold=0.0)
METHODS = {"default": PARAMS, "propagated": PARAMS.replace(errors="propagated"), "robust": TraceParams.robust()}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return star_in_ifu(n_columns=150, n_slices=3, seed=1)


@pytest.fixture(scope="module")
def holed(scene: Scene) -> SpectralImage:
    """Columns without data in the brightest slice."""
    flux = scene.image.flux.copy()
    flux[:, 60:64] = np.nan
    return replace(scene.image, flux=flux)


@pytest.fixture(scope="module", params=METHODS)
def result(request: pytest.FixtureRequest, holed: SpectralImage) -> OversampledImage:
    return oversample_image(holed, 2.0, METHODS[request.param])


@pytest.fixture(scope="module")
def quality(holed: SpectralImage, result: OversampledImage) -> TraceQuality:
    return TraceQuality.of(holed, result)


def of(quality: TraceQuality, region: int) -> RegionQuality:
    return next(each for each in quality.regions if each.region == region)


class TestRegions:
    def test_counts_are_those_of_the_summary(self, quality: TraceQuality, result: OversampledImage) -> None:
        summary = result.summary
        assert sum(each.count("fitted", "retried", "extrapolated") for each in quality.regions) == (
            summary.n_columns_fitted
        )
        assert sum(each.count("reused") for each in quality.regions) == summary.n_columns_reused
        assert sum(each.count(*ABSENCES) for each in quality.regions) == summary.n_columns_skipped
        assert summary.n_columns_skipped >= 12

    def test_columns_without_data_say_so(self, quality: TraceQuality) -> None:
        region = of(quality, 102)
        empty = (region.columns >= 60) & (region.columns < 64)
        assert set(region.state[empty]) == {"too few good pixels"}
        assert np.all(region.fitted_for[empty] == -1)
        assert np.all(np.isnan(region.chi2[empty]))
        assert np.isfinite(region.chi2[~empty]).all()
        assert "146 of 150 columns have a trace" in repr(region)

    def test_reused_splines_tell_whose_they_are(self, holed: SpectralImage) -> None:
        flux = holed.flux.copy()
        flux[:, 100:110][(np.arange(len(flux)) % 3 > 0)] = np.nan
        image = replace(holed, flux=flux)
        result = oversample_image(image, 1.0, PARAMS.replace(lrange=3, require_ngood=4))
        region = of(TraceQuality.of(image, result), 102)
        reused = region.state == "reused"
        assert reused.any()
        trace = result.model[102]
        for column, other in zip(region.columns[reused], region.fitted_for[reused], strict=True):
            assert column != other
            assert trace[int(column)].model is trace[int(other)].model
        fresh = region.state == "fitted"
        np.testing.assert_array_equal(region.fitted_for[fresh], region.columns[fresh])

    def test_chi2_is_that_of_noise_and_of_the_record(self, quality: TraceQuality, result: OversampledImage) -> None:
        assert 0.7 < of(quality, 101).median_chi2 < 1.4
        record = result.model.record(102)
        if record is None:
            assert np.isnan(quality.median_fit_chi2)
        else:
            found = of(quality, 102)
            place = np.searchsorted(found.columns, record.columns)
            np.testing.assert_array_equal(found.fit_chi2[place], record.chi2)
            assert 0.7 < quality.median_fit_chi2 < 4.0  # the lines differ, and a window spans them

    def test_a_column_that_is_badly_fitted_stands_out(self, holed: SpectralImage) -> None:
        result = oversample_image(holed, 1.0, PARAMS)
        flux = holed.flux.copy()
        flux[:, 30] += np.where(np.arange(len(flux)) % 2, 40.0, -40.0).astype(np.float32)
        spoiled = TraceQuality.of(replace(holed, flux=flux), result)
        region = of(spoiled, 101)
        assert np.nanargmax(region.chi2) == np.searchsorted(region.columns, 30)

    def test_brightest_first(self, quality: TraceQuality) -> None:
        assert quality.brightest(1)[0].region == 102
        assert len(quality.brightest(10)) == 3
        assert "3 of 3 regions fitted" in repr(quality)


class TestRefusals:
    def reasons(self, image: SpectralImage, params: TraceParams) -> list[str]:
        result = oversample_image(image, 1.0, params)
        return [each.refused for each in TraceQuality.of(image, result).regions]

    def test_the_threshold(self, scene: Scene) -> None:
        params = PARAMS.replace(fit_threshold=250.0)
        result = oversample_image(scene.image, 1.0, params)
        found = TraceQuality.of(scene.image, result)
        fitted = {label for label, trace in result.model.items() if trace}
        assert 0 < len(fitted) < 3
        for each in found.regions:
            assert bool(each.refused) == (each.region not in fitted)
            assert not each.refused or each.refused.startswith("below the threshold: highest flux")
        assert not found.brightest(3)[0].refused
        snr = params.replace(threshold="snr", fit_threshold=1e6)
        assert all("highest signal to noise" in why for why in self.reasons(scene.image, snr))

    def test_bad_edges(self) -> None:
        # The trimming of the reference takes the wings of a bright source for noisy slit ends.
        case = load_case("edge_trim_all")
        image = SpectralImage(flux=case["flux"], error=case["err"], alpha=case["alpha"], region_map=case["region_map"])
        why = self.reasons(image, TraceParams.preset("nirspec-slit"))
        assert len(why) == 1
        assert re.match(r"[1-9]\d% of its good pixels were trimmed away as bad edges; ", why[0])

    @pytest.mark.parametrize("method", METHODS)
    def test_no_data(self, scene: Scene, method: str) -> None:
        image = replace(scene.image, flux=np.full_like(scene.image.flux, np.nan))
        assert self.reasons(image, METHODS[method]) == ["no good pixel"] * 3

    def test_too_short(self, scene: Scene) -> None:
        flux = scene.image.flux.copy()
        flux[::2] = np.nan
        flux[1::4] = np.nan
        image = replace(scene.image, flux=flux)
        assert self.reasons(image, PARAMS.replace(require_ngood=30))[0].startswith(
            "too few good pixels in every column"
        )
        rows = np.cumsum(scene.image.region_map == 102, axis=0)
        flux = np.where((rows > 3) | (scene.image.region_map != 102), np.nan, scene.image.flux)
        assert self.reasons(replace(image, flux=flux), TraceParams.robust())[1].startswith("too short")

    def test_regions_that_a_given_model_does_not_have(self, scene: Scene) -> None:
        image = scene.image
        part = replace(image, region_map=np.where(image.region_map == 101, 0, image.region_map))
        fitted = apply_model(image, fit_image(part, PARAMS).model, PARAMS)
        found = TraceQuality.of(image, oversample_image(image, 2.0, PARAMS, fitted=fitted))
        assert [bool(each.refused) for each in found.regions] == [True, False, False]
        assert "does not have it" in found.regions[0].refused

    def test_no_region(self, scene: Scene) -> None:
        image = replace(scene.image, region_map=np.zeros_like(scene.image.region_map))
        found = TraceQuality.of(image, oversample_image(image, 2.0, PARAMS))
        assert found.regions == ()
        assert found.pulls.n == 0
        assert np.isnan(found.median_chi2)
        assert found.brightest(3) == []


class TestResiduals:
    def test_they_are_data_minus_model_over_error(self, quality: TraceQuality, holed: SpectralImage) -> None:
        assert holed.error is not None
        region, column = of(quality, 102), 75
        rows = np.flatnonzero(holed.region_map[:, column] == 102)
        values = quality.residual[rows, column]
        assert np.isfinite(values).sum() > 10
        assert np.nanstd(values) < 2.0
        assert np.isnan(quality.residual[:, 60:64]).all()
        assert np.isnan(quality.residual[holed.region_map == 0]).all()
        assert 0.8 < quality.pulls.width < 1.3
        assert abs(quality.pulls.bias) < 0.2
        assert region.pulls.n < quality.pulls.n

    def test_without_errors_they_are_in_robust_deviations(self, scene: Scene) -> None:
        image = replace(scene.image, error=None)
        found = TraceQuality.of(image, oversample_image(image, 2.0, PARAMS))
        assert not found.has_errors
        assert found.pulls.n == 0
        assert np.isnan(found.median_chi2)
        values = np.abs(found.residual[np.isfinite(found.residual)])
        assert 1.4826 * np.median(values) == pytest.approx(1.0, rel=0.02)

    def test_a_negative_mean_is_given_back(self, scene: Scene) -> None:
        image = replace(scene.image, flux=scene.image.flux - np.float32(3000.0))
        result = oversample_image(image, 2.0, PARAMS)
        assert result.offset < 0.0
        assert 0.8 < TraceQuality.of(image, result).pulls.width < 1.3

    def test_where_the_spline_is_used(self, scene: Scene) -> None:
        result = trace_image_planes(scene.image, PARAMS)
        found = TraceQuality.of(scene.image, result)
        np.testing.assert_array_equal(found.is_compact, np.isfinite(result.trace_used))
        assert found.is_compact.any()
        assert not found.is_compact[scene.image.region_map == 0].any()


def test_pull_statistics_of_a_normal_distribution() -> None:
    values = np.random.default_rng(1).standard_normal(200_000)
    values[:7] = np.nan
    found = PullStatistics.of(2.0 * values + 0.5)
    assert found.n == 199_993
    assert found.bias == pytest.approx(0.5, abs=0.02)
    assert found.width == pytest.approx(2.0, rel=0.01)
    assert PullStatistics.of(values).within_1 == pytest.approx(0.683, abs=0.005)
    assert PullStatistics.of(values).within_2 == pytest.approx(0.954, abs=0.005)
    assert PullStatistics.of(np.zeros(0)).n == 0


class TestSpectra:
    def test_oversampling_takes_the_wiggles_away(
        self, holed: SpectralImage, quality: TraceQuality, result: OversampledImage
    ) -> None:
        found = slice_spectrum(holed, result, of(quality, 102))
        assert found.rms_before > 0.05
        assert found.rms_after < 0.35 * found.rms_before
        assert 0.0 < found.noise_before < 0.01
        assert 0.0 < found.noise_after < 0.02

    def test_amounts_per_pixel_are_compared_with_those_of_native_pixels(self, scene: Scene) -> None:
        spectra = []
        for image in (scene.image, replace(scene.image, flux_is_density=True)):
            result = oversample_image(image, 2.0, PARAMS)
            spectra.append(slice_spectrum(image, result, of(TraceQuality.of(image, result), 102)))
        np.testing.assert_allclose(spectra[0].after, spectra[1].after, rtol=1e-6)
        assert spectra[0].noise_after == pytest.approx(spectra[1].noise_after, rel=1e-5)

    def test_the_trace_alone_has_no_spectrum_after(self, scene: Scene) -> None:
        result = oversample_image(scene.image, 1.0, PARAMS)
        found = slice_spectrum(scene.image, result, of(TraceQuality.of(scene.image, result), 102))
        assert np.isnan(found.after).all()
        assert np.isnan(found.rms_after)
        assert found.rms_before > 0.05
