"""`PixelMap`: one map of a known source for each detector pixel, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError
from pixtrace.scan import access, processing
from pixtrace.scan._units import as_arcsec
from pixtrace.scan.block import MapBlock
from pixtrace.scan.configuration import setting
from pixtrace.scan.fits import PixelFits, fit_maps
from pixtrace.scan.intensity_map import IntensityMap
from pixtrace.scan.model_points import ModelPoints
from pixtrace.scan.pixel_results import apply_fits, make_pixel_table
from pixtrace.scan.products import pixel_map_files

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    import numpy.typing as npt

    from pixtrace.scan.fits import PixelFit
    from pixtrace.scan.tables import PixelTable

__all__ = ["PixelMap"]


class PixelMap(ModelPoints):
    """One map of a known source for each pixel of a scanning camera.

    A pixel sees the source where the telescope looks past it by the pixel's own offset; so in the map of a pixel,
    made as if the pixel looked along the boresight, the source stands at minus the position of the pixel. Where it
    stands and how high it is give position and coupling of the pixel.

    `create_from` sets up grid and lookup for scans, `add_integration` (or `add_points`) fills the maps, `process`
    turns sums into means, `calculate_pixel_data` measures, `write` writes.

    Parameters
    ----------
    info : Info, optional
        The instrument and its options.
    reduction : Reduction, optional
        The reduction that the maps belong to; its info is taken if none is given.

    Attributes
    ----------
    pixel_maps : PixelMaps
        The map of each pixel by its fixed index, an `IntensityMap`; views into one block of memory.
    scans : list of Scan
        What the maps are made of.
    generation : int
        Rounds so far: `process` and `sync` count one each.
    integration_time : float
        Time of the frames in the maps [s].
    process_brief : list of str
        What was done in the last round, in a few words.
    enable_level, enable_weighting, enable_bias : bool
        Whether maps are levelled, weighed and clipped when they are processed.
    """

    def __init__(self, info: Any = None, reduction: Any = None) -> None:
        super().__init__(info, reduction)

    def process_scan(self, scan: Any) -> None:
        """Process maps that hold one scan: normalise, add the base, level, despike, filter.

        Parameters
        ----------
        scan : Scan
            Its weight is set: 1, or with the option ``weighting.scans`` what its maps say together, which is the median
            over them (``weighting.scans.method = robust``) or their mean by number of cells (``rms``).
        """
        rows = self._rows()
        if not rows:
            scan.weight = 1.0
            return
        block = self.need_block()
        weights = processing.process_scan(block, rows)
        self._fits = None
        cells = np.asarray(block.stack.n_valid)
        if setting(self.configuration, "weighting.scans.method") == "robust":
            scan.weight = float(np.median(weights[cells > 0])) if (cells > 0).any() else 0.0
            return
        chi2 = np.divide(1.0, weights, out=np.zeros(weights.size), where=weights > 0)
        total = float((chi2 * cells).sum())
        scan.weight = float(cells.sum()) / total if total > 0 else 0.0

    def process(self) -> None:
        """Turn sums into means, and with the option ``pixelmap.process`` smooth, filter, clip and mask the maps.

        Doing so again without new samples changes nothing that was not asked for: sums are divided by their weights
        once, and filters, maximum entropy and clips are applied once for each choice of their options.
        """
        rows = self._rows()
        if rows:
            block = self.need_block()
            if setting(self.configuration, "pixelmap.process"):
                processing.process(block, rows)
            else:
                block.end_accumulation(rows, given=True)
            self._fits = None
        self.add_process_brief(f"({len(rows)} maps)")
        self.next_generation()

    def process_final(self) -> None:
        """Level and reweight all maps for good, unless the source is extended or faint (options of these names)."""
        rows = self._rows()
        if rows:
            processing.process_final(self.need_block(), rows)
            self._fits = None
        self.history = []

    def calculate_pixel_data(self, smooth: bool = False) -> None:
        """Measure positions and couplings of the pixels, and put them into the channels of the first scan.

        The position of a pixel is minus the offset of the source in its map. Its coupling is the one that the map was
        made with times the amplitude of the source over the median amplitude; so a second call changes nothing.
        Channels in whose maps the source was not found keep what they had; `get_pixel_table` tells which. The maps
        stay as they are.

        Parameters
        ----------
        smooth : bool, optional
            Smooth to the beam of the instrument before (copies of the maps).
        """
        channels = self._first_channels()
        if channels is None:
            msg = "there is no scan whose channels could be measured; call `create_from` first"
            raise DataError(msg)
        pixels, numbers = self._unflagged(channels)
        self._fits = self.fit_pixels(numbers, smooth=smooth)
        apply_fits(self._fits, pixels, self.map_coupling)

    def _unflagged(self, channels: Any) -> tuple[Any, list[int]]:
        """Return the group of channels without flags, and the numbers of those that have a map."""
        pixels = channels.get_mapping_pixels(keep_flag=0)
        fixed, _ = access.channel_columns(pixels)
        return pixels, [int(number) for number in fixed if int(number) in self.pixel_maps]

    def fit_pixels(self, fixed_indices: list[int] | None = None, *, smooth: bool = False) -> PixelFits:
        """Find the source in maps, by the option ``pointing.method``.

        Parameters
        ----------
        fixed_indices : list of int, optional
            Pixels with maps; by default all of them.
        smooth : bool, optional
            Smooth to the beam of the instrument before (copies of the maps).

        Returns
        -------
        PixelFits
            What was found, with errors and flags.
        """
        numbers = list(self.pixel_maps) if fixed_indices is None else fixed_indices
        if self.block is None:
            return PixelFits.join([], str(setting(self.configuration, "pointing.method")))
        beam = self._finite(self.get_point_size())
        if smooth and beam is None:
            msg = "the beam of the instrument is not known, so that there is nothing to smooth to; set its resolution"
            raise DataError(msg)
        return fit_maps(self.need_block(), numbers, smooth_fwhm=beam if smooth else None, point_size=beam)

    @property
    def fits(self) -> PixelFits | None:
        """What `calculate_pixel_data` found last; None if it was not called since the maps changed."""
        found: PixelFits | None = self._fits
        return found

    def get_pixel_table(self) -> PixelTable:
        """Return everything that is known of each pixel, measured now if that was not done since the maps changed.

        The channels stay as they are; `calculate_pixel_data` puts positions and couplings there.

        Returns
        -------
        PixelTable
            One row for each channel of the first scan that can see a source, measured or not; positions of those that
            were not are NaN, and the flag says why. Without scans, one row for each map.
        """
        if self._fits is None:
            channels = self._first_channels()
            self._fits = self.fit_pixels(None if channels is None else self._unflagged(channels)[1])
        return make_pixel_table(self)

    def write(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the maps that the option ``pixelmap.writemaps`` asks for, and the pixel data.

        Parameters
        ----------
        path : path-like
            The folder.

        Returns
        -------
        list of Path
            The files.
        """
        return pixel_map_files().write(self, path)

    def write_pixel_data(self, path: str | os.PathLike[str] | None = None) -> list[Path]:
        """Write positions and gains as ``.rcp``, and everything that is known of the pixels as ECSV beside it.

        Parameters
        ----------
        path : path-like, optional
            The folder; by default that of the option ``outpath``.

        Returns
        -------
        list of Path
            The files.
        """
        folder = setting(self.configuration, "outpath") if path is None else path
        return pixel_map_files().write_pixel_data(self, folder)

    def write_fits(self, filename: str | os.PathLike[str]) -> Path:
        """Write all maps, with all that is needed to go on with them, as one FITS file.

        Parameters
        ----------
        filename : path-like
            The file.

        Returns
        -------
        Path
            The file.
        """
        return pixel_map_files().write_fits(self, filename)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Return the maps of a file that `write_fits` wrote; they can go on accumulating.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        PixelMap
            Maps without scans.
        """
        return pixel_map_files().read(cls, path)

    @classmethod
    def parallel_safe_add_points(cls, args: tuple[Any, ...], pixel_number: int) -> tuple[int, IntensityMap]:
        """Add samples to one map, which may be done for several maps at once.

        Parameters
        ----------
        args : tuple
            Template (`IntensityMap`), maps by fixed index, fixed indices (n_pixels,), data, gains and weights
            (n_frames, n_pixels), time of a sample [s], cells (2, n_frames, n_pixels or 1).
        pixel_number : int
            Place of the pixel among the fixed indices.

        Returns
        -------
        int, IntensityMap
            Its fixed index and its map: the one there was, with the samples added, or a new one.
        """
        template, maps, fixed_indices, data, gains, weights, dt, indices = args
        fixed_index = int(fixed_indices[pixel_number])
        found = maps.get(fixed_index)
        if found is None:
            found = IntensityMap(MapBlock(template.grid, [fixed_index], info=template.info), fixed_index)
        column = slice(pixel_number, pixel_number + 1)
        cells = np.asarray(indices)
        cells = cells[..., column] if cells.shape[2] > 1 else cells
        found.block.stack.accumulate(
            np.asarray(data)[:, column],
            np.asarray(gains)[:, column],
            np.asarray(weights)[:, column],
            cells,
            float(dt),
            pixels=[found.block.row(fixed_index)],
        )
        return fixed_index, found

    @classmethod
    def parallel_safe_merge_accumulate(
        cls, args: tuple[Mapping[int, Any], Mapping[int, Any]], pixel_index: int
    ) -> tuple[int, IntensityMap | None]:
        """Merge one map onto another, which may be done for several maps at once.

        Parameters
        ----------
        args : tuple
            Maps by fixed index, and those to be merged onto them.
        pixel_index : int
            Fixed index of the pixel.

        Returns
        -------
        int, IntensityMap or None
            The fixed index and the merged map; a copy of the other's if there is no map yet.
        """
        maps, others = args
        ours, theirs = maps.get(pixel_index), others.get(pixel_index)
        if theirs is None:
            return pixel_index, ours
        if ours is None:
            return pixel_index, theirs.copy()
        ours.merge_accumulate(theirs)
        return pixel_index, ours

    @classmethod
    def parallel_safe_process_final(
        cls, args: tuple[Mapping[int, Any]], pixel_index: int
    ) -> tuple[int, IntensityMap | None]:
        """Level and reweight one map for good, which may be done for several maps at once.

        Parameters
        ----------
        args : tuple
            Maps by fixed index.
        pixel_index : int
            Fixed index of the pixel.

        Returns
        -------
        int, IntensityMap or None
            The fixed index and the map.
        """
        found = args[0].get(pixel_index)
        if found is not None:
            found.process_final()
        return pixel_index, found

    @classmethod
    def parallel_safe_sync_source_gains(cls, args: tuple[Any, ...], pixel_number: int) -> npt.NDArray[Any]:
        """Subtract the source from the signal of one channel, which may be done for several channels at once.

        Parameters
        ----------
        args : tuple
            Maps by fixed index, frames, channels, frame gains (n_frames,), source gains and sync gains of all channels.
        pixel_number : int
            Place of the channel in the group.

        Returns
        -------
        ndarray, shape (n_frames,)
            The signal, which is changed in place, as are the sample flags.
        """
        maps, frames, pixels, frame_gains, source_gains, sync_gains = args
        fixed, columns = access.channel_columns(pixels)
        column = int(columns[pixel_number])
        found = maps.get(int(fixed[pixel_number]))
        if found is not None:
            row = found.block.row(found.fixed_index)
            found.block.end_accumulation([row])
            found.block.stack.sync(
                frames.data,
                np.asarray(frames.valid, dtype=bool),
                np.asarray(frame_gains, dtype=np.float64),
                np.array([column]),
                access.map_indices(frames),
                np.asarray(source_gains, dtype=np.float64),
                np.asarray(sync_gains, dtype=np.float64),
                frames.sample_flag,
                access.blank_flag(frames),
                pixels=[row],
            )
        signal: npt.NDArray[Any] = frames.data[:, column]
        return signal

    @classmethod
    def parallel_safe_calculate_pixel_data(cls, args: tuple[Any, ...], pixel_number: int) -> PixelFit | None:
        """Find the source in one map, which may be done for several maps at once.

        Parameters
        ----------
        args : tuple
            Maps by fixed index, whether to smooth before, FWHM of a point source, degree of the spline through the
            peak, whether to lower it where there are too few cells.
        pixel_number : int
            Fixed index of the pixel.

        Returns
        -------
        PixelFit or None
            None if there is no map or no source.
        """
        maps, smooth, point_size, degree, reduce_degrees = args
        found = maps.get(pixel_number)
        if found is None or not found.is_valid():
            return None
        beam = as_arcsec(point_size, "point_size")
        fits = fit_maps(
            found.block,
            [found.fixed_index],
            smooth_fwhm=beam if smooth else None,
            point_size=beam if np.isfinite(beam) else None,
            degree=degree,
            reduce_degrees=reduce_degrees,
        )
        return fits.fit(0) if fits.is_found[0] else None
