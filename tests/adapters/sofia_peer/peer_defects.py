"""The defects of sofia_redux 1.5.2 as it comes, one by one, by the numbers of section 17 of its description.

Each is what a test of ours (`tests/unit/test_scan_defects.py`, and those named below) holds to be wrong: with
sofia_redux in our place that test would fail. Should a test here fail, sofia_redux was mended, and ours should be
looked at.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.io.rcp import read_rcp
from pixtrace.scan import MapStack
from tests.adapters.sofia_peer.scans import make, ones
from tests.adapters.sofia_peer.untyped import Reduction, get_sample_points, log, pixel_map

pytest_plugins = ("tests.adapters.sofia_peer.fixtures",)

N_PIXELS = 121


def native(loaded: Any) -> Any:
    """Return a model of sofia_redux that holds the samples of the scan."""
    return make(loaded, pixel_map.PixelMap)


@pytest.fixture
def model(loaded: Any) -> Any:
    """Return such a model."""
    return native(loaded)


def beammap(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: str) -> None:
    """Reduce a scan by ``beammap``."""
    monkeypatch.chdir(folder)
    reduction = Reduction("example")
    log.setLevel("ERROR")
    default = {"beammap": "True", "write.png": "False", "outpath": str(folder)}
    reduction.add_user_configuration(options={**default, **options})
    reduction.read_scans([str(path)])
    reduction.validate()
    reduction.reduce()


def test_1_the_default_reduction_dies(scan_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AttributeError, match="available_reduction_jobs"):
        beammap(scan_file, tmp_path, monkeypatch)


def test_2_a_channel_without_a_map_is_an_error(model: Any) -> None:
    model.process()
    del model.pixel_maps[4]
    frames, pixels, frame_gains, gains = ones(model)
    with pytest.raises(KeyError):
        model.sync_source_gains(frames, pixels, frame_gains, gains, 0.0 * gains)


def test_3_one_round_without_subtraction_dies(scan_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"parallel.source": "False", "parallel.cores": "1", "parallel.jobs": "1"}
    with pytest.raises(TypeError, match="iterable"):
        beammap(scan_file, tmp_path, monkeypatch, rounds="1", **{"source.nosync": "True", **alone})


def test_4_samples_lose_what_another_cell_holds(model: Any) -> None:
    model.process()
    frames, pixels, frame_gains, gains = ones(model)
    before = frames.data[:, 2].copy()
    x, y = np.asarray(frames.map_index.coordinates)[:, :, 0]
    arguments = (model.pixel_maps, frames, pixels, frame_gains, gains, 0.0 * gains)
    lost = before - pixel_map.PixelMap.parallel_safe_sync_source_gains(arguments, 2)
    found = model.pixel_maps[2].map
    on_map = frames.valid & (x >= 0) & found.valid[y, x]
    expected = np.where(on_map, found.data[y, x], 0.0)
    assert np.abs(lost - expected).max() > 0.9 * np.abs(expected).max()


def test_5_columns_are_those_of_the_group(model: Any) -> None:
    model.process()
    frames, _, frame_gains, gains = ones(model)
    channels = model.scans[0][0].channels
    dead = channels.flagspace.flags.DEAD.value
    channels.data.flag[:3] = dead
    before = frames.data.copy()
    pixels = channels.get_mapping_pixels(discard_flag=dead)
    model.sync_source_gains(frames, pixels, frame_gains, gains, 0.0 * gains)
    changed = np.flatnonzero((frames.data != before).any(axis=0))
    assert changed.min() == 0  # not 3
    assert changed.max() == N_PIXELS - 4  # not 120


def test_6_all_pixels_share_one_base(model: Any) -> None:
    model.process()
    model.set_base()
    bases = [found.base for found in model.pixel_maps.values()]
    assert all(base is bases[0] for base in bases)


def test_7_a_model_that_is_added_is_not_copied(loaded: Any, model: Any) -> None:
    other = native(loaded)
    model.pixel_maps = {}
    model.add_model_data(other, weight=0.25)
    assert model.pixel_maps[3] is other.pixel_maps[3]


def test_8_copies_lose_the_reference(model: Any) -> None:
    def reference(one: Any) -> list[float]:
        return [float(index) for index in one.pixel_maps[3].map.grid.reference_index.coordinates]

    assert reference(model) == [float(index) for index in model.grid.reference_index.coordinates] != [0.0, 0.0]
    assert reference(model.copy()) == [0.0, 0.0]
    assert reference(model.get_clean_local_copy(full=True)) == [0.0, 0.0]


def test_9_maps_do_not_know_their_beams(model: Any) -> None:
    found = model.pixel_maps[3]
    assert found.map.underlying_beam is None
    assert model.configuration.get_string("smooth") == "minimal"
    assert found.smoothing.value == model.smoothing.value == 0.0


def test_10_merging_drops_what_only_the_other_has(loaded: Any, model: Any) -> None:
    del model.pixel_maps[1]
    model.merge_accumulate(native(loaded))
    assert 1 not in model.pixel_maps


def test_11_a_round_counts_once_for_each_map(model: Any) -> None:
    model.process()
    assert model.generation == N_PIXELS


def test_12_moving_targets_leave_the_focal_plane(loaded: Any) -> None:
    reduction, read = loaded
    reduction.configuration.parse_key_value("system", "focalplane")
    scan = read()
    scan.is_nonsidereal = True
    model = pixel_map.PixelMap(reduction.info, reduction=reduction)
    model.create_from([scan])
    assert model.configuration.get_string("system") == "equatorial"
    reduction.configuration.parse_key_value("system", "focalplane")


def test_13_one_pixel_alone_reads_another_index() -> None:
    index = np.arange(12).reshape(2, 6, 1)
    columns = np.ones((6, 3))
    flags = np.zeros((6, 3), dtype=int)
    given = (np.ones(6), np.ones(6), np.ones(3), np.ones(1), np.ones(6, dtype=bool), index, np.array([2]), flags, -1)
    *_, found = get_sample_points(columns, *given)
    assert found[0, :, 0].tolist() == [2, 3, 4, 5, 6, 7]  # not 0 .. 5


def test_14_fits_beside_holes(model: Any) -> None:
    """Ours, on the same maps: `tests/unit/test_scan_accuracy.py`, `rust/pixtrace/tests/gaussian_accuracy.rs`."""
    model.process()
    rng = np.random.default_rng(1)
    found = model.pixel_maps[60]
    y, x = np.indices(found.map.data.shape)
    fwhm, noise, n, n_native = 5.0, 0.05, 40, 12
    centre = 30.0 + rng.uniform(-5.0, 5.0, (n, 2))
    distance = (x - centre[:, 0, None, None]) ** 2 + (y - centre[:, 1, None, None]) ** 2
    data = np.exp(-4.0 * np.log(2.0) * distance / fwhm**2) + noise * rng.standard_normal(distance.shape)
    weight = np.where(rng.random(data.shape) < 0.05, 0.0, noise**-2)
    flag = np.where(weight > 0, 0, 1).astype(np.uint8)
    off = []
    for k in range(n_native):
        found.map.data, found.map.flag = data[k].copy(), flag[k].astype(int)
        found.map.weight.data, found.map.exposure.data = weight[k].copy(), np.ones(x.shape)
        source = found.get_peak_source(degree=3, reduce_degrees=True)
        if source is not None:
            place = source.coordinates.coordinates.to_value("arcsec") / 2.0 + model.grid.reference_index.coordinates
            off.append(place - centre[k])
    bound = 0.041  # of Cramer and Rao, in cells
    assert len(off) < n_native // 2 or np.std(off, axis=0).max() > 5.0 * bound
    ours = MapStack.from_arrays(data, weight, weight, flag, resolution=1.0, reference_index=0.0)
    fits = ours.fit_gaussians(beam_fwhm=fwhm)
    assert (np.std(fits.position - centre, axis=0) < 1.4 * bound).all()  # of forty, to a tenth
    np.testing.assert_allclose(fits.amplitude, 1.0, atol=0.2)


def test_15_couplings_compound_and_positions_have_four_digits(model: Any, tmp_path: Path) -> None:
    """Ours: `tests/unit/test_scan_pixel_map.py`, `tests/unit/test_io_rcp.py`, `tests/unit/test_scan_files.py`."""
    model.pixel_maps = {number: model.pixel_maps[number] for number in range(50, 56)}
    model.process()
    configuration = model.configuration
    try:
        configuration.parse_key_value("pointing.method", "peak")
        configuration.parse_key_value("pointing.significance", "0.0")
        model.calculate_pixel_data()
        data = model.scans[0].channels.data
        once = data.coupling.copy()
        model.calculate_pixel_data()
        assert np.abs(data.coupling / once - 1.0).max() > 0.1
        position = data.position.coordinates.copy()
        position[0] += 0.0345678 * position.unit
        data.position.coordinates = position
        model.write_pixel_data(str(tmp_path))
    finally:
        configuration.parse_key_value("pointing.significance", "6.0")
        configuration.parse_key_value("pointing.method", "centroid")
    (file,) = tmp_path.glob("*.rcp")
    table = read_rcp(file)
    assert table.fixed_index.size == N_PIXELS  # measured or not, without a mark
    assert np.abs(table.x - position[0].to_value("arcsec")).max() > 1e-3


def test_16_emptied_models_are_not_empty(model: Any) -> None:
    model.clear_content()
    assert model.count_points() == 0
    assert not model.is_empty()


def test_17_calls_with_jobs_leak_log_handlers(model: Any) -> None:
    def n_handlers() -> int:
        loggers = logging.getLogger().manager.loggerDict.values()
        return sum(len(getattr(logger, "handlers", [])) for logger in loggers)

    before = n_handlers()
    try:
        model.reduction.available_reduction_jobs = 2
        frames, pixels, frame_gains, gains = ones(model)
        model.add_points(frames, pixels, frame_gains, gains)
        assert n_handlers() > before
    finally:
        model.reduction.available_reduction_jobs = 1


def test_18_a_cell_takes_72_bytes(model: Any) -> None:
    found = model.pixel_maps[3].map
    images = (found, found.weight, found.exposure)
    used = sum(image.data.nbytes + image.flag.nbytes + image.fixed_index.nbytes for image in images)
    assert used == 72 * found.data.size


def test_19_nan_poisons_a_cell(loaded: Any) -> None:
    reduction, read = loaded
    model = pixel_map.PixelMap(reduction.info, reduction=reduction)
    model.create_from([read()])
    reduction.available_reduction_jobs = 1
    model.scans[0][0].frames.data[100:110, 5] = np.nan
    model.add_integration(model.scans[0][0])
    assert np.isnan(model.pixel_maps[5].map.data).any()


def test_20_ending_twice_divides_twice(model: Any) -> None:
    found = model.pixel_maps[3]
    found.end_accumulation()
    once = found.map.data.copy()
    found.end_accumulation()
    assert np.abs(found.map.data - once).max() > 0.1 * np.abs(once).max()
