"""What an array scans: a star, or the disc of a planet, seen through a Gaussian beam."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import ParameterError
from pixtrace.simulate.psf import erf

__all__ = ["ScanSource"]

_FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_N_CHORDS = 48  # of the disc; the Gauss-Chebyshev rule has converged to 1e-9 for discs of up to ten beams
_REACH = 7.0  # sigma beyond the edge of the disc at which the profile ends: 2e-11
_LEAST_EXPONENT = -80.0  # 1e-35: numbers that are smaller still are slow to compute with
_STEPS = 400.0  # of the table per sigma^2 in r^2: linear interpolation is then good to 1e-6


@dataclass(frozen=True, kw_only=True)
class ScanSource:
    """A round source: a point or a uniform disc, convolved with a round Gaussian beam.

    Attributes
    ----------
    amplitude : float
        Signal of a pixel of gain 1 at the centre of the source, beam and disc taken together [counts].
    fwhm : float
        Full width at half maximum of the beam [arcsec].
    diameter : float
        Diameter of the disc [arcsec]; 0 is a point.
    position : tuple of float
        Where the source is, against where the telescope believes it is, in the telescope's system [arcsec].
    drift : tuple of float
        How it moves away from there, as when a target is not tracked well [arcsec/s].
    sky_motion : tuple of float
        How the target moves on the sky, in right ascension (times the cosine of the declination) and declination
        [arcsec/s]. The telescope follows it: offsets are against the target, only the coordinates change.

    Raises
    ------
    ParameterError
        A width is not positive, or a number not finite.
    """

    amplitude: float = 2000.0
    fwhm: float = 12.0
    diameter: float = 0.0
    position: tuple[float, float] = (0.0, 0.0)
    drift: tuple[float, float] = (0.0, 0.0)
    sky_motion: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (math.isfinite(self.fwhm) and self.fwhm > 0.0):
            msg = f"`fwhm` = {self.fwhm}; it must be a positive number of arcsec"
            raise ParameterError(msg)
        if not (math.isfinite(self.diameter) and self.diameter >= 0.0):
            msg = f"`diameter` = {self.diameter}; it must be 0 or a positive number of arcsec"
            raise ParameterError(msg)
        numbers = (self.amplitude, *self.position, *self.drift, *self.sky_motion)
        if not all(math.isfinite(number) for number in numbers):
            msg = "`amplitude`, `position`, `drift` and `sky_motion` must be finite numbers"
            raise ParameterError(msg)

    @property
    def sigma(self) -> float:
        """Standard deviation of the beam.

        Returns
        -------
        float
            [arcsec].
        """
        return self.fwhm / _FWHM_PER_SIGMA

    @property
    def reach(self) -> float:
        """Distance from the centre beyond which nothing is seen.

        Returns
        -------
        float
            [arcsec].
        """
        return 0.5 * self.diameter + _REACH * self.sigma

    def profile(self, radius: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the profile, 1 at the centre, by integration over the disc.

        Parameters
        ----------
        radius : array_like of float
            Distance from the centre [arcsec].

        Returns
        -------
        ndarray of float64
            Same shape as `radius`.
        """
        radius = np.asarray(radius, dtype=np.float64)
        if self.diameter == 0.0:
            point: npt.NDArray[np.float64] = np.exp(-0.5 * (radius / self.sigma) ** 2)
            return point
        # Chords of the disc along x, at the heights of a Gauss-Chebyshev rule of the second kind.
        angle = np.pi * np.arange(1, _N_CHORDS + 1) / (_N_CHORDS + 1)
        half = 0.5 * self.diameter
        height, chord, width = half * np.cos(angle), half * np.sin(angle), np.sin(angle)
        weight = width * np.exp(-0.5 * (height / self.sigma) ** 2)
        scale = math.sqrt(0.5) / self.sigma
        disc = (erf((radius[..., None] + chord) * scale) - erf((radius[..., None] - chord) * scale)) @ weight
        centre = 2.0 * erf(chord * scale) @ weight
        return np.asarray(disc / centre, dtype=np.float64)

    @cached_property
    def _table(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], float]:
        """Values and rises of the profile at even steps of the squared radius, and the steps per arcsec^2."""
        per_square = _STEPS / self.sigma**2
        n = math.ceil(self.reach**2 * per_square) + 2
        values = self.profile(np.sqrt(np.arange(n) / per_square)) * self.amplitude
        values[-1] = values[-2] = 0.0
        rises = np.append(np.diff(values), 0.0)
        return values.astype(np.float32), rises.astype(np.float32), per_square

    def signal(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what pixels of gain 1 see, in single precision and fast.

        Parameters
        ----------
        x, y : ndarray of float32
            Where they look, against the centre of the source [arcsec]; broadcast against each other.

        Returns
        -------
        ndarray of float32
            Signal [counts], to 1e-6 of the amplitude.
        """
        if self.diameter == 0.0:
            scale = np.float32(-0.5 / self.sigma**2)
            square = x * x + y * y
            np.multiply(square, scale, out=square)
            np.maximum(square, np.float32(_LEAST_EXPONENT), out=square)
            np.exp(square, out=square)
            return np.multiply(square, np.float32(self.amplitude), out=square)
        values, rises, per_square = self._table
        place = np.minimum((x * x + y * y) * np.float32(per_square), np.float32(values.size - 1))
        node = place.astype(np.int32)
        place -= node
        return np.asarray(values[node] + place * rises[node], dtype=np.float32)
