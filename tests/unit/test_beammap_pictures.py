"""Pictures and report of a beam map."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace import plots_beammap as plots
from pixtrace._plotdata_beammap import chosen_pixels, cut_outs, displacement, gallery_pixels, mean_beam, page_of
from pixtrace.cli import main
from pixtrace.exceptions import MissingExtraError, ParameterError
from pixtrace.io.scan import stream_simulated, write_neutral_fits
from pixtrace.plots_beammap_report import beammap_report, headline
from pixtrace.scan import BeamMap, Reduction
from pixtrace.simulate import ScanSimulator
from tests.beammaps import QUIET, simulated, with_source


@pytest.fixture(scope="module")
def found() -> BeamMap:
    return Reduction(scans=[simulated()[0]]).reduce()


@pytest.fixture(scope="module")
def nothing() -> BeamMap:
    return Reduction(scans=[simulated(with_source(amplitude=0.0))[0]]).reduce()


def test_the_mean_beam_is_that_of_the_source(found: BeamMap) -> None:
    beam = mean_beam(found)
    assert beam is not None
    assert abs(beam.fwhm - 12.0) < 0.2
    # Cells are a fifth of the beam wide, which would lower the peak by two per cent.
    gaussian = np.exp(-4.0 * np.log(2.0) * (beam.radius / 12.0) ** 2)
    np.testing.assert_allclose(beam.profile, gaussian, atol=0.004)
    assert beam.radius[0] < 1.0
    assert beam.radius[-1] > 2.4 * 12.0
    middle = beam.image.shape[0] // 2
    assert np.unravel_index(np.nanargmax(beam.image), beam.image.shape) == (middle, middle)


def test_cut_outs_have_the_source_in_the_middle(found: BeamMap) -> None:
    rows = gallery_pixels(found)
    assert rows.size == found.n_good
    for image in cut_outs(found, rows):
        assert image is not None
        y, x = np.unravel_index(np.nanargmax(image), image.shape)
        assert abs(x - 20) <= 2
        assert abs(y - 20) <= 2
    assert cut_outs(found, np.flatnonzero(~found.is_good)) == [None, None]


def test_what_the_fit_leaves_is_noise(found: BeamMap) -> None:
    page = page_of(found, chosen_pixels(found)[0])
    assert page is not None
    rest = page.image - page.model
    at = int(np.flatnonzero(found.table.fixed_index == page.number)[0])
    assert np.nanstd(rest) < 0.02 * np.nanmax(page.image)
    near = page.model > 0.5 * np.nanmax(page.model)
    assert abs(np.nanmean(rest[near])) < 0.003 * np.nanmax(page.image)
    assert page.rest.size < rest.size / 3
    assert page.extent[0] == page.rest_extent[0]
    assert page.rest_extent[1] - page.extent[1] < 5.0
    assert np.nanstd(page.rest) < 0.7 * np.nanstd(rest)  # less noise in larger cells
    np.testing.assert_allclose(np.array(page.centre), [-found.table.x[at], -found.table.y[at]])
    assert page.unit == "counts"
    assert page_of(found, 9999) is None


def test_displacements_are_those_of_the_array(found: BeamMap) -> None:
    array = simulated()[1]
    good = array.is_good
    true = (array.position - array.nominal_position)[:, good]
    true -= np.median(true, axis=1, keepdims=True)
    np.testing.assert_allclose(displacement(found)[:, good], true, atol=0.3)


@pytest.mark.parametrize(
    "draw", [plots.geometry_figure, plots.gallery_figure, plots.mean_beam_figure, plots.histogram_figure]
)
def test_pictures_can_be_drawn(draw: Any, found: BeamMap, nothing: BeamMap, tmp_path: Path) -> None:
    for k, result in enumerate((found, nothing)):
        draw(result).savefig(tmp_path / f"{k}.png")
        assert (tmp_path / f"{k}.png").stat().st_size > 1000


def test_bad_pixels_are_marked_by_reason(found: BeamMap) -> None:
    axes = plots.geometry_figure(found).axes[0]
    assert [line.get_label() for line in axes.lines][1] == "dead channel (2)"
    flag, x = found.table.flag.copy(), found.table.x.copy()
    rows = np.flatnonzero(found.is_good)[:9]
    flag[rows], x[rows] = [1 << bit for bit in (0, 1, 2, 3, 4, 5, 7, 8, 19)], np.nan
    axes = plots.geometry_figure(replace(found, table=found.table.but(flag=flag, x=x))).axes[0]
    labels = [str(line.get_label()) for line in axes.lines]
    # More reasons than there are marks.
    assert labels[1:3] == ["dead channel (2)", "a width lies at the limit of what the map can show (1)"]
    assert labels[7] == "other reasons (4)"


def test_a_page_of_a_pixel(found: BeamMap, nothing: BeamMap) -> None:
    number = chosen_pixels(found)[0]
    assert [axes.get_title(loc="left") for axes in plots.pixel_figure(found, number).axes[::2]] == [
        "Map",
        "Gaussian",
        "Map minus Gaussian",
    ]
    plots.pixel_figure(nothing, number)
    with pytest.raises(ParameterError, match="pixel 9999 has no map"):
        plots.pixel_figure(found, 9999)
    assert chosen_pixels(nothing) == []


def test_the_report_says_what_is_asked_first(found: BeamMap) -> None:
    page = beammap_report(found, {"The array": plots.geometry_figure(found)}, files=["a.rcp"], options={"grid": 2.0})
    for name, value in headline(found):
        assert name in page
        assert value.replace('"', "&quot;") in page
    assert "14 of 16" in page
    assert "<td>2</td><td>dead channel</td>" in page
    assert 'src="data:image/png;base64,' in page
    assert '<a href="a.rcp">' in page
    # Nothing is fetched from anywhere.
    assert not re.search(r"(src|href)=\"https?:", page)


def test_the_report_of_nothing_says_so(nothing: BeamMap) -> None:
    page = beammap_report(nothing, {})
    assert "No source was found" in page
    assert "0 of 16" in page


def test_names_cannot_break_the_report(found: BeamMap) -> None:
    table = found.table.but(meta={**found.table.meta, "object": "<script>alert(1)</script>"})
    assert "<script>" not in beammap_report(replace(found, table=table), {})


def test_the_command_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    scan = tmp_path / "scan.fits"
    write_neutral_fits(scan, stream_simulated(ScanSimulator(QUIET)))
    out = tmp_path / "out"
    words = ["beammap", str(scan), "-o", str(out), "--no-maps"]
    good = np.flatnonzero(ScanSimulator(QUIET).array.is_good)
    assert main([*words, "--pages", f"{good[0]}, {good[1]}"]) == 0
    suffixes = {path.name.removeprefix("simsource.sim-5.") for path in out.iterdir()}
    pictures = {"geometry.png", "beam.png", "histograms.png", "gallery.png"}
    assert suffixes >= pictures | {"report.html", f"pixel.{good[0]}.png", f"pixel.{good[1]}.png"}
    assert len([name for name in suffixes if name.startswith("pixel.")]) == 2
    assert main([*words, "--overwrite", "--pages", "four"]) == 2
    assert "expected fixed indices" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--pages", "9999"]) == 1
    assert "pixel 9999 has no map" in capsys.readouterr().err

    def missing(*_: Any) -> None:
        msg = "pictures need matplotlib"
        raise MissingExtraError(msg)

    monkeypatch.setattr(plots, "geometry_figure", missing)
    assert main([*words[:3], str(tmp_path / "bare"), *words[4:]]) == 0
    assert "no pictures: pictures need matplotlib" in capsys.readouterr().err
    assert {path.suffix for path in (tmp_path / "bare").iterdir()} == {".html", ".ecsv", ".rcp", ".json"}
