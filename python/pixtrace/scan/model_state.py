"""The maps of a `PixelMap`, what it notes down, and the small questions that it answers."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._arrays import as_count
from pixtrace.exceptions import DataError
from pixtrace.scan import processing
from pixtrace.scan._gates import as_shape
from pixtrace.scan._units import unit_name
from pixtrace.scan.block import MapBlock, PixelMaps
from pixtrace.scan.configuration import Configuration, setting
from pixtrace.scan.flags import FrameFlag, SampleFlag
from pixtrace.scan.info import Info
from pixtrace.scan.intensity_map import IntensityMap
from pixtrace.scan.projection import MapGrid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

__all__ = ["ModelState"]

#: Bytes of one cell: data, weight and exposure of 8 each, one of flags; the base takes another 8.
BYTES_PER_CELL = 25
BASE_BYTES_PER_CELL = 8
_TEMPLATE = -1


class ModelState:
    """What a `PixelMap` is made of; see there."""

    def __init__(self, info: Any = None, reduction: Any = None) -> None:
        if info is None:
            info = reduction.info if reduction is not None else Info()
        self.info: Any = info
        self.reduction: Any = reduction
        self.scans: list[Any] = []
        self.block: MapBlock | None = None
        self.generation = 0
        self.integration_time = 0.0
        self.smoothing = 0.0
        self.process_brief: list[str] = []
        self.history: list[str] = []
        self.enable_level = self.enable_weighting = self.enable_bias = True
        self.index_shift_x = self.index_mask_y = 0
        self._threads: int | None = None
        #: Couplings with which the maps were made: what `calculate_pixel_data` measures is relative to these.
        self.map_coupling: dict[int, float] = {}
        self._fits: Any = None

    def __repr__(self) -> str:
        return f"<PixelMap: {len(self.pixel_maps)} maps of {self.shape}>"

    @property
    def referenced_attributes(self) -> set[str]:
        """Attributes that a copy shares."""
        return {"scans", "reduction", "pixel_maps"}

    @property
    def configuration(self) -> Any:
        """The options."""
        return None if self.info is None else self.info.configuration

    @property
    def pixel_maps(self) -> PixelMaps:
        """The map of each pixel by its fixed index: views, no copies."""
        return PixelMaps(self.block)

    @pixel_maps.setter
    def pixel_maps(self, maps: Mapping[int, IntensityMap] | None) -> None:
        if isinstance(maps, PixelMaps) and maps.block is self.block:
            return
        copies = {int(number): found.copy() for number, found in (maps or {}).items()}
        self.pixel_maps.clear()
        for number, found in copies.items():
            self.pixel_maps[number] = found

    @property
    def template(self) -> IntensityMap | None:
        """An empty map on the grid, that of no pixel; None as long as there is no grid."""
        if self.block is None:
            return None
        return IntensityMap(MapBlock(self.block.grid, [_TEMPLATE], info=self.info), _TEMPLATE)

    @property
    def grid(self) -> MapGrid | None:
        """The grid of all maps; None as long as there is none."""
        return None if self.block is None else self.block.grid

    @grid.setter
    def grid(self, grid: MapGrid) -> None:
        self.set_grid(grid)

    def set_grid(self, grid: MapGrid) -> None:
        """Begin anew, without maps, on this grid."""
        self.block = MapBlock(grid, info=self.info)
        self.smoothing = processing.requested_smoothing(self.info, grid)
        self.forget_samples()
        n_y = grid.shape[0]
        self.index_shift_x = max(n_y - 1, 0).bit_length()
        self.index_mask_y = (1 << self.index_shift_x) - 1

    def forget_samples(self) -> None:
        """Forget what was noted down of the samples in the maps, and what was measured."""
        self.map_coupling = {}
        self._fits = None

    def need_block(self) -> MapBlock:
        """Return the block of maps, with the switches and threads of this model.

        Raises
        ------
        DataError
            If there is no grid yet.
        """
        if self.block is None:
            msg = "there is no grid for the maps yet; call `create_from` with scans, or `set_grid`"
            raise DataError(msg)
        block = self.block
        block.info = self.info
        for name in ("enable_level", "enable_weighting", "enable_bias"):
            setattr(block, name, getattr(self, name))
        block.n_threads = self.n_threads
        return block

    def add_maps(self, fixed_indices: Iterable[int]) -> list[int]:
        """See to it that pixels have maps, with the beam to smooth to, and return their places."""
        block = self.need_block()
        before = len(block)
        rows = block.add(fixed_indices)
        for number in block.fixed_indices[before:]:
            block.notes[number].smoothing = self.smoothing
        return rows

    @property
    def reference_index(self) -> tuple[float, float] | None:
        """Map index of the source position, ``(x, y)``."""
        return None if self.block is None else self.block.grid.reference_index

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps, ``(n_y, n_x)``; empty as long as there is no grid."""
        return () if self.block is None else self.block.grid.shape

    def set_data_shape(self, shape: tuple[int, int]) -> None:
        """Give all maps another shape; they are empty afterwards.

        Parameters
        ----------
        shape : tuple of int
            ``(n_y, n_x)``.
        """
        block = self.need_block()
        n_y, n_x = as_shape(shape)
        old = block.grid
        numbers = block.fixed_indices
        self.set_grid(MapGrid((n_y, n_x), old.resolution, old.reference_index, old.projection))
        self.add_maps(numbers)

    @property
    def exclude_samples(self) -> SampleFlag:
        """Flags that keep a sample out of the maps: all but that of samples on the source."""
        return ~SampleFlag.SOURCE_BLANK

    @property
    def frame_flagspace(self) -> type[FrameFlag]:
        """Flags of frames."""
        return FrameFlag

    @property
    def n_scans(self) -> int:
        """Number of scans."""
        return len(self.scans)

    def get_first_scan(self) -> Any:
        """Return the first scan; None if there is none."""
        return self.scans[0] if self.scans else None

    def get_source_name(self) -> str:
        """Return the name of the source."""
        scan = self.get_first_scan()
        return "" if scan is None else str(getattr(scan, "source_name", ""))

    def get_unit(self) -> Any:
        """Return the unit of the data, as a quantity of 1; counts where it is not known."""
        from astropy import units

        name = getattr(self.info.instrument, "data_unit", None) or "count"
        return 1.0 * units.Unit(unit_name(str(name)))

    def copy(self, with_contents: bool = True) -> Self:
        """Return a copy: options and maps of its own, the same scans and reduction.

        Parameters
        ----------
        with_contents : bool, optional
            With all maps; without, there are none, but their grid.

        Returns
        -------
        PixelMap
            The copy.
        """
        other = type(self)(self.info.copy() if hasattr(self.info, "copy") else self.info, self.reduction)
        for name, value in vars(self).items():
            if name not in {"info", "reduction", "block"}:
                setattr(other, name, value.copy() if isinstance(value, dict) else value)
        other.process_brief, other.history = list(self.process_brief), list(self.history)
        other.block = None
        if self.block is not None:
            numbers = self.block.fixed_indices if with_contents else []
            other.block = self.block.select(numbers)
            other.block.info = other.info
        if not with_contents:
            other.forget_samples()
        return other

    def get_clean_local_copy(self, full: bool = False) -> Self:
        """Return a copy without data, to be filled and added to this; with `full`, of the same maps, all empty."""
        other = self.copy(with_contents=False)
        other.generation, other.integration_time = 0, 0.0
        other.process_brief = []
        if full and self.block is not None:
            other.add_maps(self.block.fixed_indices)
        return other

    def clear_content(self) -> None:
        """Empty all maps; the maps themselves stay, with what they know of the round before."""
        self.forget_samples()
        self.integration_time = 0.0
        if self.block is not None:
            self.block.stack.clear()
            for notes in self.block.notes.values():
                notes.history.clear()
                notes.steps.clear()
                notes.integration_time = 0.0

    def empty_maps(self, fixed_indices: list[int]) -> None:
        """Empty the maps of some pixels, as far as they have any, before they are processed."""
        if self.block is None:
            return
        block = self.block
        numbers = [number for number in fixed_indices if number in block.notes]
        for number in numbers:
            row = block.row(number)
            for plane in (block.stack.data, block.stack.weight, block.stack.exposure):
                plane[row] = 0.0
            block.notes[number].steps.clear()
            block.notes[number].integration_time = 0.0

    def clear_all_memory(self) -> None:
        """Let go of everything."""
        self.block = None
        self.scans = []
        self.info = None
        self.reduction = None
        self.forget_samples()

    def reset_processing(self) -> None:
        """Forget what was done to the maps; their cells stay as they are."""
        self.generation, self.integration_time = 0, 0.0
        if self.block is not None:
            block = self.need_block()
            self.smoothing = processing.requested_smoothing(self.info, block.grid)
            processing.reset_processing(block, list(range(len(block))))

    def next_generation(self) -> None:
        """Count one more round."""
        self.generation += 1

    def add_process_brief(self, message: str) -> None:
        """Add a few words on what was done."""
        self.process_brief.append(message)

    def clear_process_brief(self) -> None:
        """Forget the few words on what was done, of all maps too."""
        self.process_brief = []
        if self.block is not None:
            for notes in self.block.notes.values():
                notes.process_brief.clear()

    def add_integration_time(self, time: float) -> None:
        """Count time that was added to the maps [s]."""
        self.integration_time += float(time)

    def count_points(self) -> int:
        """Return the number of valid cells of all maps."""
        return 0 if self.block is None else int(self.block.stack.count_points(n_threads=self.n_threads))

    def covariant_points(self) -> float:
        """Return the number of cells in the smoothing beam, at least 1."""
        return next((found.covariant_points() for found in self.pixel_maps.values()), 1.0)

    def get_pixel_footprint(self) -> int:
        """Return the bytes that one cell takes in all maps together, without their bases."""
        return BYTES_PER_CELL * len(self.pixel_maps)

    def base_footprint(self, pixels: int) -> int:
        """Return the bytes of the bases of all maps, if each has that many cells."""
        return BASE_BYTES_PER_CELL * len(self.pixel_maps) * int(pixels)

    def is_adding_to_master(self) -> bool:
        """Tell whether samples are added to these maps themselves, and not to copies: they are."""
        return True

    def is_empty(self) -> bool:
        """Tell whether there is no data in any map."""
        return self.count_points() == 0

    def is_valid(self) -> bool:
        """Tell whether there is data in any map."""
        return not self.is_empty()

    def get_map_2d(self) -> Any:
        """Return None: there is not one map, but one for each pixel."""
        return None

    def set_parallel(self, threads: int) -> None:
        """Set the number of threads.

        Parameters
        ----------
        threads : int
            At least 1.

        Raises
        ------
        ParameterError
            If it is less.
        """
        self._threads = as_count(threads, "threads", least=1)

    def no_parallel(self) -> None:
        """Work in one thread."""
        self._threads = 0

    def get_parallel(self) -> int:
        """Return the number of threads: 0 after `no_parallel`, all there are if it was never set; 1 without maps."""
        if not len(self.pixel_maps):
            return 1
        return self._threads if self._threads is not None else (os.cpu_count() or 1)

    @property
    def n_threads(self) -> int | None:
        """Threads for a call: as set, else as the option ``jobs`` says; None leaves the choice to the caller's pool."""
        if self._threads is not None:
            return max(self._threads, 1)
        jobs = setting(self.configuration, "jobs") if isinstance(self.configuration, Configuration) else None
        return int(jobs) or None if jobs is not None else None

    def get_point_size(self) -> float:
        """Return the FWHM of a point source [arcsec]; NaN if the instrument does not tell."""
        return processing.point_size(self.info)

    def _rows(self) -> list[int]:
        return [] if self.block is None else list(range(len(self.block)))

    def _finite(self, value: float) -> float | None:
        return value if math.isfinite(value) else None

    def _first_channels(self) -> Any:
        scan = self.get_first_scan()
        return None if scan is None else scan.channels

    def _note_couplings(self, fixed: Any, couplings: Any) -> None:
        """Remember with which couplings maps are made, once."""
        for number, coupling in zip(np.asarray(fixed).tolist(), np.asarray(couplings).tolist(), strict=True):
            self.map_coupling.setdefault(int(number), float(coupling))
