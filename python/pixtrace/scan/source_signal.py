"""The source in the timestreams: the Gaussian of each pixel, evaluated where the telescope looked.

A pixel map subtracted from the signals of its own pixel takes the noise in the map with it, and the steps between its
cells. The Gaussian that was fitted to it has neither; what it leaves near the source is marked, so that nothing is
learned about drifts from there. `MapSignal` adds what the map clearly shows beyond it; docs/beammap.md compares both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.scan.flags import SampleFlag

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from pixtrace._arrays import FloatArray
    from pixtrace.scan.fits import PixelFits
    from pixtrace.scan.stamps import Stamps

__all__ = ["MapSignal", "SourceSignal"]

_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_SAMPLES = 1 << 18  # at a time: they stay in the cache
_NOWHERE = 1e6  # arcsec
_FARTHEST = 60.0  # smallest exponent, for numbers that are not slow to compute with


class SourceSignal:
    """What some channels saw of a source.

    Parameters
    ----------
    fits : PixelFits
        The source in the maps; pixels in which it was not found have no signal here.
    fixed_index : ndarray of int64, shape (n_channels,)
        Numbers of the channels, one for each column of the data.
    offset : ndarray of float64, shape (2, n_frames)
        Where the boresight looked, on the focal plane [arcsec].
    frame_gain : ndarray of float64, shape (n_frames,)
        Gains of the frames.
    source_gain : ndarray of float64, shape (n_channels,)
        Gains of the channels to the source.
    """

    def __init__(
        self,
        fits: PixelFits,
        fixed_index: npt.NDArray[np.int64],
        offset: npt.NDArray[np.float64],
        frame_gain: npt.NDArray[np.float64],
        source_gain: npt.NDArray[np.float64],
    ) -> None:
        at = fits.places_of(fixed_index)
        known = at >= 0
        known[known] &= fits.is_found[at[known]]
        self.columns = np.flatnonzero(known)
        self._where = slice(None) if known.all() else self.columns
        chosen = self._chosen = at[self.columns]
        self._offset, self._frame_gain = offset, frame_gain
        self._source_gain = source_gain[self.columns]
        self._height = fits.peak[chosen] * self._source_gain
        angle = np.deg2rad(np.nan_to_num(fits.angle[chosen], nan=0.0))
        major, minor = (_PER_SIGMA / width[chosen] for width in (fits.fwhm_major, fits.fwhm_minor))
        # The square of the distance in standard deviations of the ellipse: xx dx^2 + xy dx dy + yy dy^2.
        cosine, sine = np.cos(angle), np.sin(angle)
        xx, yy = (cosine * major) ** 2 + (sine * minor) ** 2, (sine * major) ** 2 + (cosine * minor) ** 2
        xy = 2.0 * cosine * sine * (major**2 - minor**2)
        x, y = fits.x[chosen], fits.y[chosen]
        # The same as a sum over powers of the offset; a product of matrices takes a fifth of the time.
        constant = xx * x**2 + xy * x * y + yy * y**2
        self._square = np.stack([xx, xy, yy, -2.0 * xx * x - xy * y, -2.0 * yy * y - xy * x, constant])

    def subtract(
        self,
        data: FloatArray,
        sample_flag: npt.NDArray[np.uint8] | None = None,
        *,
        blank_fwhm: float = 0.0,
    ) -> None:
        """Subtract the source, in place, and mark the samples near it.

        Parameters
        ----------
        data : ndarray, shape (n_frames, n_channels)
            Signals; NaN stays NaN.
        sample_flag : ndarray of uint8, shape (n_frames, n_channels), optional
            Samples within `blank_fwhm` of a source get `SampleFlag.SOURCE_BLANK`.
        blank_fwhm : float, optional
            That distance [FWHM of the source].
        """
        near = np.float32((blank_fwhm * _PER_SIGMA) ** 2)
        for rows, square in self._blocks(len(data)):
            if sample_flag is not None and blank_fwhm > 0.0:
                marks = sample_flag[rows]
                marks[:, self._where] |= (square < near) * np.uint8(SampleFlag.SOURCE_BLANK)
            data[rows][:, self._where] += self._signal(rows, square, -1.0)

    def put_back(
        self, data: FloatArray, sample_flag: npt.NDArray[np.uint8] | None = None, *, tolerance: float = 0.0
    ) -> None:
        """Add the source again, in place, and forgive what only differs from it because it is no Gaussian.

        Parameters
        ----------
        data : ndarray, shape (n_frames, n_channels)
            Signals; NaN stays NaN.
        sample_flag : ndarray of uint8, shape (n_frames, n_channels), optional
            Samples on the source that were taken for glitches are none, if they differ from it by less than
            `tolerance`.
        tolerance : float, optional
            A part of the signal of the source.
        """
        for rows, square in self._blocks(len(data)):
            signal = self._signal(rows, square, 1.0)
            if sample_flag is not None and tolerance > 0.0:
                self._forgive(data[rows], sample_flag[rows], np.abs(signal) * np.float32(tolerance))
            data[rows][:, self._where] += signal

    def _blocks(self, n_frames: int) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
        """Yield frames, a few at a time, with the squares of their distances from the sources [standard deviations]."""
        if self.columns.size == 0:
            return
        step = max(1, _SAMPLES // self.columns.size)
        x, y = np.where(np.isfinite(self._offset), self._offset, _NOWHERE)
        powers = np.stack([x**2, x * y, y**2, x, y, np.ones_like(x)], axis=1)
        for start in range(0, n_frames, step):
            rows = slice(start, start + step)
            yield rows, (powers[rows] @ self._square).astype(np.float32)

    def _signal(self, rows: slice, square: npt.NDArray[np.float32], sign: float) -> npt.NDArray[np.float32]:
        """Return the signal of the source in some frames, times a sign; `square` is overwritten."""
        gain = np.where(np.isfinite(self._frame_gain[rows]), self._frame_gain[rows], 0.0)
        np.minimum(square, np.float32(2.0 * _FARTHEST), out=square)
        signal = np.exp(square * np.float32(-0.5))
        signal *= self._height.astype(np.float32)
        if sign != 1.0 or (gain != 1.0).any():
            signal *= (sign * gain[:, None]).astype(np.float32)
        return np.asarray(signal)

    def _forgive(self, block: FloatArray, marks: npt.NDArray[np.uint8], limit: npt.NDArray[np.float32]) -> None:
        """Take the marks of glitches away where signals, less the source, are within a limit."""
        spike = np.uint8(SampleFlag.SPIKE)
        frame, place = np.nonzero(marks[:, self.columns] & spike)
        small = np.abs(block[frame, self.columns[place]]) < limit[frame, place]
        marks[frame[small], self.columns[place[small]]] &= ~spike


class MapSignal(SourceSignal):
    """What some channels saw of a source: near it as the map of each pixel has it, beyond the wings of the Gaussian.

    Parameters
    ----------
    fits, fixed_index, offset, frame_gain, source_gain : object
        As for `SourceSignal`; the Gaussians say which samples are on the source.
    stamps : Stamps
        What the maps show beyond the Gaussians, in the order of `fits`.
    """

    def __init__(
        self,
        fits: PixelFits,
        fixed_index: npt.NDArray[np.int64],
        offset: npt.NDArray[np.float64],
        frame_gain: npt.NDArray[np.float64],
        source_gain: npt.NDArray[np.float64],
        stamps: Stamps,
    ) -> None:
        super().__init__(fits, fixed_index, offset, frame_gain, source_gain)
        self._stamps = stamps.select(self._chosen)

    def _signal(self, rows: slice, square: npt.NDArray[np.float32], sign: float) -> npt.NDArray[np.float32]:
        signal = super()._signal(rows, square, sign)
        gain = np.where(np.isfinite(self._frame_gain[rows]), self._frame_gain[rows], 0.0)
        beyond = self._stamps.at(self._offset[:, rows])
        beyond *= self._source_gain.astype(np.float32)
        beyond *= (sign * gain[:, None]).astype(np.float32)
        signal += beyond
        return signal
