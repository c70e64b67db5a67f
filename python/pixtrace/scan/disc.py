"""Planets are discs: what a disc does to the width of a beam, and how it is taken out again."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import ParameterError

__all__ = ["deconvolve_disc", "fitted_width"]

_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_N_RADII = 241
_N_RINGS = 128
_LARGE = 300.0  # argument of I0 from which its asymptotic series is good to 1e-6
_NARROWEST = 0.1  # beam, in diameters of the disc, of which anything can be said
_REACH = 5.0  # sigma of the beam beyond the edge of the disc


def _profile(radius: npt.NDArray[np.float64], sigma: float, diameter: float) -> npt.NDArray[np.float64]:
    """Return a uniform disc seen through a Gaussian beam, as a sum over rings of the disc; 1 at the centre."""
    # The mean of a Gaussian over a ring of radius s is exp(-(r^2 + s^2) / 2 sigma^2) I0(r s / sigma^2); rings are the
    # Gauss-Legendre nodes in s^2, of equal area per weight.
    nodes, weights = np.polynomial.legendre.leggauss(_N_RINGS)
    ring = 0.5 * diameter * np.sqrt(0.5 * (nodes + 1.0))
    product = radius[:, None] * ring / sigma**2
    # I0 grows as the exponential that falls outside of it: together they stay finite.
    scaled = np.where(product < _LARGE, np.i0(np.minimum(product, _LARGE)) * np.exp(-np.minimum(product, _LARGE)), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = (1.0 + 0.125 / product) / np.sqrt(2.0 * np.pi * product)
    scaled = np.where(product < _LARGE, scaled, far)
    values: npt.NDArray[np.float64] = (np.exp(-0.5 * ((radius[:, None] - ring) / sigma) ** 2) * scaled) @ weights
    return np.asarray(values / values[0], dtype=np.float64)


def fitted_width(fwhm: float, diameter: float) -> float:
    """Return the FWHM of the Gaussian that fits a disc seen through a Gaussian beam best, evenly weighted in the plane.

    Parameters
    ----------
    fwhm : float
        FWHM of the beam [arcsec].
    diameter : float
        Diameter of the disc [arcsec].

    Returns
    -------
    float
        The width [arcsec]; that of the beam for a point.
    """
    if diameter == 0.0:
        return fwhm
    sigma = fwhm / _PER_SIGMA
    radius = np.linspace(0.0, 0.5 * diameter + _REACH * sigma, _N_RADII)
    profile = _profile(radius, sigma, diameter)
    width = math.sqrt(sigma**2 + diameter**2 / 16.0)  # of the same second moment
    height, area = 1.0, radius * (radius[1] - radius[0])
    for _ in range(30):  # Gauss-Newton in height and width
        shape = np.exp(-0.5 * (radius / width) ** 2)
        slope = height * shape * radius**2 / width**3
        normal = np.array(
            [
                [(area * shape**2).sum(), (area * shape * slope).sum()],
                [(area * shape * slope).sum(), (area * slope**2).sum()],
            ]
        )
        rest = profile - height * shape
        step = np.linalg.solve(normal, np.array([(area * shape * rest).sum(), (area * slope * rest).sum()]))
        height, width = height + float(step[0]), max(width + float(step[1]), 0.5 * width)
        if abs(step[1]) < 1e-12 * width:
            break
    return width * _PER_SIGMA


def deconvolve_disc(fwhm: npt.ArrayLike, diameter: float) -> npt.NDArray[np.float64]:
    """Take a disc out of fitted widths: the beam whose image of the disc is fitted by a Gaussian of that width.

    Parameters
    ----------
    fwhm : array_like
        FWHM of Gaussians that were fitted to images of the disc [arcsec]; NaN stays NaN.
    diameter : float
        Diameter of the disc [arcsec].

    Returns
    -------
    ndarray of float64
        FWHM of the beams [arcsec]; NaN where the fitted width is that of the disc alone or less.

    Raises
    ------
    ParameterError
        If the diameter is negative or not finite.
    """
    if not (math.isfinite(diameter) and diameter >= 0.0):
        msg = f"source.diameter = {diameter}; it must be 0 or a positive number of arcsec"
        raise ParameterError(msg)
    measured = np.asarray(fwhm, dtype=np.float64)
    if diameter == 0.0 or not np.isfinite(measured).any():
        return measured.copy()
    # The fitted width grows with that of the beam: a table of it, turned round.
    largest = float(np.nanmax(np.where(np.isfinite(measured), measured, np.nan)))
    beams = np.linspace(_NARROWEST * diameter, max(largest, 2.0 * _NARROWEST * diameter), 200)
    widths = np.array([fitted_width(float(beam), diameter) for beam in beams])
    first = int(np.argmin(widths))  # narrower beams do not make the image of the disc any narrower
    beams, widths = beams[first:], widths[first:]
    found: npt.NDArray[np.float64] = np.interp(measured, widths, beams, left=np.nan, right=np.nan)
    return np.where(np.isfinite(measured), found, np.nan)
