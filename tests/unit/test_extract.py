"""Spectra, replaced pixels and subtracted sources against the truth of simulated scenes."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.exceptions import DataError, DtypeError, ParameterError, ShapeError
from pixtrace.simulate import Detector, IfuGeometry, Psf, Scene, Spectrum, Star, simulate
from pixtrace.trace import (
    ExtractedSpectrum,
    Extraction,
    FittedImage,
    SpectralImage,
    TraceModel,
    TraceParams,
    apply_model,
    extract,
    fit_image,
    replace_bad_pixels,
    subtract_source,
)
from pixtrace.trace.image import DO_NOT_USE, FLUX_ESTIMATED

Plane = npt.NDArray[Any]
RANGE = (-1.9, 2.1)
GEOMETRY = IfuGeometry(
    shape=(126, 260), n_slices=3, height=34.0, pixel_scale=0.196, slice_width=0.4, tilt=9.0, bow=1.0, first_label=101
)
STAR = Star(alpha=0.14, beta=0.05, spectrum=Spectrum(level=20000.0, wavelength=5.3, slope=-1.6))


def make(
    seed: int,
    *,
    background: float = 15.0,
    bad: float = 0.02,
    rays: float = 0.0005,
    stars: tuple[Star, ...] = (STAR,),
) -> Scene:
    """Simulate an undersampled star (core of 1.8 pixels) that three slices share; amounts per pixel."""
    scene = simulate(
        GEOMETRY,
        stars=stars,
        background=Spectrum(level=background, wavelength=5.3, slope=2.0),
        psf=Psf(fwhm=0.35, wavelength=5.3, wing_ratio=2.0),
        detector=Detector(read_noise=4.0, photons=2.0, bad_fraction=bad, cosmic_ray_fraction=rays),
        wavelength=(5.2, 5.4),
        seed=seed,
    )
    return replace(scene, image=replace(scene.image, flux_is_density=True))


def light(scene: Scene) -> dict[int, Plane]:
    """Return what each slice holds of the star, by column."""
    dark = replace(scene, background=Spectrum(level=0.0))
    labels = scene.image.region_map
    return {
        label: np.sum(np.where(labels == label, dark.truth.astype(float), 0.0), axis=0) for label in scene.image.regions
    }


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Scene, FittedImage]]:
    found = [make(seed) for seed in range(6)]
    return [(scene, fit_image(scene.image, TraceParams.robust())) for scene in found]


def check_pulls(pulls: Plane, *, std: float, bias: float) -> None:
    assert abs(np.mean(pulls)) < bias
    assert abs(np.std(pulls) - 1) < std
    assert abs(np.mean(np.abs(pulls) < 1) - 0.683) < 0.7 * std
    assert abs(np.mean(np.abs(pulls) < 2) - 0.954) < 0.4 * std


def pulls_of(spectrum: ExtractedSpectrum, truth: Plane) -> Plane:
    known = np.isfinite(spectrum.flux)
    assert np.mean(known) > 0.95
    pulls: Plane = ((spectrum.flux - truth) / spectrum.error)[known]
    return pulls


class TestSpectra:
    def test_errors_are_what_they_say(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        single, combined = [], []
        for scene, fitted in scenes:
            found = extract(scene.image, fitted, source=RANGE)
            assert found.profile_errors
            truth = light(scene)
            single += [pulls_of(spectrum, truth[label]) for label, spectrum in found.spectra.items()]
            (whole,) = found.combined.values()
            assert whole.regions == (101, 102, 103)
            np.testing.assert_allclose(whole.wavelength, scene.wavelength, rtol=1e-12)
            combined.append(pulls_of(whole, np.sum(list(truth.values()), axis=0)))
        check_pulls(np.concatenate(single), std=0.05, bias=0.05)
        check_pulls(np.concatenate(combined), std=0.05, bias=0.05)

    def test_without_background_all_that_is_in_a_slice_counts(self) -> None:
        scene = make(11, background=0.0, bad=0.0, rays=0.0)
        image = replace(scene.image, flux=scene.truth)
        fitted = fit_image(image, TraceParams.robust())
        found = extract(image, fitted)
        for label, truth in light(scene).items():
            spectrum = found.spectra[label]
            assert spectrum.background is None
            np.testing.assert_allclose(spectrum.flux, truth, rtol=1e-3)
            np.testing.assert_allclose(spectrum.fraction, 1, atol=1e-3)

    def test_the_sum_of_surface_brightness_is_over_pixels_of_the_usual_width(self) -> None:
        scene = make(12, background=0.0, bad=0.0, rays=0.0)
        image = replace(scene.image, flux=scene.truth, flux_is_density=False)
        found = extract(image, fit_image(image, TraceParams.robust()))
        # Pixels grow towards the ends of a slice by half a per cent: what is brightest has not yet.
        np.testing.assert_allclose(found.spectra[102].flux, light(scene)[102], rtol=6e-3)

    def test_missing_pixels_do_not_move_the_flux(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[0]
        image = scene.image
        assert image.dq is not None
        gone = np.zeros(image.shape, dtype=bool)
        gone[:, 100:104] = np.abs(image.alpha[:, 100:104] - STAR.alpha) < 0.2  # the core
        flux = np.where(gone, np.float32(1e6), image.flux)
        marked = replace(image, flux=flux, dq=image.dq | np.where(gone, DO_NOT_USE, 0).astype(np.uint32))
        whole, holed = (extract(i, fitted, source=RANGE).spectra[102] for i in (image, marked))
        inside = slice(100, 104)
        assert np.all(holed.fraction[inside] < 0.6)
        assert np.all(holed.error[inside] > 1.5 * whole.error[inside])
        pulls = (holed.flux - light(scene)[102])[inside] / holed.error[inside]
        assert np.all(np.abs(pulls) < 4)
        rest = np.r_[0:90, 114:260]
        np.testing.assert_allclose(holed.flux[rest], whole.flux[rest], rtol=1e-12)
        nowhere = replace(image, flux=np.where(np.arange(260) == 50, np.float32(np.nan), image.flux))
        spectrum = extract(nowhere, fitted, source=RANGE).spectra[102]
        np.testing.assert_array_equal(np.flatnonzero(spectrum.dq & DO_NOT_USE), [50])
        assert np.isnan(spectrum.flux[50])
        assert spectrum.n_pixels is not None
        assert spectrum.n_pixels[50] == 0

    def test_slices_without_a_source_are_dark_within_their_errors(self) -> None:
        # Their profile is noise, and so is the factor that it is multiplied by.
        nowhere = Star(alpha=0.14, beta=-5.0, spectrum=Spectrum(level=100.0))
        pulls = []
        for seed in range(4):
            scene = make(seed, stars=(nowhere,))
            found = extract(scene.image, fit_image(scene.image, TraceParams.robust()), source=RANGE)
            for spectrum in found.spectra.values():
                pulls.append(spectrum.flux / spectrum.error)
                assert np.nanmin(spectrum.error) > 0.2 * np.nanmedian(spectrum.error)
            (whole,) = found.combined.values()
            assert len(whole.regions) <= 1
        assert np.nanstd(np.concatenate(pulls)) < 1.2
        assert abs(np.nanmean(np.concatenate(pulls))) < 0.2

    def test_columns_with_a_part_of_the_slice_only(self) -> None:
        # As at the ends of the wavelength range of an IFU: the labels end somewhere in the source.
        scene = make(13)
        image = scene.image
        cut = (image.region_map == 102) & (image.alpha > STAR.alpha + 0.1) & (np.arange(260) >= 255)
        labels = np.where(cut, 0, image.region_map)
        image = replace(image, region_map=labels)
        spectrum = extract(image, fit_image(image, TraceParams.robust()), source=RANGE).spectra[102]
        truth = light(scene)[102]
        assert np.all(spectrum.fraction[255:] < 0.9)
        assert np.all(spectrum.fraction[:250] > 0.5)
        assert np.all(np.abs(spectrum.flux / truth - 1)[255:] < 0.1)
        assert np.all(np.abs((spectrum.flux - truth) / spectrum.error)[255:] < 5)

    def test_cosmic_rays_are_left_out(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[1]
        flux = scene.image.flux.copy()
        distance = np.where(scene.image.region_map == 102, np.abs(scene.image.alpha - 0.5), np.inf)
        rows = np.argmin(distance, axis=0)
        hit = np.arange(20, 240, 20)
        flux[rows[hit], hit] += 5000
        image = replace(scene.image, flux=flux)
        kept = extract(image, fitted, source=RANGE, reject_outliers=False).spectra[102]
        found = extract(image, fitted, source=RANGE).spectra[102]
        truth = light(scene)[102][hit]
        assert found.n_rejected is not None
        assert np.mean(found.n_rejected[hit] >= 1) > 0.8
        assert np.median(np.abs((found.flux[hit] - truth) / found.error[hit])) < 1.5
        assert np.median((kept.flux[hit] - truth) / kept.error[hit]) > 5
        assert np.median(kept.chi2[hit]) > 20
        assert np.median(found.chi2[hit]) < 3

    def test_errors_of_the_profile_are_optional(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[2]
        bare = TraceModel.from_tables(fitted.model.tables())
        without = extract(scene.image, fitted, source=RANGE, profile_errors=False)
        assert not without.profile_errors
        assert not extract(scene.image, bare, source=RANGE).profile_errors
        with pytest.raises(DataError, match="no record"):
            extract(scene.image, bare, source=RANGE, profile_errors=True)
        more = extract(scene.image, fitted, source=RANGE).spectra[102]
        less = without.spectra[102]
        np.testing.assert_array_equal(more.flux, less.flux)
        ratio = more.error / less.error
        # A profile that is high where the pixels are high takes back a little of their noise.
        assert 0.97 < np.median(ratio) < 1.5
        assert not np.array_equal(more.error, less.error)

    def test_the_formula_is_that_of_the_notes(self) -> None:
        # One slit, a known model, and sums written out.
        x = np.arange(40)
        alpha = np.arange(24.0)[:, np.newaxis] - 11.6 + 0.05 * x
        truth = 100 * np.exp(-0.5 * (alpha / 1.2) ** 2) + 1
        error = np.sqrt(1 + 0.1 * truth)
        image = SpectralImage(
            flux=truth + error * np.random.default_rng(3).standard_normal(truth.shape),
            error=error,
            alpha=alpha,
            region_map=np.ones(truth.shape, dtype=int),
            wavelength=np.broadcast_to(1 + 0.01 * x, truth.shape).astype(np.float64),
        )
        model = fit_image(image, TraceParams.robust()).model
        for source in (None, (-5.0, 5.0)):
            spectrum = extract(image, model, source=source, profile_errors=False, reject_outliers=False).spectra[1]
            np.testing.assert_allclose(spectrum.wavelength, 1 + 0.01 * x, rtol=1e-12)
            for column in (0, 17, 39):
                trace = model[1][column]
                low, high = trace.bounds
                inside = (alpha[:, column] >= low - 1e-6) & (alpha[:, column] <= high + 1e-6)
                m = np.array([trace.model(a) for a in alpha[inside, column]])
                design = np.stack([m, np.ones_like(m)], axis=1)[:, : 1 if source is None else 2]
                weight = 1 / error[inside, column] ** 2
                covariance = np.linalg.inv(design.T @ (weight[:, np.newaxis] * design))
                found = covariance @ design.T @ (weight * image.flux[inside, column])
                if source is None:
                    # The spline reaches farther than the pixels of this column.
                    gaps = [(low, alpha[inside, column].min() - 0.5), (alpha[inside, column].max() + 0.5, high)]
                    fine = [np.linspace(a, b, 10_001) for a, b in gaps if a < b]
                    norm = np.sum(m) + sum(np.trapezoid(np.asarray(trace.model(x)), x) for x in fine)
                else:
                    at = alpha[inside, column]
                    share = np.clip(np.minimum(at + 0.5, source[1]) - np.maximum(at - 0.5, source[0]), 0, 1)
                    beyond = [(1 - share) * (at < 0), (1 - share) * (at > 0)]
                    ends = [(np.average(at, weights=w), np.average(m, weights=w)) for w in beyond]
                    slope = (ends[1][1] - ends[0][1]) / (ends[1][0] - ends[0][0])
                    norm = np.sum(share * (m - ends[0][1] - slope * (at - ends[0][0])))
                assert spectrum.flux[column] == pytest.approx(norm * found[0], rel=1e-6)
                assert spectrum.error[column] == pytest.approx(norm * np.sqrt(covariance[0, 0]), rel=1e-6)

    def test_the_number_of_threads_changes_nothing(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[0]
        one, two = (extract(scene.image, fitted, source=RANGE, n_threads=n) for n in (1, 2))
        for a, b in zip(one.all(), two.all(), strict=True):
            np.testing.assert_array_equal(a.flux, b.flux)
            np.testing.assert_array_equal(a.error, b.error)

    def test_impossible_input_is_refused(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[0]
        for source in ((2.0, 1.0), (0.0, np.nan), (1.0,), 3.0, ("a", "b")):
            with pytest.raises(ParameterError, match="source"):
                extract(scene.image, fitted, source=source)  # type: ignore[arg-type]
        with pytest.raises(ParameterError, match="SpectralImage"):
            extract(scene.image.flux, fitted)  # type: ignore[arg-type]
        with pytest.raises(ParameterError, match="fit_image"):
            extract(scene.image, {})  # type: ignore[arg-type]
        with pytest.raises(ShapeError, match="wavelength"):
            extract(scene.image, fitted, wavelength=np.ones((3, 3)))
        series = SpectralImage.from_cube(
            scene.image.flux[np.newaxis].repeat(2, 0), scene.image.alpha, np.ones((126, 260), int)
        )
        with pytest.raises(DataError, match="time series of 2"):
            extract(series, fitted)

    def test_a_source_that_is_not_there_gives_no_spectrum(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[0]
        found = extract(scene.image, fitted, source=(50.0, 60.0))
        assert all(np.isnan(spectrum.flux).all() for spectrum in found.spectra.values())
        assert isinstance(found, Extraction)
        (whole,) = found.combined.values()
        assert len(whole) == 0
        assert whole.regions == ()

    def test_images_without_errors_or_wavelengths(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, _ = scenes[0]
        image = replace(scene.image, error=None, wavelength=None)
        fitted = fit_image(image, TraceParams.robust())
        found = extract(image, fitted, source=RANGE)
        spectrum = found.spectra[102]
        assert spectrum.wavelength_unit == "pix"
        np.testing.assert_array_equal(spectrum.wavelength, np.arange(260))
        np.testing.assert_allclose(np.median(spectrum.flux / light(scene)[102]), 1, atol=0.02)
        # Slices of an IFU have other wavelengths in the same column: nothing is combined unless it is asked for.
        assert found.combined == {}
        both = extract(image, fitted, groups={"both": [101, 102]})
        assert both.combined["both"].regions == (101, 102)
        assert np.all(spectrum.error > 0)

    def test_without_errors_the_scatter_tells_them(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        # A bright star has more noise than the background, and most of the pixels are background.
        pulls = []
        for scene, _ in scenes[:3]:
            image = replace(scene.image, error=None)
            found = extract(image, fit_image(image, TraceParams.robust()), source=RANGE)
            truth = light(scene)
            pulls += [pulls_of(spectrum, truth[label]) for label, spectrum in found.spectra.items()]
        assert 0.9 < np.std(np.concatenate(pulls)) < 1.25


class TestReplacement:
    def test_filled_pixels_have_the_errors_they_say(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        pulls = []
        for scene, fitted in scenes:
            image = scene.image
            found = replace_bad_pixels(image, fitted)
            assert found.has_record
            assert found.error is not None
            assert found.dq is not None
            assert image.dq is not None
            filled = (found.dq & FLUX_ESTIMATED).astype(bool)
            assert found.n_changed == np.count_nonzero(filled)
            assert found.n_changed > 0.95 * np.count_nonzero(image.dq & DO_NOT_USE)
            assert not np.any(found.dq[filled] & DO_NOT_USE)
            pulls.append(((found.flux - scene.truth) / found.error)[filled])
            # All others bit for bit.
            for ours, theirs in ((found.flux, image.flux), (found.error, image.error), (found.dq, image.dq)):
                assert theirs is not None
                assert ours[~filled].tobytes() == theirs[~filled].tobytes()
        check_pulls(np.concatenate(pulls), std=0.15, bias=0.1)

    def test_other_bits_stay_and_nothing_is_invented(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[0]
        assert scene.image.dq is not None
        dq = scene.image.dq | np.where(scene.image.dq & DO_NOT_USE, 1024, 0).astype(np.uint32)
        model = TraceModel.from_tables({102: fitted.model.tables()[102]}, {102: fitted.model.records()[102]})
        image = replace(scene.image, dq=dq)
        found = replace_bad_pixels(image, model)
        assert found.dq is not None
        bad = (dq & DO_NOT_USE).astype(bool)
        ours = bad & (image.region_map == 102)
        assert found.n_left >= np.count_nonzero(bad & ~ours)
        assert np.all(found.dq[bad] & 1024)
        assert np.isnan(found.flux[bad & ~ours]).all()
        assert np.all(found.dq[bad & ~ours] & DO_NOT_USE)
        assert found.n_changed + found.n_left == np.count_nonzero(bad)

    def test_flagged_pixels_with_a_flux_are_replaced_too(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[0]
        assert scene.image.dq is not None
        row, column = 62, 130
        dq = scene.image.dq.copy()
        dq[row, column] |= DO_NOT_USE
        flux = scene.image.flux.copy()
        flux[row, column] = 1e7
        found = replace_bad_pixels(replace(scene.image, dq=dq, flux=flux), fitted)
        assert abs(found.flux[row, column] / scene.truth[row, column] - 1) < 0.2

    def test_models_of_other_exposures_have_their_errors_too(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        pulls = []
        for (_, fitted), (other, _) in pairwise([*scenes, scenes[0]]):
            applied = apply_model(other.image, fitted.model, TraceParams.robust())
            found = replace_bad_pixels(other.image, applied)
            assert found.has_record
            assert found.error is not None
            assert found.dq is not None
            filled = (found.dq & FLUX_ESTIMATED).astype(bool)
            pulls.append(((found.flux - other.truth) / found.error)[filled])
        check_pulls(np.concatenate(pulls), std=0.15, bias=0.15)

    def test_without_a_record_there_is_the_error_of_the_scale(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        (_, fitted), (other, own) = scenes[:2]
        bare = TraceModel.from_tables(fitted.model.tables())
        applied = apply_model(other.image, bare, TraceParams.robust())
        found, best = replace_bad_pixels(other.image, applied), replace_bad_pixels(other.image, own)
        assert not found.has_record
        assert found.error is not None
        assert best.error is not None
        assert found.dq is not None
        filled = (found.dq & FLUX_ESTIMATED).astype(bool) & np.isfinite(best.error)
        assert found.n_changed > 0.95 * best.n_changed
        assert np.median(found.error[filled] / best.error[filled]) < 1.1
        pulls = ((found.flux - other.truth) / found.error)[filled]
        assert np.median(np.abs(pulls)) < 3

    def test_components_of_the_variance_are_those_of_the_model(self) -> None:
        scene = make(5)
        assert scene.image.error is not None
        poisson = (scene.image.error**2 - 16).clip(0)
        image = replace(scene.image, variances={"var_poisson": poisson, "var_rnoise": np.full_like(poisson, 16)})
        found = replace_bad_pixels(image, fit_image(image, TraceParams.robust()))
        assert found.dq is not None
        assert found.error is not None
        filled = (found.dq & FLUX_ESTIMATED).astype(bool)
        total = found.variances["var_poisson"][filled] + found.variances["var_rnoise"][filled]
        assert np.all(total > 0)
        assert np.all(total <= found.error[filled] ** 2 * 1.001)
        assert found.variances["var_rnoise"][~filled].tobytes() == image.variances["var_rnoise"][~filled].tobytes()

    def test_a_negative_mean_is_given_back(self) -> None:
        scene = make(4)
        image = replace(scene.image, flux=scene.image.flux - np.float32(300))
        fitted = fit_image(image, TraceParams.robust())
        assert fitted.offset < 0
        found = replace_bad_pixels(image, fitted)
        assert found.dq is not None
        filled = (found.dq & FLUX_ESTIMATED).astype(bool)
        assert np.median(np.abs(found.flux - (scene.truth - 300))[filled]) < 3
        spectrum = extract(image, fitted, source=RANGE).spectra[102]
        assert np.median(spectrum.flux / light(scene)[102]) == pytest.approx(1, abs=0.01)
        assert spectrum.background is not None
        assert np.median(spectrum.background) == pytest.approx(-285, abs=3)

    def test_images_without_errors_get_none(self) -> None:
        scene = make(3)
        image = replace(scene.image, error=None, dq=None)
        found = replace_bad_pixels(image, fit_image(image, TraceParams.robust()))
        assert found.error is None
        assert found.dq is not None
        assert found.n_changed > 0


class TestSubtraction:
    def test_what_is_underneath_is_seen(self) -> None:
        # A faint line that is extended, below a star a hundred times as bright.
        scene = make(21, background=15.0)
        line = 60 * np.exp(-0.5 * ((np.arange(260) - 130) / 1.5) ** 2) * (scene.image.region_map > 0)
        image = replace(scene.image, flux=(scene.image.flux + line).astype(np.float32))
        found = subtract_source(image, fit_image(image, TraceParams.robust()), source=RANGE)
        assert found.source is not None
        assert found.error is not None
        assert found.dq is image.dq
        near = (np.abs(image.alpha - STAR.alpha) < 0.8) & np.isfinite(image.flux) & ~scene.cosmic_rays
        dark = replace(scene, background=scene.background, stars=())
        pulls = (found.flux - dark.truth - line) / found.error
        check_pulls(pulls[near & np.isfinite(pulls)], std=0.15, bias=0.1)
        seen = np.array([np.nanmean(np.where(near, found.flux - dark.truth, np.nan)[:, c]) for c in (110, 130, 150)])
        np.testing.assert_allclose(seen, [0, 60, 0], atol=12)
        beyond = ~np.isfinite(found.source)
        assert found.flux[beyond].tobytes() == image.flux[beyond].tobytes()

    def test_without_a_source_the_residual_is_left(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[0]
        found = subtract_source(scene.image, fitted)
        assert found.error is not None
        assert scene.image.error is not None
        known = np.isfinite(found.flux) & ~scene.cosmic_rays
        pulls = (found.flux / found.error)[known]
        assert abs(np.mean(pulls)) < 0.05
        assert np.std(pulls) == pytest.approx(1, abs=0.05)
        ratio = found.error[known] / scene.image.error[known]
        assert np.median(ratio) < 1
        assert found.n_changed >= np.count_nonzero(known)


class TestEvaluation:
    def test_on_the_grid_of_the_image(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[0]
        image, model = scene.image, fitted.model
        found = model.evaluate(image.alpha, image.region_map, image=image)
        plane = model.trace_image(image.region_map, image.alpha, slope_limit=0.0).full_trace
        both = np.isfinite(plane)
        np.testing.assert_allclose(found.flux[both], plane[both], rtol=2e-5)
        assert np.count_nonzero(np.isfinite(found.flux)) > np.count_nonzero(both)
        assert found.variance is not None
        np.testing.assert_array_equal(np.isfinite(found.variance), np.isfinite(found.flux))
        assert model.evaluate(image.alpha, image.region_map).variance is None

    def test_at_single_points_and_beyond(self, scenes: list[tuple[Scene, FittedImage]]) -> None:
        scene, fitted = scenes[0]
        trace = fitted.model[102][40]
        found = fitted.model.evaluate(0.3, 102, 40)
        assert found.flux.shape == ()
        assert found.flux == pytest.approx(trace.scale * float(np.asarray(trace.model(0.3))), rel=1e-12)
        grid = fitted.model.evaluate(np.linspace(-9, 9, 31)[:, np.newaxis], 102, [40, 41, 999, -1])
        assert grid.flux.shape == (31, 4)
        assert np.isnan(grid.flux[[0, -1]]).all()
        assert np.isnan(grid.flux[:, 2:]).all()
        assert np.isfinite(grid.flux[15, :2]).all()
        assert np.isnan(fitted.model.evaluate(0.3, [1, 2**40], 40).flux).all()
        with pytest.raises(ParameterError, match="column"):
            fitted.model.evaluate(0.3, 102)
        with pytest.raises(ShapeError, match="expected shapes that go together"):
            fitted.model.evaluate([0.1, 0.2, 0.3], [1, 2], 5)
        with pytest.raises(DtypeError, match="region"):
            fitted.model.evaluate([0.1], [1.5], 5)
        with pytest.raises(ParameterError, match="SpectralImage"):
            fitted.model.evaluate(0.3, 102, 4, image=scene.image.flux)  # type: ignore[arg-type]
