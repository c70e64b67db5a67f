"""Pictures: that they are drawn whatever the data, and that the numbers behind them are right."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixtrace._plotdata import Cutouts, Views, block_mean, native_residual, profile_of, robust_range
from pixtrace.exceptions import MissingExtraError, OutputExistsError
from pixtrace.plots import exposure_figure, save_figure, wiggles_figure
from pixtrace.simulate import Scene, Wiggles, star_in_ifu
from pixtrace.trace.exposure import oversample_image
from pixtrace.trace.image import SpectralImage
from pixtrace.trace.params import TraceParams
from pixtrace.trace.result import OversampledImage

PARAMS = TraceParams.preset("miri-mrs").replace(fit_threshold=0.0)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return star_in_ifu(n_columns=150, n_slices=3, seed=1)


@pytest.fixture(scope="module")
def result(scene: Scene) -> OversampledImage:
    return oversample_image(scene.image, 3.0, PARAMS, alpha_os=scene.alpha_os(3.0))


class TestNumbers:
    def test_the_brightest_slice_and_a_fitted_column(self, scene: Scene, result: OversampledImage) -> None:
        views = Views.of(scene.image, result)
        assert views.region == scene.region_of(scene.stars[0]) == 102
        assert views.column in result.model[102]
        assert views.columns.start <= views.column < views.columns.stop
        inside = scene.image.region_map[:, views.columns] == 102
        rows = np.flatnonzero(inside.any(axis=1))
        assert (views.rows.start, views.rows.stop) == (rows[0] - 1, rows[-1] + 2)

    def test_a_cosmic_ray_does_not_make_a_slice_bright(self, scene: Scene, result: OversampledImage) -> None:
        flux = scene.image.flux.copy()
        flux[tuple(np.argwhere(scene.image.region_map == 101)[500])] = 1e9
        assert Views.of(replace(scene.image, flux=flux), result).region == 102

    def test_the_profile(self, scene: Scene, result: OversampledImage) -> None:
        views = Views.of(scene.image, result)
        profile = profile_of(scene.image, result, views)
        inside = scene.image.region_map[:, views.column] == 102
        flux = scene.image.flux[inside, views.column].astype(np.float64)
        good = np.isfinite(flux)
        np.testing.assert_allclose(profile.flux, 100.0 * flux[good] / flux[good].sum(), rtol=1e-12)
        np.testing.assert_array_equal(profile.alpha, scene.image.alpha[inside, views.column][good])
        # The spline runs through the data, and the oversampled pixels lie on it.
        assert np.abs(profile.model_at - profile.flux).max() < 2.0
        peak = np.nanargmax(profile.fine_flux)
        on_curve = np.interp(profile.fine_alpha[peak], profile.spline_alpha, profile.spline_flux)
        assert abs(profile.fine_flux[peak] / on_curve - 1.0) < 0.03

    def test_the_residual_is_noise(self, scene: Scene, result: OversampledImage) -> None:
        views = Views.of(scene.image, result)
        residual = native_residual(scene.image, result, views)
        assert residual.shape == (views.band.stop - views.band.start, 150)
        inside = scene.image.region_map[views.band] == 102
        assert np.isnan(residual[~inside]).all()
        middle = float(np.median(np.abs(residual[np.isfinite(residual)])))
        assert 0.4 < middle < 1.5  # 0.67 for noise alone

    def test_a_negative_mean_is_taken_into_account(self, scene: Scene, result: OversampledImage) -> None:
        shifted = replace(scene.image, flux=scene.image.flux - np.float32(3000.0))
        below = oversample_image(shifted, 3.0, PARAMS, alpha_os=scene.alpha_os(3.0))
        views = Views.of(scene.image, result)
        residual = native_residual(shifted, below, views)
        assert 0.4 < float(np.median(np.abs(residual[np.isfinite(residual)]))) < 1.5
        profile = profile_of(shifted, below, views)
        assert np.abs(profile.model_at - profile.flux).max() < 0.02 * np.ptp(profile.flux)

    def test_cutouts_cover_the_same_place(self, scene: Scene, result: OversampledImage) -> None:
        views = Views.of(scene.image, result)
        cutouts = Cutouts.of(scene.image, result, views)
        assert cutouts.fine.shape[0] == 3 * cutouts.native.shape[0]
        np.testing.assert_allclose(cutouts.fine_extent, cutouts.native_extent)

    @pytest.mark.parametrize("shape", [(7, 5), (40, 3), (23, 31)])
    def test_block_mean_is_the_mean_of_the_blocks(self, shape: tuple[int, int]) -> None:
        plane = np.random.default_rng(1).normal(size=shape)
        plane[::3, ::2] = np.nan
        found = block_mean(plane, (10, 10))
        rows, columns = (-(-size // 10) for size in shape)
        for y, x in np.ndindex(found.shape):
            block = plane[y * rows : (y + 1) * rows, x * columns : (x + 1) * columns]
            values = block[np.isfinite(block)]
            if values.size:
                assert abs(found[y, x] - values.mean()) < 1e-12
            else:
                assert np.isnan(found[y, x])

    @pytest.mark.parametrize("values", [[], [np.nan], [3.0], [np.inf, 1.0, 1.0], [0.0, 1e-300], [1e30, -1e30]])
    def test_robust_range_is_always_a_range(self, values: list[float]) -> None:
        low, high, scatter = robust_range(np.array(values))
        assert np.isfinite([low, high, scatter]).all()
        assert low < high
        assert scatter > 0.0


class TestFigures:
    def test_an_exposure(self, scene: Scene, result: OversampledImage, tmp_path: Path) -> None:
        figure = exposure_figure(scene.image, result, title="star.fits")
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        for part in ("Flux", "Trace", "Detector pixels", "Oversampled x 3", "Profile of column", "Residuals"):
            assert any(part in title for title in titles), part
        path = save_figure(figure, tmp_path / "star.png")
        assert path.read_bytes().startswith(b"\x89PNG")
        with pytest.raises(OutputExistsError):
            save_figure(figure, path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["star.png"]

    def test_the_trace_alone(self, scene: Scene, tmp_path: Path) -> None:
        result = oversample_image(scene.image, 1.0, PARAMS)
        save_figure(exposure_figure(scene.image, result), tmp_path / "trace.png")

    @pytest.mark.parametrize("factor", [1.0, 2.5])
    @pytest.mark.parametrize("what", ["faint", "nan", "empty", "zero", "one pixel", "no error"])
    def test_data_that_give_little_to_see(self, scene: Scene, what: str, factor: float, tmp_path: Path) -> None:
        image = scene.image
        params = PARAMS
        if what == "faint":
            params = PARAMS.replace(fit_threshold=1e9)
        elif what == "nan":
            image = replace(image, flux=np.full_like(image.flux, np.nan))
        elif what == "empty":
            image = replace(image, region_map=np.zeros_like(image.region_map))
        elif what == "zero":
            image = replace(image, flux=np.zeros_like(image.flux))
        elif what == "one pixel":
            image = SpectralImage(flux=np.ones((1, 1)), alpha=np.zeros((1, 1)), region_map=np.ones((1, 1), dtype=int))
        else:
            image = replace(image, error=None)
        result = oversample_image(image, factor, params)
        save_figure(exposure_figure(image, result, title=what), tmp_path / "little.png")

    def test_wiggles(self, tmp_path: Path) -> None:
        x = np.linspace(5.0, 6.0, 50)
        wiggles = Wiggles(wavelength=x, before=1.0 + 0.1 * np.sin(40.0 * x), after=np.ones(50), truth=np.ones(50))
        figure = wiggles_figure(wiggles, np.ones((10, 20)), np.ones((30, 20)), factor=3.0)
        texts = [axes.get_title(loc="right") for axes in figure.axes]
        assert f"rms {100.0 * wiggles.rms_before:.2f} %" in texts
        assert "rms 0.00 %" in texts
        save_figure(figure, tmp_path / "wiggles.png")

    def test_wiggles_of_nothing(self, tmp_path: Path) -> None:
        nothing = np.full(50, np.nan)
        wiggles = Wiggles(wavelength=np.linspace(5.0, 6.0, 50), before=nothing, after=nothing, truth=nothing)
        figure = wiggles_figure(wiggles, np.full((3, 3), np.nan), np.full((6, 3), np.nan))
        save_figure(figure, tmp_path / "wiggles.png")


class TestMatplotlib:
    def test_without_it_the_error_names_the_extra(
        self, scene: Scene, result: OversampledImage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(MissingExtraError, match=r"pixtrace\[plot\]"):
            exposure_figure(scene.image, result)

    def test_it_is_imported_late_and_without_pyplot(self) -> None:
        code = (
            "import sys, numpy as np, pixtrace.plots as p, pixtrace.simulate as s\n"
            "assert 'matplotlib' not in sys.modules\n"
            "w = s.Wiggles(wavelength=np.arange(3.0), before=np.ones(3), after=np.ones(3), truth=np.ones(3))\n"
            "p.wiggles_figure(w, np.ones((2, 2)), np.ones((2, 2)))\n"
            "assert 'matplotlib' in sys.modules\n"
            "assert 'matplotlib.pyplot' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_its_settings_are_left_alone(self, scene: Scene, result: OversampledImage) -> None:
        import matplotlib as mpl

        before = dict(mpl.rcParams)
        exposure_figure(scene.image, result)
        assert dict(mpl.rcParams) == before
