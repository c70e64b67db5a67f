"""Timestreams without glitches, jumps, drifts and what many channels see together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace import _native
from pixtrace._arrays import as_count, as_double, as_flag, as_real, check_callable
from pixtrace.exceptions import ParameterError, ShapeError
from pixtrace.scan._gates import as_indices, as_mask, as_pair
from pixtrace.scan._in_place import apart, as_changeable, check_bits, in_place
from pixtrace.scan.flags import ChannelFlag, SampleFlag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from pixtrace._native import _CleaningArguments as CleaningArguments

__all__ = ["CHANNEL_FLAG_REASONS", "Cleaned", "CleaningParams", "clean_timestreams"]

#: What is wrong with a channel that cleaning flags.
CHANNEL_FLAG_REASONS = {
    ChannelFlag.DEAD: "dead: constant, or hardly any sample",
    ChannelFlag.BLIND: "blind: does not respond to the common signal",
    ChannelFlag.SENSITIVITY: "noise out of line with that of the other channels",
    ChannelFlag.SPIKY: "too many glitches",
    ChannelFlag.OSCILLATING: "oscillates: most of its power lies in one line of the spectrum",
}


@dataclass(frozen=True, kw_only=True)
class CleaningParams:
    """How timestreams are cleaned.

    Attributes
    ----------
    drift_time : float
        Time between the corners of the broken line that is taken for a channel's drift [s]. Some ten times
        `source_time`, or more, leaves the source alone.
    corners : (float, float) or None
        A frame with a corner, whole or not, which may lie before the first one, and the number of frames from corner to
        corner: for timestreams that are a part of longer ones. None: as `drift_time` says, so that the valid frames
        begin and end with a corner.
    source_time : float
        Time in which the source passes through the full width at half maximum of a beam [s]. The noise is measured at
        this pace, and what lasts about as long is neither a glitch nor a jump. A source that passes in less than about
        five frames must have been subtracted, or it is taken for glitches.
    despike_level : float or None
        A sample that stands out from its neighbours by this many robust standard deviations is a glitch; None: none is.
    jump_level : float or None
        A lasting step of the level by this many robust standard deviations of a sample is a jump; None: none is.
    has_common_mode : bool
        Whether the signal that all channels have in common is removed.
    has_group_modes : bool
        Whether the signals that the channels of a group have in common are removed.
    n_rounds : int
        How often everything is estimated.
    noise_limits : (float, float)
        Least and largest noise of a good channel, in units of the median of all.
    blind_limit : float
        A channel whose response to the common signal is less than this part of the median is blind.
    spike_limit : float
        A channel of whose samples more than this part belong to glitches is spiky.

    Raises
    ------
    ParameterError
        A number makes no sense.
    """

    drift_time: float = 2.0
    corners: tuple[float, float] | None = None
    source_time: float = 0.1
    despike_level: float | None = 5.0
    jump_level: float | None = 5.0
    has_common_mode: bool = True
    has_group_modes: bool = True
    n_rounds: int = 2
    noise_limits: tuple[float, float] = (0.2, 4.0)
    blind_limit: float = 0.2
    spike_limit: float = 0.1

    def __post_init__(self) -> None:
        """Check the numbers."""
        levels = {"despike_level": self.despike_level, "jump_level": self.jump_level}
        given = {name: level for name, level in levels.items() if level is not None}
        for name, value in {"drift_time": self.drift_time, "source_time": self.source_time, **given}.items():
            if not 0.0 < as_real(value, name) < np.inf:
                msg = f"`{name}` = {value}; it must be a positive number"
                raise ParameterError(msg)
        if self.corners is not None:
            first, spacing = as_pair(self.corners, "corners")
            if not (np.isfinite(first) and 0.0 < spacing < np.inf):
                msg = f"`corners` = {self.corners}; they must be a frame and a positive number of frames"
                raise ParameterError(msg)
        as_flag(self.has_common_mode, "has_common_mode")
        as_flag(self.has_group_modes, "has_group_modes")
        as_count(self.n_rounds, "n_rounds", least=1)
        low, high = as_pair(self.noise_limits, "noise_limits")
        if not 0.0 <= low < high:
            msg = f"`noise_limits` = {self.noise_limits}; they must be (least, largest), from 0 up"
            raise ParameterError(msg)
        for name, value in {"blind_limit": self.blind_limit, "spike_limit": self.spike_limit}.items():
            if not 0.0 <= as_real(value, name) <= 1.0:
                msg = f"`{name}` = {value}; it must be from 0 to 1"
                raise ParameterError(msg)


@dataclass(frozen=True, eq=False, repr=False)
class Cleaned:
    """What cleaning found out about the channels."""

    channel_variance: npt.NDArray[np.float64]
    """Variance of a sample at the pace of the source [unit of the data squared], shape (n_channels,); NaN if dead."""
    channel_weight: npt.NDArray[np.float64]
    """One over the variance, shape (n_channels,); 0 for flagged channels."""
    channel_flag: npt.NDArray[np.int64]
    """What is wrong, bits of `ChannelFlag`: DEAD, BLIND, SENSITIVITY, SPIKY, OSCILLATING; shape (n_channels,)."""
    mode_gains: npt.NDArray[np.float64]
    """Response to the common signal (first) and to that of each grouping, shape (n_channels, n_groupings + 1).

    NaN where there was no such signal to be removed.
    """
    n_spikes: npt.NDArray[np.int64]
    """Number of glitches, shape (n_channels,)."""
    n_jumps: npt.NDArray[np.int64]
    """Number of steps that were removed, shape (n_channels,); a large jump may be removed in two."""

    def __len__(self) -> int:
        return self.channel_flag.size

    def __repr__(self) -> str:
        n_flagged = int(np.count_nonzero(self.channel_flag))
        return (
            f"<Cleaned: {len(self)} channels, {n_flagged} of them flagged; "
            f"{self.n_spikes.sum()} glitches, {self.n_jumps.sum()} jumps>"
        )

    def reasons(self, channel: int) -> tuple[str, ...]:
        """Return what is wrong with a channel, in words.

        Parameters
        ----------
        channel : int
            Its column.

        Returns
        -------
        tuple of str
            Empty if nothing is.
        """
        flag = int(self.channel_flag[channel])
        return tuple(text for bit, text in CHANNEL_FLAG_REASONS.items() if flag & bit)


def clean_timestreams(
    frame_data: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    sample_flags: npt.NDArray[Any],
    *,
    channel_gains: npt.ArrayLike,
    channel_groups: Sequence[npt.ArrayLike] = (),
    valid_frames: npt.ArrayLike,
    dt: float,
    params: CleaningParams | None = None,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Cleaned:
    """Clean timestreams in place: remove jumps, drifts and common signals, and mark glitches.

    A sample is taken to be the sum of a drift of its channel, which is a broken line; of a signal that all channels
    have in common, times a gain of the channel; of one that its group has in common, times another gain; and of noise.
    All are estimated robustly and removed. A signal that channels do not really share is left where it is.

    Subtract the model of the source before, and add it back afterwards. Give the samples as they were recorded in every
    round, not those that a round before has cleaned: a better model of the source then repairs what a worse one has
    spoiled. Samples flagged `SampleFlag.SOURCE_BLANK` are cleaned, but nothing is estimated from them; the same goes
    for `SampleFlag.DAC_RANGE`, and for samples of glitches and jumps.

    Parameters
    ----------
    frame_data : ndarray of float32 or float64, shape (n_frames, n_channels)
        Signal; changed in place. NaN and infinity are no samples, and stay.
    sample_flags : ndarray of int, shape (n_frames, n_channels)
        Bits of `SampleFlag`; changed in place. SPIKE is found anew: old ones are taken away, in valid frames. JUMP is
        set next to jumps, and old ones stay.
    channel_gains : array_like, shape (n_channels,)
        Response of each channel to the common signal, as far as known; where it is 0 or NaN, the channel takes no part
        in estimating it.
    channel_groups : sequence of array_like of int, each of shape (n_channels,), optional
        For each grouping (such as by readout column), the number of each channel's group; below 0 for none. Groups of
        fewer than four good channels have nothing removed.
    valid_frames : array_like of bool, shape (n_frames,)
        Frames that are cleaned. Others stay as they are, and are part of nothing.
    dt : float
        Time from one frame to the next [s].
    params : CleaningParams, optional
        How to clean.
    n_threads : int, optional
        Number of threads; by default one for each core. The result does not depend on it.
    progress : callable, optional
        Called now and then as ``progress(steps_done, steps_in_all)``.

    Returns
    -------
    Cleaned
        Noise, weights and flags of the channels, gains, numbers of glitches and jumps.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the arrays do not fit together or hold the wrong kind of numbers, or `dt` is not positive. Nothing was
        changed then.
    DataError
        If an array to be changed is read-only, or both share their memory.
    """
    params = CleaningParams() if params is None else params
    check_callable(progress, "progress")
    data, flags = as_changeable(frame_data, sample_flags)
    check_bits(SampleFlag.SPIKE | SampleFlag.JUMP, flags, "SPIKE | JUMP")
    changed = (data, flags)
    n_channels = data.shape[1]
    groups = np.full((len(channel_groups), n_channels), -1, dtype=np.int64)
    for k, group in enumerate(channel_groups):
        numbers = as_indices(group, f"channel_groups[{k}]", ndim=1)
        if numbers.size != n_channels:
            msg = f"`channel_groups[{k}]` has {numbers.size} elements; `frame_data` has {n_channels} channels"
            raise ShapeError(msg)
        groups[k] = numbers
    low, high = as_pair(params.noise_limits, "noise_limits")
    arguments: CleaningArguments = {
        "drift_time": float(params.drift_time),
        "corners": None if params.corners is None else as_pair(params.corners, "corners"),
        "source_time": float(params.source_time),
        "despike_level": params.despike_level,
        "jump_level": params.jump_level,
        "has_common_mode": bool(params.has_common_mode),
        "has_group_modes": bool(params.has_group_modes),
        "n_rounds": int(params.n_rounds),
        "noise_limits": (low, high),
        "blind_limit": float(params.blind_limit),
        "spike_limit": float(params.spike_limit),
        "spike": int(SampleFlag.SPIKE),
        "jump": int(SampleFlag.JUMP),
        "blank": int(SampleFlag.SOURCE_BLANK),
        "bad": int(SampleFlag.DAC_RANGE),
    }
    gains = apart(as_double(channel_gains, "channel_gains", ndim=1), changed)
    valid = apart(as_mask(valid_frames, "valid_frames"), changed)
    interval = as_real(dt, "dt")
    with in_place(data, flags) as (own_data, own_flags):
        found = _native.clean_timestreams(
            own_data, own_flags, gains, groups, valid, interval, arguments, n_threads=n_threads, progress=progress
        )
    return Cleaned(*found)
