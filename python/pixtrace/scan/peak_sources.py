"""Peaks of maps, by the methods of the reference."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["PeakSources"]


class PeakSources(NamedTuple):
    """The peak of each map; NaN where there is none of enough significance."""

    position: npt.NDArray[np.float64]
    """Centre (x, y), an offset from the reference position [arcsec], shape (n, 2)."""
    center_index: npt.NDArray[np.float64]
    """Centre as a map index (x, y), shape (n, 2)."""
    peak: npt.NDArray[np.float64]
    """Value at the centre [unit of the data], shape (n,)."""
    peak_weight: npt.NDArray[np.float64]
    """Weight at the centre, from a surface through those of the cells, which may overshoot; shape (n,)."""
    fwhm: npt.NDArray[np.float64]
    """FWHM, less that of the smoothing [arcsec], shape (n,)."""
    fwhm_weight: npt.NDArray[np.float64]
    """Inverse variance of it [arcsec^-2], shape (n,)."""
    source_radius: npt.NDArray[np.float64]
    """Radius of the circle at which the S/N inside hardly rose [arcsec]; NaN after a fit; shape (n,)."""
    source_sum: npt.NDArray[np.float64]
    """Sum of the S/N inside the circle before that one; 0 after a fit; shape (n,)."""
    elongation: npt.NDArray[np.float64]
    """Elongation, 0 for a round source, shape (n,)."""
    angle: npt.NDArray[np.float64]
    """Angle of the longer axis, from x towards y [degree], 0 to 180, shape (n,)."""
