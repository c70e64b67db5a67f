"""What a `PixelMap` writes, and that it can be read and gone on with."""

from pathlib import Path

import numpy as np
import pytest

from pixtrace.exceptions import FileReadError, OutputError, ParameterError
from pixtrace.io.pixel_map_files import core_name
from pixtrace.io.pixel_table import read_pixel_table
from pixtrace.io.pixelmap_fits_read import read_pixel_fits
from pixtrace.io.rcp import read_rcp
from pixtrace.scan import PixelMap
from tests.strategies.scans import POSITIONS, make_maps, make_scan

NUMBERS = (7, 3, 12, 5)


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


def test_a_folder_that_cannot_be(model: PixelMap, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError, match="taken"):
        model.write_pixel_data(tmp_path / "taken")
    with pytest.raises(FileReadError, match=r"none\.fits"):
        PixelMap.read(tmp_path / "none.fits")
