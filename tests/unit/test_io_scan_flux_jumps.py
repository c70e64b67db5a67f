"""Jumps of flux that the electronics counted, in the signals of HAWC+."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.io.scan import stream_simulated
from pixtrace.io.scan.flux_jumps import without_counted_jumps
from pixtrace.io.scan.hawc import open_hawc
from pixtrace.io.scan.hawc_write import write_hawc
from pixtrace.io.scan.raw import DataChunk
from pixtrace.simulate import ArrayLayout, ScanNoise, ScanParams, ScanSimulator
from tests.untyped import fits

N, NOISE = 400, 3.0


def signals() -> tuple[Any, Any]:
    """Return noise in six channels, and counters that rest."""
    rng = np.random.default_rng(5)
    return rng.normal(0.0, NOISE, (N, 6)).astype(np.float32), np.zeros((N, 6), dtype=np.int16)


def mended(data: Any, jumps: Any, length: int = N) -> Any:
    """Return signals that were read in pieces of some length."""
    pieces = (DataChunk(k, data[k : k + length].copy(), jumps[k : k + length]) for k in range(0, len(data), length))
    found = list(without_counted_jumps(pieces))
    assert [chunk.start for chunk in found] == list(range(0, len(data), length))
    return np.concatenate([chunk.data for chunk in found])


def with_jumps() -> tuple[Any, Any, Any]:
    """Return signals with jumps of all kinds, their counts, and the signals without."""
    quiet, jumps = signals()
    data = quiet.copy()
    for channel, first, last, height in ((0, 100, N, 900.0), (1, 60, 75, -500.0), (2, 200, N, 300.0), (4, 5, N, 400.0)):
        data[first:last, channel] += height
        jumps[first:last, channel] += 1 if height > 0.0 else -1
    data[204:, 2] += 300.0  # again, soon after
    jumps[204:, 2] += 1
    return data, jumps, quiet


@pytest.mark.parametrize("length", [N, 100, 64, 7, 1])
def test_steps_are_taken_out_wherever_the_scan_is_cut(length: int) -> None:
    data, jumps, quiet = with_jumps()
    found = mended(data, jumps, length)
    # A level comes from a few samples, so that a part of the noise stays.
    assert np.abs(np.median(found - quiet, axis=0)).max() < 2.5 * NOISE
    assert np.abs(found - quiet)[60:75].max() < 2.5 * NOISE
    np.testing.assert_array_equal(found[:, [3, 5]], quiet[:, [3, 5]])
    np.testing.assert_allclose(found, mended(data, jumps), atol=1e-3)


def test_counts_without_a_step_change_nothing() -> None:
    quiet, jumps = signals()
    jumps[150:, 2] = 7
    jumps[N - 2 :, 3] = 1  # too late for a level behind it
    np.testing.assert_array_equal(mended(quiet, jumps), quiet)


def test_a_source_that_passes_is_no_step() -> None:
    data, jumps = signals()
    passing = 2000.0 * np.exp(-0.5 * ((np.arange(N) - 150.0) / 12.0) ** 2)
    data[:, 1] += passing.astype(np.float32)
    jumps[140:, 1] = 1
    np.testing.assert_array_equal(mended(data, jumps), data)


def test_missing_samples_stay_missing() -> None:
    data, jumps, quiet = with_jumps()
    data[96:103, 0] = np.nan
    data[:, 1] = np.nan
    found = mended(data, jumps)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(data))
    assert abs(np.median(found[103:, 0] - quiet[103:, 0])) < 2.5 * NOISE


def test_a_table_without_counts_goes_on_at_the_level_of_the_one_before() -> None:
    data, jumps, quiet = with_jumps()
    pieces = iter([DataChunk(0, data[:300].copy(), jumps[:300]), DataChunk(300, data[300:].copy())])
    found = np.concatenate([chunk.data for chunk in without_counted_jumps(pieces)])
    assert np.abs(np.median(found - quiet, axis=0)).max() < 2.5 * NOISE


def test_a_file_of_hawc_with_jumps(tmp_path: Path) -> None:
    layout = ArrayLayout(
        n_rows=4, n_columns=5, first_row=12, first_column=8, row_stride=32, centre=(15.5, 19.5), dead_fraction=0.0
    )
    simulator = ScanSimulator(ScanParams(array=layout, noise=ScanNoise(), n_frames=300))
    path = tmp_path / "scan.fits"
    write_hawc(path, stream_simulated(simulator))
    quiet = open_hawc(path).read()
    with fits.open(path, mode="update") as hdus:
        hdus[2].data["SQ1Feedback"][150:, 13, 9] += 7000
        hdus[2].data["FluxJumps"][150:, 13, 9] += 1
    for scan in (open_hawc(path), open_hawc(path).select(np.arange(1312) > 100)):
        difference = scan.read() - quiet[:, -scan.n_channels :]
        column = int(np.flatnonzero(scan.channels.fixed_index == 13 * 32 + 9)[0])
        assert not np.delete(difference, column, axis=1).any()
        assert not difference[:150].any()
        assert np.ptp(difference[150:, column]) < 0.01
        assert abs(difference[200, column]) < 60.0  # of 7000
