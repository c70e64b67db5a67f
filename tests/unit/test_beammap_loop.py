"""Beam maps: the loop from scans to positions and gains."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import DataError
from pixtrace.io.scan import ScanStream, stream_simulated
from pixtrace.scan import ChannelFlag, Configuration, FitFlag, LoopState, PixelFits, Reduction, Scan
from pixtrace.scan.combination import combine_fits, pointing_between, without_strangers
from pixtrace.scan.frames import Frames
from pixtrace.scan.levels import white_variance, without_level
from pixtrace.scan.rounds import RoundRecord, compare_rounds, is_stuck
from pixtrace.scan.source_signal import SourceSignal
from pixtrace.simulate import ArrayLayout, ScanNoise, ScanSimulator
from tests.beammaps import QUIET, errors, simulated, with_source


def test_positions_and_gains_of_all_live_pixels() -> None:
    scan, array = simulated()
    raw = scan[0].frames.data.copy()
    found = Reduction(scans=[scan]).reduce()
    position, coupling = errors(found, array)
    assert found.problem == ""
    assert found.is_settled
    assert found.n_good == array.is_good.sum()
    np.testing.assert_array_equal(found.is_good, array.is_good)
    error = np.stack([found.table.x_error, found.table.y_error])[:, array.is_good]
    assert 0.6 < np.std(position / error) < 1.4
    assert np.abs(position).max() < 5.0 * error.max()
    assert coupling.std() < 0.01
    np.testing.assert_allclose(found.table.extra["beam_fwhm"].values[array.is_good], 12.0, rtol=0.02)
    np.testing.assert_allclose(found.table.extra["noise"].values[array.is_good], 12.0, rtol=0.1)
    sensitivity = found.table.extra["sensitivity"].values[array.is_good]
    np.testing.assert_allclose(sensitivity, 12.0 * 0.1 / (2000.0 * array.gain[array.is_good]), rtol=0.1)
    assert found.reasons == {"dead channel": 2}
    np.testing.assert_array_equal(scan[0].frames.data, raw)
    # The channels of the scan know it too.
    np.testing.assert_allclose(
        scan.channels.position.value[:, array.is_good],
        found.table.x[array.is_good] * [[1], [0]] + found.table.y[array.is_good] * [[0], [1]],
    )
    assert (scan.channels.flag[~array.is_good] == ChannelFlag.DEAD).all()


def difference_with_twice_the_rounds(stream: ScanStream, rounds: int) -> float:
    """Return by how many errors positions and gains of pixels change at most."""
    once, twice = (
        Reduction(scans=[stream.to_scan({"rounds": n, "rounds.least": n})]).reduce().table for n in (rounds, 2 * rounds)
    )
    good = once.is_measured
    assert good.sum() > 10
    np.testing.assert_array_equal(good, twice.is_measured)
    changes = [
        (getattr(once, name) - getattr(twice, name))[good] / getattr(twice, f"{name}_error")[good]
        for name in ("x", "y", "coupling")
    ]
    return float(np.abs(changes).max())


def test_the_same_answer_with_twice_the_rounds() -> None:
    assert difference_with_twice_the_rounds(stream_simulated(ScanSimulator(QUIET)), 4) < 0.1


@pytest.mark.parametrize(("seed", "columns"), [(5, [13, 14, 15]), (1, [13, 14]), (2, [8, 15]), (4, [12, 13])])
def test_the_same_answer_with_twice_the_rounds_whatever_spoils_the_scan(seed: int, columns: list[int]) -> None:
    # In these columns are pixels with a jump on the source or just beside it, and beams that are hardly elliptical.
    noise = replace(NOISY.noise, white=12.0, group=3.0)
    layout = replace(NOISY.array, n_rows=16, n_columns=16, pitch=4.0, dead_fraction=0.03)
    params = replace(with_source(NOISY, amplitude=600.0), noise=noise, array=layout, seed=seed)
    stream = stream_simulated(ScanSimulator(params))
    assert difference_with_twice_the_rounds(stream.select(np.isin(stream.channels.column, columns)), 5) < 0.1


def test_a_loop_goes_on_where_it_stopped() -> None:
    kept: list[LoopState] = []
    whole = Reduction(scans=[simulated(QUIET, {"rounds": 3, "rounds.least": 3})[0]]).reduce()
    first = simulated(QUIET, {"rounds": 1})[0]
    Reduction(scans=[first]).reduce(keep=kept.append)
    rest = Reduction(scans=[simulated(QUIET, {"rounds": 3, "rounds.least": 3})[0]]).reduce(state=kept[-1])
    assert [record.number for record in rest.records] == [1, 2, 3]
    for name in ("x", "y", "coupling", "x_error", "fwhm_major", "flag"):
        np.testing.assert_array_equal(getattr(rest.table, name), getattr(whole.table, name))


def test_a_pixel_that_moves_has_not_settled() -> None:
    found = Reduction(scans=[simulated(QUIET, {"rounds": 1})[0]]).reduce()
    assert not found.is_settled
    assert (found.table.flag[found.is_good] & FitFlag.UNSETTLED != 0).all()


def test_progress_tells_the_rounds() -> None:
    told: list[tuple[str, int, int]] = []
    Reduction(scans=[simulated(QUIET, {"rounds": 3})[0]]).reduce(
        progress=lambda stage, done, total: told.append((stage, done, total))
    )
    assert told[0] == ("rounds", 0, 3)
    assert told[-1] == ("rounds", 3, 3)
    fitted = [(done, total) for stage, done, total in told if stage == "pixels fitted"]
    assert fitted.count((14, 14)) >= 2
    assert {total for _, total in fitted} == {14}


def test_scans_with_other_pointing_and_rotation_are_one() -> None:
    other = with_source(QUIET, position=(2.5, -1.5), amplitude=1500.0)
    other = replace(other, seed=QUIET.seed, array=replace(QUIET.array, rotation=35.0), n_frames=5000)
    scans = [simulated()[0], simulated(other)[0]]
    alone = Reduction(scans=[simulated()[0]]).reduce()
    found = Reduction(scans=scans).reduce()
    array = simulated()[1]
    position, coupling = errors(found, array)
    good = array.is_good
    assert found.n_good == good.sum()
    assert (found.table.extra["n_scans"].values[good] == 2).all()
    np.testing.assert_allclose(np.hypot(*found.pointing[1]), np.hypot(2.5, 1.5), atol=0.05)
    assert (found.table.x_error[good] < alone.table.x_error[good]).all()
    error = np.stack([found.table.x_error, found.table.y_error])[:, good]
    assert np.std(position / error) < 1.4
    assert coupling.std() < 0.01
    # The merged maps show one source, not two beside each other.
    merged = found.maps.fit_pixels()
    np.testing.assert_allclose(merged.fwhm_major, 12.0, rtol=0.03)


def test_a_planet_is_a_disc() -> None:
    scan, array = simulated(with_source(diameter=14.0), {"source.diameter": 14.0})
    found = Reduction(scans=[scan]).reduce()
    position, _ = errors(found, array)
    assert np.abs(position).max() < 0.3
    good = array.is_good
    assert (np.sqrt(found.table.fwhm_major * found.table.fwhm_minor)[good] > 14.0).all()
    np.testing.assert_allclose(np.median(found.table.extra["beam_fwhm"].values[good]), 12.0, rtol=0.01)


def test_no_source_gives_no_positions() -> None:
    found = Reduction(scans=[simulated(with_source(amplitude=0.0))[0]]).reduce()
    assert found.n_good == 0
    assert not np.isfinite(found.table.x).any()
    assert not np.isfinite(found.table.coupling).any()
    assert "no source was found in any of 14 maps" in found.problem


def test_a_source_beyond_the_maps_gives_no_positions() -> None:
    far = with_source(QUIET, position=(75.0, 0.0))
    far = replace(far, array=ArrayLayout(n_rows=2, n_columns=2, pitch=2.0, displacement=0.1, dead_fraction=0.0))
    found = Reduction(scans=[simulated(far)[0]]).reduce()
    assert found.n_good == 0
    assert not np.isfinite(found.table.x).any()
    assert found.problem


def test_all_channels_dead() -> None:
    scan = Scan.from_arrays(np.ones((50, 3)), np.arange(50) * 0.1, np.zeros((2, 50)))
    scan.info.instrument.resolution = 10.0
    with pytest.raises(DataError, match="none of the 3 channels can be used: 3 give a constant"):
        Reduction(scans=[scan]).reduce()


def test_a_source_that_lowers_the_signal() -> None:
    scan, array = simulated()

    upside = Scan.from_arrays(
        -scan[0].frames.data,
        scan[0].frames.time,
        scan[0].frames.offset,
        scan.channels.copy(),
        info=scan.info,
        gain=-1.0,
    )
    up = Reduction(scans=[scan]).reduce().table
    down = Reduction(scans=[upside]).reduce().table
    np.testing.assert_allclose(down.x[array.is_good], up.x[array.is_good], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_source_goes_out_and_comes_back(dtype: Any) -> None:
    offset = np.stack([np.linspace(-40.0, 40.0, 200), np.full(200, 2.0)])
    fits = some_fits(x=[5.0, 0.0], y=[2.0, 0.0], flag=[0, int(FitFlag.NOT_SIGNIFICANT)])
    source = SourceSignal(fits, np.array([7, 8, 9]), offset, np.full(200, -1.0), np.array([2.0, 1.0, 1.0]))
    data, flag = np.zeros((200, 3), dtype=dtype), np.zeros((200, 3), dtype=np.uint8)
    source.subtract(data, flag, blank_fwhm=1.0)
    sigma = 10.0 / np.sqrt(8.0 * np.log(2.0))
    np.testing.assert_allclose(data[:, 0], 200.0 * np.exp(-0.5 * ((offset[0] - 5.0) / sigma) ** 2), atol=2e-4)
    assert not data[:, 1:].any()
    assert not flag[:, 1:].any()
    np.testing.assert_array_equal(flag[:, 0] != 0, np.abs(offset[0] - 5.0) < 10.0)
    source.put_back(data)
    np.testing.assert_allclose(data, 0.0, atol=1e-6)


def some_fits(**columns: Any) -> PixelFits:
    """Return fits of pixels 7, 8 and so on with a round beam of 10 arcsec, and what is given."""
    n = len(columns["x"])
    values: dict[str, Any] = {name: np.full(n, 1.0) for name in PixelFits.__dataclass_fields__ if name != "method"}
    values |= {"peak": np.full(n, 100.0), "fwhm_major": np.full(n, 10.0), "fwhm_minor": np.full(n, 10.0)}
    values |= {name: np.full(n, 0.0) for name in ("angle", "level")}
    values |= {name: np.zeros(n, dtype=np.int64) for name in ("flag", "dof", "n_cells")}
    values |= {"fixed_index": 7 + np.arange(n)} | {name: np.asarray(given) for name, given in columns.items()}
    return PixelFits("gaussian", **values)


def test_values_are_combined_by_their_weights() -> None:
    first = some_fits(x=[1.0, 5.0], x_error=[1.0, 1.0], peak=[100.0, 200.0], flag=[0, 0])
    second = some_fits(x=[2.0, 9.0], x_error=[0.5, 1.0], peak=[50.0, 100.0], flag=[0, int(FitFlag.NOT_SIGNIFICANT)])
    fits, n_found = combine_fits([first, second])
    np.testing.assert_allclose(fits.x, [1.8, 5.0])
    np.testing.assert_allclose(fits.x_error, [5.0**-0.5, 1.0])
    np.testing.assert_allclose(fits.peak, [100.0, 200.0])
    np.testing.assert_array_equal(n_found, [2, 1])
    np.testing.assert_array_equal(fits.is_found, [True, True])


def test_pixels_of_one_scan_alone_are_kept() -> None:
    first, second = some_fits(x=[1.0]), some_fits(x=[3.0], fixed_index=[9])
    fits, n_found = combine_fits([first, second])
    np.testing.assert_array_equal(fits.fixed_index, [7, 9])
    np.testing.assert_allclose(fits.x, [1.0, 3.0])
    np.testing.assert_array_equal(n_found, [1, 1])


def test_pointing_is_the_median_of_common_pixels() -> None:
    first = some_fits(x=[1.0, 2.0, 3.0], y=[0.0, 0.0, 0.0])
    second = some_fits(x=[2.0, 3.0, 90.0], y=[1.0, 1.0, 1.0])
    np.testing.assert_allclose(pointing_between(second, first), [1.0, 1.0])
    np.testing.assert_allclose(pointing_between(some_fits(x=[1.0], fixed_index=[99]), first), [0.0, 0.0])


def test_what_is_no_beam_is_no_source() -> None:
    width, peak = np.full(8, 10.0), np.full(8, 100.0)
    width[1], width[2], peak[3] = 30.0, 3.0, 1.0
    errors_of = {name: np.full(8, 0.1) for name in ("fwhm_major_error", "fwhm_minor_error", "peak_error")}
    fits = some_fits(x=np.zeros(8), fwhm_major=width, fwhm_minor=width, peak=peak, **errors_of)
    np.testing.assert_array_equal(without_strangers(fits).is_found, [True, False, False, False, *[True] * 4])
    lonely = some_fits(x=[0.0, 0.0], fwhm_major=[10.0, 40.0], fwhm_minor=[10.0, 40.0])
    np.testing.assert_array_equal(without_strangers(lonely, 10.0).is_found, [True, False])


def test_level_and_noise() -> None:
    rng = np.random.default_rng(1)
    data = rng.normal([5.0, -3.0, 0.0, 0.0], [1.0, 2.0, 0.0, 1.0], (4000, 4))
    data[:, 3] = np.nan
    data[::7, 0] = np.nan
    flag, valid = np.zeros(data.shape, dtype=np.uint8), np.ones(4000, dtype=bool)
    data[:400] += 100.0
    valid[:400] = False
    variance = without_level(data, flag, valid)
    np.testing.assert_allclose(variance[:2], [1.0, 4.0], rtol=0.1)
    assert variance[2] == 0.0
    assert np.isnan(variance[3])
    np.testing.assert_allclose(np.nanmedian(data[400:, :3], axis=0), 0.0, atol=1e-9)
    coarse = (np.arange(300) % 10 == 0).astype(np.float64)[None]
    assert white_variance(coarse)[0] > 0.0


def test_frames_with_another_pointing() -> None:
    frames = Frames(np.zeros((3, 1)), np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), angle=30.0)
    moved = frames.with_pointing(2.0, -1.0)
    difference = moved.get_focal_plane_offset() - frames.get_focal_plane_offset()
    np.testing.assert_allclose(difference.value, [[2.0] * 3, [-1.0] * 3], atol=1e-12)
    assert moved.data is frames.data


NOISY = replace(
    QUIET,
    array=replace(
        QUIET.array,
        n_rows=8,
        n_columns=8,
        dead_fraction=0.05,
        blind_fraction=0.03,
        noisy_fraction=0.03,
        oscillating_fraction=0.03,
    ),
    noise=ScanNoise(knee=1.0, sky=10.0, glitch_rate=0.02, glitch_size=30.0, jump_rate=0.002, jump_size=50.0),
    n_frames=8000,
)


def test_noise_of_all_kinds_and_bad_pixels() -> None:
    scan, array = simulated(with_source(NOISY, amplitude=600.0))
    found = Reduction(scans=[scan]).reduce()
    position, coupling = errors(found, array)
    np.testing.assert_array_equal(found.is_good, array.is_good)
    assert found.is_settled
    error = np.stack([found.table.x_error, found.table.y_error])[:, array.is_good]
    assert 0.8 < np.std(position / error) < 1.3
    assert coupling.std() < 0.02
    height = found.table.amplitude[array.is_good] / (600.0 * array.gain[array.is_good])
    assert abs(np.median(height) - 1.0) < 0.005
    assert {"dead channel", "too noisy"} <= set(found.reasons)
    assert sum(found.reasons.values()) == (~array.is_good).sum()


def test_signals_are_only_levelled_if_asked() -> None:
    scan, array = simulated(with_source(NOISY, amplitude=600.0), {"clean": False, "rounds": 3})
    levelled = Reduction(scans=[scan]).reduce()
    good = levelled.is_good & array.is_good
    away = np.stack([levelled.table.x, levelled.table.y])[:, good] - array.position[:, good]
    assert np.median(np.hypot(*away)) > 0.3


def test_a_pixel_that_swings_between_two_places_has_settled() -> None:
    here, there = some_fits(x=[0.0]), some_fits(x=[0.15])
    far = some_fits(x=[0.8])
    options = Configuration()

    def is_settled(*rounds: PixelFits) -> bool:
        *earlier, now = rounds
        lists = [[fits] for fits in reversed(earlier)]
        return compare_rounds(3, [lists[0], lists[1] if len(lists) > 1 else []], [now], options)[1]

    assert is_settled(here, some_fits(x=[0.01]))
    assert not is_settled(here, there)
    back = some_fits(x=[0.01])
    assert is_settled(here, there, back)
    np.testing.assert_allclose(back.x, 0.08)  # between the two
    assert not is_settled(here, some_fits(x=[0.25]), some_fits(x=[0.0]))
    assert not is_settled(here, far, some_fits(x=[0.0]))
    assert not is_settled(there, here, far)


def test_samples_tell_more_than_maps() -> None:
    # Coarse cells: a map blurs the beam, samples do not.
    found: list[np.ndarray] = []
    for use_samples in (False, True):
        options = {"grid": 8.0, "rounds.timestream": use_samples, "rounds": 3}
        scan, array = simulated(QUIET, options)
        position, _ = errors(Reduction(scans=[scan]).reduce(), array)
        found.append(position)
    assert np.std(found[1]) < 0.9 * np.std(found[0])


def test_a_few_pixels_that_never_settle_do_not_keep_all_others_going() -> None:
    def rounds(*settled: int, found: int = 100) -> list[RoundRecord]:
        return [RoundRecord(k + 1, found, n, 0.1) for k, n in enumerate(settled)]

    assert is_stuck(rounds(0, 50, 99, 99, 99, 99))
    assert not is_stuck(rounds(99, 99, 99))
    assert not is_stuck(rounds(0, 98, 99, 99, 99))
    assert not is_stuck(rounds(90, 90, 90, 90))
    assert not is_stuck(rounds(0, 0, 0, 0, found=0))
