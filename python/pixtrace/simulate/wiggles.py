"""The spectrum of a star out of a rectified slice, and how much it wiggles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import ParameterError

if TYPE_CHECKING:
    from pixtrace.simulate.scene import Scene, Star

__all__ = ["Wiggles", "point_spectrum", "wiggles"]

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


def point_spectrum(
    flux: npt.ArrayLike, alpha: npt.ArrayLike, region_map: npt.ArrayLike, *, region: int, at: float
) -> npt.NDArray[np.float64]:
    """Return the spectrum along one row of the rectified slice.

    Each column is interpolated linearly at the same along-slice coordinate; building a cube comes down to that.

    Parameters
    ----------
    flux, alpha : array_like of float, shape (n_y, n_x)
        Image and along-slice coordinate; pixels where either is not finite are left out.
    region_map : array_like of int, shape (n_y, n_x)
        Slice numbers.
    region : int
        The slice.
    at : float
        Along-slice coordinate of the row, in the unit of `alpha`.

    Returns
    -------
    ndarray of float64, shape (n_x,)
        NaN in columns where `at` is not between two finite pixels.

    Raises
    ------
    ParameterError
        The region map does not hold the region.
    """
    region_map = np.asarray(region_map)
    rows = np.flatnonzero((region_map == region).any(axis=1))
    if not rows.size:
        msg = f"`region` = {region}; the region map holds no such number"
        raise ParameterError(msg)
    cut = slice(rows[0], rows[-1] + 1)
    values = np.asarray(flux)[cut].astype(np.float64)
    places = np.where(region_map[cut] == region, np.asarray(alpha, dtype=np.float64)[cut], np.nan)
    spectrum = np.full(values.shape[1], np.nan)
    for column in range(len(spectrum)):
        good = np.isfinite(values[:, column]) & np.isfinite(places[:, column])
        if good.any():
            x, y = places[good, column], values[good, column]
            order = np.argsort(x)
            spectrum[column] = np.interp(at, x[order], y[order], left=np.nan, right=np.nan)
    return spectrum


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
