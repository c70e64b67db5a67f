"""What the windows of a scan have in common: memory, and what is found out about the channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace._arrays import FloatArray
    from pixtrace.scan.channels import Channels

__all__ = ["Findings", "Workspace"]

_USELESS = 0.5  # part of the frames in which a channel is flagged, from which on it is so as a whole


class Workspace:
    """Memory for the signals that are being cleaned, the same for one integration after the other."""

    def __init__(self) -> None:
        self._data: Any = np.empty(0, dtype=np.float32)
        self._flag = np.empty(0, dtype=np.uint8)

    def take(self, shape: tuple[int, int], dtype: Any) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
        """Return room for signals and flags; whatever was there before is lost."""
        size = shape[0] * shape[1]
        if self._data.size < size or self._data.dtype != dtype:
            self._data = self._flag = np.empty(0, dtype=np.uint8)  # let go of the old ones first
            self._data, self._flag = np.empty(size, dtype=dtype), np.empty(size, dtype=np.uint8)
        return self._data[:size].reshape(shape), self._flag[:size].reshape(shape)


class Findings:
    """Flags and variances of channels over all windows.

    Parameters
    ----------
    flag : ndarray of int64, shape (n,)
        `ChannelFlag` bits to begin with.
    """

    def __init__(self, flag: npt.NDArray[np.int64]) -> None:
        self._start = flag
        self._bits = flag.copy()
        self._useless = np.zeros(flag.size)
        self._weight, self._sum = np.zeros(flag.size), np.zeros(flag.size)
        self._all = np.zeros(flag.size)

    def add(self, channels: Channels, part: float) -> None:
        """Add a window that holds some part of all frames."""
        flagged = channels.flag != 0
        self._bits |= channels.flag
        self._useless += np.where(flagged, part, 0.0)
        self._weight += np.where(flagged, 0.0, part)
        self._sum += np.where(flagged, 0.0, part * channels.variance)
        self._all += part * channels.variance

    @property
    def flag(self) -> npt.NDArray[np.int64]:
        """`ChannelFlag` bits: those of any window, for channels that are flagged in at least half of the frames."""
        is_useless = (self._useless > 0.0) & (self._useless >= _USELESS * (self._useless + self._weight))
        return np.where(is_useless, self._bits, self._start)

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """Mean variance over the windows in which a channel is not flagged, or over all, if it is so in each."""
        good = self._weight > 0.0
        total = np.where(good, self._weight, self._useless)
        return np.divide(np.where(good, self._sum, self._all), total, out=np.zeros(total.size), where=total > 0.0)
