"""The report of an exposure: that it says what is asked, for any exposure, and needs no other file."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixtrace import plots_quality as plots
from pixtrace._plotdata_quality import REFUSED, STATES, Assessment, ColumnMaps, histogram, straightened
from pixtrace.cli import main
from pixtrace.exceptions import MissingExtraError, OutputExistsError
from pixtrace.io.fits_image import write_image
from pixtrace.plots_quality_report import picture_paths, report_figures, report_numbers, save_trace_report, trace_report
from pixtrace.simulate import Scene, star_in_ifu
from pixtrace.trace import OversampledImage, SpectralImage, TraceParams, oversample_image

PARAMS = TraceParams.preset("miri-mrs").replace(fit_threshold=250.0)
Pair = tuple[SpectralImage, OversampledImage]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return star_in_ifu(n_columns=120, n_slices=3, seed=1)


@pytest.fixture(scope="module")
def pair(scene: Scene) -> Pair:
    return scene.image, oversample_image(scene.image, 2.0, PARAMS)


@pytest.fixture(scope="module")
def source(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "star.fits"
    write_image(path, scene.image, preset=scene.preset)
    return path


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw coarse pictures: they take most of the time."""
    monkeypatch.setattr("pixtrace._plot_parts._DPI", 25)


def strange(scene: Scene, what: str) -> SpectralImage:
    """Return an image that gives little to report."""
    image = scene.image
    if what == "nan":
        return replace(image, flux=np.full_like(image.flux, np.nan))
    if what == "no region":
        return replace(image, region_map=np.zeros_like(image.region_map))
    if what == "zero":
        return replace(image, flux=np.zeros_like(image.flux))
    if what == "no error":
        return replace(image, error=None)
    return SpectralImage(flux=np.ones((1, 1)), alpha=np.zeros((1, 1)), region_map=np.ones((1, 1), dtype=int))


class TestNumbers:
    def test_columns_of_all_regions(self, pair: Pair) -> None:
        maps = ColumnMaps.of([Assessment.of(*pair)])
        assert maps.names == ("101", "102", "103")
        assert set(maps.state[0]) == {STATES.index(REFUSED)}
        assert np.count_nonzero(maps.state[1] == STATES.index("fitted")) == pair[1].summary.n_columns_fitted
        assert np.isnan(maps.chi2[0]).all()
        assert np.isfinite(maps.chi2[1]).all()

    def test_columns_of_several_images(self, pair: Pair, scene: Scene) -> None:
        other = replace(scene.image, name="slit 7", region_map=np.where(scene.image.region_map == 102, 1, 0))
        found = [Assessment.of(*pair), Assessment.of(other, oversample_image(other, 2.0, PARAMS))]
        assert ColumnMaps.of(found).names[2:] == ("star in an IFU 103", "slit 7 1")

    def test_nothing(self) -> None:
        maps = ColumnMaps.of([])
        assert maps.state.shape == (1, 1)
        assert maps.state[0, 0] == -1

    def test_a_slice_is_pushed_together(self) -> None:
        labels = np.array([[0, 1, 1], [1, 1, 2], [1, 0, 1]], dtype=np.int32)
        plane = np.arange(9.0).reshape(3, 3)
        np.testing.assert_array_equal(straightened(plane, labels, 1), [[3.0, 1.0, 2.0], [6.0, 4.0, 8.0]])
        np.testing.assert_array_equal(straightened(plane, labels, 2), [[np.nan, np.nan, 5.0]])

    def test_the_histogram_is_a_density(self) -> None:
        values = np.array([np.nan, -9.0, 0.1, 0.2, 4.99, 5.0, 77.0, np.inf])
        density, edges = histogram(values, limit=5.0, n_bins=10)
        np.testing.assert_allclose(density, np.array([1, 0, 0, 0, 0, 2, 0, 0, 0, 3]) / 6.0)
        assert np.sum(density * np.diff(edges)) == pytest.approx(1.0)
        assert not histogram(np.zeros(0), limit=5.0, n_bins=10)[0].any()


