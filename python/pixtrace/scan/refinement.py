"""Fits of maps made better by fits of the samples themselves: nothing is binned, so nothing is lost."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.scan import access
from pixtrace.scan._units import plain
from pixtrace.scan.configuration import setting
from pixtrace.scan.flags import FitFlag
from pixtrace.scan.gaussian_fits import PARAMETERS
from pixtrace.scan.timestream_fit import fit_timestreams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from pixtrace.scan.fits import PixelFits
    from pixtrace.scan.integration import Integration

__all__ = ["error_scales", "refine_fits"]

#: Places of the parameters in covariances.
_X, _Y, _AMPLITUDE, _MAJOR, _MINOR, _ANGLE, _LEVEL = range(7)
#: The errors of fits in the order of the parameters.
_ERRORS = ("x_error", "y_error", "peak_error", "fwhm_major_error", "fwhm_minor_error", "angle_error", "level_error")
_MAD = 1.4826
#: A beam stays round, or an ellipse, as it was in the round before, unless the option ``pointing.round`` is passed by
#: so much: what is taken out before cleaning has its shape, and would else swing to and fro with it.
_FAITHFUL = 0.5
_FAR = 4.0  # robust standard deviations from the median: such a pixel is no part of the mean
_APART = 10.0  # and such a one is not like the others at all


def refine_fits(
    integrations: Iterable[Integration],
    fits: PixelFits,
    before: PixelFits | None = None,
    *,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PixelFits:
    """Fit the cleaned samples of each pixel, beginning with the fit of its map.

    Errors follow from the variances of the channels, and are then scaled by what the residuals say, see
    `error_scales`.

    Parameters
    ----------
    integrations : iterable of Integration
        The same frames, each with cleaned signals of some channels, the source in them; variances and gains of these
        channels.
    fits : PixelFits
        Fits of the maps of these frames.
    before : PixelFits, optional
        What was found in the round before: beams stay as round as they were where it is a near thing.
    n_threads : int, optional
        Threads.
    progress : callable, optional
        Is told how many pixels have been fitted, and how many there are.

    Returns
    -------
    PixelFits
        The refined fits; where the source was not found in the map, or the fit of the samples fails, that of the map.
    """
    scatter = np.full((len(fits), len(PARAMETERS)), np.nan)
    n_done, n_pixels = 0, int(fits.is_found.sum())

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(n_done + done, n_pixels)

    for integration in integrations:
        columns = integration.channels.find_fixed_indices(fits.fixed_index)
        limits = _round_limits(fits, before, integration)
        for limit in np.unique(limits):
            some = np.flatnonzero(fits.is_found & (columns >= 0) & (limits == limit))
            if some.size:
                fits = _refine(integration, fits, scatter, (some, columns[some]), float(limit), (n_threads, tell))
            n_done += some.size
    scales = error_scales(scatter).T
    refined = np.isfinite(scatter).any(axis=1)
    changed = {
        name: np.where(refined, scale, 1.0) * getattr(fits, name) for name, scale in zip(_ERRORS, scales, strict=True)
    }
    return replace(fits, **changed)


def error_scales(scatter: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return what errors of fits to samples are to be multiplied with.

    Cleaning leaves noise that is correlated over a passage of the source: drifts and common signals are known from
    samples beside the source only. `GaussianFits.scatter` tells for each pixel how much that is, to some ten per cent;
    pixels of an array have it in common, so that their mean is taken. A pixel that scatters far more than the others,
    as one with a jump that was not found, has its own.

    Parameters
    ----------
    scatter : ndarray of float64, shape (n, 7)
        `GaussianFits.scatter`; NaN where it is not known.

    Returns
    -------
    ndarray of float64, shape (n, 7)
        Square root of the mean over the pixels, without those far from their median; 1 where nothing is known of any.
    """
    scales = np.ones(scatter.shape)
    for k, column in enumerate(scatter.T):
        is_known = np.isfinite(column) & (column > 0.0)
        known = column[is_known]
        if known.size == 0:
            continue
        middle = float(np.median(known))
        spread = _MAD * float(np.median(np.abs(known - middle)))
        usual = known[np.abs(known - middle) <= _FAR * spread]
        scales[:, k] = math.sqrt(float(usual.mean()))
        is_apart = is_known & (np.nan_to_num(column) > middle + _APART * spread)
        scales[is_apart, k] = np.sqrt(column[is_apart])
    return scales


