"""The integrations of a reduction, each with what its cleaning has found out."""

from __future__ import annotations

import copy as copying
import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.scan import access
from pixtrace.scan._units import plain
from pixtrace.scan.cleanup import clean_integration, cleaning_params
from pixtrace.scan.configuration import setting
from pixtrace.scan.findings import Findings, Workspace
from pixtrace.scan.flags import ChannelFlag, FrameFlag
from pixtrace.scan.pieces import available_memory, cut_frames
from pixtrace.scan.products import scratch_room
from pixtrace.scan.signals import Window, fill_windows
from pixtrace.scan.source_signal import MapSignal, SourceSignal

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterator, Sequence

    import numpy.typing as npt

    from pixtrace.scan.cleaning import CleaningParams
    from pixtrace.scan.fits import PixelFits
    from pixtrace.scan.frames import Frames
    from pixtrace.scan.integration import Integration
    from pixtrace.scan.pixel_map import PixelMap
    from pixtrace.scan.products import Scratch
    from pixtrace.scan.scan import Scan
    from pixtrace.scan.stamps import Stamps

__all__ = ["Part", "fitted_into_memory", "make_parts"]

_log = logging.getLogger("pixtrace.scan")
_CHUNK = 1 << 22  # samples that are read at a time

_TOLERANCE = 3.0  # times the misfit: samples on the source that differ by less are no glitches


