"""The signals of one integration, made ready for maps: as the options say, cleaned or just brought to their level."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.scan import access
from pixtrace.scan._units import plain
from pixtrace.scan.cleaning import CleaningParams, clean_timestreams
from pixtrace.scan.configuration import setting
from pixtrace.scan.flags import ChannelFlag
from pixtrace.scan.levels import without_level

if TYPE_CHECKING:
    from pixtrace.scan.integration import Integration

__all__ = ["clean_integration", "cleaning_params"]

_DRIFT_TIMES = 12.0  # passages of the source between the corners of a drift
_FEW_FRAMES = 10.0  # in the beam: a source that has not been subtracted yet is not to be taken for a glitch


def cleaning_params(integration: Integration, fwhm: float, *, is_subtracted: bool) -> CleaningParams:
    """Return how to clean an integration.

    Parameters
    ----------
    integration : Integration
        Frames with offsets, and options.
    fwhm : float
        Width of the source in the maps [arcsec]; NaN if it is not known.
    is_subtracted : bool
        Whether the source has been taken out of the signals.

    Returns
    -------
    CleaningParams
        As the options ``clean...`` say; times follow from how fast the telescope passes over the source.
    """
    configuration, interval = integration.configuration, integration.info.sampling_interval
    passage = source_time(integration, fwhm)
    drift = setting(configuration, "clean.drift")
    are_spikes_safe = is_subtracted or passage > _FEW_FRAMES * interval
    limits = setting(configuration, "clean.noise")
    return CleaningParams(
        drift_time=max(_DRIFT_TIMES * passage, 4.0 * interval) if drift is None else float(drift),
        source_time=passage,
        despike_level=setting(configuration, "clean.despike") if are_spikes_safe else None,
        jump_level=setting(configuration, "clean.jump") if are_spikes_safe else None,
        has_common_mode=bool(setting(configuration, "clean.common")),
        has_group_modes=bool(setting(configuration, "clean.groups")),
        noise_limits=(float(limits[0]), float(limits[-1])),
    )


def source_time(integration: Integration, fwhm: float) -> float:
    """Return the time in which the telescope passes over the width of the source [s], in the median of all frames."""
    frames, interval = integration.frames, integration.info.sampling_interval
    offset = np.asarray(plain(frames.get_focal_plane_offset(), "arcsec", "offset"))
    both = frames.valid[1:] & frames.valid[:-1]
    step = np.hypot(*np.diff(offset, axis=1))[both]
    step = step[np.isfinite(step)]
    speed = float(np.median(step)) / interval if step.size else 0.0
    if not (math.isfinite(fwhm) and speed > 0.0):
        return _FEW_FRAMES * interval
    return max(fwhm / speed, interval)


def clean_integration(integration: Integration, params: CleaningParams, *, n_threads: int | None = None) -> None:
    """Clean the signals of an integration in place, and set variances and flags of its channels.

    Parameters
    ----------
    integration : Integration
        Frames and channels; data, sample flags, variances and flags of channels are changed.
    params : CleaningParams
        How; see `cleaning_params`. Without the option ``clean``, only the level is removed.
    n_threads : int, optional
        Threads.
    """
    frames, channels = integration.frames, integration.channels
    usable = access.usable_frames(frames)
    if not bool(setting(integration.configuration, "clean")):
        variance = without_level(frames.data, frames.sample_flag, usable)
        channels.flag[~(variance > 0.0)] |= int(ChannelFlag.DEAD)
        channels.variance[...] = np.nan_to_num(variance, nan=0.0)
        return
    cleaned: Any = clean_timestreams(
        frames.data,
        frames.sample_flag,
        channel_gains=np.where(channels.flag == 0, channels.gain, 0.0),
        channel_groups=[labels for labels in channels.groups.values() if np.unique(labels).size > 1],
        valid_frames=usable,
        dt=integration.info.sampling_interval,
        params=params,
        n_threads=n_threads,
    )
    channels.flag |= cleaned.channel_flag
    channels.variance[...] = np.nan_to_num(cleaned.channel_variance, nan=0.0)
