"""Errors of beam maps are as large as they say, whatever cleaning leaves behind."""

from dataclasses import replace

import numpy as np
import pytest

from pixtrace.scan import FitFlag, PixelFits, Reduction
from pixtrace.scan.refinement import error_scales, refine_fits
from pixtrace.scan.rounds import run_rounds
from pixtrace.simulate import ScanNoise
from tests.beammaps import QUIET, errors, simulated, with_source
from tests.parity.beammap_truth import array_scan, compare

SKY = ScanNoise(white=12.0, knee=1.0, sky=10.0, group=2.0, glitch_rate=0.02, glitch_size=30.0)


@pytest.mark.parametrize(
    "noise", [ScanNoise(white=12.0), SKY, replace(SKY, jump_rate=0.002, jump_size=50.0)], ids=["white", "sky", "jumps"]
)
def test_pulls_of_an_array_with_twelve_pixels_in_a_column(noise: ScanNoise) -> None:
    array = replace(QUIET.array, n_rows=12, n_columns=12, pitch=5.0, dead_fraction=0.0)
    params = with_source(replace(QUIET, array=array, noise=noise, seed=7), amplitude=600.0)
    scan, truth = simulated(params, {"rounds": 3})
    found = Reduction(scans=[scan]).reduce()
    assert found.n_good == 144
    away, coupling = errors(found, truth)
    table = found.table
    pulls = away / np.stack([table.x_error, table.y_error])
    # The deviation of so many pulls is good to four per cent.
    assert 0.85 < pulls.std() < 1.15
    assert 0.85 < 1.4826 * np.median(np.abs(pulls)) < 1.15
    assert 0.8 < ((coupling - 1.0) * table.coupling / table.coupling_error).std() < 1.2


def test_an_array_with_drifts_and_sky_of_ten_times_the_noise() -> None:
    """What ``python -m tests.parity.beammap_truth arrays`` does with 1024 pixels."""
    found = compare(array_scan(12, 6))
    assert found.n_recovered == found.n_good
    assert found.n_wrong == 0
    assert 0.85 < found.pulls[0] < 1.15
    assert abs(found.gain_bias) < 0.005
    assert found.steps.max() < 0.1


def test_errors_are_scaled_by_the_mean_of_many_pixels() -> None:
    rng = np.random.default_rng(4)
    scatter = 1.5 * rng.chisquare(25, (400, 7)) / 25.0
    scatter[:, 3] = np.nan
    scatter[7, 0], scatter[8, 0], scatter[9, 0] = np.nan, 100.0, np.inf
    scales = error_scales(scatter)
    others = np.setdiff1d(np.arange(400), [8])
    np.testing.assert_allclose(scales[others][:, [0, 1, 2]], np.sqrt(1.5), rtol=0.02)
    assert (scales[:, 3] == 1.0).all()
    # One that scatters far more than the others has its own.
    assert scales[8, 0] == 10.0


def test_nothing_is_scaled_where_nothing_is_known() -> None:
    assert (error_scales(np.full((3, 7), np.nan)) == 1.0).all()
    assert error_scales(np.zeros((0, 7))).shape == (0, 7)


def test_beams_stay_as_round_as_they_were_where_it_is_a_near_thing() -> None:
    scan, _ = simulated(QUIET, {"rounds": 1, "pointing.round": 1.0})
    state, parts = run_rounds(Reduction(scans=[scan]))
    fits, is_round = state.fits[0], int(FitFlag.ROUND)

    def n_round(before: PixelFits | None) -> int:
        return int(((refine_fits(parts[0].blocks(), fits, before).flag & is_round) != 0).sum())

    round_ones, ellipses = (n_round(replace(fits, flag=flag)) for flag in (fits.flag | is_round, fits.flag & ~is_round))
    assert ellipses < n_round(None) < round_ones
    assert n_round(replace(fits, flag=np.full_like(fits.flag, int(FitFlag.NO_DATA)))) == n_round(None)