class Part:
    """One integration on its way through the rounds; its signals stay as they are.

    Parameters
    ----------
    scan : Scan
        The scan.
    integration : Integration
        One of its integrations.
    workspace : Workspace
        Where signals are cleaned.

    Attributes
    ----------
    channels : Channels
        The channels of the integration.
    columns : ndarray of int64
        Those that can see a source and are not dead, by their places in the scan.
    misfit : float
        Part of the source by which it differs from the Gaussians that were fitted in the round before.
    stamps : Stamps or None
        The source in the maps of the round before, if it is to be subtracted as it is there.
    """

    def __init__(self, scan: Scan, integration: Integration, workspace: Workspace) -> None:
        self.scan = scan
        self.raw = integration.frames
        self.channels = integration.channels
        self._integration = integration
        self._workspace = workspace
        self._flag = integration.channels.flag.copy()
        self._flag[self._is_constant()] |= int(ChannelFlag.DEAD)
        self.columns = np.flatnonzero((self._flag & int(ChannelFlag.SOURCELESS)) == 0)
        self._found = Findings(self._flag[self.columns])
        self._scratch: Scratch | None = None
        self._whole = self._working(self.raw)
        self._last: Integration | None = None
        self.cut = cut_frames(integration, self.columns.size, np.nan, 1 << 62)
        self.misfit = 0.0
        self.stamps: Stamps | None = None

    def fit_into(self, available: int, fwhm: float, scratch: Scratch | None) -> None:
        """Go through the frames in windows that fit into memory.

        Parameters
        ----------
        available : int
            Bytes that may be taken.
        fwhm : float
            Width of the source in the maps [arcsec]; NaN if it is not known.
        scratch : Scratch or None
            Where cleaned signals are kept between windows; None if they are not needed after they are in the maps.

        Raises
        ------
        ConfigError
            Not even the shortest windows fit.
        """
        self.cut = cut_frames(self._integration, self.columns.size, fwhm, available)
        self._scratch = scratch

    @property
    def channel_flag(self) -> npt.NDArray[np.int64]:
        """`ChannelFlag` bits of all channels of the scan, shape (n_channels,)."""
        flag = self._flag.copy()
        flag[self.columns] = self._found.flag
        return flag

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """Variance of the white noise of all channels of the scan, NaN for those that were not cleaned."""
        variance = np.full(self._flag.size, np.nan)
        variance[self.columns] = self._found.variance
        return variance

    @property
    def n_usable(self) -> int:
        """Number of channels without flags."""
        return int((self._found.flag == 0).sum())

    def flagged_pixels(self) -> list[int]:
        """Return the numbers of the cleaned channels that are flagged."""
        numbers = self.channels.fixed_index[self.columns]
        return [int(number) for number in numbers[self._found.flag != 0]]

    @property
    def _chunk(self) -> int:
        """Frames that are read at a time."""
        return max(1, _CHUNK // max(self.channels.size, 1))

    def _is_constant(self) -> npt.NDArray[np.bool_]:
        """Tell which channels never give another signal."""
        n_channels, valid = self.channels.size, access.usable_frames(self.raw)
        low, high = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)
        for chunk in self.raw.read_chunks(self._chunk):
            block = chunk.data[valid[chunk.start : chunk.start + len(chunk.data)]]
            if len(block):
                low, high = np.fmin(low, np.fmin.reduce(block)), np.fmax(high, np.fmax.reduce(block))
        return ~(high > low)

    def _working(self, frames: Frames) -> Integration:
        """Return the integration with some frames and the channels in `columns`, their flags as before any cleaning."""
        working = copying.copy(self._integration)
        working.channels = self.channels.select(self.columns)
        working.channels.flag[...] = self._flag[self.columns]
        working.source_sync_gain = self._integration.source_sync_gain[self.columns]
        working.frames = frames
        return working

    def signal(self, fits: PixelFits, working: Integration) -> SourceSignal:
        """Return what the channels of an integration saw of the source."""
        channels, frames = working.channels, working.frames
        fixed = bool(setting(self.scan.configuration, "source.fixedgains"))
        known = (
            fits,
            channels.fixed_index,
            np.asarray(plain(frames.get_focal_plane_offset(), "arcsec", "offset")),
            working.gain * frames.get_source_gain(),
            channels.get_source_gains(filter_corrected=False, fixed=fixed),
        )
        return SourceSignal(*known) if self.stamps is None else MapSignal(*known, self.stamps)

    def cleaned(
        self,
        fits: PixelFits | None,
        shift: npt.NDArray[np.float64],
        fwhm: float,
        model: PixelMap,
        n_threads: int | None,
    ) -> Iterator[Integration]:
        """Clean the signals anew, with the source as it is known taken out and put back, window by window.

        Parameters
        ----------
        fits : PixelFits or None
            The source in this part; None as long as nothing is known.
        shift : ndarray of float64, shape (2,)
            Pointing of this part against the first, with which `fits` were made [arcsec].
        fwhm : float
            Width that the source should show [arcsec]; NaN if it is not known.
        model : PixelMap
            Knows the cells under the frames; frames beyond its maps are left out.
        n_threads : int or None
            Threads.

        Yields
        ------
        Integration
            Cleaned signals, flags and variances of the channels in `columns`, ready for maps. The next one overwrites
            the signals.
        """
        self._whole = self._working(self.raw.with_pointing(-float(shift[0]), -float(shift[1])))
        frames = self._whole.frames
        model.create_lookup(self._whole)
        outside = frames.valid & (access.map_indices(frames, model.grid)[0, :, 0] < 0)
        params = cleaning_params(self._whole, fwhm, is_subtracted=fits is not None)
        common = self._found.variance
        self._found = Findings(self._flag[self.columns])
        longest = max(window.size for window in self.cut.windows)
        itemtype = self.raw.data.dtype if self.raw.is_in_memory else np.dtype(np.float32)
        data, flags = self._workspace.take((longest, self.columns.size), itemtype)
        n_valid = max(int(frames.valid.sum()), 1)
        for window in fill_windows(self.raw.read_chunks(self._chunk), self.cut.windows, self.columns, data, flags):
            rows = slice(window.start, window.stop)
            working = self._working(frames.stretch(rows, data[: window.size], flags[: window.size]))
            self._clean(working, fits, self._params(params, window), n_threads)
            found = working.frames
            found.flag |= np.where(outside[rows], np.int32(FrameFlag.SKIP_SOURCE_MODELING), np.int32(0))
            found.valid[: window.first - window.start] = False
            found.valid[window.last - window.start :] = False
            self._found.add(working.channels, int(found.valid.sum()) / n_valid)
            self._keep(working, window)
            if not self.cut.is_whole:
                # Cells know one mean position of their samples, so that windows must not differ in their weights.
                common = np.where(common > 0.0, common, working.channels.variance)
                working.channels.variance[...] = common
            self._last = working
            yield working
        frames.flag = frames.flag | np.where(outside, np.int32(FrameFlag.SKIP_SOURCE_MODELING), np.int32(0))

    def _params(self, params: CleaningParams, window: Window) -> CleaningParams:
        """Return how to clean a window: with the corners of the drifts where they are in the whole."""
        if self.cut.corners is None:
            return params
        corner, spacing = self.cut.corners
        return replace(params, corners=(corner - window.start, spacing))

    def _clean(
        self, working: Integration, fits: PixelFits | None, params: CleaningParams, n_threads: int | None
    ) -> None:
        """Clean signals without the source."""
        data, flags = working.frames.data, working.frames.sample_flag
        signal = None if fits is None else self.signal(fits, working)
        if signal is not None:
            signal.subtract(data, flags, blank_fwhm=float(setting(self.scan.configuration, "rounds.blank")))
        clean_integration(working, params, n_threads=n_threads)
        if signal is not None:
            signal.put_back(data, flags, tolerance=_TOLERANCE * self.misfit)

    def _keep(self, working: Integration, window: Window) -> None:
        """Keep what is used of a window on the disk, block by block; samples that are left out become NaN."""
        if self._scratch is None or self.cut.is_whole:
            return
        frames = working.frames
        used = slice(window.first - window.start, window.last - window.start)
        n_used, bits = window.last - window.first, np.uint8(access.exclude_flag(frames))
        flagged = working.channels.flag != 0
        for first in range(0, self.columns.size, self.cut.block):
            some = slice(first, first + self.cut.block)
            block = frames.data[used, some].copy()
            block[(frames.sample_flag[used, some] & bits) != 0] = np.nan
            block[:, flagged[some]] = np.nan
            at = window.first * self.columns.size + n_used * first
            self._scratch.write(at * block.itemsize, block)

    def blocks(self) -> Iterator[Integration]:
        """Yield the samples of all frames as they were cleaned last, of some channels at a time.

        Yields
        ------
        Integration
            Signals, and variances of the channels over all frames. The next one may overwrite the signals.
        """
        if self.cut.is_whole:
            if self._last is not None:
                yield self._last
            return
        if self._scratch is None:
            return
        n_columns = self.columns.size
        itemtype = self.raw.data.dtype if self.raw.is_in_memory else np.dtype(np.float32)
        for first in range(0, n_columns, self.cut.block):
            places = np.arange(first, min(first + self.cut.block, n_columns))
            data, flags = self._workspace.take((self.raw.size, places.size), itemtype)
            flags[...] = 0
            for window in self.cut.windows:
                n_used = window.last - window.first
                at = window.first * n_columns + n_used * first
                self._scratch.read_into(at * data.itemsize, data[window.first : window.last])
            block = copying.copy(self._whole)
            block.channels = self._whole.channels.select(places)
            block.channels.flag[...] = self._found.flag[places]
            block.channels.variance[...] = self._found.variance[places]
            block.source_sync_gain = self._whole.source_sync_gain[places]
            block.frames = self._whole.frames.stretch(slice(None), data, flags)
            yield block


