"""What a `PixelMap` does, beyond what the reference gets wrong."""

from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import DataError, ParameterError, ShapeError
from pixtrace.scan import ChannelFlag, FitFlag, IntensityMap, PixelMap, Reduction, SampleFlag, Scan
from pixtrace.scan.checkpoint import from_state, to_state
from tests.strategies.scans import CELL, DT, FWHM, POSITIONS, make_maps, make_scan, pattern

GAINS = (1.0, 1.2, 0.8, 1.1)
NUMBERS = (7, 3, 12, 5)

pytestmark = pytest.mark.usefixtures("stack_class")


def measured(**changes: Any) -> tuple[PixelMap, Scan]:
    arguments: dict[str, Any] = {"n_frames": 4000, "noise": 0.02, **changes}
    scan = make_scan(**arguments)
    model = make_maps(scan)
    model.calculate_pixel_data()
    return model, scan


def test_positions_and_couplings_are_those_of_the_simulation() -> None:
    model, scan = measured()
    position = scan.channels.position.to_value("arcsec")
    np.testing.assert_allclose(position.T, POSITIONS, atol=0.1)
    np.testing.assert_allclose(scan.channels.coupling, np.array(GAINS) / np.median(GAINS), rtol=0.02)
    table = model.get_pixel_table()
    np.testing.assert_array_equal(table.fixed_index, NUMBERS)
    np.testing.assert_allclose(table.x, position[0])
    np.testing.assert_allclose(table.coupling, scan.channels.coupling)
    assert (table.x_error > 0).all()
    assert (table.x_error < 0.1).all()
    assert (table.coupling_error / table.coupling < 0.02).all()
    assert not (table.flag & FitFlag.NOT_FOUND).any()


def test_couplings_do_not_compound() -> None:
    model, scan = measured()
    once = scan.channels.coupling.copy()
    model.calculate_pixel_data()
    np.testing.assert_array_equal(scan.channels.coupling, once)
    model.process_final()
    model.calculate_pixel_data()
    np.testing.assert_allclose(scan.channels.coupling, once, rtol=1e-6)


def test_maps_made_with_the_couplings_give_the_same_couplings() -> None:
    model, scan = measured()
    once = scan.channels.coupling.copy()
    scan[0].channels.coupling[...] = once
    model.clear_content()
    model.add_scans()
    model.process()
    model.calculate_pixel_data()
    np.testing.assert_allclose(scan.channels.coupling, once, rtol=0.01)
    peaks = model.fits.peak if model.fits is not None else np.zeros(4)
    np.testing.assert_allclose(peaks / np.median(peaks), 1.0, rtol=0.01)


def test_fitting_leaves_the_maps_alone() -> None:
    model = make_maps(make_scan(2000, noise=0.02))
    before = {number: found.map.data.copy() for number, found in model.pixel_maps.items()}
    model.calculate_pixel_data()
    for number, found in model.pixel_maps.items():
        np.testing.assert_array_equal(found.map.data, before[number])
        assert found.map.content == "means"


def test_a_pixel_without_a_source_has_no_position() -> None:
    scan = make_scan(4000, noise=0.02, gains=(1.0, 0.0, 0.8, 1.1), flag=[0, 0, 0, int(ChannelFlag.GAIN)])
    scan.channels._nominal[...] = 99.0
    scan.channels._position[...] = 99.0
    model = make_maps(scan)
    table = model.get_pixel_table()
    np.testing.assert_array_equal(table.fixed_index, NUMBERS)
    np.testing.assert_array_equal(np.isnan(table.x), [False, True, False, True])
    assert table.flag[1] & FitFlag.NOT_FOUND
    assert table.flag[3] == FitFlag.NO_MAP | FitFlag.FLAGGED
    assert np.isnan(table.coupling[[1, 3]]).all()
    np.testing.assert_array_equal(scan.channels.position.value[:, [1, 3]], 99.0)
    np.testing.assert_array_equal(scan.channels.coupling[[1, 3]], 1.0)


def test_maps_are_views_into_the_block() -> None:
    model = make_maps(make_scan(200))
    found = model.pixel_maps[12]
    stack = model.need_block().stack
    for name in ("data", "weight", "exposure", "flag"):
        assert np.shares_memory(getattr(found.map, name), getattr(stack, name))
    found.map.data[2, 3] = 42.0
    assert stack.data[2, 2, 3] == 42.0
    assert np.shares_memory(found.base, stack.base)


