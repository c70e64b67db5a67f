"""Where the maps of a `PixelMap` lie, and which cell is under each frame."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.exceptions import DataError, ParameterError
from pixtrace.scan._units import as_arcsec, plain
from pixtrace.scan.configuration import setting
from pixtrace.scan.model_state import ModelState
from pixtrace.scan.projection import NO_CELL, MapGrid, round_half_away

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from pixtrace.scan.integration import Integration
    from pixtrace.scan.scan import Scan

__all__ = ["ModelGeometry"]

logger = logging.getLogger("pixtrace.scan")

#: Cells in the FWHM of a point source, where the size of a cell is not asked for.
CELLS_IN_BEAM = 5.0


class ModelGeometry(ModelState):
    """The grid and the lookup of cells; see `PixelMap`."""

    def create_from(self, scans: Sequence[Scan], assign_scans: bool = True) -> None:
        """Set up the maps for scans: their grid, and the cells under all frames.

        The grid has its reference, the source, on a corner of cells and holds all places that the boresight went to
        (or what ``map.size`` says). Moving or not, the source stands still in it: maps are on the focal plane. Channels
        that can see a source become independent at the position zero in the tables of the integrations; the table of
        the scan keeps the nominal positions. Maps that were there are dropped.

        Parameters
        ----------
        scans : list of Scan
            The scans.
        assign_scans : bool, optional
            Make this the source model of the scans, and bring the gains of all integrations to the data units of the
            first scan, each once.

        Raises
        ------
        ParameterError
            If there is something else than scans.
        DataError
            If there is no scan, no valid frame, or no size for the cells, or the map would be too large.
        """
        if hasattr(scans, "integrations"):
            msg = "`scans` is a scan; expected a list of scans, [scan]"
            raise ParameterError(msg)
        for scan in scans:
            if not hasattr(scan, "integrations"):
                msg = f"`scans` holds a {type(scan).__name__}; expected scans, such as `Scan.from_arrays` makes"
                raise ParameterError(msg)
        if len(scans) == 0:
            msg = "there are no scans to make maps from; expected one or more"
            raise DataError(msg)
        self.scans = list(scans)
        for integration in self._integrations():
            channels = integration.channels
            group = channels.get_mapping_pixels(discard_flag=channels.sourceless_flags)
            group.position = np.zeros((2, group.size))
            group.independent = True
        self.create_grid()
        if assign_scans:
            self.assign_scans(self.scans)
        if setting(self.configuration, "indexing"):
            for integration in self._integrations():
                self.create_lookup(integration)

    def _integrations(self) -> Iterator[Integration]:
        for scan in self.scans:
            yield from scan.integrations

    def assign_scans(self, scans: Sequence[Scan]) -> None:
        """Make this the source model of scans, and bring the gains of their integrations to the first one's units.

        What they were brought to for other maps before is undone.
        """
        reference = None
        for scan in scans:
            scan.set_source_model(self)  # type: ignore[arg-type] # a PixelMap is all there is of this class
            for integration in scan.integrations:
                jansky = integration.info.instrument.jansky_per_beam
                reference = jansky if reference is None else reference
                factor = jansky / reference
                if factor != integration.unit_factor:
                    integration.gain *= factor / integration.unit_factor
                    integration.unit_factor = factor

    def create_grid(self) -> None:
        """Set the grid from the options and from where the boresight of all scans went; maps are dropped."""
        sizes = setting(self.configuration, "grid")
        if sizes is None:
            size = self.get_point_size() / CELLS_IN_BEAM
            if not math.isfinite(size):
                msg = "neither `grid` nor the beam of the instrument is known; set the option grid [arcsec]"
                raise DataError(msg)
            sizes = (size,)
        resolution = (sizes[0], sizes[-1])
        projection = setting(self.configuration, "projection")
        plane = MapGrid((1, 1), (1.0, 1.0), (0.0, 0.0), projection)
        extent = setting(self.configuration, "map.size")
        if extent is not None:
            highest = [0.5 * side for side in extent]
            lowest = [-side for side in highest]
            for integration in self._integrations():
                self._flag_outside(plane, integration, highest)
        else:
            lowest, highest = self._range(plane)
        large = bool(setting(self.configuration, "large"))
        self.set_grid(MapGrid.around(lowest, highest, resolution, projection=projection, large=large))

    def _range(self, plane: MapGrid) -> tuple[list[float], list[float]]:
        lowest, highest = np.full(2, np.inf), np.full(2, -np.inf)
        for integration in self._integrations():
            frames = integration.frames
            mapped = frames.has_samples()
            if mapped.any():
                projected = plane.project(frames.get_focal_plane_offset()[:, mapped])
                lowest = np.fmin(lowest, np.nanmin(projected, axis=1, initial=np.inf))
                highest = np.fmax(highest, np.nanmax(projected, axis=1, initial=-np.inf))
        if not np.isfinite([lowest, highest]).all():
            msg = "there is no valid frame in any of the scans; look at the offsets and at the flags of the frames"
            raise DataError(msg)
        return lowest.tolist(), highest.tolist()

    @staticmethod
    def _flag_outside(plane: MapGrid, integration: Integration, largest: Sequence[float]) -> None:
        frames = integration.frames
        projected = plane.project(frames.get_focal_plane_offset())
        outside = np.logical_not((np.abs(projected) <= np.array(largest)[:, np.newaxis]).all(axis=0))
        frames.skip(outside)

    def create_lookup(self, integration: Integration) -> None:
        """Look up the cell under each frame of an integration.

        It is that of a pixel at the position zero, and so the same for all pixels: `frames.map_index` (x, y) with
        shape (2, n_frames, 1), `frames.source_index` the same in one number, `frames.map_position` with fractions.
        Frames outside of the map have -1 everywhere.

        Parameters
        ----------
        integration : Integration
            Frames with offsets; what was looked up before is replaced.
        """
        block = self.need_block()
        frames = integration.frames
        offset = plain(frames.get_focal_plane_offset(), "arcsec", "offset")
        position = block.grid.position_of(offset)
        rounded = round_half_away(position)
        known = np.isfinite(rounded).all(axis=0) & (np.abs(rounded) < np.iinfo(np.int32).max).all(axis=0)
        index = np.full(rounded.shape, NO_CELL, dtype=np.int64)
        index[:, known] = rounded[:, known].astype(np.int64)
        outside = ~block.grid.contains(index)
        index[:, outside] = NO_CELL
        lost = int((outside & np.asarray(frames.valid)).sum())
        if lost:
            logger.warning("%d valid frames of %s lie outside of the map", lost, integration.get_id())
        frames.map_index = index[:, :, np.newaxis]
        frames.map_grid = block.grid
        frames.map_position = position
        frames.source_index = self.pixel_index_to_source_index(frames.map_index)

    def pixel_index_to_source_index(self, pixel_indices: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return cells (x, y), along the first axis, as single numbers; -1 where either is negative."""
        x, y = np.asarray(pixel_indices, dtype=np.int64)
        return np.where((x < 0) | (y < 0), NO_CELL, (x << self.index_shift_x) | y)

    def source_index_to_pixel_index(self, source_indices: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return single numbers as cells (x, y) along the first axis; (-1, -1) where they are negative."""
        source = np.asarray(source_indices, dtype=np.int64)
        outside = source < 0
        x, y = source >> self.index_shift_x, source & self.index_mask_y
        return np.stack([np.where(outside, NO_CELL, x), np.where(outside, NO_CELL, y)])

    def get_average_resolution(self) -> float:
        """Return the FWHM of the beam, averaged over the integrations by gain squared and weight of their scans."""
        total = weights = 0.0
        for scan in self.scans:
            for integration in scan.integrations:
                weight = scan.weight * integration.gain**2
                total += weight * as_arcsec(integration.info.instrument.resolution, "resolution")
                weights += weight
        return total / weights if weights > 0 else self.get_point_size()
