"""The spectrum of a star out of a rectified slice, and how much it wiggles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixtrace.trace.wiggle import point_spectrum

if TYPE_CHECKING:
    from pixtrace.simulate.scene import Scene, Star

__all__ = ["Wiggles", "wiggles"]

_CLIP_SIGMA = 5.0
_CLIP_ROUNDS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Wiggles:
    """Spectra at the position of a star, relative to the truth.

    Attributes
    ----------
    wavelength : ndarray of float64, shape (n_x,)
        Wavelength of each column [um].
    before, after : ndarray of float64, shape (n_x,)
        Spectrum from the detector pixels and from the oversampled ones, each divided by the noise-free one; NaN where
        there is no data.
    truth : ndarray of float64, shape (n_x,)
        Noise-free spectrum [flux unit].
    """

    wavelength: npt.NDArray[np.float64]
    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float64]

    @property
    def rms_before(self) -> float:
        """Relative scatter of the spectrum before oversampling.

        Returns
        -------
        float
            Standard deviation, outliers clipped; NaN without data.
        """
        return _clipped_std(self.before)

    @property
    def rms_after(self) -> float:
        """Relative scatter of the spectrum after oversampling.

        Returns
        -------
        float
            Standard deviation, outliers clipped; NaN without data.
        """
        return _clipped_std(self.after)


def wiggles(scene: Scene, star: Star, flux_os: npt.ArrayLike, factor: float) -> Wiggles:
    """Compare the spectrum at a star before and after oversampling with the truth.

    Parameters
    ----------
    scene : Scene
        The simulated exposure.
    star : Star
        One of its stars.
    flux_os : array_like of float, shape (ceil(n_y * factor), n_x)
        Its image, oversampled.
    factor : float
        The factor of the oversampling.

    Returns
    -------
    Wiggles
        The spectra relative to the truth.
    """
    image = scene.image
    region = scene.region_of(star)
    truth = scene.spectrum_at(region, star.alpha)
    region_os = scene.region_map_os(factor)
    before = point_spectrum(image.flux, image.alpha, image.region_map, region=region, at=star.alpha)
    after = point_spectrum(flux_os, scene.alpha_os(factor), region_os, region=region, at=star.alpha)
    return Wiggles(wavelength=scene.wavelength, before=before / truth, after=after / truth, truth=truth)


def _clipped_std(values: npt.NDArray[np.float64]) -> float:
    """Return the standard deviation without outliers; NaN if there are no finite values."""
    kept = values[np.isfinite(values)]
    for _ in range(_CLIP_ROUNDS):
        if not kept.size:
            return float("nan")
        inside = np.abs(kept - np.median(kept)) <= _CLIP_SIGMA * kept.std()
        if inside.all():
            break
        kept = kept[inside]
    return float(kept.std())
