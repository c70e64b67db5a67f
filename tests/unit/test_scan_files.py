"""What a `PixelMap` writes, and that it can be read and gone on with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.units import Unit

from pixtrace.exceptions import FileReadError, OutputError, ParameterError
from pixtrace.io.pixel_map_files import core_name
from pixtrace.io.pixel_table import read_pixel_table
from pixtrace.io.pixelmap_fits_read import read_pixel_fits
from pixtrace.io.rcp import read_rcp
from pixtrace.scan import PixelMap
from tests.strategies.scans import POSITIONS, make_maps, make_scan

NUMBERS = (7, 3, 12, 5)


def opened(path: Path) -> Any:
    """Open a file with astropy, whose objects have no types."""
    return fits.open(path)


@pytest.fixture
def model() -> PixelMap:
    """Return maps of four pixels, of which the second sees nothing."""
    return make_maps(make_scan(4000, noise=0.02, gains=(1.0, 0.0, 0.8, 1.1), scan_id="F9/17", object_name="my Mars"))


def test_names_are_those_of_object_and_scan(model: PixelMap) -> None:
    assert core_name(model) == "my_Mars.F9_17"
    model.configuration["name"] = "beam map"
    assert core_name(model) == "beam_map"
    assert core_name(PixelMap()) == "pixelmaps"


def test_pixel_data(model: PixelMap, tmp_path: Path) -> None:
    files = model.write_pixel_data(tmp_path / "new" / "folder")
    assert [file.suffix for file in files] == [".rcp", ".ecsv"]
    rcp = read_rcp(files[0])
    np.testing.assert_array_equal(rcp.fixed_index, [7, 12, 5])
    np.testing.assert_array_equal(rcp.unmeasured, [3])
    np.testing.assert_allclose(np.stack([rcp.x, rcp.y], axis=1), np.array(POSITIONS)[[0, 2, 3]], atol=0.1)
    table = read_pixel_table(files[1])
    np.testing.assert_array_equal(table.fixed_index, NUMBERS)
    np.testing.assert_array_equal(np.isnan(table.x), [False, True, False, False])
    assert table.meta["object"] == "my Mars"
    first = files[0].read_bytes()
    assert model.write_pixel_data(tmp_path / "new" / "folder") == files
    assert files[0].read_bytes() == first


def test_the_folder_of_the_options(model: PixelMap, tmp_path: Path) -> None:
    model.configuration["outpath"] = str(tmp_path)
    assert {file.parent for file in model.write_pixel_data()} == {tmp_path}


@pytest.mark.parametrize(("wanted", "numbers"), [(True, NUMBERS), ([12, 7], (12, 7)), (False, ()), (None, ())])
def test_single_maps(model: PixelMap, tmp_path: Path, wanted: object, numbers: tuple[int, ...]) -> None:
    model.configuration["pixelmap.writemaps"] = wanted
    before = model.pixel_maps[7].map.data.copy()
    files = model.write(tmp_path)
    assert [file.name for file in files[:-2]] == [f"my_Mars.F9_17.{number}.fits" for number in numbers]
    np.testing.assert_array_equal(model.pixel_maps[7].map.data, before)
    expected = model.copy()
    expected.process_final()
    for file, number in zip(files, numbers, strict=False):
        image = read_pixel_fits(file)
        found = expected.pixel_maps[number].map
        np.testing.assert_array_equal(image.valid, found.valid)
        np.testing.assert_allclose(image.data[image.valid], found.data[found.valid], rtol=1e-12)
        np.testing.assert_allclose(image.weight[image.valid], found.weight[found.valid], rtol=1e-9)


def test_maps_that_there_are_not(model: PixelMap, tmp_path: Path) -> None:
    model.configuration["pixelmap.writemaps"] = [7, 99]
    with pytest.raises(ParameterError, match="99"):
        model.write(tmp_path)


def test_all_maps_and_back(model: PixelMap, tmp_path: Path) -> None:
    model.calculate_pixel_data()
    file = model.write_fits(tmp_path / "maps.fits")
    again = PixelMap.read(file)
    assert again.grid == model.grid
    assert list(again.pixel_maps) == list(NUMBERS)
    assert again.configuration.changed() == model.configuration.changed()
    assert (again.generation, again.integration_time) == (model.generation, model.integration_time)
    for number in NUMBERS:
        ours, theirs = again.pixel_maps[number], model.pixel_maps[number]
        np.testing.assert_array_equal(ours.map.data, theirs.map.data)
        np.testing.assert_array_equal(ours.map.flag, theirs.map.flag)
        assert ours.map.content == theirs.map.content
    # More of the same: both go on alike.
    scan = model.scans[0]
    for maps in (model, again):
        maps.scans = [scan]
        maps.add_scans()
        maps.process()
    np.testing.assert_array_equal(again.pixel_maps[5].map.data, model.pixel_maps[5].map.data)
    assert (again.need_block().stack.moments == model.need_block().stack.moments).all()


@pytest.mark.parametrize("stage", ["sums", "means", "a base", "no maps"])
def test_a_file_of_maps_goes_on_to_the_bit(tmp_path: Path, stage: str) -> None:
    scan = make_scan(3000, noise=0.05)
    rng = np.random.default_rng(1)
    scan[0].frames.data[rng.random(scan[0].frames.data.shape) < 0.01] = np.nan  # cells that miss samples
    model = PixelMap(scan.info)
    model.create_from([scan])
    if stage != "no maps":
        model.add_scans()
    if stage != "sums":
        model.process()
    if stage == "a base":
        model.set_base()
    again = PixelMap.read(model.write_fits(tmp_path / "maps.fits"))
    stacks = [maps.need_block().stack for maps in (again, model)]
    assert stacks[0].has_base == stacks[1].has_base == (stage == "a base")
    for maps in (again, model):
        maps.scans = [scan]
        maps.add_scans()
        maps.process()
    for name in ("data", "weight", "exposure", "flag", "smoothing_fwhm", "noise_rescale"):
        ours, theirs = (getattr(maps.need_block().stack, name) for maps in (again, model))
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    for name in ("sums", "factors", "missed_at", "missed"):
        ours, theirs = (getattr(maps.need_block().stack.sample_moments, name) for maps in (again, model))
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    tables = [maps.get_pixel_table() for maps in (again, model)]
    for name in ("x", "x_error", "amplitude", "fwhm_major", "coupling", "chi2", "flag"):
        np.testing.assert_array_equal(getattr(tables[0], name), getattr(tables[1], name), err_msg=name)


def test_a_file_of_maps_has_the_table_of_pixels(model: PixelMap, tmp_path: Path) -> None:
    # Nobody has fitted the maps yet.
    with opened(model.write_fits(tmp_path / "maps.fits")) as hdus:
        assert {"DATA", "WEIGHT", "EXPOSURE", "SNR", "PIXELS"} <= {hdu.name for hdu in hdus}
        rows = hdus["PIXELS"]
        np.testing.assert_array_equal(rows.data["fixed_index"], NUMBERS)
        np.testing.assert_allclose(rows.data["x"][[0, 2, 3]], np.array(POSITIONS)[[0, 2, 3], 0], atol=0.1)
        for name, unit in {"x": "arcsec", "amplitude": "ct", "weight": "ct-2", "angle": "deg"}.items():
            assert Unit(rows.columns[name].unit) == Unit(unit), name
        found = [hdus[name].header.get("BUNIT") for name in ("DATA", "WEIGHT", "EXPOSURE", "SNR")]
        assert found == ["ct", "ct-2", "s", None]


def test_counts_are_a_unit(model: PixelMap, tmp_path: Path) -> None:
    # Cameras say "counts", which neither astropy nor FITS knows; the column would have no unit.
    model.configuration["pixelmap.writemaps"] = [7]
    single, _, ecsv = model.write(tmp_path)
    table = QTable.read(ecsv, format="ascii.ecsv")
    for name, unit in {"x": "arcsec", "amplitude": "ct", "level_error": "ct", "weight": "ct-2", "angle": "deg"}.items():
        assert table[name].unit == Unit(unit), name
    assert read_pixel_table(ecsv).unit == "counts"
    with opened(single) as hdus:
        assert [hdu.header.get("BUNIT") for hdu in hdus[:4]] == ["ct", "s", "ct", None]
        (record,) = hdus[-1].data
        assert (record["Frames"], record["Integration_Time"]) == (4000, pytest.approx(40.0))


def test_single_maps_tell_what_the_filter_did(model: PixelMap, tmp_path: Path) -> None:
    options = {"pixelmap.process": True, "source.filter": True, "source.filter.fwhm": 30.0, "source.filter.blank": 4.0}
    model.configuration.update_nested({**options, "pixelmap.writemaps": [7]})
    model.process()
    with opened(model.write(tmp_path)[0]) as hdus:
        assert hdus[0].header["XBMAJ"] == pytest.approx(30.0 / 3600.0)
        assert hdus[0].header["CBMAJ"] == pytest.approx(12.0 / 3600.0)


def test_a_folder_that_cannot_be(model: PixelMap, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError, match="taken"):
        model.write_pixel_data(tmp_path / "taken")
    with pytest.raises(FileReadError, match=r"none\.fits"):
        PixelMap.read(tmp_path / "none.fits")