def _round_limits(fits: PixelFits, before: PixelFits | None, integration: Integration) -> npt.NDArray[np.float64]:
    """Return by how many of their errors ellipses must differ from round ones, for each pixel."""
    usual = float(setting(integration.configuration, "pointing.round") or 0.0)
    limits = np.full(len(fits), usual)
    if before is None or len(before) == 0 or usual == 0.0:
        return limits
    at = before.places_of(fits.fixed_index)
    known = (at >= 0) & before.is_found[at]
    was_round = (before.flag[at] & int(FitFlag.ROUND)) != 0
    limits[known] += np.where(was_round[known], _FAITHFUL, -min(_FAITHFUL, 0.5 * usual))
    return limits


def _refine(
    integration: Integration,
    fits: PixelFits,
    scatter: npt.NDArray[np.float64],
    places: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    round_limit: float,
    running: tuple[int | None, Callable[[int, int], None]],
) -> PixelFits:
    """Refine fits to channels of an integration, at some places in either, and set what residuals say of the errors."""
    frames, channels = integration.frames, integration.channels
    (some, columns), (n_threads, progress) = places, running
    values = (fits.x, fits.y, fits.peak, fits.fwhm_major, fits.fwhm_minor, np.nan_to_num(fits.angle), fits.level)
    fixed = bool(setting(integration.configuration, "source.fixedgains"))
    found = fit_timestreams(
        frames.data,
        frames.sample_flag,
        access.exclude_flag(frames),
        integration.gain * frames.get_source_gain(),
        frames.relative_weight,
        access.usable_frames(frames),
        np.asarray(plain(frames.get_focal_plane_offset(), "arcsec", "offset")),
        columns,
        channels.get_source_gains(filter_corrected=False, fixed=fixed),
        channels.variance[columns],
        np.column_stack([column[some] for column in values]),
        sign=str(setting(integration.configuration, "source.sign")),
        significance=float(setting(integration.configuration, "pointing.significance") or 0.0),
        round_significance=round_limit,
        n_threads=n_threads,
        progress=progress,
    )
    good = np.isfinite(found.amplitude)
    scatter[some[good]] = found.scatter[good]
    error = np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2))

    def with_new(name: str, new: npt.NDArray[Any]) -> npt.NDArray[Any]:
        column: npt.NDArray[Any] = getattr(fits, name).copy()
        column[some[good]] = new[good]
        return column

    return replace(
        fits,
        flag=with_new("flag", found.flags),
        x=with_new("x", found.position[:, 0]),
        y=with_new("y", found.position[:, 1]),
        x_error=with_new("x_error", error[:, _X]),
        y_error=with_new("y_error", error[:, _Y]),
        peak=with_new("peak", found.amplitude),
        peak_error=with_new("peak_error", error[:, _AMPLITUDE]),
        fwhm_major=with_new("fwhm_major", found.fwhm[:, 0]),
        fwhm_minor=with_new("fwhm_minor", found.fwhm[:, 1]),
        angle=with_new("angle", found.angle),
        fwhm_major_error=with_new("fwhm_major_error", error[:, _MAJOR]),
        fwhm_minor_error=with_new("fwhm_minor_error", error[:, _MINOR]),
        angle_error=with_new("angle_error", error[:, _ANGLE]),
        level=with_new("level", found.level),
        level_error=with_new("level_error", error[:, _LEVEL]),
        chi2=with_new("chi2", found.chi2),
        dof=with_new("dof", found.degrees_of_freedom),
        n_cells=with_new("n_cells", found.n_cells),
    )
