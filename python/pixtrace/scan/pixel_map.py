"""`PixelMap`: one map of a known source for each detector pixel, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError
from pixtrace.scan import access, processing
from pixtrace.scan.configuration import setting
from pixtrace.scan.fits import PixelFits, fit_maps
from pixtrace.scan.model_units import ModelUnits
from pixtrace.scan.pixel_results import apply_fits, make_pixel_table
from pixtrace.scan.products import pixel_map_files

if TYPE_CHECKING:
    import os
    from pathlib import Path
    from typing import Self

    from pixtrace.scan.tables import PixelTable

__all__ = ["PixelMap"]


class PixelMap(ModelUnits):
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
