"""The source in the timestreams: how it is taken out and put back, and what sources that are no Gaussians do."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pixtrace.scan import FitFlag, MapGrid, MapStack, Reduction, SampleFlag
from pixtrace.scan.beam_shape import CellPlaces, misfit
from pixtrace.scan.block import MapBlock
from pixtrace.scan.source_signal import SourceSignal
from pixtrace.scan.stamps import cut_stamps
from pixtrace.simulate import ScanNoise, ScanSource
from tests.beammaps import QUIET, Lobes, errors, simulated
from tests.unit.test_beammap_loop import some_fits

NOISE = ScanNoise(white=12.0, knee=1.0, sky=10.0, glitch_rate=0.02, glitch_size=30.0, jump_rate=0.002, jump_size=50.0)


def scanned(source: ScanSource) -> Any:
    """Return parameters of a scan with all that spoils one."""
    layout = replace(QUIET.array, n_rows=6, n_columns=6)
    return replace(QUIET, noise=NOISE, source=source, array=layout)


@pytest.mark.parametrize(
    ("source", "position", "gain"),
    [
        (ScanSource(amplitude=10_000.0), 0.006, 0.001),
        (Lobes(amplitude=10_000.0), 0.04, 0.008),
        (ScanSource(amplitude=10_000.0, diameter=16.0), 0.04, 0.008),
    ],
    ids=["a Gaussian", "a ring about it", "a disc"],
)
def test_bright_sources_that_are_no_gaussians(source: ScanSource, position: float, gain: float) -> None:
    scan, array = simulated(scanned(source), {"rounds": 4})
    found = Reduction(scans=[scan]).reduce()
    np.testing.assert_array_equal(found.is_good, array.is_good)
    away, coupling = errors(found, array)
    assert away.std() < position
    assert coupling.std() < gain


def test_what_is_no_gaussian_is_no_glitch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Gaussian that fits a disc of two beams is 1.10 times as high as the disc; glitches would take its shoulders."""
    heights: list[float] = []
    for tolerance in (3.0, 0.0):
        monkeypatch.setattr("pixtrace.scan.parts._TOLERANCE", tolerance)
        scan, array = simulated(scanned(ScanSource(amplitude=10_000.0, diameter=24.0)), {"rounds": 4})
        found = Reduction(scans=[scan]).reduce()
        good = found.is_good
        heights.append(float(np.median(found.table.amplitude[good] / array.gain[good])) / 10_000.0)
    assert 1.05 < heights[0] < 1.15
    assert heights[1] > 1.18


def test_glitches_are_forgiven_within_a_part_of_the_source() -> None:
    n = 81
    offset = np.stack([np.linspace(-40.0, 40.0, n), np.zeros(n)])
    source = SourceSignal(some_fits(x=[0.0], y=[0.0]), np.array([6, 7]), offset, np.ones(n), np.ones(2))
    data, flag = np.zeros((n, 2), dtype=np.float32), np.zeros((n, 2), dtype=np.uint8)
    data[40, 1], data[41, 1], data[60, 1], data[42, 1] = 4.0, 7.0, 4.0, np.nan
    flag[[40, 41, 42, 60], 1] = SampleFlag.SPIKE | SampleFlag.SOURCE_BLANK
    flag[40, 0] = SampleFlag.SPIKE
    source.put_back(data, flag, tolerance=0.05)  # of a height of 100
    assert flag[40, 1] == SampleFlag.SOURCE_BLANK
    assert (flag[[41, 42, 60], 1] == SampleFlag.SPIKE | SampleFlag.SOURCE_BLANK).all()
    assert flag[40, 0] == SampleFlag.SPIKE
    np.testing.assert_allclose(data[40, 1], 104.0, atol=1e-3)


def test_the_misfit_of_a_gaussian_is_nothing_and_that_of_others_is_theirs() -> None:
    quiet = replace(QUIET, noise=ScanNoise(white=1.0))
    for source, low, high in (
        (ScanSource(amplitude=10_000.0), 0.0, 0.001),
        (Lobes(amplitude=10_000.0), 0.01, 0.03),
        (ScanSource(amplitude=10_000.0, diameter=16.0), 0.01, 0.06),
        (ScanSource(amplitude=60.0, diameter=4.0), 0.0, 0.002),
    ):
        scan, _ = simulated(replace(quiet, source=source), {"rounds": 2})
        reduction = Reduction(scans=[scan])
        reduction.reduce()
        assert reduction.source is not None
        fits = reduction.source.fit_pixels()
        assert low <= misfit(reduction.source.need_block(), fits) <= high
        none = replace(fits, flag=np.full_like(fits.flag, int(FitFlag.NO_DATA)))
        assert misfit(reduction.source.need_block(), none) == 0.0


def test_the_mean_of_a_gaussian_over_the_samples_of_a_cell() -> None:
    scan, _ = simulated(replace(QUIET, noise=ScanNoise(white=1.0)), {"rounds": 1, "grid": 3.0})
    reduction = Reduction(scans=[scan])
    reduction.reduce()
    assert reduction.source is not None
    places = CellPlaces(reduction.source.need_block())
    value, blur = places.gaussian((1.0, -2.0), (14.0, 10.0), 30.0)
    frames = scan[0].frames
    x, y = np.asarray(frames.get_focal_plane_offset().value)
    reduction.source.create_lookup(scan[0])
    index = np.asarray(frames.map_index)[:, :, 0]
    turn = math.radians(30.0)
    u, v = (
        (x - 1.0) * math.cos(turn) + (y + 2.0) * math.sin(turn),
        (y + 2.0) * math.cos(turn) - (x - 1.0) * math.sin(turn),
    )
    samples = np.exp(-4.0 * math.log(2.0) * ((u / 14.0) ** 2 + (v / 10.0) ** 2))
    n_compared, counts = 0, np.zeros(places.x.shape)
    np.add.at(counts, (index[1], index[0]), value[index[1], index[0]] > 0.2)
    for at in zip(*np.nonzero(counts >= 4.0), strict=True):
        inside = (index[0] == at[1]) & (index[1] == at[0])
        n_compared += 1
        np.testing.assert_allclose(places.x[at], x[inside].mean(), atol=1e-3)
        np.testing.assert_allclose(value[at] + blur[at], samples[inside].mean(), atol=5e-3)
    assert n_compared >= 10


