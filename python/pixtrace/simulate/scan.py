"""Simulated beam-map scans: an array that scans a source, with a known truth about every pixel.

`simulate_scan` makes a whole scan; `ScanSimulator` makes it piece by piece, for scans that are larger than memory.
The pieces are the same numbers as the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import as_count
from pixtrace.exceptions import ParameterError
from pixtrace.simulate.scan_array import ArrayLayout, DetectorArray
from pixtrace.simulate.scan_noise import Drift, Events, ScanNoise, step_for
from pixtrace.simulate.scan_patterns import ScanPattern, sampling_times
from pixtrace.simulate.scan_scene import ScanSource

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ScanParams", "ScanSimulator", "SimulatedScan", "simulate_scan"]

#: Frames that are made together, from a random stream of their own. A part of the definition of a scan: other numbers
#: come out with another block.
_BLOCK = 1024
_ARRAY, _TIMES, _LEVELS, _DRIFT, _SKY, _GROUP, _GLITCHES, _JUMPS, _WAVES, _WHITE, _POINTING = range(11)


@dataclass(frozen=True, kw_only=True)
class ScanParams:
    """All that a simulated scan is made from.

    Attributes
    ----------
    pattern : ScanPattern
        Way of the telescope.
    array : ArrayLayout
        The detector array.
    source : ScanSource
        The source and the beam.
    noise : ScanNoise
        Everything else that is in the data.
    rate : float
        Frames per second [Hz].
    n_frames : int
        Number of frames.
    start : float
        Time of the first frame [s, UTC, Unix].
    vpa : float
        Angle of the telescope's system on the sky, from north to its vertical axis [deg].
    ra, dec : float
        Right ascension [hours] and declination [deg] of the source at the first frame.
    seed : int
        Seed of everything random.
    name : str
        Name of the source.

    Raises
    ------
    ParameterError
        A number makes no sense.
    """

    pattern: ScanPattern = field(default_factory=ScanPattern)
    array: ArrayLayout = field(default_factory=ArrayLayout)
    source: ScanSource = field(default_factory=ScanSource)
    noise: ScanNoise = field(default_factory=ScanNoise)
    rate: float = 203.25203252032520
    n_frames: int = 8130
    start: float = 1481697690.45
    vpa: float = 0.0
    ra: float = 1.272684
    dec: float = 7.406657
    seed: int = 0
    name: str = "simsource"

    def __post_init__(self) -> None:
        """Check the numbers."""
        as_count(self.n_frames, "n_frames", least=1)
        as_count(self.seed, "seed")
        if not (math.isfinite(self.rate) and self.rate > 0.0):
            msg = f"`rate` = {self.rate}; it must be a positive number of Hz"
            raise ParameterError(msg)
        if not all(math.isfinite(value) for value in (self.start, self.vpa, self.ra)):
            msg = f"`start` = {self.start}, `vpa` = {self.vpa}, `ra` = {self.ra}; they must be finite numbers"
            raise ParameterError(msg)
        if not -90.0 < self.dec < 90.0:  # noqa: PLR2004 - the poles
            msg = f"`dec` = {self.dec}; it must lie between -90 and 90 degrees"
            raise ParameterError(msg)


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedScan:
    """A simulated scan, and the truth about it.

    Attributes
    ----------
    params : ScanParams
        What it was made from.
    data : ndarray of float32, shape (n_frames, n_channels)
        The timestreams [counts]; the source is positive.
    time : ndarray of float64, shape (n_frames,)
        Time of each frame [s, UTC, Unix].
    offset : ndarray of float64, shape (2, n_frames)
        Recorded offset of the boresight from the target, x and y, in the telescope's system [arcsec].
    rotation : ndarray of float64, shape (n_frames,)
        Angle of the array against the telescope's system [deg].
    vpa : ndarray of float64, shape (n_frames,)
        Angle of the telescope's system on the sky [deg].
    array : DetectorArray
        The pixels, nominal and true.
    noise : ndarray of float64, shape (n_channels,)
        Standard deviation of each pixel's white noise [counts]; 0 for dead ones.
    glitches, jumps : Events
        What happened in single pixels.
    """

    params: ScanParams
    data: npt.NDArray[np.float32]
    time: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    rotation: npt.NDArray[np.float64]
    vpa: npt.NDArray[np.float64]
    array: DetectorArray
    noise: npt.NDArray[np.float64]
    glitches: Events
    jumps: Events


class ScanSimulator:
    """A scan that is made piece by piece.

    Parameters
    ----------
    params : ScanParams
        What it is made from.

    Attributes
    ----------
    array : DetectorArray
        The pixels, nominal and true.
    time : ndarray of float64, shape (n_frames,)
        Time of each frame [s, UTC, Unix].
    offset : ndarray of float64, shape (2, n_frames)
        Recorded offset of the boresight from the target, in the telescope's system [arcsec].
    noise : ndarray of float64, shape (n_channels,)
        Standard deviation of each pixel's white noise [counts].
    """

    def __init__(self, params: ScanParams) -> None:
        self.params = params
        noise, n = params.noise, params.n_frames
        self.array = params.array.make(self._rng(_ARRAY))
        n_channels = self.array.n_channels
        since = sampling_times(n, params.rate, jitter=noise.jitter, rng=self._rng(_TIMES))
        self._since = since
        self.time = params.start + since
        self.offset = params.pattern.offsets(since)
        reason = self.array.reason
        rng = self._rng(_LEVELS)
        self.noise = noise.white * np.exp(noise.white_scatter * rng.standard_normal(n_channels))
        self.noise[reason == "dead"] = 0.0
        self.noise[reason == "noisy"] *= self.array.noise_excess
        self._level = noise.level + noise.level_scatter * rng.standard_normal(n_channels)
        sky_gain = np.exp(params.array.gain_scatter * rng.standard_normal(n_channels))
        seen = self.array.gain > 0.0
        sky_gain[seen] = self.array.gain[seen]
        sky_gain *= np.exp(noise.sky_scatter * rng.standard_normal(n_channels))
        sky_gain[reason == "blind"] = 0.0
        self._alive = (reason != "dead").astype(np.float32)
        self._sky_gain = (sky_gain * self._alive).astype(np.float32)
        self._make_drifts()
        samples = n * n_channels / params.rate
        self.glitches, self.jumps = (
            Events.draw(self._rng(which), rate * samples, n, n_channels, size * noise.white)
            for which, rate, size in (
                (_GLITCHES, noise.glitch_rate, noise.glitch_size),
                (_JUMPS, noise.jump_rate, noise.jump_size),
            )
        )
        self._waving = np.flatnonzero(reason == "oscillating")
        rng = self._rng(_WAVES)
        self._wave_frequency = params.rate * rng.uniform(0.02, 0.2, self._waving.size)
        self._wave_phase = rng.uniform(0.0, 2.0 * np.pi, self._waving.size)

    def _rng(self, *which: int) -> np.random.Generator:
        """Return the random stream of one ingredient."""
        return np.random.default_rng(np.random.SeedSequence(self.params.seed, spawn_key=which))

    def _make_drifts(self) -> None:
        """Draw the slow noise of pixels, sky and readout columns."""
        noise, n = self.params.noise, self.params.n_frames
        n_channels = self.array.n_channels
        self._drift = self._sky = self._groups = None
        if noise.knee > 0.0:
            knee = noise.knee / self.params.rate
            self._drift = Drift(
                self._rng(_DRIFT),
                n_channels,
                n,
                step=step_for(noise.knee, self.params.rate),
                slope=noise.slope,
                power_at_one=2.0 * knee**noise.slope,  # in units of the pixel's white noise
            )
            self._drift.nodes *= self.noise.astype(np.float32)
        if noise.sky > 0.0:
            rms = noise.sky * noise.white
            self._sky = Drift.with_rms(self._rng(_SKY), 1, n, step=4, slope=noise.sky_slope, rms=rms)
        if noise.group > 0.0:
            columns, group = np.unique(self.array.column, return_inverse=True)
            rms = noise.group * noise.white
            self._groups = Drift.with_rms(self._rng(_GROUP), columns.size, n, step=4, slope=noise.group_slope, rms=rms)
            self._group_gain = (np.arange(columns.size)[:, None] == group).astype(np.float32) * self._alive

    @property
    def n_frames(self) -> int:
        """Number of frames.

        Returns
        -------
        int
            That of the parameters.
        """
        return self.params.n_frames

    @property
    def rotation(self) -> npt.NDArray[np.float64]:
        """Angle of the array against the telescope's system.

        Returns
        -------
        ndarray of float64, shape (n_frames,)
            [deg].
        """
        return np.full(self.n_frames, self.array.rotation, dtype=np.float64)

    @property
    def vpa(self) -> npt.NDArray[np.float64]:
        """Angle of the telescope's system on the sky.

        Returns
        -------
        ndarray of float64, shape (n_frames,)
            [deg].
        """
        return np.full(self.n_frames, self.params.vpa, dtype=np.float64)

    def true_offset(self, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Return where the boresight really is against the source, in the system of the array.

        Parameters
        ----------
        start, stop : int
            The frames; `start` must be a multiple of the block of 1024 frames if there are pointing errors.

        Returns
        -------
        ndarray of float64, shape (2, stop - start)
            [arcsec]. A pixel at position p looks at this plus p.
        """
        source, since = self.params.source, self._since[start:stop]
        x = self.offset[0, start:stop] - source.position[0] - source.drift[0] * since
        y = self.offset[1, start:stop] - source.position[1] - source.drift[1] * since
        if self.params.noise.pointing > 0.0:
            errors = self._rng(_POINTING, start // _BLOCK).standard_normal((2, _BLOCK))[:, : stop - start]
            x, y = x + self.params.noise.pointing * errors[0], y + self.params.noise.pointing * errors[1]
        angle = math.radians(self.array.rotation)
        cosine, sine = math.cos(angle), math.sin(angle)
        return np.stack([x * cosine + y * sine, y * cosine - x * sine])

    def chunks(self, n_frames: int = 8192) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield the data piece by piece.

        Parameters
        ----------
        n_frames : int, optional
            Frames of a piece; rounded up to a multiple of 1024.

        Yields
        ------
        start : int
            First frame of the piece.
        data : ndarray of float32, shape (n, n_channels)
            The data [counts].
        """
        length = -(-as_count(n_frames, "n_frames", least=1) // _BLOCK) * _BLOCK
        for start in range(0, self.n_frames, length):
            stop = min(start + length, self.n_frames)
            data = np.empty((stop - start, self.array.n_channels), dtype=np.float32)
            for first in range(start, stop, _BLOCK):
                last = min(first + _BLOCK, stop)
                self._fill(data[first - start : last - start], first)
            yield start, data

    def _fill(self, data: npt.NDArray[np.float32], start: int) -> None:
        """Put the source and the noise of one block of frames into a piece of the data."""
        stop = start + data.shape[0]
        self._rng(_WHITE, start // _BLOCK).standard_normal(out=data, dtype=np.float32)
        data *= self.noise.astype(np.float32)
        array = self.array
        offset = self.true_offset(start, stop)
        x, y = (offset[axis].astype(np.float32)[:, None] + array.position[axis].astype(np.float32) for axis in range(2))
        signal = self.params.source.signal(x, y)
        signal *= array.gain.astype(np.float32)
        data += signal
        if self._drift is not None:
            data += self._drift.frames(start, stop)
        if self._sky is not None:
            data += self._sky.frames(start, stop) * self._sky_gain
        if self._groups is not None:
            data += self._groups.frames(start, stop) @ self._group_gain
        if self._waving.size:
            phase = 2.0 * np.pi * self._since[start:stop, None] * self._wave_frequency + self._wave_phase
            data[:, self._waving] += math.sqrt(2.0) * array.noise_excess * self.params.noise.white * np.sin(phase)
        data += self._level.astype(np.float32)
        self._add_events(data, start)

    def _add_events(self, data: npt.NDArray[np.float32], start: int) -> None:
        """Add jumps and glitches to one block; dead pixels have none."""
        dead = self.array.reason == "dead"
        still = data[:, dead]
        if self.jumps.frame.size:
            self.jumps.add_steps(data, start)
        if self.glitches.frame.size:
            self.glitches.add_pulses(data, start, self.params.noise.glitch_length)
        data[:, dead] = still

    def run(self) -> SimulatedScan:
        """Return the whole scan.

        Returns
        -------
        SimulatedScan
            The scan.
        """
        data = np.empty((self.n_frames, self.array.n_channels), dtype=np.float32)
        for start, part in self.chunks(_BLOCK):
            data[start : start + part.shape[0]] = part
        return SimulatedScan(
            params=self.params,
            data=data,
            time=self.time,
            offset=self.offset,
            rotation=self.rotation,
            vpa=self.vpa,
            array=self.array,
            noise=self.noise,
            glitches=self.glitches,
            jumps=self.jumps,
        )


def simulate_scan(params: ScanParams | None = None) -> SimulatedScan:
    """Simulate a scan.

    Parameters
    ----------
    params : ScanParams, optional
        What it is made from; None takes the defaults, 40 s with an array of 16 x 16 pixels.

    Returns
    -------
    SimulatedScan
        The data and the truth. The same parameters give the same numbers.

    Raises
    ------
    ParameterError
        From the parameters, when they are made.
    """
    return ScanSimulator(ScanParams() if params is None else params).run()
