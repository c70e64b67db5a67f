"""What spoils a scan: white noise, drifts, the sky, readout columns that drift together, glitches and jumps.

Slow noise is made on coarse nodes, from its power spectrum, and interpolated to the frames; a whole scan's nodes are a
few per cent of its data. So any piece of a scan can be made by itself, and a scan need never be in memory as a whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import ParameterError

__all__ = ["Drift", "Events", "ScanNoise"]

_NODES_PER_KNEE = 16.0  # node rate over knee frequency: what the nodes leave out lies far below the white noise
_LARGEST_STEP = 64
_HIGHEST_ORDER = 4  # nodes that one frame is interpolated from


@dataclass(frozen=True, kw_only=True)
class ScanNoise:
    """How much noise of each kind there is. The white noise is the measure of all the others.

    Attributes
    ----------
    white : float
        Standard deviation of the white noise of one sample [counts]; median of the pixels.
    white_scatter : float
        Standard deviation of its natural logarithm from pixel to pixel.
    knee : float
        Frequency at which the power of a pixel's own drift equals that of its white noise [Hz]; 0 for none.
    slope : float
        The power of drifts goes as frequency to the power of minus this.
    sky : float
        Standard deviation over the scan of the signal common to all pixels, in units of `white`.
    sky_slope : float
        Slope of its power spectrum; 8/3 is turbulence drifting past.
    sky_scatter : float
        Standard deviation of the logarithm of the ratio of a pixel's response to the sky to its response to the source.
    group : float
        Standard deviation of the signal common to a readout column, in units of `white`.
    group_slope : float
        Slope of its power spectrum.
    glitch_rate : float
        Glitches per pixel and second [Hz].
    glitch_size : float
        Median height of a glitch, in units of `white`; the heights scatter by a factor of two.
    glitch_length : float
        Time constant with which a glitch fades [frames].
    jump_rate : float
        Jumps of the level per pixel and second [Hz].
    jump_size : float
        Median height of a jump, in units of `white`, up or down; the heights scatter by a factor of two.
    level, level_scatter : float
        Mean level of the pixels, and its standard deviation from pixel to pixel [counts].
    pointing : float
        Standard deviation of true against recorded boresight, in x and y, in every frame [arcsec].
    jitter : float
        Standard deviation of the sampling times, as a part of the sampling interval.

    Raises
    ------
    ParameterError
        A number is negative or not finite.
    """

    white: float = 12.0
    white_scatter: float = 0.0
    knee: float = 0.0
    slope: float = 1.0
    sky: float = 0.0
    sky_slope: float = 8.0 / 3.0
    sky_scatter: float = 0.1
    group: float = 0.0
    group_slope: float = 1.5
    glitch_rate: float = 0.0
    glitch_size: float = 50.0
    glitch_length: float = 1.5
    jump_rate: float = 0.0
    jump_size: float = 50.0
    level: float = 4000.0
    level_scatter: float = 500.0
    pointing: float = 0.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not math.isfinite(value) or (value < 0.0 and name != "level"):
                msg = f"`{name}` = {value}; it must be 0 or a positive number"
                raise ParameterError(msg)
        if self.glitch_length == 0.0:
            msg = "`glitch_length` = 0; it must be a positive number of frames"
            raise ParameterError(msg)


class Drift:
    """Slow noise of several streams: Gaussian, with a power spectrum that is a power law.

    Parameters
    ----------
    rng : Generator
        Where it comes from.
    n_streams : int
        Number of independent streams.
    n_frames : int
        Length of the scan.
    step : int
        Frames from one node to the next, a power of two.
    slope : float
        The power goes as frequency to the power of minus this, down to one period in twice the length of the scan.
    power_at_one : float
        One-sided power density at a frequency of one cycle per frame [amplitude^2 frame].

    Attributes
    ----------
    nodes : ndarray of float32, shape (n_nodes, n_streams)
        The noise at frames (k - 1) step.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        n_streams: int,
        n_frames: int,
        *,
        step: int,
        slope: float,
        power_at_one: float,
    ) -> None:
        self._step = step
        n_nodes = -(-n_frames // step) + _HIGHEST_ORDER
        n = 1 << (2 * n_nodes - 1).bit_length()  # twice as long as needed: the end does not know the beginning
        frequency = np.arange(n // 2 + 1) / (n * step)
        frequency[0] = np.inf
        power = power_at_one * frequency**-slope
        amplitude = (n * np.sqrt(0.5 * power / (n * step))).astype(np.float32)
        self.nodes = np.empty((n_nodes, n_streams), dtype=np.float32)
        together = max(1, (1 << 22) // n)  # streams at a time, to keep the transforms small
        for first in range(0, n_streams, together):
            part = slice(first, min(first + together, n_streams))
            shape = (part.stop - first, n // 2 + 1)
            # Two real parts of variance 1/2 each make a complex amplitude of variance 1.
            wave = rng.standard_normal((2, *shape), dtype=np.float32) * np.float32(math.sqrt(0.5))
            self.nodes[:, part] = np.fft.irfft((wave[0] + 1j * wave[1]) * amplitude, n, axis=1)[:, :n_nodes].T

    @classmethod
    def with_rms(
        cls, rng: np.random.Generator, n_streams: int, n_frames: int, *, step: int, slope: float, rms: float
    ) -> Drift:
        """Return drifts that have a mean of 0 and this standard deviation over the scan.

        Parameters
        ----------
        rng, n_streams, n_frames, step, slope
            As for the class.
        rms : float
            Standard deviation of each stream over the scan.

        Returns
        -------
        Drift
            The drifts.
        """
        drift = cls(rng, n_streams, n_frames, step=step, slope=slope, power_at_one=1.0)
        inside = drift.nodes[1 : 2 + -(-n_frames // step)]
        drift.nodes -= inside.mean(axis=0)
        drift.nodes *= np.float32(rms) / inside.std(axis=0)
        return drift

    def weights(self, start: int, stop: int) -> tuple[slice, npt.NDArray[np.float32]]:
        """Return which nodes some frames need, and how they are put together: a cubic through the four nearest.

        Parameters
        ----------
        start, stop : int
            The frames.

        Returns
        -------
        nodes : slice
            Rows of `nodes`.
        weights : ndarray of float32, shape (stop - start, number of these nodes)
            Their weights; ``weights @ nodes`` is the noise.
        """
        place, t = np.divmod(np.arange(start, stop), self._step)
        t = t / self._step
        first = start // self._step
        n_nodes = (stop - 1) // self._step - first + _HIGHEST_ORDER
        weights = np.zeros((stop - start, n_nodes), dtype=np.float32)
        cubic = (
            -0.5 * t * (1.0 - t) ** 2,
            1.0 + t**2 * (1.5 * t - 2.5),
            0.5 * t * (1.0 + t * (4.0 - 3.0 * t)),
            -0.5 * t**2 * (1.0 - t),
        )
        rows = np.arange(stop - start)
        for k, weight in enumerate(cubic):
            weights[rows, place - first + k] = weight
        return slice(first, first + n_nodes), weights

    def frames(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Return the noise in some frames.

        Parameters
        ----------
        start, stop : int
            The frames.

        Returns
        -------
        ndarray of float32, shape (stop - start, n_streams)
            The noise.
        """
        nodes, weights = self.weights(start, stop)
        return np.asarray(weights @ self.nodes[nodes], dtype=np.float32)


def step_for(knee: float, rate: float) -> int:
    """Return the frames from node to node for a drift, a power of two.

    Parameters
    ----------
    knee : float
        Frequency at which the drift reaches the white noise [Hz].
    rate : float
        Frames per second [Hz].

    Returns
    -------
    int
        From 1 to 64.
    """
    most = min(rate / (_NODES_PER_KNEE * knee), float(_LARGEST_STEP)) if knee > 0.0 else float(_LARGEST_STEP)
    return 1 << max(0, math.floor(math.log2(max(most, 1.0))))


@dataclass(frozen=True, eq=False)
class Events:
    """Glitches or jumps: when, where and how large, ordered by time.

    Attributes
    ----------
    frame : ndarray of int64, shape (n,)
        Frame in which each begins.
    channel : ndarray of int64, shape (n,)
        Index of the pixel.
    size : ndarray of float32, shape (n,)
        Its height [counts].
    """

    frame: npt.NDArray[np.int64]
    channel: npt.NDArray[np.int64]
    size: npt.NDArray[np.float32]

    @classmethod
    def draw(cls, rng: np.random.Generator, expected: float, n_frames: int, n_channels: int, size: float) -> Events:
        """Return events that are spread evenly, with sizes of either sign that scatter by a factor of two.

        Parameters
        ----------
        rng : Generator
            Where they come from.
        expected : float
            Their mean number.
        n_frames, n_channels : int
            Size of the scan.
        size : float
            Median of the absolute sizes [counts].

        Returns
        -------
        Events
            The events.
        """
        n = int(rng.poisson(expected))
        frame = np.sort(rng.integers(0, n_frames, n))
        sign = np.where(rng.random(n) < 0.5, -1.0, 1.0)  # noqa: PLR2004 - up or down
        sizes = sign * size * np.exp2(rng.standard_normal(n))
        return cls(frame, rng.integers(0, n_channels, n), sizes.astype(np.float32))

    def within(self, start: int, stop: int) -> Events:
        """Return the events that begin in some frames.

        Parameters
        ----------
        start, stop : int
            The frames.

        Returns
        -------
        Events
            A part of them.
        """
        first, last = np.searchsorted(self.frame, [start, stop])
        return Events(self.frame[first:last], self.channel[first:last], self.size[first:last])

    def add_steps(self, data: npt.NDArray[np.float32], start: int) -> None:
        """Add the events to a piece of the data as jumps: each lifts all frames from its own on.

        Parameters
        ----------
        data : ndarray of float32, shape (n_frames, n_channels)
            The piece; changed in place.
        start : int
            Its first frame.
        """
        before = self.within(0, start)
        level = np.zeros(data.shape[1], dtype=np.float64)
        np.add.at(level, before.channel, before.size)
        data += level.astype(np.float32)
        inside = self.within(start, start + data.shape[0])
        for frame, channel, size in zip(inside.frame - start, inside.channel, inside.size, strict=True):
            data[frame:, channel] += size

    def add_pulses(self, data: npt.NDArray[np.float32], start: int, length: float) -> None:
        """Add the events to a piece of the data as glitches, which rise at once and fade exponentially.

        Parameters
        ----------
        data : ndarray of float32, shape (n_frames, n_channels)
            The piece; changed in place.
        start : int
            Its first frame.
        length : float
            Time constant [frames].
        """
        n_tail = math.ceil(10.0 * length)
        near = self.within(start - n_tail, start + data.shape[0])
        for k in range(n_tail + 1):
            frame = near.frame + (k - start)
            inside = (frame >= 0) & (frame < data.shape[0])
            fading = near.size[inside] * np.float32(math.exp(-k / length))
            np.add.at(data, (frame[inside], near.channel[inside]), fading)
