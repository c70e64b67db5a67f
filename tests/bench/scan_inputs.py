"""What pixel maps are measured on: a camera of 2624 pixels that is scanned over a source."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

N_PIXELS = 2624
N_FRAMES = 20_000
SHAPE = (100, 100)
CELL = 2.0
FWHM = 10.0
NOISE = 0.05
DT = 0.005
#: Flag of a sample that is left out; the same bit in the reference (SAMPLE_SPIKE) and in one byte.
EXCLUDED = 1
#: Pixels, the first ones, whose maps are compared with those of the reference.
N_CHECKED = 128

FloatArray = npt.NDArray[np.float64]
_CHUNK = 1000


@dataclass(frozen=True)
class Scan:
    """Timestreams, and what is known about frames and pixels.

    Parameters
    ----------
    frame_data : ndarray of float64, shape (n_frames, n_pixels)
        Signals.
    sample_flags : ndarray of int64, shape (n_frames, n_pixels)
        Flags.
    frame_gains, frame_weights : ndarray of float64, shape (n_frames,)
        Gains and relative weights.
    valid_frames : ndarray of bool, shape (n_frames,)
        Which frames may be used.
    position : ndarray of float64, shape (2, n_frames)
        Map index of each frame, not rounded.
    source_gains, variance : ndarray of float64, shape (n_pixels,)
        Gains and variances of the pixels.
    truth : ndarray of float64, shape (2, n_pixels)
        Where in its map each pixel has the source [arcsec].
    """

    frame_data: FloatArray
    sample_flags: npt.NDArray[np.int64]
    frame_gains: FloatArray
    frame_weights: FloatArray
    valid_frames: npt.NDArray[np.bool_]
    position: FloatArray
    source_gains: FloatArray
    variance: FloatArray
    truth: FloatArray

    @property
    def grid(self) -> dict[str, Any]:
        """Grid of the maps."""
        return {"resolution": CELL, "reference_index": (0.5 * (SHAPE[1] - 1), 0.5 * (SHAPE[0] - 1))}

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return self.variance.size

    @property
    def map_indices(self) -> npt.NDArray[np.int64]:
        """Map indices of the frames, shape (2, n_frames, 1)."""
        return np.floor(self.position + 0.5).astype(np.int64)[:, :, np.newaxis]

    def some(self, n_pixels: int) -> "Scan":
        """Return the first pixels.

        Parameters
        ----------
        n_pixels : int
            How many.

        Returns
        -------
        Scan
            Their timestreams, copied.
        """
        cut = {
            name: np.ascontiguousarray(getattr(self, name)[..., :n_pixels])
            for name in ("frame_data", "sample_flags", "source_gains", "variance", "truth")
        }
        return Scan(**{**vars(self), **cut})

    def save(self, path: Path) -> Path:
        """Write the arrays for the other process.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        Path
            The file.
        """
        np.savez(path, allow_pickle=False, map_indices=self.map_indices, **vars(self))
        return path


def simulate(n_pixels: int = N_PIXELS, n_frames: int = N_FRAMES) -> Scan:
    """Let a telescope go to and fro over a source, evenly.

    Parameters
    ----------
    n_pixels, n_frames : int, optional
        How many.

    Returns
    -------
    Scan
        S/N 20 per sample, 1 in 100 samples flagged, 1 in 50 frames not valid.
    """
    rng = np.random.default_rng(2624)
    time = np.arange(n_frames) / n_frames
    turns = np.array([[37.31], [52.77]]) * time
    extent = np.array([[SHAPE[1]], [SHAPE[0]]]) - 1e-6
    position = extent * (2.0 * np.abs((turns % 1.0) - 0.5)) - 0.5
    truth = rng.uniform(-60.0, 60.0, (2, n_pixels))
    gains = rng.normal(1.0, 0.05, n_pixels)
    frame_gains = rng.normal(1.0, 0.02, n_frames)
    x, y = CELL * (position - 0.5 * (np.array([[SHAPE[1]], [SHAPE[0]]]) - 1))
    data = np.empty((n_frames, n_pixels))
    for first in range(0, n_frames, _CHUNK):
        part = np.s_[first : first + _CHUNK]
        distance = (x[part, np.newaxis] - truth[0]) ** 2 + (y[part, np.newaxis] - truth[1]) ** 2
        source = np.exp(distance * (-4.0 * np.log(2.0) / FWHM**2))
        data[part] = frame_gains[part, np.newaxis] * gains * source + NOISE * rng.standard_normal(distance.shape)
    flags = np.zeros(data.shape, np.int64)
    n_flagged = data.size // 100
    flags[rng.integers(0, n_frames, n_flagged), rng.integers(0, n_pixels, n_flagged)] = EXCLUDED
    return Scan(
        frame_data=data,
        sample_flags=flags,
        frame_gains=frame_gains,
        frame_weights=rng.uniform(0.8, 1.2, n_frames),
        valid_frames=rng.random(n_frames) > 0.02,
        position=position,
        source_gains=gains,
        variance=NOISE**2 * rng.uniform(0.5, 2.0, n_pixels),
        truth=truth,
    )
