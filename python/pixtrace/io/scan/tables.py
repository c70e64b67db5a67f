"""What is known of a scan but for its data: the scan as a whole, its channels, its frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import as_double, as_real, check_shape
from pixtrace.exceptions import DataError, ParameterError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["ChannelTable", "FrameTable", "ScanFacts", "check_times", "with_interval"]


@dataclass(frozen=True, kw_only=True)
class ScanFacts:
    """What a file says about a scan as a whole.

    Attributes
    ----------
    instrument : str
        The camera.
    band : str
        Its filter, "" if it has but one.
    scan_id : str
        Name of the scan.
    object_name : str
        Name of the source.
    date : str
        When it began, ISO 8601, UTC; "" if not known.
    sampling_interval : float
        Seconds from frame to frame.
    resolution : float
        FWHM of the beam [arcsec]; NaN if not known.
    pixel_size : float
        Distance between neighbouring pixels [arcsec]; NaN if not known.
    unit : str
        Unit of the data.
    sign : int
        -1 if a source lowers the signal, else 1.
    is_nonsidereal : bool
        Whether the source moves on the sky. Offsets are from the source all the same.
    ra, dec : float
        Right ascension [hours] and declination [deg] of the source at the beginning; NaN if not known.
    header : dict
        Other keywords that products should carry.
    """

    instrument: str
    band: str = ""
    scan_id: str = "scan"
    object_name: str = "source"
    date: str = ""
    sampling_interval: float = math.nan
    resolution: float = math.nan
    pixel_size: float = math.nan
    unit: str = "counts"
    sign: int = 1
    is_nonsidereal: bool = False
    ra: float = math.nan
    dec: float = math.nan
    header: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def camera(self) -> str:
        """Instrument and band: scans of the same pixels have the same.

        Returns
        -------
        str
            For example "HAWC_PLUS HAW_C".
        """
        return f"{self.instrument} {self.band}".strip()


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelTable:
    """The channels of a camera, one for each column of the data.

    Attributes
    ----------
    fixed_index : ndarray of int64, shape (n_channels,)
        The number by which a channel is known; no number twice.
    position : ndarray of float64, shape (2, n_channels)
        Nominal position, x and y [arcsec]; NaN where there is none. A pixel at p sees the source at the offset -p.
    row, column : ndarray of int64, shape (n_channels,)
        Where it is wired; -1 if not known.
    group : ndarray of int64, shape (n_channels,)
        Number of the electronics that channels share; noise is common within it. 0 if not known.
    gain : ndarray of float64, shape (n_channels,)
        Nominal gain; 1 if not known.
    reason : ndarray of str, shape (n_channels,)
        Why the channel is not to be used ("blind", "dead" or "discarded"), or "".
    """

    fixed_index: npt.NDArray[np.int64]
    position: npt.NDArray[np.float64]
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    gain: npt.NDArray[np.float64]
    reason: npt.NDArray[np.str_]

    @classmethod
    def make(
        cls,
        fixed_index: npt.ArrayLike,
        position: npt.ArrayLike | None = None,
        *,
        row: npt.ArrayLike | None = None,
        column: npt.ArrayLike | None = None,
        group: npt.ArrayLike | None = None,
        gain: npt.ArrayLike | None = None,
        reason: npt.ArrayLike | None = None,
    ) -> Self:
        """Make a table, with defaults for what is not known.

        Parameters
        ----------
        fixed_index : array_like of int, shape (n_channels,)
            Numbers of the channels.
        position : array_like of float, shape (2, n_channels), optional
            Nominal positions [arcsec].
        row, column, group, gain, reason : array_like, shape (n_channels,), optional
            As for the class. The group is by default the column.

        Returns
        -------
        ChannelTable
            The table.

        Raises
        ------
        ShapeError
            The arrays do not fit each other.
        DataError
            A number is not whole, or occurs twice, or a reason is unknown.
        """
        index = _whole(fixed_index, "fixed_index", None)
        n = index.size
        numbers, counts = np.unique(index, return_counts=True)
        if (counts > 1).any():
            twice = ", ".join(str(number) for number in numbers[counts > 1][:5])
            msg = f"the channel numbers {twice} occur more than once; every channel needs a number of its own"
            raise DataError(msg)
        where = np.full((2, n), np.nan) if position is None else as_double(position, "position")
        check_shape(where, (2, n), "position", "fixed_index")
        gains = np.ones(n) if gain is None else as_double(gain, "gain", ndim=1)
        check_shape(gains, (n,), "gain", "fixed_index")
        columns = np.full(n, -1, dtype=np.int64) if column is None else _whole(column, "column", n)
        groups = np.maximum(columns, 0) if group is None else _whole(group, "group", n)
        reasons = np.zeros(n, dtype="U9") if reason is None else np.asarray(reason, dtype="U9")
        check_shape(reasons, (n,), "reason", "fixed_index")
        unknown = sorted(set(reasons.tolist()) - {"", "blind", "dead", "discarded"})
        if unknown:
            msg = f"reason = {unknown[0]!r}; expected blind, dead, discarded or nothing"
            raise DataError(msg)
        return cls(
            fixed_index=index,
            position=where,
            row=np.full(n, -1, dtype=np.int64) if row is None else _whole(row, "row", n),
            column=columns,
            group=groups,
            gain=gains,
            reason=reasons,
        )

    def select(self, keep: npt.ArrayLike) -> ChannelTable:
        """Return some of the channels.

        Parameters
        ----------
        keep : array_like of bool or int
            Which ones: a truth value for each, or their places.

        Returns
        -------
        ChannelTable
            These channels, in the order asked for.
        """
        kept = np.asarray(keep)
        return ChannelTable(
            fixed_index=self.fixed_index[kept],
            position=self.position[:, kept],
            row=self.row[kept],
            column=self.column[kept],
            group=self.group[kept],
            gain=self.gain[kept],
            reason=self.reason[kept],
        )

    @property
    def n_channels(self) -> int:
        """Number of channels.

        Returns
        -------
        int
            Good and bad.
        """
        return int(self.fixed_index.size)


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameTable:
    """What is known of each frame, but for the data.

    Attributes
    ----------
    time : ndarray of float64, shape (n_frames,)
        Time of each frame [s, from any beginning; Unix time where that is known], strictly growing.
    offset : ndarray of float64, shape (2, n_frames)
        Offset of the boresight from the source, x and y, in the telescope's own system [arcsec]; NaN in frames that
        are not valid.
    angle : ndarray of float64, shape (n_frames,)
        Angle from the system of the array to that of the telescope [deg].
    sky_angle : ndarray of float64, shape (n_frames,)
        Angle of the telescope's system on the sky [deg]; NaN if not known.
    valid : ndarray of bool, shape (n_frames,)
        Frames that were taken while observing, with a known boresight.
    """

    time: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    angle: npt.NDArray[np.float64]
    sky_angle: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]

    @classmethod
    def make(
        cls,
        time: npt.ArrayLike,
        offset: npt.ArrayLike,
        *,
        angle: npt.ArrayLike = 0.0,
        sky_angle: npt.ArrayLike = np.nan,
        valid: npt.ArrayLike | None = None,
    ) -> Self:
        """Make a table, and see that it can be used.

        Parameters
        ----------
        time : array_like of float, shape (n_frames,)
            Times [s].
        offset : array_like of float, shape (2, n_frames)
            Offsets of the boresight [arcsec].
        angle, sky_angle : array_like of float, optional
            Angles [deg], one or one for each frame.
        valid : array_like of bool, shape (n_frames,), optional
            Frames to be used. Frames with an offset or angle that is not finite are not valid in any case.

        Returns
        -------
        FrameTable
            The table.

        Raises
        ------
        ShapeError
            The arrays do not fit each other.
        DataError
            Times are not finite or do not grow, or no frame is valid.
        """
        times = as_double(time, "time", ndim=1)
        n = times.size
        where = as_double(offset, "offset")
        check_shape(where, (2, n), "offset", "time")
        check_times(times)
        angles, sky = (
            np.broadcast_to(as_double(values, name, ndim=None), (n,)).copy()
            for values, name in ((angle, "angle"), (sky_angle, "sky_angle"))
        )
        known = np.isfinite(where).all(axis=0) & np.isfinite(angles)
        usable = known if valid is None else known & np.asarray(valid, dtype=bool)
        if not known.any():
            msg = "the boresight is not finite in any frame; there is no pointing to make maps with"
            raise DataError(msg)
        if not usable.any():
            msg = f"none of the {n} frames is marked as valid; there is nothing to make maps of"
            raise DataError(msg)
        return cls(time=times, offset=where, angle=angles, sky_angle=sky, valid=usable)

    def shifted(self, shift: float) -> FrameTable:
        """Return the frames with the boresight of another time.

        Parameters
        ----------
        shift : float
            A frame at time t is given the boresight recorded at t + `shift` [s], between two frames the one on the
            straight line. Frames for which none was recorded are not valid.

        Returns
        -------
        FrameTable
            The frames; the same object for a shift of 0.

        Raises
        ------
        ParameterError
            `shift` is not a finite number.
        DataError
            No frame is left.
        """
        shift = as_real(shift, "pointing_shift")
        if not math.isfinite(shift):
            msg = f"`pointing_shift` = {shift}; it must be a finite number of seconds"
            raise ParameterError(msg)
        if shift == 0.0:
            return self
        known = np.isfinite(self.offset).all(axis=0)
        at, times = self.time + shift, self.time[known]
        moved = np.stack([np.interp(at, times, axis[known], left=np.nan, right=np.nan) for axis in self.offset])
        near = np.interp(at, self.time, known.astype(np.float64), left=0.0, right=0.0)
        moved[:, near < 1.0] = np.nan
        return type(self).make(self.time, moved, angle=self.angle, sky_angle=self.sky_angle, valid=self.valid)

    @property
    def n_frames(self) -> int:
        """Number of frames.

        Returns
        -------
        int
            Valid or not.
        """
        return int(self.time.size)


def check_times(time: npt.NDArray[np.float64]) -> None:
    """Raise `DataError` unless all times are finite and grow.

    Parameters
    ----------
    time : ndarray of float64, shape (n_frames,)
        The times [s].
    """
    if time.size == 0:
        msg = "there are no frames"
        raise DataError(msg)
    lost = np.flatnonzero(~np.isfinite(time))
    if lost.size:
        msg = (
            f"the time of {lost.size} of {time.size} frames is not finite (the first is frame {lost[0]}); expected "
            f"seconds for every frame: mend the times or cut these frames out"
        )
        raise DataError(msg)
    steps = np.diff(time)
    if steps.size and steps.min() <= 0.0:
        frame = int(np.flatnonzero(steps <= 0.0)[0])
        msg = (
            f"time does not grow from frame {frame} ({time[frame]:.6f} s) to frame {frame + 1} ({time[frame + 1]:.6f} "
            f"s), and in {np.count_nonzero(steps <= 0.0)} places in all; expected frames in order of time: sort them, "
            f"or split the file where another scan begins"
        )
        raise DataError(msg)


def with_interval(facts: ScanFacts, frames: FrameTable) -> ScanFacts:
    """Return facts that know the sampling interval.

    Parameters
    ----------
    facts : ScanFacts
        What is known.
    frames : FrameTable
        The frames; their median step is the interval where the facts do not know it.

    Returns
    -------
    ScanFacts
        The same, or with the interval; it stays NaN for a single frame.
    """
    if math.isfinite(facts.sampling_interval) or frames.n_frames < 2:  # noqa: PLR2004 - one step takes two
        return facts
    return replace(facts, sampling_interval=float(np.median(np.diff(frames.time))))


def _whole(values: npt.ArrayLike, name: str, n: int | None) -> npt.NDArray[np.int64]:
    """Return whole numbers, one for each channel."""
    array = as_double(values, name, ndim=1)
    if n is not None:
        check_shape(array, (n,), name, "fixed_index")
    if not np.all(array == np.floor(array)):
        msg = f"`{name}` holds numbers that are not whole or not finite; expected whole numbers"
        raise DataError(msg)
    return array.astype(np.int64)
