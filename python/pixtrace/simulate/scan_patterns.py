"""The way of a telescope over a source: offsets of the boresight as a function of time.

Every pattern is a formula in the time, so that any piece of a scan can be made without the pieces before it, and so
that samples which are not evenly spaced lie exactly on the same path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import ParameterError

__all__ = ["PatternKind", "ScanPattern", "sampling_times"]

PatternKind = Literal["lissajous", "daisy", "raster", "box"]

#: How round a turning point is: the part of a quarter period by which a straight sweep falls short of its corner.
_ROUNDING = 0.02
_LARGEST_JITTER = 0.45  # of the sampling interval; with less than half of it, times always grow


@dataclass(frozen=True, kw_only=True)
class ScanPattern:
    """A scan pattern, centred on the source.

    With ``u = time / period``, ``c`` the ratio and ``tri`` a triangular wave with rounded corners:

    lissajous
        ``x = width / 2 sin(2 pi u + phase)``, ``y = height / 2 sin(2 pi c u)``.
    daisy
        ``r = sin(2 pi u)`` along a line that turns by ``2 u / c`` radians: petals through the centre.
    raster
        ``x = width / 2 tri(u)``, while y climbs from -height / 2 to height / 2 in the time `duration`.
    box
        ``x = width / 2 tri(u)``, ``y = height / 2 tri(c u)``: straight lines at an angle, which fill the box evenly.

    Attributes
    ----------
    kind : {"lissajous", "daisy", "raster", "box"}
        Which pattern.
    width, height : float
        Its full extent in x and y [arcsec].
    period : float
        Time of one oscillation in x [s].
    ratio : float
        How much faster the oscillation in y is (lissajous, box), or how slowly a daisy turns; an irrational number
        makes a path that does not close.
    phase : float
        Phase of the oscillation in x at time 0 [rad].
    duration : float
        Time that a raster takes from bottom to top [s]; it then goes down again. Other patterns do not look at it.

    Raises
    ------
    ParameterError
        An unknown pattern, or a number that is not positive.
    """

    kind: PatternKind = "lissajous"
    width: float = 130.0
    height: float = 140.0
    period: float = 1.07
    ratio: float = math.sqrt(2.0)
    phase: float = 0.7
    duration: float = 40.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.kind not in get_args(PatternKind):
            msg = f"`kind` = {self.kind!r}; it must be one of {', '.join(get_args(PatternKind))}"
            raise ParameterError(msg)
        for name in ("width", "height", "period", "ratio", "duration"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                msg = f"`{name}` = {value}; it must be a positive number"
                raise ParameterError(msg)
        if not math.isfinite(self.phase):
            msg = f"`phase` = {self.phase}; it must be a finite number"
            raise ParameterError(msg)

    def offsets(self, time: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return where the boresight stands.

        Parameters
        ----------
        time : array_like of float, shape (n,)
            Times since the beginning [s].

        Returns
        -------
        ndarray of float64, shape (2, n)
            Offset of the boresight from the source, x and y, in the telescope's system [arcsec].
        """
        time = np.asarray(time, dtype=np.float64)
        turn = 2.0 * np.pi * time / self.period
        if self.kind == "lissajous":
            x, y = np.sin(turn + self.phase), np.sin(self.ratio * turn)
        elif self.kind == "daisy":
            radius, angle = np.sin(turn + self.phase), turn / (np.pi * self.ratio)
            x, y = radius * np.cos(angle), radius * np.sin(angle)
        elif self.kind == "box":
            x, y = _triangle(turn + self.phase), _triangle(self.ratio * turn)
        else:
            x, y = _triangle(turn + self.phase), _triangle(np.pi * (time / self.duration - 0.5))
        return np.stack([0.5 * self.width * x, 0.5 * self.height * y])


def _triangle(angle: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a triangular wave with rounded corners, from -1 to 1, with the zeros and the sign of the sine."""
    steepness = math.cos(0.5 * math.pi * _ROUNDING)
    wave: npt.NDArray[np.float64] = np.arcsin(steepness * np.sin(angle)) / math.asin(steepness)
    return wave


def sampling_times(
    n_frames: int, rate: float, *, jitter: float = 0.0, rng: np.random.Generator | None = None
) -> npt.NDArray[np.float64]:
    """Return the times at which a detector is read out.

    Parameters
    ----------
    n_frames : int
        Number of frames.
    rate : float
        Frames per second [Hz].
    jitter : float, optional
        Standard deviation of the sampling times about even spacing, as a part of the sampling interval; single times
        are off by at most 0.45 of it, so that times always grow.
    rng : Generator, optional
        Source of the jitter; needed unless it is 0.

    Returns
    -------
    ndarray of float64, shape (n_frames,)
        Times since the first frame's even one [s], strictly growing.

    Raises
    ------
    ParameterError
        `jitter` is not between 0 and 0.45, or there is no `rng` for it.
    """
    if not 0.0 <= jitter <= _LARGEST_JITTER:
        msg = f"`jitter` = {jitter}; it must lie between 0 and {_LARGEST_JITTER}"
        raise ParameterError(msg)
    frames = np.arange(n_frames, dtype=np.float64)
    if jitter > 0.0:
        if rng is None:
            msg = "`jitter` is not 0; a random generator is needed for it"
            raise ParameterError(msg)
        frames += np.clip(jitter * rng.standard_normal(n_frames), -_LARGEST_JITTER, _LARGEST_JITTER)
    return frames / rate