def test_views_stay_good_when_maps_are_added() -> None:
    model = make_maps(make_scan(200, flag=[0, 4, 4, 4]))
    found = model.pixel_maps[7]
    before = found.map.data.copy()
    other = make_maps(make_scan(200, flag=[4, 0, 0, 0]))
    model.merge_accumulate(other)
    model.process()
    np.testing.assert_array_equal(found.map.data, before)
    assert np.shares_memory(found.map.data, model.need_block().stack.data)


def test_the_mapping_of_maps() -> None:
    model = make_maps(make_scan(200))
    maps = model.pixel_maps
    assert set(maps) == set(NUMBERS)
    copy = maps[3].copy()
    expected = copy.map.data.copy()
    del maps[3]
    assert list(model.pixel_maps) == [7, 12, 5]
    with pytest.raises(KeyError):
        maps[3]
    with pytest.raises(KeyError):
        del maps[3]
    maps[3] = copy
    np.testing.assert_array_equal(model.pixel_maps[3].map.data, expected)
    assert model.pixel_maps[3].map.content == "means"
    model.pixel_maps = {5: copy}
    np.testing.assert_array_equal(model.pixel_maps[5].map.data, expected)
    assert len(model.pixel_maps) == 1
    with pytest.raises(ParameterError, match="no grid"):
        PixelMap().pixel_maps[1] = copy


def test_copies_are_copies() -> None:
    model = make_maps(make_scan(200))
    other = model.copy()
    assert other.scans is model.scans
    assert other.generation == model.generation
    assert other.info is not model.info
    other.configuration["grid"] = 9.0
    assert model.configuration["grid"] == (CELL,)
    kept = model.pixel_maps[7].map.data.copy()
    other.pixel_maps[7].map.data[...] = -1.0
    other.add_process_brief("copy")
    np.testing.assert_array_equal(model.pixel_maps[7].map.data, kept)
    assert "copy" not in model.process_brief


def test_adding_halves_and_merging_is_adding_all() -> None:
    whole = make_maps(make_scan(600, noise=0.1))
    scan = make_scan(600, noise=0.1)
    parts = []
    for part in (slice(0, 250), slice(250, 600)):
        model = PixelMap(scan.info)
        model.create_from([scan])
        scan[0].frames.valid[...] = False
        scan[0].frames.valid[part] = True
        model.set_grid(whole.need_block().grid)
        model.create_lookup(scan[0])
        model.add_scans()
        parts.append(model)
        scan[0].frames.valid[...] = True
    parts[0].merge_accumulate(parts[1])
    parts[0].process()
    assert parts[0].integration_time == pytest.approx(600 * DT)
    for number, found in parts[0].pixel_maps.items():
        np.testing.assert_allclose(found.map.data, whole.pixel_maps[number].map.data, atol=1e-12)


def test_add_model_takes_everything() -> None:
    one, two = make_maps(make_scan(300)), make_maps(make_scan(300))
    two.generation, two.enable_bias = 5, False
    one.add_model(two, weight=2.0)
    one.process()
    assert one.generation == 6
    assert one.enable_bias is False
    assert one.integration_time == pytest.approx(600 * DT)
    np.testing.assert_allclose(one.pixel_maps[7].map.weight, 3.0 * two.pixel_maps[7].map.weight)
    with pytest.raises(ParameterError, match="expected a PixelMap"):
        one.add_model_data("maps")
    with pytest.raises(ParameterError, match="`weight`"):
        one.add_model_data(two, weight=-1.0)


def test_a_map_added_to_itself_doubles_its_weight() -> None:
    model = make_maps(make_scan(300))
    expected = model.copy()
    model.merge_accumulate(model)
    model.process()
    np.testing.assert_allclose(model.pixel_maps[5].map.data, expected.pixel_maps[5].map.data, atol=1e-12)
    np.testing.assert_allclose(model.pixel_maps[5].map.weight, 2.0 * expected.pixel_maps[5].map.weight)


def test_subtracting_keeps_the_books() -> None:
    scan = make_scan(400)
    model = make_maps(scan)
    integration = scan[0]
    generation = model.generation
    model.sync()
    assert integration.source_generation == 1
    assert model.generation == generation + 1
    assert scan.source_points == model.count_points()
    np.testing.assert_array_equal(integration.source_sync_gain, integration.channels.get_source_gains())
    left = integration.frames.data.copy()
    model.sync()  # nothing has changed since: map and base are the same
    np.testing.assert_allclose(integration.frames.data, left, atol=1e-12)
    dependents = integration.get_dependents("source")
    n_points = model.count_points() / model.covariant_points()
    assert dependents.channel.sum() == pytest.approx(n_points)
    assert dependents.frame.sum() == pytest.approx(n_points)


