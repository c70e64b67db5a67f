"""Fits of maps made better by fits of the samples themselves: nothing is binned, so nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.scan import access
from pixtrace.scan._units import plain
from pixtrace.scan.configuration import setting
from pixtrace.scan.timestream_fit import fit_timestreams

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.scan.fits import PixelFits
    from pixtrace.scan.integration import Integration

__all__ = ["refine_fits"]

#: Places of the parameters in covariances.
_X, _Y, _AMPLITUDE, _MAJOR, _MINOR, _ANGLE, _LEVEL = range(7)


def refine_fits(integration: Integration, fits: PixelFits, *, n_threads: int | None = None) -> PixelFits:
    """Fit the cleaned samples of each pixel, beginning with the fit of its map.

    Parameters
    ----------
    integration : Integration
        Cleaned signals with the source in them, variances and gains of the channels.
    fits : PixelFits
        Fits of the maps of this integration.
    n_threads : int, optional
        Threads.

    Returns
    -------
    PixelFits
        The refined fits; where the source was not found in the map, or the fit of the samples fails, that of the map.
    """
    frames, channels = integration.frames, integration.channels
    columns = channels.find_fixed_indices(fits.fixed_index)
    some = np.flatnonzero(fits.is_found & (columns >= 0))
    if some.size == 0:
        return fits
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
        columns[some],
        channels.get_source_gains(filter_corrected=False, fixed=fixed),
        channels.variance[columns[some]],
        np.column_stack([column[some] for column in values]),
        sign=str(setting(integration.configuration, "source.sign")),
        significance=float(setting(integration.configuration, "pointing.significance") or 0.0),
        round_significance=float(setting(integration.configuration, "pointing.round") or 0.0),
        n_threads=n_threads,
    )
    good = np.isfinite(found.amplitude)
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
