"""A stretch of frames that were taken without interruption, with the state of the channels during it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.exceptions import ShapeError

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.scan.channels import Channels
    from pixtrace.scan.configuration import Configuration
    from pixtrace.scan.frames import Frames
    from pixtrace.scan.info import Info
    from pixtrace.scan.scan import Scan

__all__ = ["Dependents", "Integration"]


@dataclass
class Dependents:
    """Degrees of freedom that a model took from each frame and each channel.

    Attributes
    ----------
    frame : ndarray of float64, shape (n_frames,)
        Parameters of the model, shared out over the frames.
    channel : ndarray of float64, shape (n_channels,)
        The same over the channels.
    """

    frame: npt.NDArray[np.float64]
    channel: npt.NDArray[np.float64]


class Integration:
    """Frames with the channels that they were taken with.

    Parameters
    ----------
    scan : Scan
        The scan it belongs to.
    frames : Frames
        The frames.
    channels : Channels, optional
        The channels, for this integration alone; by default a copy of those of the scan.
    gain : float, optional
        Of all channels and frames; -1 if a source lowers the signal. By default that of the instrument.

    Attributes
    ----------
    source_sync_gain : ndarray of float64, shape (n_channels,)
        Source gains at the last subtraction of the source; 0 as long as nothing was subtracted.
    source_generation : int
        Number of subtractions of the source so far.
    dependents : dict of str to Dependents
        Degrees of freedom taken, by the name of the model.
    unit_factor : float
        Part of `gain` that brings the signals to the units of the first scan of the maps that they are in.

    Raises
    ------
    ShapeError
        If the data do not have one column for each channel.
    """

    def __init__(
        self, scan: Scan, frames: Frames, channels: Channels | None = None, *, gain: float | None = None
    ) -> None:
        self.scan = scan
        self.frames = frames
        self.channels = scan.channels.copy() if channels is None else channels
        if frames.shape[1] != self.channels.size:
            expected = (frames.size, self.channels.size)
            msg = f"`data` has shape {frames.shape}; expected {expected}, the shape that goes with `channels`"
            raise ShapeError(msg)
        self.gain = scan.info.instrument.gain if gain is None else float(gain)
        self.source_sync_gain = np.zeros(self.channels.size)
        self.source_generation = 0
        self.dependents: dict[str, Dependents] = {}
        self.unit_factor = 1.0

    def __repr__(self) -> str:
        return f"<Integration {self.get_id()}: {self.frames.size} frames, {self.channels.size} channels>"

    @property
    def info(self) -> Info:
        """The instrument and its options."""
        return self.scan.info

    @property
    def configuration(self) -> Configuration:
        """The options."""
        return self.scan.info.configuration

    @property
    def size(self) -> int:
        """Number of frames."""
        return self.frames.size

    def get_id(self) -> str:
        """Return the name of the scan with the number of the integration in it."""
        number = next((i for i, other in enumerate(self.scan.integrations, 1) if other is self), 0)
        return f"{self.scan.get_id()}|{number}"

    def get_dependents(self, name: str) -> Dependents:
        """Return the degrees of freedom taken by the model of that name; to begin with, none."""
        if name not in self.dependents:
            self.dependents[name] = Dependents(np.zeros(self.frames.size), np.zeros(self.channels.size))
        return self.dependents[name]
