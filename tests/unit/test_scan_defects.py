"""What the reference gets wrong (section 17 of its description) and these maps get right, defect by defect.

14, the fits, is in `test_scan_accuracy.py`; 15, couplings and tables, in `test_scan_pixel_map.py`, `test_scan_files.py`
and `test_io_rcp.py`; more of 20 in `test_scan_processing.py`. What sofia_redux does instead, number by number, is in
`tests/adapters/sofia_peer/peer_defects.py`, which runs it.
"""

import json
import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.exceptions import DataError
from pixtrace.scan import ChannelFlag, Channels, Info, Instrument, MapGrid, PixelMap, Reduction, Scan
from pixtrace.scan.flags import SampleFlag
from tests.strategies.scans import CELL, FWHM, POSITIONS, make_maps, make_scan, pattern, signals

pytestmark = pytest.mark.usefixtures("stack_class")


def residual(model: PixelMap, scan: Scan) -> float:
    """Return the largest difference between the signals of a scan and its maps, where the maps have cells."""
    frames, channels = scan[0].frames, scan[0].channels
    assert frames.map_index is not None
    ix, iy = frames.map_index[..., 0]
    worst = 0.0
    for number, found in model.pixel_maps.items():
        column = int(channels.find_fixed_indices([number])[0])
        worst = max(worst, float(np.abs(frames.data[:, column] - found.map.data[iy, ix]).max()))
    return worst


def test_1_reduction_runs_with_its_own_defaults() -> None:
    source = Reduction(scans=[make_scan(200)]).make_maps()
    assert source.reduction is not None
    assert source.count_points() > 0


@pytest.mark.parametrize("flag", [ChannelFlag.GAIN, ChannelFlag.SENSITIVITY])
def test_2_channels_without_a_map_do_not_stop_the_subtraction(flag: ChannelFlag) -> None:
    scan = make_scan(200, flag=[0, int(flag), 0, 0])
    model = make_maps(scan)
    assert list(model.pixel_maps) == [7, 12, 5]
    before = scan[0].frames.data.copy()
    model.sync()
    changed = (scan[0].frames.data != before).any(axis=0)
    np.testing.assert_array_equal(changed, [True, False, True, True])


def test_3_one_round_without_subtraction_can_be_processed_and_finished() -> None:
    scan = make_scan(200, options={"source.nosync": True})
    reduction = Reduction(scans=[scan])
    source = reduction.make_maps()
    before = scan[0].frames.data.copy()
    reduction.sync()
    np.testing.assert_array_equal(scan[0].frames.data, before)
    source.process_final()
    assert isinstance(source.process_brief, list)


def test_4_every_frame_is_subtracted_at_its_own_cell() -> None:
    # As many frames as cells, each in a cell of its own: the maps are the signals, and nothing may be left of them.
    y, x = np.mgrid[0:8, 0:8] * CELL - 3.5 * CELL
    offset = np.stack([x.ravel(), y.ravel()])[:, np.random.default_rng(3).permutation(64)]
    scan = make_scan(offset=offset)
    model = make_maps(scan)
    assert residual(model, scan) < 1e-12
    model.sync()
    np.testing.assert_allclose(scan[0].frames.data, 0.0, atol=1e-12)


def test_5_dead_channels_do_not_shift_the_columns() -> None:
    scan = make_scan(200, flag=[int(ChannelFlag.DEAD), 0, int(ChannelFlag.BLIND), 0])
    model = make_maps(scan)
    before = scan[0].frames.data.copy()
    model.sync()
    changed = (scan[0].frames.data != before).any(axis=0)
    np.testing.assert_array_equal(changed, [False, True, False, True])


def test_6_each_pixel_has_its_own_base() -> None:
    model = make_maps(make_scan(300))
    model.set_base()
    for found in model.pixel_maps.values():
        valid = found.map.valid
        np.testing.assert_array_equal(found.base[valid], found.map.data[valid])
        assert np.isnan(found.base[~valid]).all()
    bases = [found.base for found in model.pixel_maps.values()]
    assert not any(np.shares_memory(bases[0], other) for other in bases[1:])


def test_7_adding_a_model_copies_and_honours_the_weight() -> None:
    other = make_maps(make_scan(300))
    model = PixelMap(other.info)
    model.add_model_data(other, weight=0.25)
    assert list(model.pixel_maps) == list(other.pixel_maps)
    model.process()
    for number, found in model.pixel_maps.items():
        theirs = other.pixel_maps[number].map
        assert not np.shares_memory(found.map.data, theirs.data)
        np.testing.assert_allclose(found.map.weight, 0.25 * theirs.weight, rtol=1e-12)
        np.testing.assert_allclose(found.map.data[theirs.valid], theirs.data[theirs.valid], rtol=1e-12)
    kept = other.pixel_maps[7].map.data.copy()
    model.clear_content()
    np.testing.assert_array_equal(other.pixel_maps[7].map.data, kept)


