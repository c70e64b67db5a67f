"""Bad pixels of a beam map: each is flagged, for the reason that is the true one, and no good one is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pixtrace.scan import BeamMap, ChannelFlag, FitFlag, MapGrid, Reduction
from pixtrace.scan.unseen import would_have_seen, would_look_past
from pixtrace.simulate import ScanNoise, ScanParams
from tests.beammaps import QUIET, simulated, with_source
from tests.parity.beammap_truth import array_scan
from tests.unit.test_beammap_loop import some_fits

KINDS: dict[str, Any] = {f"{reason}_fraction": 0.08 for reason in ("dead", "blind", "noisy", "oscillating")}
REASONS = {"dead": "dead channel", "blind": "blind channel", "noisy": "too noisy", "oscillating": "oscillates"}
FLAGS = {
    "": 0,
    "dead": ChannelFlag.DEAD,
    "blind": ChannelFlag.BLIND,
    "noisy": ChannelFlag.SENSITIVITY,
    "oscillating": ChannelFlag.OSCILLATING,
}
SKIES = {
    "white noise alone": ScanNoise(white=12.0),
    "a sky of ten times the noise": ScanNoise(white=12.0, sky=10.0, knee=0.5),
    "all that spoils a scan": ScanNoise(
        white=12.0, knee=1.0, sky=10.0, glitch_rate=0.02, glitch_size=30.0, jump_rate=0.002, jump_size=50.0
    ),
}


def spoiled(noise: ScanNoise, **changes: Any) -> ScanParams:
    """Return parameters of a scan with bad pixels of each kind."""
    layout = replace(QUIET.array, n_rows=8, n_columns=8, **(KINDS | changes))
    return replace(with_source(QUIET, amplitude=600.0), noise=noise, array=layout)


@pytest.mark.parametrize("sky", SKIES)
def test_every_kind_has_its_reason(sky: str) -> None:
    scan, array = simulated(spoiled(SKIES[sky]))
    found = Reduction(scans=[scan]).reduce()
    np.testing.assert_array_equal(found.is_good, array.is_good)
    for row, reason in enumerate(array.reason.tolist()):
        assert found.reason(row) == REASONS.get(reason, ""), f"pixel {row} is {reason or 'good'}"
    expected = [int(FLAGS[reason]) for reason in array.reason.tolist()]
    np.testing.assert_array_equal(found.table.extra["channel_flag"].values, expected)
    np.testing.assert_array_equal(scan.channels.flag, expected)
    # Nothing is invented for them, but how noisy they are is known.
    assert not np.isfinite(found.table.x[~array.is_good]).any()
    noisy = array.reason == "noisy"
    np.testing.assert_allclose(found.table.extra["noise"].values[noisy], 30.0 * 12.0, rtol=0.3)


def test_drifts_as_strong_as_the_sky_make_nobody_blind() -> None:
    # Gains to the sky then scatter by far more than white noise would make them.
    scan, array = simulated(array_scan(16, 4), {"rounds": 2})
    found = Reduction(scans=[scan]).reduce()
    np.testing.assert_array_equal(found.is_good, array.is_good)


def with_channels(changes: dict[int, Any]) -> BeamMap:
    """Reduce the quiet scan with other signals in some good channels."""
    scan, _ = simulated(replace(QUIET, array=replace(QUIET.array, dead_fraction=0.0)))
    data = scan[0].frames.data
    for column, change in changes.items():
        data[:, column] = change(data[:, column])
    return Reduction(scans=[scan]).reduce()


def test_glitches_without_end_and_a_channel_that_is_too_quiet() -> None:
    rng = np.random.default_rng(4)

    def glitch(signal: Any) -> Any:
        signal[rng.permutation(signal.size)[: signal.size // 7]] += 900.0
        return signal

    found = with_channels({2: glitch, 9: lambda signal: 1e-3 * signal})
    assert found.reason(2) == "too many glitches"
    assert found.table.extra["channel_flag"].values[2] == ChannelFlag.SPIKY
    assert found.reason(9) == "too quiet"
    assert found.reasons == {"too many glitches": 1, "too quiet": 1}
    assert found.n_good == 14


def test_pixels_that_look_past_the_scan_are_not_blind() -> None:
    # The telescope goes to 45 arcsec on each side, the last columns of the array stand at 60.
    wide = replace(
        QUIET, array=replace(QUIET.array, n_columns=16, pitch=8.0, dead_fraction=0.0, blind_fraction=2.0 / 64.0)
    )
    scan, array = simulated(wide)
    found = Reduction(scans=[scan]).reduce()
    past = np.abs(array.position[0]) > 54.0
    assert past.sum() >= 8
    assert {found.reason(int(row)) for row in np.flatnonzero(past & (array.reason == ""))} == {
        "the centre lies outside of the map"
    }
    near = np.abs(array.position[0]) < 38.0
    np.testing.assert_array_equal(found.is_good[near], array.is_good[near])
    blind = np.flatnonzero(near & (array.reason == "blind"))
    assert [found.reason(int(row)) for row in blind] == ["blind channel"] * blind.size
    assert blind.size > 0


def test_a_faint_source_makes_nobody_blind() -> None:
    # A fifth of the usual source would have drowned in the noise: nothing is known of pixels without one.
    n = 8
    flag = np.where(np.arange(n) < 6, 0, int(FitFlag.NOT_SIGNIFICANT))
    errors = {"peak_error": np.full(n, 1.0), "x": np.zeros(n)}
    bright, faint = (some_fits(peak=np.full(n, height), flag=flag, **errors) for height in (100.0, 20.0))
    noise = np.ones(n)
    np.testing.assert_array_equal(would_have_seen(bright, noise, 6.0), flag != 0)
    noise[7] = 4.0
    np.testing.assert_array_equal(np.flatnonzero(would_have_seen(bright, noise, 6.0)), [6])
    noise[6] = np.nan
    assert not would_have_seen(bright, noise, 6.0).any()
    assert not would_have_seen(faint, np.ones(n), 6.0).any()
    few = some_fits(peak=np.full(n, 100.0), flag=np.where(np.arange(n) < 4, 0, 16), **errors)
    assert not would_have_seen(few, np.ones(n), 6.0).any()


def test_what_nominal_positions_tell() -> None:
    grid = MapGrid((11, 11), (2.0, 2.0), (5.0, 5.0))
    coverage = np.ones((11, 11), dtype=bool)
    nominal = np.array([[0.0, 2.0, 4.0, 6.0, 8.0, 9.0, 40.0], np.zeros(7)])
    flag = np.array([0, 0, 0, 0, 0, 4, 4])
    fits = some_fits(x=1.0 - nominal[0], y=np.full(7, -1.0), flag=flag)
    np.testing.assert_array_equal(np.flatnonzero(would_look_past(fits, nominal, grid, coverage)), [6])
    # Positions that are nowhere near the nominal ones tell nothing, nor does a scan without samples.
    assert not would_look_past(fits, 10.0 * nominal, grid, coverage).any()
    assert not would_look_past(fits, nominal, grid, ~coverage).any()
