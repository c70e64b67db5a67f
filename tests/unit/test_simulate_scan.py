"""The simulator of scans: what it promises to be true of its data."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixtrace.exceptions import ParameterError
from pixtrace.simulate import (
    ArrayLayout,
    ScanNoise,
    ScanParams,
    ScanPattern,
    ScanSimulator,
    ScanSource,
    simulate_scan,
)
from pixtrace.simulate.scan_noise import Drift, Events, step_for
from pixtrace.simulate.scan_patterns import PatternKind, sampling_times

QUIET = ScanNoise(white=1e-3, level=0.0, level_scatter=0.0)
EVERYTHING = ScanNoise(
    white_scatter=0.1,
    knee=2.0,
    sky=10.0,
    group=3.0,
    glitch_rate=0.05,
    jump_rate=0.02,
    pointing=0.01,
    jitter=0.1,
)
BAD = ArrayLayout(
    n_rows=10, n_columns=10, dead_fraction=0.1, blind_fraction=0.1, noisy_fraction=0.1, oscillating_fraction=0.1
)
KINDS: tuple[PatternKind, ...] = ("lissajous", "daisy", "raster", "box")


class TestPatterns:
    @pytest.mark.parametrize("kind", KINDS)
    def test_fills_its_extent_and_is_centred(self, kind: PatternKind) -> None:
        pattern = ScanPattern(kind=kind, width=100.0, height=60.0, duration=80.0)
        x, y = pattern.offsets(np.linspace(0.0, 160.0, 40_001))
        for axis, extent in ((x, 100.0), (y, 60.0)):
            assert axis.max() == pytest.approx(extent / 2.0, rel=2e-3)
            assert axis.min() == pytest.approx(-extent / 2.0, rel=2e-3)
            assert abs(axis.mean()) < 0.02 * extent

    @pytest.mark.parametrize("kind", KINDS)
    def test_moves_without_a_leap(self, kind: PatternKind) -> None:
        pattern = ScanPattern(kind=kind, width=100.0, height=100.0, period=1.0)
        step = 1e-4
        offset = pattern.offsets(np.arange(0.0, 10.0, step))
        speed = np.hypot(*np.diff(offset, axis=1)) / step
        assert speed.max() < 2.0 * math.pi * 100.0

    def test_a_box_has_an_even_speed_between_its_turns(self) -> None:
        pattern = ScanPattern(kind="box", width=100.0, height=100.0, period=1.0)
        x, _ = pattern.offsets(np.arange(0.0, 10.0, 1e-3))
        speed = np.abs(np.diff(x)) / 1e-3
        assert np.percentile(speed, 10) == pytest.approx(np.percentile(speed, 90), rel=0.03)

    def test_a_daisy_goes_through_the_centre(self) -> None:
        x, y = ScanPattern(kind="daisy", width=100.0, height=100.0).offsets(np.arange(0.0, 20.0, 1e-4))
        near = np.hypot(x, y) < 0.5
        assert np.count_nonzero(np.diff(near.astype(int)) == 1) >= 36

    @pytest.mark.parametrize(
        "change", [{"kind": "spiral"}, {"width": 0.0}, {"height": math.nan}, {"period": -1.0}, {"phase": math.inf}]
    )
    def test_refuses_nonsense(self, change: dict[str, Any]) -> None:
        with pytest.raises(ParameterError, match=next(iter(change))):
            ScanPattern(**change)

    @given(st.floats(0.0, 0.45), st.integers(2, 500), st.integers(0, 2**31))
    def test_times_grow(self, jitter: float, n: int, seed: int) -> None:
        times = sampling_times(n, 200.0, jitter=jitter, rng=np.random.default_rng(seed))
        assert (np.diff(times) > 0.0).all()
        np.testing.assert_allclose(times * 200.0, np.arange(n), atol=0.45 + 1e-9)

    def test_jitter_needs_a_source_and_has_a_limit(self) -> None:
        with pytest.raises(ParameterError, match="random generator"):
            sampling_times(3, 200.0, jitter=0.1)
        with pytest.raises(ParameterError, match=r"0\.45"):
            sampling_times(3, 200.0, jitter=0.5)


class TestSource:
    def test_a_point_is_the_beam(self) -> None:
        source = ScanSource(fwhm=10.0, amplitude=3.0)
        x = np.array([0.0, 5.0, 3.0], dtype=np.float32)
        y = np.array([0.0, 0.0, 4.0], dtype=np.float32)
        np.testing.assert_allclose(source.signal(x, y), [3.0, 1.5, 1.5], rtol=1e-6)

    @pytest.mark.parametrize("diameter", [2.0, 10.0, 40.0])
    def test_a_disc_is_the_mean_of_points(self, diameter: float) -> None:
        source = ScanSource(fwhm=8.0, diameter=diameter)
        edge = diameter / 2.0
        grid = (np.arange(1200) + 0.5) / 600.0 * edge - edge
        u, v = np.meshgrid(grid, grid)
        inside = np.hypot(u, v) <= edge
        radius = np.array([0.0, 0.4 * edge, edge, edge + 5.0])
        sums = [np.exp(-0.5 * ((r - u) ** 2 + v**2) / source.sigma**2)[inside].sum() for r in radius]
        np.testing.assert_allclose(source.profile(radius), np.array(sums) / sums[0], atol=2e-4)

    def test_a_tiny_disc_is_a_point(self) -> None:
        radius = np.linspace(0.0, 30.0, 50)
        disc = ScanSource(fwhm=8.0, diameter=1e-3).profile(radius)
        np.testing.assert_allclose(disc, ScanSource(fwhm=8.0).profile(radius), atol=1e-6)

    @pytest.mark.parametrize("diameter", [0.0, 12.0])
    def test_the_fast_way_agrees_with_the_exact_one(self, diameter: float) -> None:
        source = ScanSource(fwhm=9.0, diameter=diameter, amplitude=100.0)
        x = np.linspace(-200.0, 200.0, 4001, dtype=np.float32)
        exact = 100.0 * source.profile(np.abs(x.astype(np.float64)))
        np.testing.assert_allclose(source.signal(x, np.zeros_like(x)), exact, atol=3e-4)

    @pytest.mark.parametrize("change", [{"fwhm": 0.0}, {"diameter": -1.0}, {"drift": (math.nan, 0.0)}])
    def test_refuses_nonsense(self, change: dict[str, Any]) -> None:
        with pytest.raises(ParameterError, match=next(iter(change))):
            ScanSource(**change)


class TestNoise:
    def test_a_drift_has_the_power_spectrum_asked_for(self) -> None:
        rate, knee, n, n_streams = 200.0, 2.0, 16_384, 64
        drift = Drift(
            np.random.default_rng(1), n_streams, n, step=step_for(knee, rate), slope=1.5, power_at_one=2.0 * 0.01**1.5
        )
        stream = drift.frames(0, n) * np.hanning(n)[:, None] * math.sqrt(8.0 / 3.0)
        power = 2.0 * (np.abs(np.fft.rfft(stream, axis=0)) ** 2).mean(axis=1) / n
        frequency = np.arange(power.size) / n
        for at in (0.001, 0.003, 0.01, 0.02):
            near = np.abs(frequency / at - 1.0) < 0.1
            expected = 2.0 * (0.01 / frequency[near]) ** 1.5
            assert power[near].mean() == pytest.approx(expected.mean(), rel=0.1)

    def test_a_drift_does_not_depend_on_the_piece(self) -> None:
        drift = Drift(np.random.default_rng(1), 5, 700, step=16, slope=1.0, power_at_one=1.0)
        whole = drift.frames(0, 700)
        parts = np.concatenate([drift.frames(a, b) for a, b in ((0, 3), (3, 333), (333, 700))])
        np.testing.assert_allclose(parts, whole, atol=1e-5)
        np.testing.assert_allclose(whole[::16], drift.nodes[1 : 1 + len(whole[::16])], atol=1e-5)

    def test_common_drifts_have_the_size_asked_for(self) -> None:
        drift = Drift.with_rms(np.random.default_rng(1), 3, 5000, step=4, slope=8.0 / 3.0, rms=7.0)
        np.testing.assert_allclose(drift.frames(0, 5000).std(axis=0), 7.0, rtol=0.01)

    def test_glitches_fade_across_the_seam_of_two_pieces(self) -> None:
        events = Events(np.array([8]), np.array([1]), np.array([100.0], dtype=np.float32))
        whole = np.zeros((20, 2), dtype=np.float32)
        events.add_pulses(whole, 0, 2.0)
        np.testing.assert_allclose(whole[8:, 1], 100.0 * np.exp(-np.arange(12) / 2.0), rtol=1e-5)
        assert not whole[:8].any()
        assert not whole[:, 0].any()
        parts = np.zeros((20, 2), dtype=np.float32)
        events.add_pulses(parts[:10], 0, 2.0)
        events.add_pulses(parts[10:], 10, 2.0)
        np.testing.assert_array_equal(parts, whole)

    def test_jumps_stay(self) -> None:
        events = Events(np.array([2, 6]), np.array([0, 0]), np.array([5.0, -2.0], dtype=np.float32))
        parts = np.zeros((9, 1), dtype=np.float32)
        events.add_steps(parts[:4], 0)
        events.add_steps(parts[4:], 4)
        np.testing.assert_array_equal(parts[:, 0], [0, 0, 5, 5, 5, 5, 3, 3, 3])

    @pytest.mark.parametrize("change", [{"white": -1.0}, {"knee": math.nan}, {"glitch_length": 0.0}])
    def test_refuses_nonsense(self, change: dict[str, float]) -> None:
        with pytest.raises(ParameterError, match=next(iter(change))):
            ScanNoise(**change)


class TestArray:
    def test_the_truth_table(self) -> None:
        scan = simulate_scan(ScanParams(array=BAD, n_frames=2, seed=5))
        array = scan.array
        assert array.n_channels == 100
        assert {reason: int(np.count_nonzero(array.reason == reason)) for reason in np.unique(array.reason)} == {
            "": 60,
            "blind": 10,
            "dead": 10,
            "noisy": 10,
            "oscillating": 10,
        }
        np.testing.assert_array_equal(array.gain == 0.0, np.isin(array.reason, ["dead", "blind"]))
        np.testing.assert_array_equal(np.diff(array.channel) > 0, True)  # noqa: FBT003 - an array of truths
        assert np.std(array.position - array.nominal_position) == pytest.approx(1.5, rel=0.2)
        np.testing.assert_allclose(array.nominal_position.mean(axis=1), 0.0, atol=1e-9)

    def test_a_part_of_a_larger_array(self) -> None:
        layout = ArrayLayout(
            n_rows=2, n_columns=3, first_row=12, first_column=8, row_stride=32, centre=(15.5, 19.5), pitch=2.0
        )
        array = layout.make(np.random.default_rng(0))
        np.testing.assert_array_equal(array.channel, [392, 393, 394, 424, 425, 426])
        np.testing.assert_allclose(array.nominal_position[:, 0], [-15.0, -15.0])

    @pytest.mark.parametrize(
        "change",
        [{"n_rows": 0}, {"pitch": 0.0}, {"dead_fraction": 1.5}, {"row_stride": 3}, {"displacement": -1.0}],
    )
    def test_refuses_nonsense(self, change: dict[str, Any]) -> None:
        with pytest.raises(ParameterError):
            ArrayLayout(**change)


class TestScan:
    def test_a_pixel_sees_the_source_when_the_boresight_is_off_by_minus_its_position(self) -> None:
        scan = simulate_scan(ScanParams(noise=QUIET, n_frames=8000))
        for k in (3, 100, 250):
            if scan.array.reason[k]:
                continue
            value = scan.data[:, k]
            peak = int(value.argmax())
            away = scan.offset[:, peak] + scan.array.position[:, k]
            expected = 2000.0 * scan.array.gain[k] * math.exp(-0.5 * (away @ away) / scan.params.source.sigma**2)
            assert value[peak] == pytest.approx(expected, rel=1e-4)
            assert np.hypot(*away) < 3.0

    def test_the_array_may_be_turned_and_the_source_off_centre(self) -> None:
        params = ScanParams(
            array=ArrayLayout(n_rows=3, n_columns=3, rotation=30.0, dead_fraction=0.0),
            source=ScanSource(position=(4.0, -3.0), drift=(0.1, 0.05)),
            noise=QUIET,
            n_frames=3000,
        )
        scan = simulate_scan(params)
        turn = math.radians(30.0)
        since = scan.time - params.start
        x, y = scan.offset - np.array([[4.0], [-3.0]]) - np.array([[0.1], [0.05]]) * since
        x, y = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
        away = np.hypot(x[:, None] + scan.array.position[0], y[:, None] + scan.array.position[1])
        np.testing.assert_allclose(scan.data, 2000.0 * scan.array.gain * params.source.profile(away), atol=0.01)
        np.testing.assert_array_equal(scan.rotation, 30.0)

    def test_same_seed_same_numbers(self) -> None:
        params = ScanParams(array=BAD, noise=EVERYTHING, n_frames=1500, seed=3)
        first, second, other = (simulate_scan(p) for p in (params, params, replace(params, seed=4)))
        np.testing.assert_array_equal(first.data, second.data)
        assert not np.array_equal(first.data, other.data)

    @pytest.mark.parametrize("length", [1, 1024, 2500, 100_000])
    def test_pieces_are_the_whole(self, length: int) -> None:
        params = ScanParams(array=BAD, noise=EVERYTHING, n_frames=3500, seed=3)
        starts, parts = zip(*ScanSimulator(params).chunks(length), strict=True)
        assert starts == tuple(np.cumsum([0, *(len(part) for part in parts[:-1])]))
        np.testing.assert_array_equal(np.concatenate(parts), simulate_scan(params).data)

    def test_what_is_wrong_with_a_pixel_is_seen_in_its_data(self) -> None:
        params = ScanParams(array=BAD, noise=ScanNoise(), n_frames=4000, seed=1)
        scan = simulate_scan(params)
        reason = scan.array.reason
        std = scan.data.std(axis=0)
        assert not np.ptp(scan.data[:, reason == "dead"], axis=0).any()
        np.testing.assert_allclose(std[reason == "blind"], 12.0, rtol=0.1)
        assert (std[reason == "noisy"] > 300.0).all()
        assert (std[reason == "oscillating"] > 300.0).all()
        np.testing.assert_allclose(scan.noise[reason == ""], 12.0)

    def test_the_sky_is_common_to_all_and_follows_the_gain(self) -> None:
        params = ScanParams(
            array=ArrayLayout(n_rows=8, n_columns=8, dead_fraction=0.0),
            source=ScanSource(amplitude=0.0),
            noise=ScanNoise(sky=10.0, sky_scatter=0.0, level_scatter=0.0),
            n_frames=6000,
        )
        scan = simulate_scan(params)
        centred = scan.data - scan.data.mean(axis=0)
        common = centred.mean(axis=1)
        assert common.std() == pytest.approx(120.0, rel=0.1)
        slope = common @ centred / (common @ common)
        np.testing.assert_allclose(slope, scan.array.gain / scan.array.gain.mean(), rtol=0.01)

    def test_columns_drift_together(self) -> None:
        params = ScanParams(
            array=ArrayLayout(n_rows=8, n_columns=4, dead_fraction=0.0),
            source=ScanSource(amplitude=0.0),
            noise=ScanNoise(group=5.0),
            n_frames=4000,
        )
        scan = simulate_scan(params)
        correlation = np.asarray(np.corrcoef(scan.data.T))
        same = scan.array.column[:, None] == scan.array.column
        np.fill_diagonal(correlation, np.nan)
        assert np.nanmin(correlation[same]) > 0.9
        assert np.nanmedian(np.abs(correlation[~same])) < 0.7

    def test_truth_of_glitches_and_jumps(self) -> None:
        params = ScanParams(noise=replace(QUIET, glitch_rate=0.02, jump_rate=0.01), n_frames=8000, seed=2)
        scan = simulate_scan(params)
        samples = scan.data.size / params.rate
        for events, rate in ((scan.glitches, 0.02), (scan.jumps, 0.01)):
            expected = rate * samples
            assert abs(events.frame.size - expected) < 5.0 * math.sqrt(expected)
            assert (np.diff(events.frame) >= 0).all()

    @pytest.mark.parametrize("change", [{"n_frames": 0}, {"rate": 0.0}, {"dec": 90.0}, {"vpa": math.nan}, {"seed": -1}])
    def test_refuses_nonsense(self, change: dict[str, Any]) -> None:
        with pytest.raises(ParameterError, match=next(iter(change))):
            ScanParams(**change)
