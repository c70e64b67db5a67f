"""The least that can be done to signals before they are mapped: their level, their noise, and whether there is any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace._arrays import FloatArray

__all__ = ["white_variance", "without_level"]

_PER_MEDIAN_SQUARE = 2.198109338  # variance over median square of Gaussian noise
_CHANNELS = 64  # at a time
_LEAST = 3  # samples that a level and a variance need


def without_level(
    data: FloatArray,
    sample_flag: npt.NDArray[np.uint8],
    valid: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Subtract the median of each channel, in place, and measure its white noise.

    Parameters
    ----------
    data : ndarray, shape (n_frames, n_channels)
        Signals; NaN stays NaN.
    sample_flag : ndarray of uint8, shape (n_frames, n_channels)
        Samples with any flag do not count, unless a channel has no others.
    valid : ndarray of bool, shape (n_frames,)
        Frames that count.

    Returns
    -------
    ndarray of float64, shape (n_channels,)
        Variance of the noise of each channel; 0 for one that is constant, NaN for one without samples.
    """
    n_channels = data.shape[1]
    variance = np.full(n_channels, np.nan)
    for first in range(0, n_channels, _CHANNELS):
        columns = slice(first, first + _CHANNELS)
        block = data[:, columns]
        usable = valid[:, None] & np.isfinite(block)
        clear = usable & (sample_flag[:, columns] == 0)
        clear |= usable & (clear.sum(axis=0) < _LEAST)
        values = np.where(clear, block, np.nan).T.astype(np.float64)
        counts = clear.sum(axis=0)
        some = counts >= _LEAST
        if some.any():
            level = np.zeros(len(values))
            level[some] = np.nanmedian(values[some], axis=1)
            block -= level.astype(block.dtype)
            found = variance[columns]
            found[some] = white_variance(values[some])
    return variance


def white_variance(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the variance of white noise, of the differences from one sample to the next.

    Parameters
    ----------
    values : ndarray of float64, shape (n_channels, n_frames)
        Signals; differences with NaN do not count.

    Returns
    -------
    ndarray of float64, shape (n_channels,)
        Variance; 0 for channels that are constant, NaN without any difference. Where most signals equal their
        neighbours, as counts of quiet channels do, it is the mean of the squares instead of their median.
    """
    square = np.diff(values, axis=1) ** 2
    known = np.isfinite(square).any(axis=1)
    variance = np.full(len(values), np.nan)
    if known.any():
        middle = 0.5 * _PER_MEDIAN_SQUARE * np.nanmedian(square[known], axis=1)
        variance[known] = np.where(middle > 0.0, middle, 0.5 * np.nanmean(square[known], axis=1))
    return variance
