"""Joint fits of dithers across the slices of an IFU: slices are matched, and offsets that disagree are said to."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.trace import SpectralImage, TraceModel, fit_dithers
from pixtrace.trace.across import slices_moved

N_Y, N_X = 20, 90
SHARES = (0.03, 0.2, 1.0, 0.35, 0.06)
#: Columns by which a slice is displaced in wavelength from that before.
DISPLACED = (0, 7, 2, 12, 5, 9)


def exposure(
    offset: float,
    seed: int,
    shares: Sequence[float] = SHARES,
    *,
    displaced: Sequence[int] = (0,) * 6,
    drift: float = 0.0,
    slice_offsets: Sequence[float] = (0.0,) * 6,
) -> SpectralImage:
    """One dither of a star that fills slices to different parts, and whose width may change along the spectrum."""
    n, random = len(shares), np.random.default_rng(500 + seed)
    by_slice = 5.0 + 0.01 * (np.arange(N_X) - np.asarray(displaced[:n])[:, None])
    wavelength = np.repeat(by_slice, N_Y, axis=0)
    alpha = np.tile(np.arange(N_Y)[:, None] - 9.3 + 0.004 * np.arange(N_X), (n, 1))
    place = offset + np.repeat(slice_offsets[:n], N_Y)[:, None]
    width = 0.8 + drift * (wavelength - 5.0)
    signal = 400 * np.repeat(shares, N_Y)[:, None] * np.exp(-0.5 * ((alpha - place) / width) ** 2) + 3.0
    error = np.sqrt(0.05 * signal + 0.25)
    return SpectralImage(
        flux=signal + error * random.standard_normal(signal.shape),
        error=error,
        alpha=alpha,
        region_map=np.repeat(np.arange(101, 101 + n, dtype=np.int32), N_Y)[:, None] + np.zeros(N_X, dtype=np.int32),
        wavelength=wavelength.astype(np.float64),
    )


def profiles(model: TraceModel, region: int, columns: Sequence[int]) -> npt.NDArray[np.float64]:
    at = np.linspace(-3, 3, 41)
    return np.array([model[region][column].model(at) * model[region][column].scale for column in columns])


def test_a_source_in_other_slices_is_fitted_with_those_that_show_the_same() -> None:
    one, other = exposure(0.0, 0), exposure(0.4, 1, (0.0, *SHARES[:-1]))
    fit = fit_dithers([one, other], offsets_by="channel")
    (group,) = fit.groups
    assert group.slices == (0, 1)
    assert group.regions == (100, 101, 102, 103, 104, 105)
    assert group.shared[103] == ((0, 1),)
    found, error = group.between(0, 1)
    assert abs(found - 0.4) < 4 * error < 0.02
    # As if the slices of the other exposure had the numbers of those of the first, to the bit.
    renumbered = replace(other, region_map=np.where(other.region_map == 101, 106, other.region_map - 1))
    by_hand = fit_dithers([one, renumbered], offsets_by="channel", match_slices=False)
    assert by_hand.groups[0].slices == (0, 0)
    np.testing.assert_array_equal(fit.offsets, by_hand.offsets)
    for region in (102, 103, 104, 105):
        moved, hand = (model.tables()[r] for model, r in ((fit.models[1], region), (by_hand.models[1], region - 1)))
        for a, b in zip(moved, hand, strict=True):
            np.testing.assert_array_equal(a, b)


def test_matched_slices_are_matched_in_wavelength() -> None:
    # The source grows along the spectrum; without their wavelengths slices would be matched ten columns off.
    one = exposure(0.0, 0, displaced=DISPLACED, drift=0.6)
    other = exposure(0.4, 1, (0.0, *SHARES[:-1]), displaced=DISPLACED, drift=0.6)
    fit = fit_dithers([one, other], offsets_by="channel", tolerance=np.inf)
    assert fit.groups[0].slices == (0, 1)
    record = fit.models[1].record(104)
    assert record is not None
    columns = range(20, 70)
    truth = np.exp(-0.5 * ((np.linspace(-3, 3, 41) - 0.4) / (0.8 + 0.006 * (np.array(columns)[:, None] - 12))) ** 2)
    found = profiles(fit.models[1], 104, columns)
    by_column = fit_dithers(
        [replace(image, wavelength=None) for image in (one, other)], offsets_by="channel", tolerance=np.inf
    )
    unmatched = profiles(by_column.models[1], 104, columns)
    good, bad = (np.abs(p - 400 * truth - 3.0)[:, 15:30].mean() for p in (found, unmatched))
    assert good < 0.75 * bad


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0, 0, 1, 8, 2, 0], 1),
        ([1, 8, 2, 0, 0, 0], -1),
        ([0, 1, 8, 2, 0, 0], 0),
        ([0, 0.5, 4.5, 5, 1, 0], 0),  # half a slice: as like the one as the other
        ([4, 4, 4, 4, 4, 4], 0),
        ([3, 0, 0, 0, 0, 3], 0),  # something else
        ([0, 0, 0, 0, 0, 0], 0),
    ],
)
def test_slices_are_matched_where_light_is_as_it_was_but_for_a_move(other: Sequence[float], expected: int) -> None:
    assert slices_moved(np.array([0.0, 1, 8, 2, 0, 0]), np.asarray(other, dtype=np.float64)) == expected


def test_offsets_that_differ_from_slice_to_slice_have_larger_errors() -> None:
    slices = (1.0, 1.0, 1.0, 1.0)
    one = exposure(0.0, 0, slices)
    alike = fit_dithers([one, exposure(0.4, 1, slices)]).groups[0]
    apart = fit_dithers([one, exposure(0.4, 1, slices, slice_offsets=(-0.06, 0.06, -0.06, 0.06))]).groups[0]
    assert alike.between(0, 1)[1] < 0.003
    # The mean of four that scatter by 0.06 is known to 0.06 / sqrt(3).
    assert apart.between(0, 1)[1] == pytest.approx(0.035, rel=0.3)
    assert abs(apart.between(0, 1)[0] - 0.4) < 0.035
