"""Grid and lookup of pixel maps, held against sofia_redux 1.5.2."""

from typing import Any

import numpy as np
import pytest

from pixtrace.scan import Channels, Info, Instrument, PixelMap, SampleFlag, Scan
from tests.reference import Case, load_pixelmap, pixelmap_names

#: Offsets beyond this [arcsec] are those of the frames that were moved off the map after the grid was made.
MOVED = 500.0


def looked_up(case: Case) -> tuple[PixelMap, Scan]:
    offset = case["offset"]
    moved = (np.abs(offset) > MOVED).any(axis=0)
    info = Info(Instrument(sampling_interval=0.1, resolution=float(case["point_size"])), case.text("options"))
    scan = Scan.from_arrays(
        np.zeros((offset.shape[1], 3)),
        None,
        np.where(moved, offset - 1000.0, offset),
        Channels([4, 1, 9], position=np.full((2, 3), 30.0)),
        info=info,
        angle=np.rad2deg(np.arctan2(case["sin_a"], case["cos_a"])),
    )
    model = PixelMap(info)
    model.create_from([scan])
    scan[0].frames._offset[:, moved] += 1000.0
    model.create_lookup(scan[0])
    return model, scan


@pytest.fixture(params=pixelmap_names("geometry"))
def case(request: pytest.FixtureRequest) -> Any:
    return load_pixelmap(request.param)


def test_grid(case: Case) -> None:
    model, scan = looked_up(case)
    assert model.grid is not None
    assert model.shape == tuple(case["shape"])
    np.testing.assert_allclose(model.grid.resolution, case["resolution"], rtol=1e-12)
    np.testing.assert_array_equal(model.grid.reference_index, case["reference_index"])
    assert model.template is not None
    np.testing.assert_array_equal(model.template.grid.reference_index, case["template_reference_index"])
    assert model.index_shift_x == case["index_shift_x"]
    assert model.index_mask_y == case["index_mask_y"]
    assert scan[0].channels.independent.all()
    assert (scan[0].channels.position.value == 0).all()
    assert (scan.channels.position.value == 30).all()


def test_cells_under_the_frames(case: Case) -> None:
    model, scan = looked_up(case)
    frames = scan[0].frames
    assert frames.map_index is not None
    assert frames.map_position is not None
    assert frames.source_index is not None
    distance = np.abs(frames.map_position - np.floor(frames.map_position) - 0.5).min(axis=0)
    clear = distance > 1e-7
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(frames.map_index[:, clear], case["map_index"][:, clear])
    # Frames off the map have a number without meaning in the reference; here, none.
    on_map = clear & (case["map_index"][0, :, 0] >= 0)
    np.testing.assert_array_equal(frames.source_index[on_map], case["source_index"][on_map])
    np.testing.assert_array_equal(model.source_index_to_pixel_index(case["source_index"]), case["unpacked"])


def test_frames_that_are_left_out(case: Case) -> None:
    _, scan = looked_up(case)
    frames = scan[0].frames
    np.testing.assert_array_equal(frames.valid, case["frame_valid"])
    skipped = (frames.sample_flag & np.uint8(SampleFlag.SKIP)).any(axis=1)
    np.testing.assert_array_equal(skipped, case["frame_sample_flag_any"])
