"""The source in the timestreams: the Gaussian of each pixel, evaluated where the telescope looked.

A pixel map subtracted from the signals of its own pixel takes the noise in the map with it, and the steps between its
cells. The Gaussian that was fitted to it has neither; what it leaves near the source is marked, so that nothing is
learned about drifts from there. `MapSignal` is the map itself; docs/beammap.md compares both.
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
    from pixtrace.scan.beam_shape import Stamps
    from pixtrace.scan.fits import PixelFits

__all__ = ["MapSignal", "SourceSignal"]

_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_SAMPLES = 1 << 18  # at a time: they stay in the cache
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
        place = {int(number): i for i, number in enumerate(fits.fixed_index)}
        at = np.array([place.get(int(number), -1) for number in fixed_index], dtype=np.int64)
        known = at >= 0
        known[known] &= fits.is_found[at[known]]
        self.columns = np.flatnonzero(known)
        chosen = self._chosen = at[self.columns]
        self._offset, self._frame_gain = offset, frame_gain
        self._x, self._y = fits.x[chosen], fits.y[chosen]
        self._source_gain = source_gain[self.columns]
        self._height = fits.peak[chosen] * self._source_gain
        angle = np.deg2rad(np.nan_to_num(fits.angle[chosen], nan=0.0))
        major, minor = (_PER_SIGMA / width[chosen] for width in (fits.fwhm_major, fits.fwhm_minor))
        # (u, v) along the axes of the ellipse, in standard deviations.
        self._u = np.stack([np.cos(angle) * major, np.sin(angle) * major]).astype(np.float32)
        self._v = np.stack([-np.sin(angle) * minor, np.cos(angle) * minor]).astype(np.float32)

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
                marks[:, self.columns] |= np.where(square < near, np.uint8(SampleFlag.SOURCE_BLANK), np.uint8(0))
            self._add(data[rows], self._signal(rows, square, -1.0))

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
            self._add(data[rows], signal)

    def _blocks(self, n_frames: int) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
        """Yield frames, a few at a time, with the squares of their distances from the sources [standard deviations]."""
        if self.columns.size == 0:
            return
        step = max(1, _SAMPLES // self.columns.size)
        offset = np.where(np.isfinite(self._offset), self._offset, 1e6)  # nowhere near
        for start in range(0, n_frames, step):
            rows = slice(start, start + step)
            dx = (offset[0, rows, None] - self._x).astype(np.float32)
            dy = (offset[1, rows, None] - self._y).astype(np.float32)
            square = (dx * self._u[0] + dy * self._u[1]) ** 2
            square += (dx * self._v[0] + dy * self._v[1]) ** 2
            yield rows, square

    def _signal(self, rows: slice, square: npt.NDArray[np.float32], sign: float) -> npt.NDArray[np.float32]:
        """Return the signal of the source in some frames, times a sign; `square` is overwritten."""
        gain = np.where(np.isfinite(self._frame_gain[rows]), self._frame_gain[rows], 0.0)
        np.minimum(square, np.float32(2.0 * _FARTHEST), out=square)
        signal = np.exp(square * np.float32(-0.5))
        signal *= self._height.astype(np.float32)
        signal *= (sign * gain[:, None]).astype(np.float32)
        return np.asarray(signal)

    def _add(self, block: FloatArray, signal: npt.NDArray[np.float32]) -> None:
        """Add a signal to some frames."""
        if self.columns.size == block.shape[1]:
            block += signal
        else:
            block[:, self.columns] += signal

    def _forgive(self, block: FloatArray, marks: npt.NDArray[np.uint8], limit: npt.NDArray[np.float32]) -> None:
        """Take the marks of glitches away where signals, less the source, are within a limit."""
        spike = np.uint8(SampleFlag.SPIKE)
        frame, place = np.nonzero(marks[:, self.columns] & spike)
        small = np.abs(block[frame, self.columns[place]]) < limit[frame, place]
        marks[frame[small], self.columns[place[small]]] &= ~spike


class MapSignal(SourceSignal):
    """What some channels saw of a source, with the map of each pixel itself instead of the Gaussian.

    Parameters
    ----------
    fits, fixed_index, offset, frame_gain, source_gain : object
        As for `SourceSignal`; the Gaussians say which samples are on the source.
    stamps : Stamps
        The sources in the maps, in the order of `fits`.
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
        del square
        gain = np.where(np.isfinite(self._frame_gain[rows]), self._frame_gain[rows], 0.0)
        signal = self._stamps.at(self._offset[:, rows])
        signal *= self._source_gain.astype(np.float32)
        signal *= (sign * gain[:, None]).astype(np.float32)
        return signal
