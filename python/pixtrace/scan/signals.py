"""Signals that are not all in memory: read by the piece, as often as is wanted.

A reduction goes through the signals of a scan once in each round. `Windows` cuts what is read into the stretches that
are cleaned together; they overlap, and what two of them share is read once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from pixtrace._arrays import FloatArray

__all__ = ["Chunk", "Signals", "Window", "fill_windows"]


class Chunk(NamedTuple):
    """Signals of some consecutive frames.

    Attributes
    ----------
    start : int
        Number of the first frame.
    data : ndarray of float32 or float64, shape (n, n_channels)
        Signals. NaN: no sample.
    sample_flag : ndarray of uint8, shape (n, n_channels), or None
        `SampleFlag` bits; None where there are none.
    """

    start: int
    data: FloatArray
    sample_flag: npt.NDArray[np.uint8] | None = None


@runtime_checkable
class Signals(Protocol):
    """Signals that somebody else keeps, in a file as a rule."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of frames, and of channels."""
        ...

    def read_chunks(self, n_frames: int) -> Iterator[Chunk]:
        """Yield all signals from the first frame to the last, float32, at most so many frames at a time."""
        ...


class Window(NamedTuple):
    """A stretch of frames that is cleaned in one go, and the part of it that is used.

    Attributes
    ----------
    start, stop : int
        The frames.
    first, last : int
        Those that are used: from `first` up to `last`, which is not one of them. What lies before and behind belongs to
        the windows next to it, and is there so that drifts end somewhere else.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def size(self) -> int:
        """Number of frames."""
        return self.stop - self.start


def fill_windows(
    chunks: Iterable[Chunk],
    windows: Sequence[Window],
    columns: npt.NDArray[np.int64],
    data: FloatArray,
    sample_flag: npt.NDArray[np.uint8],
) -> Iterator[Window]:
    """Fill a buffer with the signals of one window after the other.

    Parameters
    ----------
    chunks : iterable of Chunk
        All signals in order.
    windows : sequence of Window
        In order; they may overlap.
    columns : ndarray of int64, shape (n,)
        The channels that are wanted.
    data : ndarray, shape (n_frames, n)
        Where the signals of a window go, into the first rows; as many as the longest window has.
    sample_flag : ndarray of uint8, shape (n_frames, n)
        Where their flags go.

    Yields
    ------
    Window
        The window that the buffer holds now; the next one overwrites it.
    """
    source = iter(chunks)
    kept: list[Chunk] = []
    reached = 0
    for number, window in enumerate(windows):
        following = windows[number + 1].start if number + 1 < len(windows) else window.stop
        for chunk in kept:
            _copy(chunk, window, columns, data, sample_flag)
        kept = [chunk for chunk in kept if chunk.start + len(chunk.data) > following]
        while reached < window.stop:
            chunk = next(source)
            reached = chunk.start + len(chunk.data)
            _copy(chunk, window, columns, data, sample_flag)
            if reached > following:
                kept.append(chunk)
        yield window


def _copy(
    chunk: Chunk,
    window: Window,
    columns: npt.NDArray[np.int64],
    data: FloatArray,
    sample_flag: npt.NDArray[np.uint8],
) -> None:
    """Copy what a chunk has of a window."""
    low, high = max(chunk.start, window.start), min(chunk.start + len(chunk.data), window.stop)
    if low >= high:
        return
    rows, place = slice(low - chunk.start, high - chunk.start), slice(low - window.start, high - window.start)
    np.take(chunk.data[rows], columns, axis=1, out=data[place], mode="clip")
    if chunk.sample_flag is None:
        sample_flag[place] = 0
    else:
        np.take(chunk.sample_flag[rows], columns, axis=1, out=sample_flag[place], mode="clip")
