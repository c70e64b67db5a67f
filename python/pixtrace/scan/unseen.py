"""Pixels in which no source was found although all others show it: blind ones, and those that look past the scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.scan.fits import PixelFits
    from pixtrace.scan.projection import MapGrid

__all__ = ["would_have_seen", "would_look_past"]

_LEAST = 5  # pixels from which it is known how bright the source is
_BLIND = 0.2  # of the usual amplitude: as for the response to the sky
_NEAR = 0.5  # of the width of the source, to the nearest cell with samples
_ASTRAY = 1.0  # of that width: nominal positions that are off by more tell nothing


def would_have_seen(fits: PixelFits, noise: npt.NDArray[np.float64], significance: float) -> npt.NDArray[np.bool_]:
    """Tell in which maps without a source even a fifth of the usual one would have been found.

    Parameters
    ----------
    fits : PixelFits
        Fits of all pixels, of length n.
    noise : ndarray of float64, shape (n,)
        Noise of a sample of each pixel, in units of the source's amplitude; NaN if it is not known.
    significance : float
        Signal to noise from which on a source counts as found.

    Returns
    -------
    ndarray of bool, shape (n,)
        False where the source was found, and everywhere if it was found in fewer than five maps.
    """
    found = fits.is_found
    with np.errstate(invalid="ignore", divide="ignore"):
        per_noise = np.abs(fits.peak_error / noise)
    known = found & np.isfinite(per_noise) & np.isfinite(fits.peak)
    if known.sum() < _LEAST:
        return np.zeros(found.shape, dtype=bool)
    usual = float(np.median(np.abs(fits.peak[known])))
    error = float(np.median(per_noise[known])) * noise
    with np.errstate(invalid="ignore"):
        clear: npt.NDArray[np.bool_] = ~found & (_BLIND * usual > significance * error)
    return clear


def would_look_past(
    fits: PixelFits,
    nominal: npt.NDArray[np.float64],
    grid: MapGrid,
    coverage: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Tell which pixels without a source look past the scan, as far as their nominal positions tell.

    Parameters
    ----------
    fits : PixelFits
        Fits of all pixels, of length n.
    nominal : ndarray of float64, shape (2, n)
        Where pixels are meant to look [arcsec].
    grid : MapGrid
        That of the maps.
    coverage : ndarray of bool, shape (n_y, n_x)
        Cells with samples.

    Returns
    -------
    ndarray of bool, shape (n,)
        True where the source, as seen from the nominal position, stands nowhere near a cell with samples. False where
        it was found, and everywhere if those that were found are not near their nominal positions.
    """
    found = fits.is_found
    past = np.zeros(found.shape, dtype=bool)
    if found.sum() < _LEAST or not coverage.any():
        return past
    expected = -nominal
    away = np.stack([fits.x, fits.y])[:, found] - expected[:, found]
    middle = np.median(away, axis=1, keepdims=True)
    width = float(np.median(np.sqrt(fits.fwhm_major[found] * fits.fwhm_minor[found])))
    if not float(np.median(np.hypot(*(away - middle)))) <= _ASTRAY * width:
        return past
    size, reference = np.array(grid.resolution)[:, None], np.array(grid.reference_index)[:, None]
    cells = (np.stack(np.nonzero(coverage)[::-1]) - reference) * size
    for k in np.flatnonzero(~found):
        distance = np.hypot(*(cells - expected[:, k, None] - middle))
        past[k] = bool(distance.min() > _NEAR * width)
    return past
