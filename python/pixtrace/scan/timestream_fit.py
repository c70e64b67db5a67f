"""Gaussians fitted to the samples of timestreams as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace import _native
from pixtrace._arrays import as_double, as_floating, check_callable
from pixtrace.exceptions import ShapeError
from pixtrace.scan._gates import as_bits, as_flags, as_indices, as_mask, as_threads
from pixtrace.scan.gaussian_fits import PARAMETERS, GaussianFits, gaussian_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from pixtrace._native import _StreamArguments as StreamArguments

__all__ = ["fit_timestreams"]


def fit_timestreams(
    frame_data: npt.ArrayLike,
    sample_flags: npt.ArrayLike,
    exclude_sample_flag: int,
    frame_gains: npt.ArrayLike,
    frame_weights: npt.ArrayLike,
    valid_frames: npt.ArrayLike,
    offsets: npt.ArrayLike,
    channel_indices: npt.ArrayLike,
    source_gains: npt.ArrayLike,
    channel_variance: npt.ArrayLike,
    starts: GaussianFits | npt.ArrayLike,
    *,
    shape: str = "elliptical",
    fixed: Sequence[float] | None = None,
    has_level: bool = True,
    sign: str | int = "+",
    significance: float = 5.0,
    round_significance: float = 3.5,
    n_evaluations: int = 100,
    n_threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> GaussianFits:
    """Fit an elliptical Gaussian on a level to the samples of each channel, at the boresight offsets of their frames.

    This refines fits to maps: nothing is binned, so nothing is lost. Data are divided by the gains of frame and
    channel, and weighted with ``w_f (g_f G_c)^2 / v_c``. Positions are those of maps: the boresight offset at which the
    source is seen, minus the position of the pixel on the focal plane.

    Parameters
    ----------
    frame_data : array_like, shape (n_frames, n_channels)
        Cleaned signal, with the source in it. What is not finite is left out.
    sample_flags : array_like of int, shape (n_frames, n_channels)
        Bits of `SampleFlag`.
    exclude_sample_flag : int
        A sample with any of these flags is left out.
    frame_gains, frame_weights : array_like, shape (n_frames,)
        Gain and relative weight of each frame; where the gain is 0 or NaN, or the weight is not positive, the frame is
        left out.
    valid_frames : array_like of bool, shape (n_frames,)
        Frames that may be used.
    offsets : array_like, shape (2, n_frames)
        Offset of the boresight (x, y), in the system of the maps [arcsec]; frames where it is NaN are left out.
    channel_indices : array_like of int, shape (n,)
        The channels that are fitted, each once.
    source_gains : array_like, shape (n_channels,)
        Gain of each channel to the source; a channel with gain 0 or NaN has no data.
    channel_variance : array_like, shape (n,)
        Variance of a sample of each fitted channel; one whose variance is not positive has no data.
    starts : GaussianFits or array_like, shape (n, 7)
        What each fit begins with: fits to the maps, or rows of x, y [arcsec], amplitude, FWHM along the major and the
        minor axis [arcsec], angle [degree], level. A row with NaN is not fitted; the flags of a fit that failed are
        passed on.
    shape : {"elliptical", "round", "fixed"}, optional
        Whether two widths and an angle are fitted, one width, or none.
    fixed : (float, float, float), optional
        For a fixed shape: FWHM along the major and the minor axis [arcsec], angle of the major axis [degree].
    has_level : bool, optional
        Whether a level is fitted; it is zero otherwise.
    sign : {"+", "-", "0"} or {1, -1, 0}, optional
        Whether the source is positive, negative, or either.
    significance : float, optional
        An amplitude below this many of its errors is flagged.
    round_significance : float, optional
        An ellipse that is not this many standard deviations from round is reported as a round beam, with its angle
        undefined; 0: never.
    n_evaluations : int, optional
        The fit is given up after this many evaluations of the model.
    n_threads : int, optional
        Number of threads; by default one for each core. The result does not depend on it.
    progress : callable, optional
        Called now and then as ``progress(channels_done, channels_in_all)``.

    Returns
    -------
    GaussianFits
        One fit for each channel; `n_cells` is the number of its samples. Covariances follow from the variances that
        are given.

    Raises
    ------
    ShapeError, DtypeError
        If the arrays do not fit together, or hold something else than numbers.
    ParameterError
        If a parameter makes no sense, or a channel does not exist or is listed twice. That a channel cannot be fitted
        is no error: its flags say why.
    """
    arguments = gaussian_arguments(
        shape=shape,
        fixed=fixed,
        has_level=has_level,
        sign=sign,
        significance=significance,
        round_significance=round_significance,
        n_evaluations=n_evaluations,
    )
    check_callable(progress, "progress")
    samples: StreamArguments = {
        "frame_data": as_floating(frame_data, "frame_data"),
        "sample_flags": as_flags(sample_flags, "sample_flags"),
        "exclude_sample_flag": as_bits(exclude_sample_flag, "exclude_sample_flag"),
        "frame_gains": as_double(frame_gains, "frame_gains", ndim=1),
        "frame_weights": as_double(frame_weights, "frame_weights", ndim=1),
        "valid_frames": as_mask(valid_frames, "valid_frames"),
        "offsets": as_double(offsets, "offsets"),
        "channel_indices": as_indices(channel_indices, "channel_indices", ndim=1),
        "source_gains": as_double(source_gains, "source_gains", ndim=1),
        "channel_variance": as_double(channel_variance, "channel_variance", ndim=1),
        "starts": _rows(starts),
    }
    found = _native.fit_timestreams(samples, arguments, n_threads=as_threads(n_threads), progress=progress)
    fits = GaussianFits.of_core(found)
    if isinstance(starts, GaussianFits):
        has_start = np.isfinite(samples["starts"]).all(axis=1)
        fits = replace(fits, flags=np.where(has_start, fits.flags, starts.flags))
    return fits


def _rows(starts: Any) -> npt.NDArray[np.float64]:
    """Return what fits begin with, one row each."""
    if isinstance(starts, GaussianFits):
        single = [starts.amplitude, starts.fwhm, starts.angle, starts.level]
        return np.column_stack([starts.position, *single])
    rows = as_double(starts, "starts")
    if rows.shape[1] != len(PARAMETERS):
        msg = f"`starts` has shape {rows.shape}; expected (n, 7): {', '.join(PARAMETERS)}"
        raise ShapeError(msg)
    return rows
