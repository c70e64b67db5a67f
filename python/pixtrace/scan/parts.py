"""The integrations of a reduction, each with its signals as they were cleaned last."""

from __future__ import annotations

import copy as copying
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.scan import access
from pixtrace.scan._units import plain
from pixtrace.scan.cleanup import clean_integration
from pixtrace.scan.configuration import setting
from pixtrace.scan.flags import ChannelFlag, FrameFlag
from pixtrace.scan.source_signal import SourceSignal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pixtrace._arrays import FloatArray
    from pixtrace.scan.fits import PixelFits
    from pixtrace.scan.integration import Integration
    from pixtrace.scan.pixel_map import PixelMap
    from pixtrace.scan.scan import Scan

__all__ = ["Part", "make_parts"]

_TOLERANCE = 3.0  # times the misfit: samples on the source that differ by less are no glitches


class Part:
    """One integration, and a copy of its signals that can be cleaned.

    Parameters
    ----------
    scan : Scan
        The scan.
    integration : Integration
        One of its integrations, which stays as it is.

    Attributes
    ----------
    working : Integration
        The same with cleaned signals, flags and variances of the last cleaning, of the channels in `columns` alone.
    columns : ndarray of int64
        The channels that can see a source and are not dead, by their places in the scan.
    misfit : float
        Part of the source by which it differs from the Gaussians that were fitted in the round before.
    """

    def __init__(self, scan: Scan, integration: Integration) -> None:
        self.scan = scan
        self.raw = integration.frames
        self.channels = integration.channels
        self._flag = integration.channels.flag.copy()
        self._flag[self._is_constant()] |= int(ChannelFlag.DEAD)
        self.columns = np.flatnonzero((self._flag & int(ChannelFlag.SOURCELESS)) == 0)
        self.working = copying.copy(integration)
        self.working.channels = integration.channels.select(self.columns)
        self.working.source_sync_gain = integration.source_sync_gain[self.columns]
        shape = (self.raw.size, self.columns.size)
        data: Any = np.empty(shape, dtype=self.raw.data.dtype)
        self._data: FloatArray = data
        self._sample_flag = np.zeros(shape, dtype=np.uint8)
        self.misfit = 0.0

    @property
    def channel_flag(self) -> npt.NDArray[np.int64]:
        """`ChannelFlag` bits of all channels of the scan, shape (n_channels,)."""
        flag = self._flag.copy()
        flag[self.columns] = self.working.channels.flag
        return flag

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """Variance of the white noise of all channels of the scan, NaN for those that were not cleaned."""
        variance = np.full(self._flag.size, np.nan)
        variance[self.columns] = self.working.channels.variance
        return variance

    @property
    def n_usable(self) -> int:
        """Number of channels without flags."""
        return int((self.working.channels.flag == 0).sum())

    def _is_constant(self) -> npt.NDArray[np.bool_]:
        """Tell which channels never give another signal."""
        data, valid = self.raw.data, access.usable_frames(self.raw)
        low, high = np.full(data.shape[1], np.inf), np.full(data.shape[1], -np.inf)
        step = max(1, (1 << 20) // max(data.shape[1], 1))
        for start in range(0, len(data), step):
            block = data[start : start + step][valid[start : start + step]]
            if len(block):
                low, high = np.fmin(low, np.fmin.reduce(block)), np.fmax(high, np.fmax.reduce(block))
        return ~(high > low)

    def _frame_gain(self) -> npt.NDArray[np.float64]:
        return self.working.gain * self.raw.get_source_gain()

    def signal(self, fits: PixelFits, frames: Any) -> SourceSignal:
        """Return what the channels saw of the source."""
        channels = self.working.channels
        fixed = bool(setting(self.scan.configuration, "source.fixedgains"))
        return SourceSignal(
            fits,
            channels.fixed_index,
            np.asarray(plain(frames.get_focal_plane_offset(), "arcsec", "offset")),
            self._frame_gain(),
            channels.get_source_gains(filter_corrected=False, fixed=fixed),
        )

    def clean(
        self,
        fits: PixelFits | None,
        shift: npt.NDArray[np.float64],
        fwhm: float,
        n_threads: int | None,
    ) -> None:
        """Clean the signals anew, with the source as it is known taken out and put back.

        Parameters
        ----------
        fits : PixelFits or None
            The source in this part; None as long as nothing is known.
        shift : ndarray of float64, shape (2,)
            Pointing of this part against the first, with which `fits` were made [arcsec].
        fwhm : float
            Width that the source should show [arcsec]; NaN if it is not known.
        n_threads : int or None
            Threads.
        """
        frames = self.raw.with_pointing(-float(shift[0]), -float(shift[1]))
        data, flags = self._data, self._sample_flag
        frames.data, frames.sample_flag = data, flags
        self.working.frames = frames
        np.take(self.raw.data, self.columns, axis=1, out=data)
        np.take(self.raw.sample_flag, self.columns, axis=1, out=flags)
        self.working.channels.flag[...] = self._flag[self.columns]
        signal = None if fits is None else self.signal(fits, frames)
        if signal is not None:
            signal.subtract(data, flags, blank_fwhm=float(setting(self.scan.configuration, "rounds.blank")))
        clean_integration(self.working, fwhm, is_subtracted=signal is not None, n_threads=n_threads)
        if signal is not None:
            signal.put_back(data, flags, tolerance=_TOLERANCE * self.misfit)

    def look_up(self, model: PixelMap) -> None:
        """Find the cells under the frames, and leave out frames beyond the map."""
        model.create_lookup(self.working)
        frames = self.working.frames
        outside = frames.valid & (access.map_indices(frames)[0, :, 0] < 0)
        if outside.any():
            frames.flag = frames.flag | np.where(outside, np.int32(FrameFlag.SKIP_SOURCE_MODELING), np.int32(0))


def make_parts(scans: Sequence[Scan]) -> list[Part]:
    """Return all integrations of scans as parts."""
    return [Part(scan, integration) for scan in scans for integration in scan.integrations]