def test_4_6_7_more_rounds_find_the_same_sources() -> None:
    scan = make_scan(2500, noise=0.01)
    reduction = Reduction(scans=[scan])
    source = reduction.make_maps()
    first = {number: found.map.data.copy() for number, found in source.pixel_maps.items()}
    for _ in range(2):
        reduction.sync()
        source.clear_content()
        source.add_scans()
        source.process_scan(scan)  # adds what was subtracted
        source.process()
    for number, found in source.pixel_maps.items():
        valid = found.map.valid
        level = float(np.median((found.map.data - first[number])[valid]))
        np.testing.assert_allclose(found.map.data[valid] - level, first[number][valid], atol=1e-9)


def test_8_copies_keep_the_reference_index() -> None:
    model = make_maps(make_scan(200))
    assert model.reference_index is not None
    for other in (model.copy(), model.copy(with_contents=False), model.get_clean_local_copy()):
        assert other.grid == model.grid
        assert other.reference_index == model.reference_index
    assert model.copy().pixel_maps[7].grid.reference_index == model.reference_index


def test_9_maps_know_their_beams_and_what_to_smooth_to_from_the_beginning() -> None:
    scan = make_scan(200, options={"smooth": "beam"})
    model = PixelMap(scan.info)
    model.create_from([scan])
    model.add_scans()
    found = model.pixel_maps[7]
    assert found.smoothing == FWHM
    assert found.map.smoothing_fwhm == pytest.approx(CELL / 1.0644670194)
    assert model.get_point_size() == FWHM


def test_10_merging_keeps_what_only_one_side_has() -> None:
    one = make_maps(make_scan(300, flag=[0, 0, 4, 4]))
    two = make_maps(make_scan(300, flag=[4, 0, 0, 4]))
    whole = make_maps(make_scan(300))
    one.merge_accumulate(two)
    one.process()
    assert sorted(one.pixel_maps) == [3, 7, 12]
    for number, times in ((7, 1), (3, 2), (12, 1)):
        np.testing.assert_allclose(one.pixel_maps[number].map.data, whole.pixel_maps[number].map.data, atol=1e-12)
        exposure = times * whole.pixel_maps[number].map.exposure
        np.testing.assert_allclose(one.pixel_maps[number].map.exposure, exposure, atol=1e-12)


@pytest.mark.parametrize("full", [False, True])
def test_11_a_round_is_counted_once(full: bool) -> None:
    options = {"pixelmap.process": full, "source.nosync": True}
    model = make_maps(make_scan(200, options=options))
    assert model.generation == 1
    assert [found.generation for found in model.pixel_maps.values()] == [int(full)] * 4
    model.process()
    assert model.generation == 2


def test_11_the_weight_of_a_scan_is_not_that_of_its_last_pixel() -> None:
    options = {"weighting.scans": True, "weighting.scans.method": "rms"}
    quiet, last = 0.1, 10.0  # the last pixel is a hundred times as noisy as its variance says
    rng = np.random.default_rng(5)
    offset = pattern(4000)
    data = np.stack([quiet, quiet, quiet, last]) * rng.standard_normal((4000, 4))
    info = Info(Instrument(sampling_interval=0.01, resolution=FWHM), {"grid": CELL, **options})
    channels = Channels([7, 3, 12, 5], variance=quiet**2)
    scan = Scan.from_arrays(data, None, offset, channels, info=info)
    model = PixelMap(info)
    model.create_from([scan])
    model.add_scans()
    model.process_scan(scan)
    assert scan.weight == pytest.approx(4.0 / (3.0 + 1e4), rel=0.1)
    scan.info.configuration["weighting.scans.method"] = "robust"
    again = PixelMap(info)
    again.create_from([scan])
    again.add_scans()
    again.process_scan(scan)
    assert scan.weight == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("is_nonsidereal", [False, True])