def test_cells_around_a_place_are_all_that_are_near_and_none_twice() -> None:
    grid = MapGrid((9, 7), (2.0, 3.0), (2.5, 4.0))
    places = CellPlaces(MapBlock(grid, pixel_ids=[0]))
    x, y = np.array([-5.0, 1.0, 9.0, 40.0]), np.array([-12.0, 2.0, 0.4, 0.0])  # corner, middle, edge, far beyond
    rows, columns, is_there = places.around(x[:, None, None], y[:, None, None], 4.5)
    for k in range(x.size):
        wanted = np.hypot(places.x - x[k], places.y - y[k]) < 4.5
        count = np.zeros(grid.shape, dtype=int)
        np.add.at(count, np.broadcast_arrays(rows[k], columns[k]), is_there[k].astype(int))
        assert count.max(initial=0) <= 1
        assert (count[wanted] == 1).all()
        assert wanted.any() == (k < 3)


def test_what_maps_show_beyond_the_gaussian_may_be_taken_out() -> None:
    """Option ``source.model``: as good on a Gaussian source."""
    scan, array = simulated(QUIET, {"source.model": "map", "rounds": 4})
    found = Reduction(scans=[scan]).reduce()
    np.testing.assert_array_equal(found.is_good, array.is_good)
    away, coupling = errors(found, array)
    assert away.std() < 0.05
    assert coupling.std() < 0.006


@pytest.mark.parametrize(
    ("source", "left"),
    [(Lobes(amplitude=10_000.0), 0.25), (ScanSource(amplitude=10_000.0), math.inf)],
    ids=["ring", "-"],
)
def test_what_is_beyond_the_gaussian_is_found_and_noise_is_not(source: ScanSource, left: float) -> None:
    # Not cleaned, as cleaning takes a part of the ring.
    quiet = replace(QUIET, source=source, noise=ScanNoise(white=12.0))
    scan, array = simulated(quiet, {"rounds": 1, "clean": False})
    reduction = Reduction(scans=[scan])
    reduction.reduce()
    assert reduction.source is not None
    fits = reduction.source.fit_pixels()
    stamps = cut_stamps(reduction.source.need_block(), fits, 2.5)
    offset = np.asarray(scan[0].frames.get_focal_plane_offset().value)
    values = stamps.at(offset)
    assert not stamps.at(np.full((2, 4), np.nan)).any()
    for k in np.flatnonzero(fits.is_found):
        gain = array.gain[np.flatnonzero(array.channel == fits.fixed_index[k])[0]]
        dx, dy = offset - np.array([[fits.x[k]], [fits.y[k]]])
        square = 4.0 * math.log(2.0) * (dx**2 + dy**2) / (fits.fwhm_major[k] * fits.fwhm_minor[k])
        rest = source.signal(dx, dy) * gain - fits.level[k] - fits.peak[k] * np.exp(-square)
        near = np.hypot(dx, dy) < 2.2 * fits.fwhm_minor[k]
        assert np.std((rest - values[:, k])[near]) < left * np.std(rest[near])
        assert np.std(values[near, k]) < max(12.0, 1.1 * np.std(rest[near]))
        assert not values[np.hypot(dx, dy) > 2.9 * fits.fwhm_major[k], k].any()


def test_a_source_at_the_edge_of_its_map_is_cut_out_as_far_as_it_is_there() -> None:
    grid = MapGrid((6, 5), (2.0, 2.0), (0.0, 0.0))
    block = MapBlock(
        grid, stack=MapStack(1, grid.shape, resolution=(2.0, 2.0), reference_index=(0.0, 0.0), pixel_ids=[7])
    )
    # A Gaussian of height 100 is no part of the stamp; what is small is none either, and a hole is closed.
    fits = some_fits(x=[0.0], y=[0.0], level=[0.0])
    value, _ = CellPlaces(block).gaussian((0.0, 0.0), (10.0, 10.0), math.nan)
    block.stack.weight[...], block.stack.flag[...] = 1.0, 0
    block.stack.weight[0, 0, 1] = 0.0
    block.stack.mark_content("means")
    offset = np.array([[0.0, 2.0, 0.0, 1.0, 0.0, -2.0, 40.0], [0.0, 0.0, 2.0, 0.0, -1.0, 0.0, 0.0]])
    block.stack.data[0] = 100.0 * value + 4000.0
    stamps = cut_stamps(block, fits, 0.4)
    np.testing.assert_allclose(
        stamps.at(offset)[:, 0], 4000.0 * np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]), rtol=1e-4
    )
    block.stack.data[0] = 100.0 * value + 1.0
    assert not cut_stamps(block, fits, 0.4).values.any()
    assert not cut_stamps(block, some_fits(x=[90.0], y=[0.0]), 0.4).values.any()
