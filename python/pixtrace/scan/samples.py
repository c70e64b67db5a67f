"""Samples of timestreams spelled out, with gains, weights and map indices of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypedDict

from pixtrace import _native
from pixtrace._arrays import as_double, as_floating, as_real
from pixtrace.scan._gates import as_bits, as_flags, as_indices, as_mask, as_threads

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pixtrace._native import _SampleArguments as SampleArguments

__all__ = ["SamplePoints", "get_delta_sync_parms", "get_sample_points"]


class SamplePoints(NamedTuple):
    """Samples as maps would take them; one that is left out has value and gain NaN, weight 0 and index -1."""

    n: int
    """Number of frames that are used, whether or not any of their samples is."""
    data: npt.NDArray[np.float64]
    """Values, shape (n_frames, n_listed)."""
    gains: npt.NDArray[np.float64]
    """Gain of the frame times that of the channel, shape (n_frames, n_listed)."""
    weights: npt.NDArray[np.float64]
    """Weight of the frame over the variance of the channel, shape (n_frames, n_listed)."""
    indices: npt.NDArray[np.int64]
    """Map indices (x, y), shape (2, n_frames, n_listed)."""


class SampleInput(TypedDict):
    """What `as_samples` takes, by the names of the public functions."""

    frame_data: npt.ArrayLike
    frame_gains: npt.ArrayLike
    frame_weights: npt.ArrayLike
    source_gains: npt.ArrayLike
    channel_variance: npt.ArrayLike
    valid_frames: npt.ArrayLike
    map_indices: npt.ArrayLike
    channel_indices: npt.ArrayLike
    sample_flags: npt.ArrayLike
    exclude_sample_flag: int


def as_samples(given: SampleInput) -> SampleArguments:
    """Return what samples are made of as the extension takes it; shapes are checked there."""
    return {
        "frame_data": as_floating(given["frame_data"], "frame_data"),
        "frame_gains": as_double(given["frame_gains"], "frame_gains", ndim=1),
        "frame_weights": as_double(given["frame_weights"], "frame_weights", ndim=1),
        "source_gains": as_double(given["source_gains"], "source_gains", ndim=1),
        "channel_variance": as_double(given["channel_variance"], "channel_variance", ndim=1),
        "valid_frames": as_mask(given["valid_frames"], "valid_frames"),
        "map_indices": as_indices(given["map_indices"], "map_indices", ndim=3),
        "channel_indices": as_indices(given["channel_indices"], "channel_indices", ndim=1),
        "sample_flags": as_flags(given["sample_flags"], "sample_flags"),
        "exclude_sample_flag": as_bits(given["exclude_sample_flag"], "exclude_sample_flag"),
    }


def get_sample_points(
    frame_data: npt.ArrayLike,
    frame_gains: npt.ArrayLike,
    frame_weights: npt.ArrayLike,
    source_gains: npt.ArrayLike,
    channel_variance: npt.ArrayLike,
    valid_frames: npt.ArrayLike,
    map_indices: npt.ArrayLike,
    channel_indices: npt.ArrayLike,
    sample_flags: npt.ArrayLike,
    exclude_sample_flag: int,
    *,
    n_threads: int | None = None,
) -> SamplePoints:
    """Spell out the samples of some channels, to look at them or to hand them to `MapStack.accumulate`.

    `MapStack.add_points` comes to the same without making these arrays.

    Parameters
    ----------
    frame_data : array_like, shape (n_frames, n_channels)
        Signal as the detector wrote it. NaN is passed on; `MapStack.accumulate` leaves it out.
    frame_gains, frame_weights : array_like, shape (n_frames,)
        Gain and relative weight of each frame; where one is 0 or NaN the frame is left out. Gains may be negative.
    source_gains : array_like, shape (n_channels,)
        Gain of each channel to the source; a channel with gain 0 is left out.
    channel_variance : array_like, shape (n_listed,)
        Variance of each listed channel; a channel with variance 0 is left out.
    valid_frames : array_like of bool, shape (n_frames,)
        Frames that may be used.
    map_indices : array_like of int, shape (2, n_frames, 1) or (2, n_frames, n_channels)
        Map index (x, y) of each frame, or of each sample.
    channel_indices : array_like of int, shape (n_listed,)
        The listed channels, each once; columns of the result are in their order.
    sample_flags : array_like of int, shape (n_frames, n_channels)
        Flags.
    exclude_sample_flag : int
        A sample with any of these flags is left out.
    n_threads : int, optional
        Number of threads; by default one for each core. The result does not depend on it.

    Returns
    -------
    SamplePoints
        Number of frames, values, gains, weights, map indices.

    Raises
    ------
    ShapeError, DtypeError
        If the arrays do not fit together, or hold something else than numbers.
    ParameterError
        If a channel does not exist or is listed twice.
    """
    samples = as_samples(
        {
            "frame_data": frame_data,
            "frame_gains": frame_gains,
            "frame_weights": frame_weights,
            "source_gains": source_gains,
            "channel_variance": channel_variance,
            "valid_frames": valid_frames,
            "map_indices": map_indices,
            "channel_indices": channel_indices,
            "sample_flags": sample_flags,
            "exclude_sample_flag": exclude_sample_flag,
        }
    )
    return SamplePoints(*_native.sample_points(samples, n_threads=as_threads(n_threads)))


def get_delta_sync_parms(
    channel_source_gains: npt.ArrayLike,
    channel_indices: npt.ArrayLike,
    channel_flags: npt.ArrayLike,
    channel_variance: npt.ArrayLike,
    frame_weight: npt.ArrayLike,
    frame_source_gains: npt.ArrayLike,
    frame_valid: npt.ArrayLike,
    frame_flags: npt.ArrayLike,
    source_flag: int,
    n_points: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Share the independent points of a model out to the frames and channels from which it was subtracted.

    Of the ``n`` points, frame ``f`` gets ``n w_f |s_f| / sum(w_f s_f)``, channel ``c`` gets
    ``n (G_c^2 / v_c) / sum(G_c^2 / v_c)``.

    Parameters
    ----------
    channel_source_gains : array_like, shape (n_channels,)
        Gain of each channel to the source.
    channel_indices : array_like of int, shape (n_listed,)
        The listed channels, each once.
    channel_flags : array_like of int, shape (n_listed,)
        Their flags; a channel with any flag gets nothing.
    channel_variance : array_like, shape (n_listed,)
        Their variances; where it is not positive, the channel gets nothing.
    frame_weight, frame_source_gains : array_like, shape (n_frames,)
        Relative weight, and gain to the source, of each frame.
    frame_valid : array_like of bool, shape (n_frames,)
        Frames that may be used.
    frame_flags : array_like of int, shape (n_frames,)
        Flags of the frames.
    source_flag : int
        A frame with any of these flags took no part in the model and gets nothing.
    n_points : float
        Number of independent points of the model.

    Returns
    -------
    frame_dp : ndarray of float64, shape (n_frames,)
        Share of each frame.
    channel_dp : ndarray of float64, shape (n_listed,)
        Share of each listed channel.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the arrays do not fit together, or a channel does not exist or is listed twice.
    """
    return _native.delta_sync_parms(
        as_double(channel_source_gains, "channel_source_gains", ndim=1),
        as_indices(channel_indices, "channel_indices", ndim=1),
        as_indices(channel_flags, "channel_flags", ndim=1),
        as_double(channel_variance, "channel_variance", ndim=1),
        as_double(frame_weight, "frame_weight", ndim=1),
        as_double(frame_source_gains, "frame_source_gains", ndim=1),
        as_mask(frame_valid, "frame_valid"),
        as_indices(frame_flags, "frame_flags", ndim=1),
        as_bits(source_flag, "source_flag"),
        as_real(n_points, "n_points"),
    )
