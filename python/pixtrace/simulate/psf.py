"""The light of a star along a slit: a Gaussian core with Gaussian wings, integrated over pixels.

An undersampled star is all about what a pixel integrates, so the profile is never sampled at pixel centres: a pixel
gets the difference of the cumulative profile between its two edges. The cumulative profile of a Gaussian is the error
function, which numpy does not have; `erf` is a table with cubic Hermite interpolation, good to 1e-10 and vectorised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import ParameterError

__all__ = ["Psf", "erf"]

_STEP = 1.0 / 128.0
_END = 6.0  # erf(6) is 1 to 2e-17
_FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))

# Values and slopes (per step) at the nodes; one node more than needed, so that the last interval has a right end.
_NODES = np.arange(round(_END / _STEP) + 2, dtype=np.float64) * _STEP
_VALUES = np.array([math.erf(x) for x in _NODES], dtype=np.float64)
_SLOPES = 2.0 / math.sqrt(math.pi) * np.exp(-(_NODES**2)) * _STEP


def erf(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the error function, to 1e-10.

    Parameters
    ----------
    x : array_like of float, any shape
        Where to evaluate it; NaN stays NaN and infinities give -1 and 1.

    Returns
    -------
    ndarray of float64
        Same shape as `x`.
    """
    x = np.asarray(x, dtype=np.float64)
    scaled = np.minimum(np.abs(x), _END) / _STEP
    node = np.nan_to_num(scaled).astype(np.intp)
    t = scaled - node
    left, right = _VALUES[node], _VALUES[node + 1]
    d_left, d_right = _SLOPES[node], _SLOPES[node + 1]
    # Hermite cubic in Horner form.
    rise = right - left
    value = left + t * (d_left + t * ((3.0 * rise - 2.0 * d_left - d_right) + t * (d_left + d_right - 2.0 * rise)))
    signed: npt.NDArray[np.float64] = np.copysign(value, x)
    return signed


@dataclass(frozen=True, kw_only=True)
class Psf:
    """A point spread function: a round Gaussian core in a fainter, wider Gaussian.

    Attributes
    ----------
    fwhm : float
        Full width at half maximum of the core at `wavelength` [unit of alpha, usually arcsec].
    wavelength : float
        Where `fwhm` holds [um]; the width grows in proportion to the wavelength.
    wing_fraction : float
        Part of the light that is in the wings, 0 to 1.
    wing_ratio : float
        How many times wider than the core the wings are.

    Raises
    ------
    ParameterError
        A width is not positive, or the fraction not between 0 and 1.
    """

    fwhm: float
    wavelength: float
    wing_fraction: float = 0.12
    wing_ratio: float = 2.7

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("fwhm", "wavelength", "wing_ratio"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                msg = f"`{name}` = {value}; it must be a positive number"
                raise ParameterError(msg)
        if not 0.0 <= self.wing_fraction <= 1.0:
            msg = f"`wing_fraction` = {self.wing_fraction}; it must lie between 0 and 1"
            raise ParameterError(msg)

    def components(self, wavelength: npt.ArrayLike) -> list[tuple[float, npt.NDArray[np.float64]]]:
        """Return the Gaussians that the profile consists of.

        Parameters
        ----------
        wavelength : array_like of float
            Wavelengths [um].

        Returns
        -------
        list of (float, ndarray of float64)
            Part of the light in each Gaussian, and its standard deviation at each wavelength.
        """
        sigma = self.fwhm / _FWHM_PER_SIGMA * np.asarray(wavelength, dtype=np.float64) / self.wavelength
        return [(1.0 - self.wing_fraction, sigma), (self.wing_fraction, sigma * self.wing_ratio)]


def fraction_between(low: npt.ArrayLike, high: npt.ArrayLike, sigma: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the part of a unit Gaussian centred on 0 that lies between two edges.

    Parameters
    ----------
    low, high : array_like of float
        Edges, in the unit of `sigma`.
    sigma : array_like of float
        Standard deviation, > 0; all three are broadcast against each other.

    Returns
    -------
    ndarray of float64
        Between 0 and 1 where low <= high.
    """
    scale = math.sqrt(0.5) / np.asarray(sigma, dtype=np.float64)
    return 0.5 * (erf(np.asarray(high) * scale) - erf(np.asarray(low) * scale))