def make_parts(scans: Sequence[Scan]) -> list[Part]:
    """Return all integrations of scans as parts."""
    workspace = Workspace()
    return [Part(scan, integration, workspace) for scan in scans for integration in scan.integrations]


@contextmanager
def fitted_into_memory(
    parts: Sequence[Part], model: PixelMap, fwhm: float, folder: str | os.PathLike[str] | None
) -> Generator[None]:
    """Cut the frames of all parts so that a reduction stays within the option ``memory``.

    Parameters
    ----------
    parts : sequence of Part
        The parts.
    model : PixelMap
        The maps, with a grid.
    fwhm : float
        Width of the source in the maps [arcsec]; NaN if it is not known.
    folder : path-like or None
        Where cleaned signals are kept that do not fit; None: where the system keeps temporary files.

    Yields
    ------
    None
        The room on the disk is given back afterwards.

    Raises
    ------
    ConfigError
        Not even the shortest windows fit.
    OutputError
        There is no room on the disk.
    """
    numbers = np.unique(np.concatenate([part.channels.fixed_index[part.columns] for part in parts]))
    available = available_memory(model.scans, model.need_block().grid.shape, numbers.size)
    for part in parts:
        part.fit_into(available, fwhm, None)
    if all(part.cut.is_whole for part in parts):
        yield
        return
    _log.info("signals are cleaned in %d windows of frames", sum(len(part.cut.windows) for part in parts))
    if not bool(setting(model.configuration, "rounds.timestream")):
        yield
        return
    scratch = scratch_room().open_scratch(folder)
    try:
        for part in parts:
            part.fit_into(available, fwhm, scratch)
        yield
    finally:
        scratch.close()
