"""From the source in each map to what is known of each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import InternalError
from pixtrace.scan import access
from pixtrace.scan.flags import FIT_FLAG_MEANINGS, FitFlag
from pixtrace.scan.tables import PixelTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pixtrace.scan.fits import PixelFits
    from pixtrace.scan.pixel_map import PixelMap

__all__ = ["apply_fits", "make_pixel_table"]

#: Columns of a table that are those of the fit, by their names there.
_COLUMNS = {
    "amplitude": "peak",
    "amplitude_error": "peak_error",
    **{name: name for name in ("x_error", "y_error", "fwhm_major", "fwhm_minor", "fwhm_major_error")},
    **{name: name for name in ("fwhm_minor_error", "angle", "angle_error", "level", "level_error", "chi2")},
}


def relative_peaks(fits: PixelFits) -> Any:
    """Return the amplitudes over their median, NaN where no source was found; zero and less are none."""
    good = fits.is_found & np.isfinite(fits.peak)
    peaks = np.where(good, fits.peak, np.nan)
    median = float(np.median(fits.peak[good])) if good.any() else np.nan
    return peaks / median if median != 0 else np.full(peaks.shape, np.nan)


def apply_fits(fits: PixelFits, pixels: Any, couplings: Mapping[int, float]) -> None:
    """Put positions and couplings into a group of channels.

    Parameters
    ----------
    fits : PixelFits
        What was found.
    pixels : ChannelGroup
        The channels; those in which nothing was found stay as they are.
    couplings : mapping of int to float
        Couplings that the maps were made with, by fixed index; a channel's own where there is none.
    """
    fixed, _ = access.channel_columns(pixels)
    place = {int(number): i for i, number in enumerate(fixed)}
    position = access.positions_of(pixels)
    coupling = np.array(pixels.coupling, dtype=np.float64)
    relative = relative_peaks(fits)
    for k in np.flatnonzero(fits.is_found):
        number = int(fits.fixed_index[k])
        i = place[number]
        position[:, i] = -fits.x[k], -fits.y[k]
        if np.isfinite(relative[k]):
            coupling[i] = couplings.get(number, coupling[i]) * relative[k]
    access.put_positions(pixels, position)
    pixels.coupling = coupling


def make_pixel_table(model: PixelMap) -> PixelTable:
    """Return what is known of each pixel as a table; see `PixelMap.get_pixel_table`."""
    fits = model.fits
    if fits is None:
        msg = "the maps have not been fitted"
        raise InternalError(msg)
    scan = model.get_first_scan()
    if scan is None:
        fixed = fits.fixed_index
        channels: dict[str, Any] = {"gain": np.ones(fixed.size)}
        flagged = np.zeros(fixed.size, dtype=bool)
    else:
        table = access.table_of(scan.channels)
        group = scan.channels.get_mapping_pixels(discard_flag=scan.channels.sourceless_flags)
        fixed, columns = access.channel_columns(group)
        channels = {
            name: np.asarray(getattr(table, name))[columns] for name in ("row", "col", "gain") if hasattr(table, name)
        }
        flagged = np.asarray(table.flag)[columns] != 0
    at = fits.places_of(fixed)
    has = at >= 0
    found = np.zeros(fixed.size, dtype=bool)
    found[has] = fits.is_found[at[has]]

    def column(values: Any, where: Any = has) -> Any:
        result = np.full(fixed.size, np.nan)
        result[where] = np.asarray(values, dtype=np.float64)[at[where]]
        return result

    relative = relative_peaks(fits)
    used = np.array([model.map_coupling.get(int(number), 1.0) for number in fixed])
    coupling = used * column(relative, found)
    peak, peak_error = column(fits.peak), column(fits.peak_error)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.abs(peak / peak_error)
        coupling_error = np.abs(coupling) / snr
        weight = peak_error**-2.0
    flag = np.full(fixed.size, int(FitFlag.NO_MAP), dtype=np.int64)
    flag[has] = fits.flag[at[has]]
    flag[flagged] |= int(FitFlag.FLAGGED)
    whole: dict[str, Any] = {
        name: np.where(has, np.asarray(getattr(fits, name))[at] if len(fits) else 0, 0) for name in ("dof", "n_cells")
    }
    return PixelTable(
        fixed_index=np.asarray(fixed, dtype=np.int64),
        x=-column(fits.x, found),
        y=-column(fits.y, found),
        **{name: column(getattr(fits, source)) for name, source in _COLUMNS.items()},
        **channels,
        **whole,
        coupling=coupling,
        coupling_error=coupling_error,
        snr=snr,
        weight=weight,
        flag=flag,
        unit=str(getattr(model.info.instrument, "data_unit", "") or ""),
        flag_meanings={int(bit): meaning for bit, meaning in FIT_FLAG_MEANINGS.items()},
        meta=_meta(model, fits),
    )


def _meta(model: PixelMap, fits: PixelFits) -> dict[str, Any]:
    scan = model.get_first_scan()
    meta: dict[str, Any] = {
        "instrument": str(getattr(model.info.instrument, "name", "")),
        "object": model.get_source_name(),
        "method": fits.method,
        "exposure": float(model.integration_time),
    }
    if scan is not None:
        meta["scan"] = str(scan.get_id())
        if np.isfinite(scan.mjd):
            meta["mjd"] = float(scan.mjd)
    return meta