class TestPage:
    def test_what_is_asked_first(self, pair: Pair) -> None:
        page = trace_report([pair], title="star.fits", files=["star_os.fits"], version="1.2", figures={})
        numbers = dict(report_numbers([pair]))
        assert numbers["regions fitted"] == "1 of 3"
        assert numbers["columns fitted"] == str(pair[1].summary.n_columns_fitted)
        assert numbers["pixels filled by the model"] == str(pair[1].summary.n_pixels_filled)
        assert "\N{RIGHTWARDS ARROW}" in numbers["wiggles and noise, slice 102"]
        for name, value in numbers.items():
            assert f"<b>{value}</b><span>{name}</span>" in page
        assert "below the threshold: highest flux" in page
        assert "<h1>Trace of star.fits</h1>" in page
        assert "oversampled x 2; reference fits, jwst errors; pixtrace 1.2" in page
        assert '<a href="star_os.fits">' in page
        assert "no errors" not in page

    def test_pictures_are_inside(self, pair: Pair) -> None:
        page = trace_report([pair])
        assert page.count('src="data:image/png;base64,') == len(report_figures([pair])) == 4
        assert not re.search(r"(src|href)=\"(?!data:)", page)
        assert "<script" not in page

    def test_names_cannot_break_it(self, pair: Pair) -> None:
        image = replace(pair[0], name="<script>alert(1)</script>")
        page = trace_report([(image, pair[1])] * 2, title='<b>"a"', files=['"><script>'], figures={})
        assert "<script>" not in page
        assert "<b>&quot;" not in page

    @pytest.mark.parametrize(("method", "factor"), [("default", 2.5), ("robust", 1.0)])
    @pytest.mark.parametrize("what", ["nan", "no region", "zero", "no error", "one pixel"])
    def test_of_little_it_says_so(self, scene: Scene, what: str, method: str, factor: float) -> None:
        image = strange(scene, what)
        params = TraceParams.robust() if method == "robust" else PARAMS
        result = oversample_image(image, factor, params)
        page = trace_report([(image, result)], title=what)
        assert page.endswith("</body></html>\n")
        assert ("The exposure has no errors" in page) == (what in {"no error", "one pixel"})
        assert ("No region was fitted" in page) == (result.summary.n_regions_fitted == 0)
        assert ("was not oversampled" in page) == (factor == 1.0)
        assert "nan" not in page.replace(what, "").split("data:image")[0].lower()

    def test_of_nothing(self) -> None:
        page = trace_report([])
        assert "No region was fitted" in page
        assert "0 of 0" in page

    def test_files(self, pair: Pair, tmp_path: Path) -> None:
        path = tmp_path / "star_report.html"
        written = save_trace_report(path, [pair], pictures=True)
        assert written == [path, *picture_paths(path).values()]
        assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(entry.name for entry in written)
        assert (tmp_path / "star_report_slices.png").read_bytes().startswith(b"\x89PNG")
        assert '<a href="star_report_spectra.png">' in path.read_text(encoding="utf-8")
        with pytest.raises(OutputExistsError):
            save_trace_report(path, [pair])

    def test_without_matplotlib_the_error_names_the_extra(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(MissingExtraError, match=r"pixtrace\[plot\]"):
            trace_report([pair])
        assert "1 of 3" in trace_report([pair], figures={})


class TestPictures:
    def test_columns(self, pair: Pair) -> None:
        figure = plots.columns_figure([Assessment.of(*pair)])
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles[:2] == ["Where the spline of each column comes from", "Reduced chi2 of each column"]
        legend = figure.legends[0]
        assert [text.get_text() for text in legend.get_texts()] == ["fitted", REFUSED]

    def test_slices(self, pair: Pair) -> None:
        figure = plots.slices_figure(Assessment.of(*pair))
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles[0] == "Slice 102"
        assert "Slice 103: region not fitted" in titles
        right = [axes.get_title(loc="right") for axes in figure.axes]
        assert re.fullmatch(r"spline used in \d+%", right[0])
        assert "the spline is used nowhere" in right

    def test_pulls(self, pair: Pair) -> None:
        assessment = Assessment.of(*pair)
        figure = plots.residuals_figure(assessment)
        axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "Error pulls")
        assert f"width {assessment.quality.pulls.width:.3f}" in axes.texts[0].get_text()

    def test_spectra(self, pair: Pair) -> None:
        assessment = Assessment.of(*pair)
        figure = plots.spectra_figure(assessment)
        right = [axes.get_title(loc="right") for axes in figure.axes]
        assert right == [
            f"rms {100.0 * rms:.2f} %"
            for spectrum in assessment.spectra
            for rms in (spectrum.rms_before, spectrum.rms_after)
        ]


class TestCommand:
    def test_oversample(self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["oversample", str(source), "-o", str(tmp_path), "--report", "--plot"]
        assert main(words) == 0
        names = {entry.name for entry in tmp_path.iterdir()}
        assert names == {"star_oversampled.fits", "star_oversampled.png", "star_oversampled_report.html"}
        page = (tmp_path / "star_oversampled_report.html").read_text(encoding="utf-8")
        assert "Trace of star.fits" in page
        for name in names - {"star_oversampled_report.html"}:
            assert f'<a href="{name}">' in page
        # Nothing is done if the report would be in the way.
        (tmp_path / "star_oversampled.fits").unlink()
        (tmp_path / "star_oversampled.png").unlink()
        assert main(words) == 1
        assert "star_oversampled_report.html" in capsys.readouterr().err
        assert [entry.name for entry in tmp_path.iterdir()] == ["star_oversampled_report.html"]
        assert main([*words, "--overwrite", "-q"]) == 0

    def test_trace_with_pictures(self, source: Path, tmp_path: Path) -> None:
        assert main(["trace", str(source), "-o", str(tmp_path), "--report-png", "-q"]) == 0
        page = next(tmp_path.glob("*_report.html"))
        assert "was not oversampled" in page.read_text(encoding="utf-8")
        assert len(list(tmp_path.glob("*_report_*.png"))) == 4

    def test_no_matplotlib(
        self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        assert main(["oversample", str(source), "-o", str(tmp_path / "out"), "--report-png"]) == 2
        assert "--report-png needs matplotlib" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