def test_masked_cells_blank_the_samples() -> None:
    scan = make_scan(600, options={"pixelmap.process": True, "blank": 5.0})
    model = make_maps(scan)
    model.sync()
    flags, index = scan[0].frames.sample_flag, scan[0].frames.map_index
    assert index is not None
    for column, number in enumerate(NUMBERS):
        masked = model.pixel_maps[number].is_masked()
        assert masked.any()
        expected = masked[index[1, :, 0], index[0, :, 0]]
        np.testing.assert_array_equal((flags[:, column] & SampleFlag.SOURCE_BLANK) != 0, expected)
    # They enter the maps all the same.
    before = model.pixel_maps[7].map.exposure.copy()
    model.clear_content()
    model.add_scans()
    np.testing.assert_array_equal(model.pixel_maps[7].map.exposure, before)


@pytest.mark.parametrize("number", NUMBERS)
def test_units_of_work(number: int) -> None:
    scan = make_scan(300)
    model = make_maps(scan)
    k = NUMBERS.index(number)
    frames = scan[0].frames
    ones = np.ones(frames.data.shape)
    assert frames.map_index is not None
    samples = (NUMBERS, frames.data, ones, 100.0 * ones, DT, np.repeat(frames.map_index, 4, axis=2))
    fixed, found = PixelMap.parallel_safe_add_points((model.template, {}, *samples), k)
    assert fixed == number
    again = PixelMap.parallel_safe_add_points((model.template, {number: found}, *samples), k)
    assert again[1] is found
    found.end_accumulation()
    np.testing.assert_allclose(found.map.data, model.pixel_maps[number].map.data, atol=1e-12)
    np.testing.assert_allclose(found.map.exposure, 2.0 * model.pixel_maps[number].map.exposure)

    fixed, merged = PixelMap.parallel_safe_merge_accumulate(({}, model.pixel_maps), number)
    assert merged is not None
    assert not np.shares_memory(merged.map.data, model.pixel_maps[number].map.data)
    PixelMap.parallel_safe_merge_accumulate(({number: merged}, model.pixel_maps), number)
    merged.end_accumulation()
    np.testing.assert_allclose(merged.map.weight, 2.0 * model.pixel_maps[number].map.weight)
    assert PixelMap.parallel_safe_merge_accumulate(({}, {}), number) == (number, None)

    expected = model.copy()
    expected.process_final()
    fixed, final = PixelMap.parallel_safe_process_final((model.copy().pixel_maps,), number)
    assert final is not None
    np.testing.assert_array_equal(final.map.data, expected.pixel_maps[number].map.data)
    np.testing.assert_array_equal(final.map.weight, expected.pixel_maps[number].map.weight)

    pixels = scan[0].channels.create_group()
    arguments = (model.pixel_maps, frames, pixels, np.ones(300), np.ones(4), np.zeros(4))
    before = frames.data.copy()
    signal = PixelMap.parallel_safe_sync_source_gains(arguments, k)
    changed = (frames.data != before).any(axis=0)
    np.testing.assert_array_equal(np.flatnonzero(changed), [k])
    assert np.shares_memory(signal, frames.data)


def test_fitting_one_map_by_itself() -> None:
    from astropy import units

    model, _ = measured()
    fits = model.fits
    assert fits is not None
    for k, number in enumerate(NUMBERS):
        arguments = (model.pixel_maps, False, FWHM * units.arcsec, 3, True)
        fit = PixelMap.parallel_safe_calculate_pixel_data(arguments, number)
        assert fit is not None
        assert fit == fits.fit(k)
        np.testing.assert_allclose(-fit.coordinates.value, POSITIONS[k], atol=0.1)
        assert fit.fwhm == pytest.approx(FWHM, rel=0.1)
        assert fit.significance > 20
    assert PixelMap.parallel_safe_calculate_pixel_data((model.pixel_maps, False, FWHM, 3, True), 99) is None


