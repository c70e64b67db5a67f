"""Beam maps: the disc of a planet in the width of a beam."""

import math

import numpy as np
import pytest

from pixtrace.exceptions import ParameterError
from pixtrace.scan.disc import deconvolve_disc, fitted_width
from pixtrace.simulate import ScanSource


@pytest.mark.parametrize(("beam", "diameter"), [(12.0, 3.0), (12.0, 14.0), (7.8, 20.0), (13.0, 45.0)])
def test_the_beam_comes_back(beam: float, diameter: float) -> None:
    seen = fitted_width(beam, diameter)
    assert seen > beam
    np.testing.assert_allclose(deconvolve_disc([seen, math.nan], diameter), [beam, math.nan], rtol=2e-3)


def test_the_width_is_that_of_a_fit_to_the_disc() -> None:
    # The same by brute force, on a grid, with the profile of the simulator.
    from scipy.optimize import curve_fit

    source = ScanSource(fwhm=10.0, diameter=16.0)
    axis = np.linspace(-40.0, 40.0, 161)
    radius = np.hypot(*np.meshgrid(axis, axis)).ravel()
    profile = source.profile(radius)

    def gaussian(r: np.ndarray, height: float, fwhm: float) -> np.ndarray:
        return np.asarray(height * np.exp(-4.0 * math.log(2.0) * (r / fwhm) ** 2))

    (_, width), _ = curve_fit(gaussian, radius, profile, (1.0, 14.0))
    np.testing.assert_allclose(fitted_width(10.0, 16.0), width, rtol=1e-4)


def test_a_small_disc_adds_its_second_moment() -> None:
    np.testing.assert_allclose(fitted_width(12.0, 2.0), math.sqrt(144.0 + 0.5 * math.log(2.0) * 4.0), rtol=1e-4)


def test_no_disc_changes_nothing_and_a_narrow_fit_has_no_beam() -> None:
    np.testing.assert_array_equal(deconvolve_disc([12.0, math.nan], 0.0), [12.0, math.nan])
    assert np.isnan(deconvolve_disc([5.0], 30.0)).all()
    with pytest.raises(ParameterError, match=r"source\.diameter = -1"):
        deconvolve_disc([5.0], -1.0)