def test_12_moving_targets_stay_on_the_focal_plane(is_nonsidereal: bool) -> None:
    angle = 40.0
    turned = np.deg2rad(angle)
    plane = pattern(1500)
    native = np.stack(
        [
            plane[0] * np.cos(turned) - plane[1] * np.sin(turned),
            plane[0] * np.sin(turned) + plane[1] * np.cos(turned),
        ]
    )
    scan = make_scan(offset=native, is_nonsidereal=is_nonsidereal, angle=angle)
    scan[0].frames.data[...] = signals(plane, POSITIONS, (1.0,) * 4)
    model = make_maps(scan)
    for (x, y), number in zip(POSITIONS, (7, 3, 12, 5), strict=True):
        coordinates = model.pixel_maps[number].get_peak_coords()
        np.testing.assert_allclose(coordinates.to_value("arcsec"), [-x, -y], atol=CELL)


def test_13_one_pixel_alone_has_the_map_it_has_among_others() -> None:
    alone = make_maps(make_scan(400, flag=[4, 4, 0, 4]))
    among = make_maps(make_scan(400))
    assert list(alone.pixel_maps) == [12]
    np.testing.assert_allclose(alone.pixel_maps[12].map.data, among.pixel_maps[12].map.data, rtol=1e-12)


def test_16_frames_outside_have_no_index_and_emptiness_is_that_of_the_cells() -> None:
    scan = make_scan(200)
    model = PixelMap(scan.info)
    assert model.is_empty()
    model.create_from([scan])
    scan[0].frames._offset[:, [3, 50]] += 1000.0
    scan[0].frames._offset[:, [7, 60]] -= 1000.0
    model.create_lookup(scan[0])
    source, index = scan[0].frames.source_index, scan[0].frames.map_index
    assert source is not None
    assert index is not None
    assert (source[[3, 50, 7, 60]] == -1).all()
    assert (index[:, [3, 50, 7, 60]] == -1).all()
    np.testing.assert_array_equal(model.source_index_to_pixel_index(source), index)
    model.add_scans()
    assert not model.is_empty()
    assert model.is_valid()
    n_maps, n_cells = 4, int(np.prod(model.shape))
    block = model.need_block().stack
    planes: list[npt.NDArray[Any]] = [block.data, block.weight, block.exposure, block.flag]
    assert model.get_pixel_footprint() * n_cells == sum(int(plane.nbytes) for plane in planes)
    assert model.base_footprint(n_cells) == block.base.nbytes
    model.clear_content()
    assert len(model.pixel_maps) == n_maps
    assert model.is_empty()
    assert not model.is_valid()


def test_17_calls_with_threads_change_nothing_and_leave_no_log_handlers() -> None:
    def n_handlers() -> int:
        loggers = logging.getLogger().manager.loggerDict.values()
        return sum(len(getattr(logger, "handlers", [])) for logger in loggers)

    expected = make_maps(make_scan(400, options={"jobs": 1}))
    before = n_handlers()
    for jobs in (2, 8):
        model = make_maps(make_scan(400, options={"jobs": jobs}))
        for number, found in model.pixel_maps.items():
            np.testing.assert_array_equal(found.map.data, expected.pixel_maps[number].map.data)
    assert n_handlers() == before


def test_18_a_clean_copy_copies_no_maps() -> None:
    model = make_maps(make_scan(200))
    assert len(model.get_clean_local_copy().pixel_maps) == 0
    full = model.get_clean_local_copy(full=True)
    assert list(full.pixel_maps) == list(model.pixel_maps)
    assert full.is_empty()
    assert full.generation == 0


def test_19_what_is_not_a_number_is_left_out() -> None:
    good = make_maps(make_scan(400))
    scan = make_scan(400)
    frames = scan[0].frames
    rng = np.random.default_rng(2)
    spoilt = rng.random(frames.data.shape) < 0.1
    frames.data[spoilt] = np.nan
    model = make_maps(scan)
    reference = make_scan(400)
    reference[0].frames.sample_flag[spoilt] = SampleFlag.SPIKE
    expected = make_maps(reference)
    for number, found in model.pixel_maps.items():
        assert np.isfinite(found.map.data).all()
        np.testing.assert_allclose(found.map.data, expected.pixel_maps[number].map.data, rtol=1e-12)
    assert model.count_points() <= good.count_points()


def test_20_sums_are_divided_once() -> None:
    model = make_maps(make_scan(300))
    before = {number: found.map.data.copy() for number, found in model.pixel_maps.items()}
    model.process()
    model.pixel_maps[3].end_accumulation()
    model.set_base()
    for number, found in model.pixel_maps.items():
        np.testing.assert_array_equal(found.map.data, before[number])


