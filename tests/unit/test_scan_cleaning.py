"""Cleaning of timestreams, and fits to them, on simulated scans with a known truth."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.exceptions import DataError, DtypeError, ParameterError, ShapeError
from pixtrace.scan import (
    ChannelFlag,
    Cleaned,
    CleaningParams,
    FitFlag,
    GaussianFits,
    SampleFlag,
    clean_timestreams,
    fit_timestreams,
)
from pixtrace.simulate import ArrayLayout, ScanNoise, ScanParams, ScanSource, SimulatedScan, simulate_scan
from tests.unit.test_threads_and_signals import interrupted_after

DT = 1.0 / 203.25
WHITE = 12.0
BAD: dict[str, Any] = {f"{reason}_fraction": 0.025 for reason in ("dead", "blind", "noisy", "oscillating")}
REASONS = {
    "": ChannelFlag(0),
    "dead": ChannelFlag.DEAD,
    "blind": ChannelFlag.BLIND,
    "noisy": ChannelFlag.SENSITIVITY,
    "oscillating": ChannelFlag.OSCILLATING,
}
Array = npt.NDArray[Any]
#: The same functions, for what the types forbid.
ANY_CLEAN: Callable[..., Any] = clean_timestreams
ANY_PARAMS: Callable[..., Any] = CleaningParams


@cache
def spoiled() -> SimulatedScan:
    """Return a scan without a source, with all that spoils a scan."""
    noise = ScanNoise(sky=10.0, sky_slope=1.0, group=2.0, knee=0.5, glitch_rate=0.05, jump_rate=0.005)
    array = ArrayLayout(n_rows=20, n_columns=20, **BAD)
    return simulate_scan(ScanParams(array=array, source=ScanSource(amplitude=0.0), noise=noise, seed=1))


def clean(scan: SimulatedScan, data: Array, **options: Any) -> tuple[Array, Cleaned]:
    """Clean data of a scan in place; return the flags too."""
    flags = np.zeros(data.shape, dtype=np.uint8)
    given: dict[str, Any] = {"channel_gains": np.ones(data.shape[1]), "channel_groups": [scan.array.column], "dt": DT}
    given["valid_frames"] = np.ones(len(data), dtype=bool)
    return flags, clean_timestreams(data, flags, **(given | options))


@cache
def cleaned() -> tuple[Array, Array, Cleaned]:
    """Return the spoiled scan cleaned: data, flags, what was found."""
    data = spoiled().data.copy()
    flags, found = clean(spoiled(), data, progress=lambda done, total: done <= total)
    return data, flags, found


class TestCleaning:
    """What is left is white noise, and what was removed is known."""

    def test_the_rest_is_white_noise(self) -> None:
        data, flags, found = cleaned()
        good = spoiled().array.is_good
        left = np.where(flags == 0, data, np.nan)[:, good]
        # A column of twenty pixels takes a twentieth of the variance along with its common signal.
        expected = WHITE * np.sqrt(0.95)
        # What is left of a jump, and the drift next to it, lasts as long as the drift may: a few pixels have some.
        np.testing.assert_allclose(np.nanstd(left, axis=0), expected, rtol=0.2)
        np.testing.assert_allclose(np.percentile(np.nanstd(left, axis=0), [5, 94]), expected, rtol=0.07)
        np.testing.assert_allclose(np.median(np.nanstd(left, axis=0)), expected, rtol=0.02)
        # At the pace of the source, the drifts of the pixels still count a little.
        np.testing.assert_allclose(np.median(np.sqrt(found.channel_variance[good])), expected, rtol=0.06)
        lagged = np.nanmean(left[1:] * left[:-1], axis=0) / np.nanvar(left, axis=0)
        assert np.abs(np.median(lagged)) < 0.03

    def test_bad_pixels_are_flagged_with_the_reason(self) -> None:
        _, _, found = cleaned()
        for name, expected in REASONS.items():
            flags = found.channel_flag[spoiled().array.reason == name]
            assert flags.size
            np.testing.assert_array_equal(flags & int(expected), int(expected), err_msg=name)
            assert name or not flags.any()
        for channel in np.flatnonzero(found.channel_flag):
            assert found.reasons(int(channel))
        assert found.reasons(int(np.flatnonzero(spoiled().array.is_good)[0])) == ()
        np.testing.assert_array_equal(found.channel_weight > 0.0, found.channel_flag == 0)
        assert "flagged" in repr(found)
        assert len(found) == 400

    def test_glitches_and_jumps_are_found(self) -> None:
        _, flags, found = cleaned()
        scan = spoiled()
        live = np.isin(scan.array.reason, ["", "blind"])
        truth = np.zeros(flags.shape, dtype=bool)
        for events, bits, least in ((scan.glitches, 36, 0.99), (scan.jumps, 32, 0.95)):
            hits = []
            for frame, channel in zip(events.frame, events.channel, strict=True):
                near = slice(max(frame - 2, 0), frame + 3)
                truth[max(frame - 4, 0) : frame + 16, channel] = True
                if live[channel]:
                    hits.append(np.any(flags[near, channel] & bits))
            assert len(hits) > 40
            assert np.mean(hits) >= least
        marked = ((flags & int(SampleFlag.SPIKE)) > 0)[:, live]
        assert truth[:, live][marked].mean() > 0.99
        # A large jump may be removed in two steps.
        assert 1.0 <= found.n_jumps[live].sum() / live[scan.jumps.channel].sum() < 1.25

    def test_gains_to_the_sky_are_unbiased(self) -> None:
        # Gains and their scatter are those of the pixels, as far as the sky tells.
        array = ArrayLayout(n_rows=16, n_columns=16, dead_fraction=0.0)
        noise = ScanNoise(sky=10.0, sky_slope=0.5, sky_scatter=0.0)
        scan = simulate_scan(ScanParams(array=array, source=ScanSource(amplitude=0.0), noise=noise, seed=2))
        _, found = clean(scan, scan.data.copy(), channel_groups=())
        ratio = found.mode_gains[:, 0] / scan.array.gain
        np.testing.assert_allclose(ratio / np.median(ratio), 1.0, atol=0.03)
        assert abs(np.mean(ratio) / np.median(ratio) - 1.0) < 0.003

    def test_white_noise_is_left_alone(self) -> None:
        array = ArrayLayout(n_rows=10, n_columns=10, dead_fraction=0.0)
        scan = simulate_scan(ScanParams(array=array, source=ScanSource(amplitude=0.0), noise=ScanNoise(), seed=4))
        data = scan.data.copy()
        flags, found = clean(scan, data)
        assert not found.channel_flag.any()
        assert np.isnan(found.mode_gains).all()
        assert not found.n_jumps.any()
        assert np.mean(flags != 0) < 1e-5
        np.testing.assert_allclose(data.std(axis=0), WHITE, rtol=0.05)

    @pytest.mark.parametrize("flag_type", [np.uint8, np.int16, np.int64])
    def test_threads_types_and_layouts_change_nothing(self, flag_type: Any) -> None:
        scan = spoiled()
        data = scan.data[:1500, :40].astype(np.float64)
        options: dict[str, Any] = {"channel_groups": [scan.array.column[:40]]}
        results = []
        for own, threads in (
            (data.copy(), 1),
            (np.asfortranarray(data), 2),
            (np.zeros((1500, 80))[:, ::2], 3),
            (data.astype(">f8"), 2),
        ):
            own[...] = data
            flags = np.zeros(data.shape, dtype=flag_type)
            found = clean_timestreams(
                own,
                flags,
                channel_gains=np.ones(40),
                valid_frames=np.ones(1500, dtype=bool),
                dt=DT,
                n_threads=threads,
                **options,
            )
            results.append((own, flags, found))
        for own, flags, found in results[1:]:
            np.testing.assert_array_equal(own, results[0][0])
            np.testing.assert_array_equal(flags, results[0][1])
            np.testing.assert_array_equal(found.mode_gains, results[0][2].mode_gains)
            np.testing.assert_array_equal(found.channel_variance, results[0][2].channel_variance)

    def test_an_interrupt_ends_it(self) -> None:
        scan = spoiled()
        with interrupted_after(0.2), pytest.raises(KeyboardInterrupt):  # noqa: PT012  (however often it takes)
            while True:
                clean(
                    scan, np.tile(scan.data, (3, 1)), valid_frames=np.ones(3 * len(scan.data), dtype=bool), n_threads=1
                )

    def test_missing_samples_stay_missing(self) -> None:
        scan = spoiled()
        data = scan.data[:2000].copy()
        data[::7, 5] = np.nan
        data[100, 6] = np.inf
        valid = np.ones(2000, dtype=bool)
        valid[:50] = False
        before = data.copy()
        flags, _ = clean(scan, data, valid_frames=valid)
        np.testing.assert_array_equal(np.isfinite(data), np.isfinite(before))
        np.testing.assert_array_equal(data[:50], before[:50])
        assert not scan.array.reason[5]
        assert np.nanstd(data[50:, 5][flags[50:, 5] == 0]) < 1.2 * WHITE

    def test_old_glitches_are_forgotten_and_other_flags_stay(self) -> None:
        scan = spoiled()
        data = scan.data[:1000].copy()
        flags = np.full(data.shape, SampleFlag.SPIKE | SampleFlag.PHOTOMETRY, dtype=np.int32)
        clean_timestreams(data, flags, channel_gains=np.ones(400), valid_frames=np.ones(1000, dtype=bool), dt=DT)
        assert np.mean((flags & SampleFlag.SPIKE) > 0) < 0.02
        assert ((flags & SampleFlag.PHOTOMETRY) > 0).all()

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"dt": 0.0}, ParameterError, "dt"),
            ({"valid_frames": np.ones(3, dtype=bool)}, ShapeError, "valid_frames"),
            ({"channel_gains": np.ones(3)}, ShapeError, "channel_gains"),
            ({"channel_groups": [np.zeros(3, dtype=int)]}, ShapeError, "channel_groups"),
            ({"channel_groups": [np.zeros(400)]}, DtypeError, "channel_groups"),
            ({"progress": 3}, ParameterError, "progress"),
        ],
    )
    def test_mistakes_are_told_and_change_nothing(
        self, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        data = spoiled().data[:200].copy()
        with pytest.raises(error, match=message):
            clean(spoiled(), data, **options)
        np.testing.assert_array_equal(data, spoiled().data[:200])

    def test_what_cannot_be_changed_is_refused(self) -> None:
        frozen = np.zeros((10, 2))
        frozen.flags.writeable = False
        flags = np.zeros((10, 2), dtype=np.uint8)
        options: dict[str, Any] = {"channel_gains": np.ones(2), "valid_frames": np.ones(10, dtype=bool), "dt": DT}
        with pytest.raises(DataError, match="read-only"):
            clean_timestreams(frozen, flags, **options)
        for data in ([[1.0]], np.zeros((10, 2), dtype=np.int32), np.zeros((10, 2), dtype=np.float16)):
            with pytest.raises(DtypeError, match="frame_data"):
                ANY_CLEAN(data, flags, **options)
        with pytest.raises(DtypeError, match="sample_flags"):
            ANY_CLEAN(np.zeros((10, 2)), np.zeros((10, 2)), **options)
        with pytest.raises(ShapeError, match="sample_flags"):
            clean_timestreams(np.zeros((10, 2)), flags[:5], **options)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"drift_time": 0.0},
            {"source_time": np.nan},
            {"despike_level": -1.0},
            {"jump_level": "high"},
            {"n_rounds": 0},
            {"noise_limits": (2.0, 1.0)},
            {"blind_limit": 1.5},
            {"spike_limit": -0.1},
            {"has_common_mode": "yes"},
        ],
    )
    def test_parameters_are_checked(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            ANY_PARAMS(**wrong)


@cache
def observed() -> SimulatedScan:
    """Return a scan of a source in white noise."""
    array = ArrayLayout(n_rows=16, n_columns=16, dead_fraction=0.0)
    return simulate_scan(ScanParams(array=array, source=ScanSource(amplitude=1500.0), noise=ScanNoise(), seed=3))


def fit(starts: Any, **options: Any) -> GaussianFits:
    """Fit the observed scan."""
    scan = observed()
    n_frames, n_channels = scan.data.shape
    given: dict[str, Any] = {
        "frame_data": scan.data - np.median(scan.data, axis=0),
        "sample_flags": np.zeros(scan.data.shape, dtype=np.uint8),
        "exclude_sample_flag": int(SampleFlag.SPIKE),
        "frame_gains": np.ones(n_frames),
        "frame_weights": np.ones(n_frames),
        "valid_frames": np.ones(n_frames, dtype=bool),
        "offsets": scan.offset,
        "channel_indices": np.arange(n_channels),
        "source_gains": scan.array.gain,
        "channel_variance": scan.noise**2,
        "starts": starts,
    }
    return fit_timestreams(**(given | options))


def rough() -> Array:
    """Return where the sources are, roughly."""
    position = observed().array.position
    n = position.shape[1]
    offsets = (-position[0] + 0.5, -position[1] - 0.4)
    return np.column_stack([*offsets, np.full((n, 3), [1400.0, 13.0, 12.0]), np.zeros((n, 2))])


class TestTimestreamFit:
    """Positions are as good as the noise allows, and their errors are what they say."""

    def test_errors_are_those_of_the_noise(self) -> None:
        scan, found = observed(), fit(rough())
        away = found.position + scan.array.position.T
        pulls = np.column_stack([away[:, 0] / found.error("x"), away[:, 1] / found.error("y")])
        # Five hundred pulls: their deviation is good to three per cent.
        assert abs(pulls.std() - 1.0) < 0.08
        assert abs(np.mean(found.chi2 / found.degrees_of_freedom) - 1.0) < 0.01
        # The bound for a circular beam, from the sum of the squares of the derivatives.
        sigma = 12.0 / np.sqrt(8.0 * np.log(2.0))
        x, y = (scan.offset[axis][:, None] + scan.array.position[axis] for axis in range(2))
        slope = 1500.0 * scan.array.gain * x / sigma**2 * np.exp(-0.5 * (x**2 + y**2) / sigma**2)
        bound = WHITE / np.sqrt((slope**2).sum(axis=0))
        np.testing.assert_allclose(np.median(found.error("x") / bound), 1.0, atol=0.03)
        assert abs(np.mean(found.amplitude) / 1500.0 - 1.0) < 0.001
        assert not (found.flags & int(FitFlag.NOT_FOUND)).any()

    def test_an_interrupt_ends_it(self) -> None:
        with interrupted_after(0.2), pytest.raises(KeyboardInterrupt):  # noqa: PT012  (however often it takes)
            while True:
                fit(rough(), n_threads=1)
        assert np.isfinite(fit(rough()).amplitude).all()  # and the next call is as good as ever

    def test_threads_layout_and_order_change_nothing(self) -> None:
        reference = fit(rough(), n_threads=1)
        order = np.arange(256)[::-3]
        some = fit(
            rough()[order],
            channel_indices=order,
            channel_variance=observed().noise[order] ** 2,
            frame_data=np.asfortranarray(observed().data - np.median(observed().data, axis=0)),
            n_threads=2,
        )
        np.testing.assert_array_equal(some.position, reference.position[order])
        np.testing.assert_array_equal(some.covariance, reference.covariance[order])

    def test_samples_that_are_flagged_or_missing_are_left_out(self) -> None:
        data = observed().data - np.median(observed().data, axis=0)
        flags = np.zeros(data.shape, dtype=np.int64)
        data[::5] += 1e6
        flags[::5] = SampleFlag.SPIKE
        data[1::5] = np.nan
        found = fit(rough(), frame_data=data, sample_flags=flags)
        away = found.position + observed().array.position.T
        assert np.abs(away).max() < 0.2
        assert (found.n_cells < 0.61 * len(data)).all()

    def test_fits_to_maps_are_refined_and_failures_passed_on(self) -> None:
        good = fit(rough())
        flags, position = good.flags.copy(), good.position.copy()
        flags[7], position[7] = FitFlag.NO_MAP, np.nan
        names = [name for name in GaussianFits.__dataclass_fields__ if name not in {"_errors", "flags", "position"}]
        starts = GaussianFits(position=position, flags=flags, **{name: getattr(good, name) for name in names})
        again = fit(starts)
        assert again.flags[7] == FitFlag.NO_MAP
        assert np.isnan(again.position[7]).all()
        others = np.arange(256) != 7
        np.testing.assert_allclose(again.position[others], good.position[others], atol=1e-4)

    def test_pixels_without_data_say_so(self) -> None:
        variance, gains = observed().noise ** 2, observed().array.gain.copy()
        variance[3], gains[4] = 0.0, np.nan
        found = fit(rough(), channel_variance=variance, source_gains=gains)
        assert (found.flags[3:5] == FitFlag.NO_DATA).all()
        assert np.isnan(found.amplitude[3:5]).all()

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"shape": "square"}, ParameterError, "shape"),
            ({"shape": "fixed"}, ParameterError, "fixed"),
            ({"starts": np.zeros((256, 5))}, ShapeError, "starts"),
            ({"starts": np.zeros((3, 7))}, ShapeError, "starts"),
            ({"offsets": np.zeros((2, 5))}, ShapeError, "offsets"),
            ({"frame_gains": np.ones(5)}, ShapeError, "frame_gains"),
            ({"source_gains": np.ones(5)}, ShapeError, "source_gains"),
            ({"channel_indices": np.full(256, 999)}, ParameterError, "channel_indices"),
            ({"sample_flags": np.zeros((8130, 256))}, DtypeError, "sample_flags"),
            ({"n_evaluations": 0}, ParameterError, "n_evaluations"),
        ],
    )
    def test_mistakes_are_told(self, options: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            fit(options.pop("starts", rough()), **options)

    def test_a_fixed_beam_needs_no_width(self) -> None:
        found = fit(rough(), shape="fixed", fixed=(12.0, 12.0, 0.0))
        np.testing.assert_allclose(found.fwhm, 12.0)
        assert not found.error("fwhm_major").any()
