"""`PixelMap` of `pixtrace.adapters.sofia` on a simulated scan of sofia_redux's example instrument."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.adapters.sofia import IntensityMap, PixelMap
from pixtrace.exceptions import ParameterError
from pixtrace.scan import PixelMap as BlockModel
from tests.adapters.sofia_peer.scans import make, ones
from tests.adapters.sofia_peer.untyped import astro_intensity_map, cloudpickle, pixel_map, units

pytest_plugins = ("tests.adapters.sofia_peer.fixtures",)


@pytest.fixture
def model(loaded: Any) -> Any:
    return make(loaded, PixelMap)


def planes(found: Any) -> tuple[Any, Any, Any, Any]:
    """Return the arrays of a map of sofia_redux."""
    return found.map.data, found.map.weight.data, found.map.exposure.data, found.map.flag


def test_the_arrays_are_windows_on_one_block(model: Any) -> None:
    assert isinstance(model, pixel_map.PixelMap)
    stack = model._ours.block.stack
    assert len(model.pixel_maps) == len(stack) == 121
    for row, number in enumerate(model._ours.block.fixed_indices):
        found = model.pixel_maps[number]
        assert isinstance(found, astro_intensity_map.AstroIntensityMap)
        for plane, ours in zip(planes(found), (stack.data, stack.weight, stack.exposure, stack.flag), strict=True):
            assert plane.shape == (122, 106)
            assert np.shares_memory(plane, ours[row])
    model.pixel_maps[3].map.data[5, 7] = 42.0
    assert stack.data[model._ours.block.row(3), 5, 7] == 42.0


def test_sums_and_means_are_those_of_sofia_redux(loaded: Any, model: Any) -> None:
    native = make(loaded, pixel_map.PixelMap)
    for round_ in ("sums", "means"):
        for number, found in native.pixel_maps.items():
            for theirs, ours in zip(planes(found), planes(model.pixel_maps[number]), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12, err_msg=f"{round_} of {number}")
        for found in (*native.pixel_maps.values(), *model.pixel_maps.values()):
            found.end_accumulation()
    before = model.pixel_maps[7].map.data.copy()
    model.pixel_maps[7].end_accumulation()  # means stay means
    model.pixel_maps[7].map.end_accumulation()
    np.testing.assert_array_equal(model.pixel_maps[7].map.data, before)


def test_every_frame_loses_what_its_own_cell_holds(model: Any) -> None:
    sums = model.pixel_maps[2].map.data.copy()
    model.process()
    frames, pixels, frame_gains, gains = ones(model)
    before = frames.data.copy()
    x, y = np.asarray(frames.map_index.coordinates)[:, :, 0]
    ends = PixelMap.parallel_safe_sync_source_gains(
        (model.pixel_maps, frames, pixels, frame_gains, gains, 0.0 * gains), 2
    )
    found = model.pixel_maps[2].map
    on_map = frames.valid & (x >= 0) & found.valid[y, x]
    expected = np.where(on_map, found.data[y, x], 0.0)
    np.testing.assert_allclose(before[:, 2] - ends, expected, rtol=1e-12, atol=1e-12)
    # The test of sofia_redux takes the sums, and wants 249, 722 and 797: two frames early, for pixel 2 reads two on.
    assert np.flatnonzero(on_map & (np.abs(sums[y, x]) > 2)).tolist() == [251, 724, 799]


def test_channels_without_a_map_are_left_alone(model: Any) -> None:
    model.process()
    frames, pixels, frame_gains, gains = ones(model)
    del model.pixel_maps[4]
    before = frames.data.copy()
    model.sync_source_gains(frames, pixels, frame_gains, gains, 0.0 * gains)
    assert np.array_equal(frames.data[:, 4], before[:, 4])
    assert (frames.data[:, 5] != before[:, 5]).any()


def test_a_round_counts_once_and_processing_again_changes_nothing(model: Any) -> None:
    model.process()
    assert model.generation == 1
    before = model.pixel_maps[7].map.data.copy()
    model.process()
    np.testing.assert_array_equal(model.pixel_maps[7].map.data, before)


def test_a_model_that_is_added_stays_as_it_is_and_weighs_what_it_should(loaded: Any, model: Any) -> None:
    other = make(loaded, PixelMap)
    other.process()
    model.pixel_maps = {}
    before = other.pixel_maps[3].map.data.copy(), other.pixel_maps[3].map.weight.data.copy()
    model.add_model_data(other, weight=0.25)
    model.process()
    assert model.pixel_maps[3] is not other.pixel_maps[3]
    assert not np.shares_memory(model.pixel_maps[3].map.data, other.pixel_maps[3].map.data)
    np.testing.assert_allclose(model.pixel_maps[3].map.weight.data, 0.25 * before[1], rtol=1e-9)
    np.testing.assert_allclose(model.pixel_maps[3].map.data, before[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(other.pixel_maps[3].map.data, before[0])


def test_merging_keeps_pixels_that_one_side_has(loaded: Any, model: Any) -> None:
    other = make(loaded, PixelMap)
    sums = other.pixel_maps[1].map.data.copy()
    del model.pixel_maps[1], other.pixel_maps[2]
    model.merge_accumulate(other)
    np.testing.assert_allclose(model.pixel_maps[1].map.data, sums, rtol=1e-12)
    np.testing.assert_allclose(model.pixel_maps[3].map.data, 2.0 * other.pixel_maps[3].map.data, rtol=1e-12)
    assert 2 in model.pixel_maps
    with pytest.raises(ParameterError, match="Cannot add a dict"):
        model.merge_accumulate({})


def test_maps_of_sofia_redux_can_be_put_in(loaded: Any, model: Any) -> None:
    native = make(loaded, pixel_map.PixelMap)
    theirs = native.pixel_maps[9]
    theirs.map.data[...] = 2.0
    model.pixel_maps[9] = theirs
    assert model.count_points() > 0
    assert isinstance(model.pixel_maps[9], IntensityMap)
    assert np.shares_memory(model.pixel_maps[9].map.data, model._ours.block.stack.data)
    assert (model.pixel_maps[9].map.data == 2.0).all()
    model.merge_accumulate(native)
    assert (model.pixel_maps[9].map.data[theirs.map.valid] == 4.0).all()


def test_arrays_that_sofia_redux_replaces_are_taken_in(model: Any) -> None:
    model.process()
    found = model.pixel_maps[5]
    found.map.smooth_to(8 * units.arcsec)  # makes new arrays
    smooth = found.map.data.copy()
    model.count_points()
    stack = model._ours.block.stack
    assert np.shares_memory(found.map.data, stack.data)
    np.testing.assert_array_equal(found.map.data, smooth)
    assert np.shares_memory(found.map.flag, stack.flag)


def test_every_pixel_has_a_base_of_its_own(model: Any) -> None:
    model.process()
    model.set_base()
    bases = [found.base.data for found in model.pixel_maps.values()]
    assert not np.array_equal(bases[0], bases[60], equal_nan=True)
    np.testing.assert_array_equal(
        bases[60][model.pixel_maps[60].map.valid], model.pixel_maps[60].map.data[model.pixel_maps[60].map.valid]
    )


@pytest.mark.parametrize("how", ["the copy", "a copy of it", "a pickled copy of it"])
def test_copies_know_the_round_before_of_their_original(loaded: Any, how: str) -> None:
    """As the pipeline does: a model is copied before the first round, and the scans of each are added to that copy."""
    reduction, read = loaded
    model = PixelMap(reduction.info, reduction=reduction)
    model.create_from([read()])
    reduction.available_reduction_jobs = 1
    workspace = model.copy()
    model.add_integration(model.scans[0][0])
    scan, integration = model.scans[0], model.scans[0][0]
    model.process()
    model.set_base()
    before = {number: model.pixel_maps[number].map.data.copy() for number in (0, 60)}
    if how != "the copy":
        workspace = workspace.copy()
        workspace.renew()
    if how == "a pickled copy of it":
        workspace.reduction = workspace.scans = workspace.hdul = None
        workspace = pickle.loads(cloudpickle.dumps(workspace))  # noqa: S301 - our own
        workspace.reduction, workspace.scans = reduction, [scan]
    workspace.enable_level = False
    workspace.configuration.parse_key_value("source.despike", "False")
    workspace.add_integration(integration)
    workspace.process_scan(scan)
    for number, first in before.items():
        found = workspace.pixel_maps[number].map
        # What is added once more has the mean of the first round, on top of which the first round is put.
        np.testing.assert_allclose(found.data[found.valid], 2 * first[found.valid], rtol=1e-12)


@pytest.mark.parametrize("how", ["copy", "deepcopy", "pickle"])
def test_copies_are_whole_and_apart(model: Any, how: str) -> None:
    if how == "copy":
        other = model.copy()
    else:
        model.reduction = model.scans = model.hdul = None  # as the pipeline does before
        other = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(cloudpickle.dumps(model))  # noqa: S301 - our own
    assert other.pixel_maps.keys() == model.pixel_maps.keys()
    assert other._ours.map_coupling == model._ours.map_coupling
    for number in (0, 60, 120):
        mine, theirs = model.pixel_maps[number], other.pixel_maps[number]
        np.testing.assert_array_equal(mine.map.data, theirs.map.data)
        assert not np.shares_memory(mine.map.data, theirs.map.data)
        assert np.shares_memory(theirs.map.data, other._ours.block.stack.data)
    assert list(other.grid.reference_index.coordinates) == list(model.grid.reference_index.coordinates)
    model.process()
    other.process()
    np.testing.assert_array_equal(model.pixel_maps[60].map.data, other.pixel_maps[60].map.data)


def test_one_map_can_be_pickled_by_itself(model: Any) -> None:
    found = model.pixel_maps[8]
    found.reduction = found.scans = None
    other = pickle.loads(cloudpickle.dumps(found))  # noqa: S301 - our own
    np.testing.assert_array_equal(other.map.data, found.map.data)
    assert other.ours is not None
    assert len(other.ours.block) == 1


def test_measuring_again_changes_nothing(model: Any) -> None:
    model.configuration.parse_key_value("pointing.method", "peak")
    model.configuration.parse_key_value("pointing.significance", "0.0")
    try:
        model.process()
        model.calculate_pixel_data()
        channels = model.scans[0].channels.data
        first = channels.position.coordinates.to_value("arcsec").copy(), channels.coupling.copy()
        model.calculate_pixel_data()
        np.testing.assert_array_equal(channels.position.coordinates.to_value("arcsec"), first[0])
        np.testing.assert_array_equal(channels.coupling, first[1])
        table = model.get_pixel_table()
        assert model.fits is not None
        assert model.fits.is_found.sum() > 60  # of 121
        good = table.flag == 0
        np.testing.assert_allclose(table.x[good], first[0][0][: table.x.size][good], atol=1e-9)
    finally:
        model.configuration.parse_key_value("pointing.significance", "6.0")
        model.configuration.parse_key_value("pointing.method", "centroid")


def test_the_maps_can_be_taken_to_pixtrace(model: Any, tmp_path: Path) -> None:
    model.process()
    ours = model.to_pixtrace()
    ours.write_fits(tmp_path / "maps.fits")
    again = BlockModel.read(tmp_path / "maps.fits")
    np.testing.assert_array_equal(again.pixel_maps[60].map.data, model.pixel_maps[60].map.data)


def test_maps_that_hold_sums_are_measured_with_a_warning(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    model.calculate_pixel_data()
    assert "hold sums over samples" in caplog.text
    assert set(model._ours.block.stack.content) == {"sums"}


def test_a_moving_source_stands_still_on_the_focal_plane(loaded: Any) -> None:
    reduction, read = loaded
    scan = read()
    reduction.configuration.parse_key_value("system", "focalplane")
    scan.is_nonsidereal = True
    model = PixelMap(reduction.info, reduction=reduction)
    model.create_from([scan])
    assert scan.is_nonsidereal
    assert model.configuration.get_string("system") == "focalplane"