def test_20_processed_maps_can_go_on_accumulating() -> None:
    halves = make_scan(300), make_scan(300, offset=pattern(600)[:, 300:])
    model = make_maps(halves[0])
    model.scans.append(halves[1])
    model.add_integration(halves[1][0])
    model.process()
    whole = make_maps(make_scan(600))
    if whole.grid != model.grid:
        pytest.fail("the halves were meant to cover the same cells")
    for number, found in model.pixel_maps.items():
        np.testing.assert_allclose(found.map.data, whole.pixel_maps[number].map.data, atol=1e-12)


def test_maps_of_different_grids_do_not_mix() -> None:
    model = make_maps(make_scan(200))
    other = PixelMap(model.info)
    other.set_grid(MapGrid((3, 3), (CELL, CELL), (1.0, 1.0)))
    with pytest.raises(DataError, match="different grids"):
        model.merge_accumulate(other)


def test_cells_of_another_grid_are_not_taken_for_ours() -> None:
    # Frames that were in maps of other cells before: those cells would be wrong ones here, and nobody would know.
    expected = make_maps(make_scan(600, options={"grid": 2.0}))
    scan = make_scan(600, options={"indexing": False})
    make_maps(scan)
    scan.configuration["grid"] = 2.0
    model = make_maps(scan)
    for number, found in model.pixel_maps.items():
        np.testing.assert_array_equal(found.map.data, expected.pixel_maps[number].map.data)
    other = PixelMap(scan.info)
    other.set_grid(MapGrid((30, 31), (2.5, 2.5), (15.0, 14.5)))
    frames, pixels = scan[0].frames, scan.channels.create_group()
    with pytest.raises(DataError, match="cells under these frames are those of another grid"):
        other.add_points(frames, pixels, np.ones(600), np.ones(4))
    other.add_integration(scan[0])
    np.testing.assert_allclose(other.need_block().stack.exposure.sum(axis=(1, 2)), 600 * 0.01)


def test_gains_are_brought_to_the_first_scans_units_once() -> None:
    one, two = make_scan(50), make_scan(50, jansky_per_beam=2.5)
    model = PixelMap(one.info)
    for _ in range(2):
        model.create_from([one, two])
    assert (one[0].gain, two[0].gain) == (1.0, 2.5)
    assert one.source_model is model
    other = PixelMap(one.info)
    other.create_from([one, two], assign_scans=False)
    assert one.source_model is model
    other.create_from([two, one])  # now in the units of the other one
    assert [one[0].gain, two[0].gain] == pytest.approx([0.4, 1.0])
    other.create_from([two])
    other.create_from([one, two])
    assert [one[0].gain, two[0].gain] == pytest.approx([1.0, 2.5])


def test_objects_of_others_are_read_by_their_attributes() -> None:
    # Coordinates in wrappers, times as quantities, flags in flag spaces: as in the reference.
    from astropy import units

    scan = make_scan(300)
    expected = make_maps(make_scan(300))
    model = PixelMap(scan.info)
    model.create_from([scan])
    ours = scan[0].frames
    flags = SimpleNamespace(SAMPLE_SOURCE_BLANK=SimpleNamespace(value=8192), SOURCE_FLAGS=SimpleNamespace(value=63))
    frames = SimpleNamespace(
        data=ours.data,
        valid=ours.valid,
        flag=ours.flag.astype(np.int64),
        relative_weight=ours.relative_weight,
        sample_flag=np.where(np.arange(4) < 4, 8192, 0) + np.zeros((300, 4), dtype=np.int64),
        map_index=SimpleNamespace(coordinates=ours.map_index),
        flagspace=SimpleNamespace(flags=flags),
    )
    instrument = SimpleNamespace(sampling_interval=10.0 * units.ms)
    channels = scan[0].channels
    pixels = SimpleNamespace(
        fixed_index=channels.fixed_index,
        indices=channels.indices,
        variance=channels.variance,
        coupling=channels.coupling,
        info=SimpleNamespace(instrument=instrument),
    )
    assert model.add_points(frames, pixels, np.ones(300), np.ones(4)) == 300
    model.process()
    for number, found in model.pixel_maps.items():
        np.testing.assert_allclose(found.map.data, expected.pixel_maps[number].map.data, rtol=1e-12)
        np.testing.assert_allclose(found.map.exposure, expected.pixel_maps[number].map.exposure, rtol=1e-12)
    model.sync_source_gains(frames, pixels, np.ones(300), np.ones(4), np.zeros(4))
    assert (frames.sample_flag == 0).all()  # nothing is masked, and so nothing is blanked


def test_options_can_be_written_as_json() -> None:
    assert json.loads(json.dumps(make_scan(10).configuration.changed())) == {"grid": [CELL]}
