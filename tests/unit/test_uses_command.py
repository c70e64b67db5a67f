"""`pixtrace extract`, `replace` and `subtract`, and the files they write."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.cli import main
from pixtrace.exceptions import OutputExistsError, ParameterError
from pixtrace.io import (
    apply_models,
    extract_exposure,
    fit_exposure,
    open_exposure,
    read_image,
    replace_exposure,
    subtract_exposure,
    write_image,
    write_spectra,
)
from pixtrace.simulate import Scene, star_in_ifu
from pixtrace.trace import Extraction
from pixtrace.trace.image import DO_NOT_USE, FLUX_ESTIMATED
from tests import jwst_models
from tests.untyped import datamodels, fits, table, units

SOURCE = ["--source", "-1.4", "1.7"]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return star_in_ifu(n_columns=160, n_slices=3, seed=2)


@pytest.fixture(scope="module")
def star(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "star.fits"
    write_image(path, scene.image, preset=scene.preset)
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].header["BUNIT"] = "MJy/sr"
        hdus.append(fits.ImageHDU(np.arange(5), name="NOTES"))
    return path


@pytest.fixture(scope="module")
def found(star: Path) -> Extraction:
    with open_exposure(star) as exposure:
        return extract_exposure(exposure)[0]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestExtract:
    def test_two_files_and_a_line(self, star: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["extract", str(star), "-o", str(out), *SOURCE, "--plot"]) == 0
        assert names(out) == ["star_spectra.ecsv", "star_spectra.fits", "star_spectra.png"]
        line = capsys.readouterr().out.strip()
        assert "\n" not in line
        for part in ("star.fits: ", "spectra; channel 1 from ", "outliers left out", " s -> "):
            assert part in line
        assert "leave out" not in line
        with fits.open(out / "star_spectra.fits") as hdus:
            assert hdus[0].header["SRCFILE"] == "star.fits"
            assert {hdu.name for hdu in hdus[1:]} == {"EXTRACT1D"}
            assert [hdu.ver for hdu in hdus[1:]] == list(range(1, len(hdus)))
            assert hdus[1].header["SPECNAME"] == "channel 1"
            assert hdus[2].header["REGIONS"] == "101"
            assert hdus[2].header["PROFERR"] is True
            assert hdus[2].header["SRCLOW"] == -1.4
            binary = table.QTable.read(hdus[2])
        long = table.QTable.read(out / "star_spectra.ecsv")
        rows = long[long["SPECTRUM"] == "region 101"]
        for name in binary.colnames:
            np.testing.assert_array_equal(rows[name], binary[name])
        assert binary["WAVELENGTH"].unit == units.um
        assert binary["FLUX"].unit == units.MJy / units.sr
        assert binary["FLUX_ERROR"].unit == units.MJy / units.sr
        assert binary["DQ"].dtype.kind == "u"
        whole = long[long["SPECTRUM"] == "channel 1"]
        assert np.all(whole["COLUMN"] == -1)
        assert np.isnan(whole["BACKGROUND"]).all()
        assert np.isfinite(whole["FLUX"]).mean() > 0.9

    def test_the_library_gives_the_same(self, star: Path, out: Path) -> None:
        assert main(["extract", str(star), "-o", str(out), *SOURCE, "--no-combine", "-q"]) == 0
        long = table.QTable.read(out / "star_spectra.ecsv")
        with open_exposure(star) as exposure:
            (found,) = extract_exposure(exposure, source=(-1.4, 1.7))
            assert found.spectra[102].unit == "MJy/sr"
        rows = long[long["SPECTRUM"] == "region 102"]
        np.testing.assert_array_equal(rows["FLUX"].value, found.spectra[102].flux)
        np.testing.assert_array_equal(rows["FLUX_ERROR"].value, found.spectra[102].error)
        assert "channel 1" not in set(long["SPECTRUM"])

    def test_a_model_that_is_there(self, star: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        model = ""
        for options in (["--preset", "robust"], []):
            folder = out / ("robust" if options else "plain")
            assert main(["fit", str(star), "-o", str(folder), *options]) == 0
            capsys.readouterr()
            model = str(folder / "star_tracemodel.fits")
            assert main(["extract", str(star), "-o", str(folder), "--model", model]) == 0
            assert ("leave out those of the profile" in capsys.readouterr().out) is not bool(options)
            assert main(["replace", str(star), "-o", str(folder), "--model", model]) == 0
            assert ("no record" in capsys.readouterr().out) is not bool(options)
        assert main(["extract", str(star), "-o", str(out), "--model", str(star)]) == 1
        assert main(["extract", str(star), "-o", str(out), "--model", model, "--profile-errors"]) == 1
        assert "no record of its fit" in capsys.readouterr().err

    def test_a_configuration_file(self, star: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config = out.parent / "own.toml"
        config.write_text('source = [-1.4, 1.7]\ncombine = false\npreset = "robust"\nreject_outliers = false\n')
        assert main(["extract", str(star), "-o", str(out), "--config", str(config)]) == 0
        assert "; 0 outliers left out" in capsys.readouterr().out
        for text, complaint in (
            ("source = [1.7, -1.4]", "lowest and its highest"),
            ("source = [1]", "lowest and its highest"),
            ('source = ["a", "b"]', "lowest and its highest"),
            ("source = 3", "expected a list"),
            ("sources = [1, 2]", "did you mean source"),
        ):
            config.write_text(text)
            assert main(["extract", str(star), "-o", str(out), "--config", str(config)]) == 2
            assert complaint in capsys.readouterr().err
        config.write_text("source = [1, 2]")
        assert main(["oversample", str(star), "-o", str(out), "--config", str(config)]) == 2
        assert "there is no option 'source'" in capsys.readouterr().err

    def test_nothing_is_overwritten_unasked(self, star: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out.mkdir()
        (out / "star_spectra.ecsv").write_text("mine")
        assert main(["extract", str(star), "-o", str(out)]) == 1
        assert "is there already" in capsys.readouterr().err
        assert names(out) == ["star_spectra.ecsv"]
        assert main(["extract", str(star), "-o", str(out), "--overwrite", "-q"]) == 0
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("command", ["extract", "replace", "subtract"])
    def test_what_cannot_be_done_is_said(
        self, command: str, star: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([command, str(out / "none.fits"), str(star), "-o", str(out)]) == 1
        captured = capsys.readouterr()
        assert "none.fits" in captured.err
        assert "star.fits: " in captured.out
        if command != "replace":
            assert main([command, str(star), "--source", "3", "1", "-o", str(out)]) == 2
            assert "source" in capsys.readouterr().err
        with pytest.raises(SystemExit) as error:
            main([command, str(star), "--factor", "2"])
        assert error.value.code == 2

    def test_an_exposure_without_traces(self, scene: Scene, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out.mkdir()
        path = out / "dark.fits"
        image = scene.image
        dark = type(image)(flux=image.flux * 0 + 1, alpha=image.alpha, region_map=image.region_map, error=image.error)
        write_image(path, dark, preset="miri-mrs")
        assert main(["extract", str(path), "-o", str(out)]) == 1
        assert "no region has a trace" in capsys.readouterr().err
        assert names(out) == ["dark.fits"]
        for command, done in (("replace", "0 bad pixels replaced"), ("subtract", "subtracted from 0 pixels")):
            assert main([command, str(path), "-o", str(out)]) == 0
            captured = capsys.readouterr()
            assert done in captured.out
            assert "dark.fits: no region has a trace (region 101: below the threshold: highest flux 1," in captured.err

    @pytest.mark.parametrize("command", ["extract", "subtract"])
    def test_a_source_that_is_nowhere(
        self, command: str, star: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([command, str(star), "--source", "50", "60", "-o", str(out)]) == 1
        error = capsys.readouterr().err
        assert "no pixel of star.fits lies in the source, between alpha 50 and 60; its slices reach from" in error
        assert names(out) == []

    def test_only_options_that_matter(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["extract", "--help"])
        text = capsys.readouterr().out
        assert "(default: propagated)" in text
        assert "--covariances" not in text
        assert "slope" not in text


class TestReplace:
    def test_all_else_stays_as_it_is(self, star: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["replace", str(star), "-o", str(out), "--preset", "robust"]) == 0
        assert "bad pixels replaced, " in capsys.readouterr().out
        before, _ = read_image(star)
        after, _ = read_image(out / "star_replaced.fits")
        assert before.dq is not None
        assert after.dq is not None
        filled = (after.dq & FLUX_ESTIMATED).astype(bool)
        assert np.count_nonzero(filled) > 0.9 * np.count_nonzero(before.dq & DO_NOT_USE)
        assert np.isfinite(after.flux[filled]).all()
        assert before.flux[~filled].tobytes() == after.flux[~filled].tobytes()
        assert np.array_equal(before.dq[~filled], after.dq[~filled])
        with fits.open(star) as old, fits.open(out / "star_replaced.fits") as new:
            assert [hdu.name for hdu in new] == [hdu.name for hdu in old]
            assert "bad pixels replaced" in str(new[0].header["HISTORY"])
            assert new["SCI"].header["BUNIT"] == "MJy/sr"
            for name in ("ALPHA", "REGIONS", "NOTES", "WAVELENGTH"):
                np.testing.assert_array_equal(old[name].data, new[name].data)

    def test_files_that_are_packed_scaled_or_turned(self, scene: Scene, out: Path) -> None:
        out.mkdir()
        path = out / "turned.fits.gz"
        write_image(path, scene.image, preset="robust", dispersion_axis=0)
        assert main(["replace", str(path), "-o", str(out)]) == 0
        with open_exposure(path) as exposure:
            (expected,) = replace_exposure(exposure)
            target = exposure.save_changed([expected], out / "again.fits.gz", history="by hand")
        for name in (out / "turned_replaced.fits", target):
            found, _ = read_image(name)
            np.testing.assert_array_equal(found.flux, expected.flux)
            np.testing.assert_array_equal(found.error, expected.error)
            np.testing.assert_array_equal(found.dq, expected.dq)


class TestSubtract:
    def test_source_and_rest_make_the_flux(self, star: Path, out: Path, scene: Scene) -> None:
        assert main(["subtract", str(star), "-o", str(out), "--preset", "robust", *SOURCE]) == 0
        with fits.open(out / "star_subtracted.fits") as hdus:
            trace, flux = hdus["TRACE"].data, hdus["SCI"].data
            assert "source subtracted within alpha -1.4 to 1.7" in str(hdus[0].header["HISTORY"])
        known = np.isfinite(trace) & np.isfinite(scene.image.flux)
        np.testing.assert_allclose((trace + flux)[known], scene.image.flux[known], rtol=1e-5, atol=1e-3)
        beyond = ~np.isfinite(trace)
        np.testing.assert_array_equal(flux[beyond], scene.image.flux[beyond])
        assert np.nanmax(trace) > 0.8 * np.nanpercentile(scene.image.flux, 99.99)


class TestJwst:
    @pytest.mark.parametrize("kind", ["mrs", "ifu_nrs1", "fixed_slits", "slit"])
    def test_every_kind_of_exposure(self, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "jw_cal.fits"
        jwst_models.write_case(kind, path)
        assert main(["extract", str(path), "-o", str(tmp_path), "--preset", "robust"]) == 0
        assert main(["replace", str(path), "-o", str(tmp_path), "--preset", "robust"]) == 0
        assert main(["subtract", str(path), "-o", str(tmp_path), "--preset", "robust"]) == 0
        assert capsys.readouterr().err == ""
        long = table.QTable.read(tmp_path / "jw_cal_spectra.ecsv")
        assert np.isfinite(long["FLUX"]).any()
        wavelength = long["WAVELENGTH"].to_value("um")
        assert 0.5 < np.nanmin(wavelength) < np.nanmax(wavelength) < 30
        with open_exposure(path) as exposure:
            images = exposure.images
            unit = exposure.unit
        assert long["FLUX"].unit == units.Unit(unit)
        for suffix in ("replaced", "subtracted"):
            with datamodels.open(path) as old, datamodels.open(tmp_path / f"jw_cal_{suffix}.fits") as new:
                new.validate()
                for before, after in zip(_parts(old), _parts(new), strict=True):
                    estimated = (after.dq & FLUX_ESTIMATED) > (before.dq & FLUX_ESTIMATED)
                    if suffix == "replaced":
                        same = (before.data == after.data) | np.isnan(before.data)
                        assert np.all(same | estimated)
                        assert np.all(np.isfinite(after.data[estimated]))
                        assert np.all(np.isfinite(after.err[estimated]))
                        assert not np.any(after.dq[estimated] & DO_NOT_USE)
                    else:
                        assert not estimated.any()
                        assert after.trace_model.shape == after.data.shape
        assert len(images) >= 1

    def test_time_series_are_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "jw_calints.fits"
        jwst_models.write_case("slit_series", path)
        for command in ("extract", "replace", "subtract"):
            assert main([command, str(path), "-o", str(tmp_path)]) == 1
            assert "time series of 3 integrations" in capsys.readouterr().err


def _parts(model: Any) -> list[Any]:
    return list(model.slits) if hasattr(model, "slits") else [model]


class TestSpectra:
    def test_a_table_where_specutils_is_missing(self, found: Extraction, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "specutils", None)
        spectrum = found.spectra[102]
        made = spectrum.to_spectrum()
        assert isinstance(made, table.QTable)
        np.testing.assert_array_equal(made["FLUX"].value, spectrum.flux)
        assert made.meta["regions"] == [102]
        assert "region 102" in repr(spectrum)

    def test_a_spectrum_of_specutils(self, found: Extraction) -> None:
        specutils = pytest.importorskip("specutils")
        for one in found.all():
            made = one.to_spectrum()
            assert isinstance(made, specutils.Spectrum)
            assert made.flux.unit == units.MJy / units.sr
            assert np.all(np.diff(made.spectral_axis.value) > 0)
            known = ~made.mask
            np.testing.assert_array_equal(np.sort(made.flux.value[known]), np.sort(one.flux[one.dq == 0]))
            assert np.all(made.uncertainty.array[known] > 0)

    def test_names_and_formats(self, found: Extraction, tmp_path: Path) -> None:
        assert write_spectra(tmp_path / "a.fits.gz", [found]).exists()
        with pytest.raises(OutputExistsError):
            write_spectra(tmp_path / "a.fits.gz", [found])
        with pytest.raises(ParameterError, match=r"\.ecsv, \.fits or \.fits\.gz"):
            write_spectra(tmp_path / "a.txt", [found])
        with pytest.raises(ParameterError, match="no spectrum"):
            write_spectra(tmp_path / "a.ecsv", [])
        write_spectra(tmp_path / "two.ecsv", [found, found])
        odd = replace(found.spectra[102], unit="electrons/parsec^^2")
        assert odd.to_table()["FLUX"].unit is None
        assert odd.to_table().meta["flux_unit"] == "electrons/parsec^^2"

    def test_models_of_another_exposure(self, star: Path) -> None:
        with open_exposure(star) as exposure:
            fitted = apply_models(exposure, fit_exposure(exposure), rescale=True)
            (spectra,) = extract_exposure(exposure, fitted)
            (changed,) = subtract_exposure(exposure, fitted)
        assert not spectra.profile_errors
        assert not changed.has_record
