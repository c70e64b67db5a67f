"""The preset "robust" on whole images, and on the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.cli import main
from pixtrace.io import write_image
from pixtrace.simulate import star_in_ifu
from pixtrace.trace import SpectralImage, TraceParams, oversample_image
from pixtrace.trace.image import DO_NOT_USE
from tests.untyped import fits


class TestImages:
    def test_the_preset(self) -> None:
        scene = star_in_ifu(n_columns=200, n_slices=3, seed=5)
        params = TraceParams.robust().replace(n_covariances=2)
        assert TraceParams.preset("robust") == TraceParams.robust()
        result = oversample_image(scene.image, 2, params)
        assert result.error is not None
        assert len(result.covariances) == 2
        missing = ~np.isfinite(result.flux)
        for plane in (result.error, *result.variances.values()):
            np.testing.assert_array_equal(missing, ~np.isfinite(plane))
        np.testing.assert_array_equal(missing, (result.dq & DO_NOT_USE).astype(bool))
        truth = scene.truth_os(2)
        default = oversample_image(scene.image, 2, TraceParams.preset("miri-mrs"))
        ours, theirs = (np.abs(image.flux - truth) for image in (result, default))
        both = np.isfinite(ours) & np.isfinite(theirs)
        assert 1.5 * np.median(ours[both]) < np.median(theirs[both])
        assert np.percentile(ours[both], 95) < np.percentile(theirs[both], 95)

    @pytest.mark.parametrize("seed", [1, 4])
    def test_no_error_is_zero(self, seed: int) -> None:
        scene = star_in_ifu(n_columns=300, n_slices=3, seed=seed)
        result = oversample_image(scene.image, 2, TraceParams.robust())
        assert result.error is not None
        assert np.all(result.error[np.isfinite(result.flux)] > 0)

    def test_without_errors_there_are_none(self) -> None:
        scene = star_in_ifu(n_columns=120, n_slices=3)
        image = scene.image
        bare = SpectralImage(flux=image.flux, alpha=image.alpha, region_map=image.region_map)
        result = oversample_image(bare, 2, TraceParams.robust())
        assert result.error is None
        truth = scene.truth_os(2)
        assert np.nanmedian(np.abs(result.flux - truth)) < 2

    def test_amounts_per_pixel_are_shared_out(self) -> None:
        scene = star_in_ifu(n_columns=120, n_slices=3).image
        planes: dict[str, Any] = {
            "flux": scene.flux,
            "alpha": scene.alpha,
            "region_map": scene.region_map,
            "error": scene.error,
        }
        plain = oversample_image(SpectralImage(**planes), 2, TraceParams.robust())
        shared = oversample_image(SpectralImage(**planes, flux_is_density=True), 2, TraceParams.robust())
        assert plain.error is not None
        assert shared.error is not None
        np.testing.assert_allclose(shared.flux, plain.flux / 2, rtol=1e-6)
        np.testing.assert_allclose(shared.error, plain.error / 2, rtol=1e-6)

    def test_propagated_errors_leave_the_flux_of_the_reference_alone(self) -> None:
        scene = star_in_ifu(n_columns=120, n_slices=3).image
        params = TraceParams.preset("miri-mrs")
        plain = oversample_image(scene, 2, params)
        found = oversample_image(scene, 2, params.replace(errors="propagated"))
        assert plain.error is not None
        assert found.error is not None
        np.testing.assert_array_equal(found.flux, plain.flux)
        assert 0.3 < np.nanmedian(found.error / plain.error) < 1

    def test_the_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        scene = star_in_ifu(n_columns=120, n_slices=3)
        source = tmp_path / "star.fits"
        write_image(source, scene.image, preset=scene.preset)
        options = ["-o", str(tmp_path / "out"), "--preset", "robust", "--covariances", "2"]
        assert main(["oversample", str(source), *options]) == 0
        assert "3 of 3 regions fitted" in capsys.readouterr().out
        expected = oversample_image(scene.image, 2, TraceParams.robust().replace(n_covariances=2))
        with fits.open(tmp_path / "out" / "star_oversampled.fits") as product:
            data: Any = {hdu.name: hdu.data for hdu in product}
            np.testing.assert_array_equal(data["SCI"], expected.flux)
            np.testing.assert_array_equal(data["ERR"], expected.error)
            np.testing.assert_array_equal(data["COVAR_2"], expected.covariances[1])
        assert main(["oversample", str(source), "-o", str(tmp_path), "--errors", "propagated", "-q"]) == 0
