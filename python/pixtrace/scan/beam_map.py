"""What a reduction comes to: positions and gains of all pixels, and how they were found."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.scan._units import plain
from pixtrace.scan.combination import combine_fits
from pixtrace.scan.configuration import setting
from pixtrace.scan.disc import deconvolve_disc
from pixtrace.scan.flags import FIT_FLAG_MEANINGS, ChannelFlag, FitFlag
from pixtrace.scan.pixel_results import apply_fits, relative_peaks
from pixtrace.scan.tables import ExtraColumn, PixelTable
from pixtrace.scan.unseen import would_have_seen, would_look_past

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pixtrace.scan.fits import PixelFits
    from pixtrace.scan.parts import Part
    from pixtrace.scan.pixel_map import PixelMap
    from pixtrace.scan.rounds import LoopState, RoundRecord

__all__ = ["BeamMap", "make_beam_map"]

_COPIED = {
    "amplitude": "peak",
    "amplitude_error": "peak_error",
    **{name: name for name in ("x_error", "y_error", "fwhm_major", "fwhm_minor", "fwhm_major_error")},
    **{name: name for name in ("fwhm_minor_error", "angle", "angle_error", "level", "level_error", "chi2")},
}


@dataclass(frozen=True, eq=False)
class BeamMap:
    """What a reduction comes to.

    Attributes
    ----------
    table : PixelTable
        One row for every channel, dead ones too; NaN where nothing was measured. Extra columns: nominal_x, nominal_y,
        beam_fwhm (the disc of a planet taken out), noise, sensitivity, channel_flag, n_scans.
    maps : PixelMap
        The maps of the last round.
    records : tuple of RoundRecord
        The rounds.
    is_settled : bool
        Whether all pixels have settled within the limits.
    pointing : ndarray of float64, shape (n_parts, 2)
        Pointing of each integration against the first [arcsec].
    """

    table: PixelTable
    maps: PixelMap
    records: tuple[RoundRecord, ...]
    is_settled: bool
    pointing: npt.NDArray[np.float64]

    @property
    def is_good(self) -> npt.NDArray[np.bool_]:
        """Which rows are measured, of channels without flags."""
        return self.table.is_measured

    @property
    def n_good(self) -> int:
        """Number of pixels that were measured."""
        return int(self.is_good.sum())

    @property
    def reasons(self) -> dict[str, int]:
        """Why pixels were not measured: a few words, and how many; most frequent first."""
        counts: dict[str, int] = {}
        for row in np.flatnonzero(~self.is_good):
            reason = self.reason(int(row))
            counts[reason] = counts.get(reason, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def reason(self, row: int) -> str:
        """Return why a pixel was not measured, the deepest cause alone; empty if it was.

        Parameters
        ----------
        row : int
            Row of the table.

        Returns
        -------
        str
            A few words.
        """
        if self.is_good[row]:
            return ""
        channel = int(self.table.extra["channel_flag"].values[row])
        if channel & int(ChannelFlag.SENSITIVITY | ChannelFlag.DEAD) == int(ChannelFlag.SENSITIVITY):
            noise = self.table.extra["noise"].values
            usual = np.nanmedian(noise[self.is_good]) if self.n_good else math.inf
            return "too quiet" if noise[row] < usual else "too noisy"
        return _reason(int(self.table.flag[row]), channel)

    @property
    def problem(self) -> str:
        """What is wrong with the whole, in a sentence; empty if there is nothing."""
        if self.n_good:
            return ""
        flags = self.table.flag
        n_maps = int(((flags & int(FitFlag.NO_MAP)) == 0).sum())
        beyond = int(((flags & int(FitFlag.OUTSIDE | FitFlag.AT_EDGE)) != 0).sum())
        if 2 * beyond >= max(n_maps, 1) and beyond:
            return (
                f"the source lies outside of the maps of all {n_maps} pixels: {beyond} rise towards the edge; see "
                "whether the coordinates of the source in the header are right, or take a scan that is larger than "
                "the array; no position was measured"
            )
        significance = float(setting(self.maps.configuration, "pointing.significance") or 0.0)
        return (
            f"no source was found in any of {n_maps} maps (significance below {significance:g}, or no beam); see "
            "whether the telescope was on the source, the shutter open and the sign of the signal right; no position "
            "was measured"
        )


def _reason(flag: int, channel: int) -> str:
    """Return why a pixel was not measured, the deepest cause alone."""
    for bit, words in _CHANNEL_REASONS.items():
        if channel & int(bit):
            return words
    for fit_bit in _FIT_ORDER:
        if flag & int(fit_bit):
            return FIT_FLAG_MEANINGS[fit_bit]
    return "not fitted"


_CHANNEL_REASONS = {
    ChannelFlag.BLIND: "blind channel",
    ChannelFlag.DEAD: "dead channel",
    ChannelFlag.DISCARD: "left out by request",
    ChannelFlag.SENSITIVITY: "noise out of line",
    ChannelFlag.SPIKY: "too many glitches",
    ChannelFlag.OSCILLATING: "oscillates",
    ChannelFlag.GAIN: "gain out of line",
    ChannelFlag.DAC_RANGE: "out of the range of the converter",
    ChannelFlag.DOF: "no degrees of freedom left",
    ChannelFlag.PHASE_DOF: "no degrees of freedom left in phase",
    ChannelFlag.TIME_WEIGHTING: "left out of the weights of frames",
}
_FIT_ORDER = (
    FitFlag.NO_MAP,
    FitFlag.NO_DATA,
    FitFlag.TOO_FEW_CELLS,
    FitFlag.OUTSIDE,
    FitFlag.DEGENERATE,
    FitFlag.NOT_CONVERGED,
    FitFlag.WRONG_SIGN,
    FitFlag.NOT_SIGNIFICANT,
    FitFlag.WIDTH_AT_LIMIT,
    FitFlag.OUT_OF_LINE,
)


def make_beam_map(model: PixelMap, parts: Sequence[Part], state: LoopState) -> BeamMap:
    """Put together what the last round found.

    Positions and couplings go to the channels of the first scan, and the flags of channels that no scan could use.

    Parameters
    ----------
    model : PixelMap
        The maps.
    parts : sequence of Part
        The integrations, cleaned.
    state : LoopState
        The state after the last round.

    Returns
    -------
    BeamMap
        The result.
    """
    fits, n_found = combine_fits(state.fits)
    table = _Channels(parts)
    fits = _with_unseen(model, table, fits)
    result = BeamMap(
        table=_table(model, table, fits, n_found),
        maps=model,
        records=tuple(state.records),
        is_settled=state.is_settled,
        pointing=np.array(state.shift, dtype=np.float64),
    )
    channels = parts[0].scan.channels
    channels.flag |= table.flag[np.searchsorted(table.fixed_index, channels.fixed_index)]
    known = np.isin(fits.fixed_index, channels.fixed_index)
    apply_fits(_some(fits, known), channels.create_group(), model.map_coupling)
    return result


def _with_unseen(model: PixelMap, channels: _Channels, fits: PixelFits) -> PixelFits:
    """Mark pixels without a source: those that look past the scan, and those that are blind."""
    block = model.need_block()
    at = np.searchsorted(channels.fixed_index, fits.fixed_index)
    coverage = np.asarray(block.stack.moments)[0] > 0.0
    past = would_look_past(fits, channels.nominal[:, at], block.grid, coverage)
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = channels.noise[at] / channels.used[at]
    significance = float(setting(model.configuration, "pointing.significance"))
    outside = (fits.flag & int(FitFlag.OUTSIDE | FitFlag.AT_EDGE)) != 0
    blind = would_have_seen(fits, noise, significance) & ~past & ~outside & (channels.flag[at] == 0)
    blind &= (fits.flag & int(FitFlag.OUT_OF_LINE)) == 0
    channels.flag[at[blind]] |= int(ChannelFlag.BLIND)
    return replace(fits, flag=fits.flag | np.where(past, int(FitFlag.OUTSIDE), 0))


def _some(fits: PixelFits, keep: npt.NDArray[np.bool_]) -> PixelFits:
    return replace(fits, **{f.name: getattr(fits, f.name)[keep] for f in fields(fits) if f.name != "method"})


class _Channels:
    """The channels of all parts in one table, by growing number."""

    def __init__(self, parts: Sequence[Part]) -> None:
        tables = [part.channels for part in parts]
        numbers = np.unique(np.concatenate([table.fixed_index for table in tables]))
        n = numbers.size
        self.fixed_index = numbers
        self.row, self.col = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
        self.gain, self.used = np.ones(n), np.ones(n)
        self.nominal = np.zeros((2, n))
        flags = np.full((len(tables), n), -1, dtype=np.int64)
        variance, counts = np.zeros((2, n)), np.zeros((2, n))  # of flagged channels, of those without flags
        self.interval = float(parts[0].scan.info.sampling_interval)
        for k, table in reversed(list(enumerate(tables))):
            at = np.searchsorted(numbers, table.fixed_index)
            self.row[at], self.col[at], self.gain[at] = table.row, table.col, table.gain
            fixed = bool(setting(parts[k].scan.configuration, "source.fixedgains"))
            self.used[at] = table.get_source_gains(filter_corrected=False, fixed=fixed)
            self.nominal[:, at] = plain(parts[k].scan.channels.nominal_position, "arcsec", "position")
            flags[k, at] = parts[k].channel_flag
            found = parts[k].variance
            known = found > 0
            kind = (flags[k, at] == 0).astype(np.int64)
            variance[kind[known], at[known]] += found[known]
            counts[kind[known], at[known]] += 1.0
        seen = flags >= 0
        usable = ((flags == 0) & seen).any(axis=0)
        self.flag = np.where(usable, 0, np.bitwise_or.reduce(np.where(seen, flags, 0), axis=0))
        with np.errstate(invalid="ignore", divide="ignore"):
            flagged, good = np.sqrt(np.where(counts > 0, variance / counts, np.nan))
        self.noise = np.where(np.isfinite(good), good, flagged)


def _table(model: PixelMap, channels: _Channels, fits: PixelFits, n_found: npt.NDArray[np.int64]) -> PixelTable:
    n = channels.fixed_index.size
    at = fits.places_of(channels.fixed_index)
    has = at >= 0
    found = np.zeros(n, dtype=bool)
    found[has] = fits.is_found[at[has]]

    def column(values: Any, where: npt.NDArray[np.bool_] = has) -> npt.NDArray[np.float64]:
        result = np.full(n, np.nan)
        result[where] = np.asarray(values, dtype=np.float64)[at[where]]
        return result

    def whole(values: Any) -> npt.NDArray[np.int64]:
        result = np.zeros(n, dtype=np.int64)
        result[has] = np.asarray(values)[at[has]]
        return result

    used = np.array([model.map_coupling.get(int(number), 1.0) for number in channels.fixed_index])
    coupling = used * column(relative_peaks(fits), found)
    peak, peak_error = column(fits.peak), column(fits.peak_error)
    flag = np.where(has, whole(fits.flag), int(FitFlag.NO_MAP))
    flag[channels.flag != 0] |= int(FitFlag.FLAGGED)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.abs(peak / peak_error)
        height = np.where(found, np.abs(peak * channels.used), np.nan)
        sensitivity = channels.noise * math.sqrt(channels.interval) / height
        weight = peak_error**-2.0
        coupling_error = np.abs(coupling) / snr
    flux = setting(model.configuration, "source.flux")
    diameter = setting(model.configuration, "source.diameter")
    width = np.sqrt(column(fits.fwhm_major, found) * column(fits.fwhm_minor, found))
    what = "noise of one second over the height of the source" if flux is None else "flux with S/N 1 in one second"
    unit = str(getattr(model.info.instrument, "data_unit", "") or "")
    extra = {
        "nominal_x": ExtraColumn(values=channels.nominal[0], unit="arcsec", description="nominal position along x"),
        "nominal_y": ExtraColumn(values=channels.nominal[1], unit="arcsec", description="nominal position along y"),
        "beam_fwhm": ExtraColumn(
            values=deconvolve_disc(width, float(diameter or 0.0)),
            unit="arcsec",
            description="geometric mean of both widths" + (", the disc of the source taken out" if diameter else ""),
        ),
        "noise": ExtraColumn(values=channels.noise, unit=unit, description="white noise of one sample"),
        "sensitivity": ExtraColumn(
            values=sensitivity * (1.0 if flux is None else float(flux)),
            unit="s(1/2)" if flux is None else "Jy s(1/2)",
            description=what,
        ),
        "channel_flag": ExtraColumn(values=channels.flag, description="flag word of the channel (ChannelFlag)"),
        "n_scans": ExtraColumn(values=whole(n_found), description="integrations in which the source was found"),
    }
    return PixelTable(
        fixed_index=channels.fixed_index,
        row=channels.row,
        col=channels.col,
        gain=channels.gain,
        x=-column(fits.x, found),
        y=-column(fits.y, found),
        **{name: column(getattr(fits, source)) for name, source in _COPIED.items()},
        dof=whole(fits.dof),
        n_cells=whole(fits.n_cells),
        coupling=coupling,
        coupling_error=coupling_error,
        snr=snr,
        weight=weight,
        flag=flag,
        unit=unit,
        flag_meanings={int(bit): meaning for bit, meaning in FIT_FLAG_MEANINGS.items()},
        meta=_meta(model, diameter),
        extra=extra,
    )


def _meta(model: PixelMap, diameter: Any) -> dict[str, Any]:
    scan = model.get_first_scan()
    meta: dict[str, Any] = {
        "instrument": str(getattr(model.info.instrument, "name", "")),
        "object": model.get_source_name(),
        "scans": ", ".join(str(found.get_id()) for found in model.scans),
        "exposure": float(model.integration_time),
        "channel_flags": {int(bit): words for bit, words in _CHANNEL_REASONS.items()},
    }
    if diameter:
        meta["source_diameter"] = float(diameter)
    if scan is not None and np.isfinite(scan.mjd):
        meta["mjd"] = float(scan.mjd)
    return meta