def test_threads_are_a_number() -> None:
    model = PixelMap()
    assert model.get_parallel() == 1
    model = make_maps(make_scan(100))
    model.set_parallel(3)
    assert (model.get_parallel(), model.n_threads) == (3, 3)
    model.no_parallel()
    assert (model.get_parallel(), model.n_threads) == (0, 1)
    with pytest.raises(ParameterError, match="`threads`"):
        model.set_parallel(0)
    model = make_maps(make_scan(100, options={"jobs": 2}))
    assert model.n_threads == 2


def test_small_questions() -> None:
    scan = make_scan(100, object_name="Mars")
    model = make_maps(scan)
    assert model.get_source_name() == "Mars"
    assert str(model.get_unit().unit) == "ct"
    assert model.get_map_2d() is None
    assert model.is_adding_to_master()
    assert model.referenced_attributes == {"scans", "reduction", "pixel_maps"}
    assert model.shape == model.pixel_maps[7].shape
    assert PixelMap().shape == ()
    assert model.covariant_points() == pytest.approx(1.0)
    assert model.exclude_samples == ~SampleFlag.SOURCE_BLANK
    model.calculate_coupling(scan[0], None, [], [])
    model.set_data_shape((5, 6))
    assert model.shape == (5, 6)
    assert {found.map.data.shape for found in model.pixel_maps.values()} == {(5, 6)}
    assert model.is_empty()
    model.reset_processing()
    assert (model.generation, model.integration_time) == (0, 0.0)
    model.pixel_maps[7].add_process_brief("a")
    model.clear_process_brief()
    assert model.process_brief == model.pixel_maps[7].process_brief == []
    model.clear_all_memory()
    assert len(model.pixel_maps) == 0
    assert model.scans == []


def test_what_is_missing_is_said() -> None:
    scan = make_scan(50)
    model = PixelMap(scan.info)
    with pytest.raises(DataError, match="create_from"):
        model.add_integration(scan[0])
    with pytest.raises(DataError, match="no scans"):
        model.create_from([])
    with pytest.raises(DataError, match="create_from"):
        model.calculate_pixel_data()
    scan[0].frames.valid[...] = False
    with pytest.raises(DataError, match="no valid frame"):
        model.create_from([scan])
    with pytest.raises(DataError, match="no scans"):
        Reduction().init_source_model()
    with pytest.raises(DataError, match="no maps"):
        Reduction(scans=[scan]).sync()


def test_maps_that_would_be_too_large_are_refused() -> None:
    scan = make_scan(50, offset=pattern(50, extent=1e5), options={"grid": 1.0})
    with pytest.raises(DataError, match="large"):
        PixelMap(scan.info).create_from([scan])


def test_set_data_checks_shapes() -> None:
    found: IntensityMap = make_maps(make_scan(50)).pixel_maps[7]
    with pytest.raises(ShapeError, match="`weight`"):
        found.set_data(weight=np.zeros((1, 2)))
    with pytest.raises(DataError, match="plane 'wieght'"):
        found.set_data(wieght=np.zeros(found.shape))


def test_a_state_can_go_on() -> None:
    scan = make_scan(600, noise=0.05)
    whole = make_maps(scan)
    first = PixelMap(scan.info)
    first.create_from([scan])
    scan[0].frames.valid[300:] = False
    first.add_scans()
    second = from_state(PixelMap, to_state(first))
    assert second.grid == first.grid
    second.scans = [scan]
    scan[0].frames.valid[...] = True
    scan[0].frames.valid[:300] = False
    second.add_scans()
    second.process()
    assert second.integration_time == pytest.approx(600 * DT)
    for number, found in second.pixel_maps.items():
        np.testing.assert_allclose(found.map.data, whole.pixel_maps[number].map.data, atol=1e-12)
        assert found.integration_time == pytest.approx(600 * DT)


def test_a_table_leaves_the_channels_alone() -> None:
    scan = make_scan(2000, noise=0.02)
    table = make_maps(scan).get_pixel_table()
    assert np.isfinite(table.x).all()
    assert (scan.channels.position.value == 0).all()
    assert (scan.channels.coupling == 1).all()


def test_a_reduction_takes_the_constants_of_its_first_scan() -> None:
    scan = make_scan(100)
    reduction = Reduction()
    reduction.add_scan(scan)
    assert reduction.info is scan.info
    assert reduction.size == 1
    source = reduction.make_maps()
    assert reduction.make_maps() is source
    assert source.integration_time == pytest.approx(100 * DT)
