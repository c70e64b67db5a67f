"""The profile does not depend on how many pixels of background a column happens to have."""

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.trace import fit_robust, oversample_with_errors

HALF_LENGTH = 10.25
"""Of the slice, in pixels: columns have 20 or 21 rows, in step with the phase of the pixels."""


def largest_error(background: float, tilt: float) -> float:
    """Return by how much an oversampled star of 400 is off anywhere but at the ends of a slice, without noise."""
    n_y, n_x, factor = 40, 300, 3

    def alpha_at(row: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        return np.asarray(row[:, None] - 19.7 - tilt * (np.arange(n_x) - n_x / 2))

    def signal(alpha: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(400.0 * np.exp(-0.5 * ((alpha - 0.3) / 0.9) ** 2) + background)

    alpha, fine = alpha_at(np.arange(n_y, dtype=float)), alpha_at((np.arange(factor * n_y) + 0.5) / factor - 0.5)
    region = (np.abs(alpha) < HALF_LENGTH).astype(np.int32)
    flux, error, places = signal(alpha), np.full(alpha.shape, 5.0), np.where(region > 0, alpha, np.nan)
    model = fit_robust(flux, error, places, region)
    found = oversample_with_errors(model, flux, error, places, region, float(factor), fine).planes.flux_os
    inside = np.isfinite(found) & (np.abs(fine) < 0.6 * HALF_LENGTH)
    return float(np.abs(found - signal(fine))[inside].max())


@pytest.mark.parametrize("tilt", [0.1, 0.05, 0.02])
def test_a_background_as_bright_as_the_star_does_not_wiggle(tilt: float) -> None:
    # Divided by all the flux that they happen to have, columns would put an error of 40 into the profile.
    assert largest_error(400.0, tilt) < 10.0
