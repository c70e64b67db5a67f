"""The block of maps behind a `PixelMap` of sofia_redux, and how the two are kept in step.

What sofia_redux knows as ``pixel_maps`` is a plain dict that anybody may put maps into, take them out of, or replace.
So before each operation `collect` brings the block in step with the dict, and after it `rebind` the dict with the
block.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from pixtrace.adapters.sofia._maps import IntensityMap, NativeIntensityMap, beam_fwhm, put_plane, put_records
from pixtrace.scan import MapGrid
from pixtrace.scan._units import plain
from pixtrace.scan.projection import Projection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pixtrace.adapters.sofia._fits import Model
    from pixtrace.scan.block import MapBlock

__all__ = ["PixelStore", "grid_of", "scan_maps"]

_log = logging.getLogger("pixtrace.adapters.sofia")
_SWITCHES = ("enable_level", "enable_weighting", "enable_bias")


def grid_of(model: Any) -> MapGrid | None:  # noqa: ANN401
    """Return the grid of a model of sofia_redux as one of ours; None as long as it has no size."""
    shape = tuple(model.shape)
    if len(shape) != 2 or model.grid is None or model.grid.resolution is None:  # noqa: PLR2004 - y and x
        return None
    sizes = np.broadcast_to(np.ravel(plain(_numbers(model.grid.resolution), "arcsec", "resolution")), (2,))
    index = np.broadcast_to(np.ravel(_numbers(model.grid.reference_index)), (2,))
    name = str(model.grid.projection.get_fits_id()).lower()
    if name not in get_args(Projection):
        _log.warning("pixel maps are taken for gnomonic; their projection %s is not known here", name.upper())
        name = "tan"
    return MapGrid(
        (int(shape[0]), int(shape[1])),
        (float(sizes[0]), float(sizes[1])),
        (float(index[0]), float(index[1])),
        cast("Projection", name),
    )


def _numbers(found: Any) -> Any:  # noqa: ANN401
    return getattr(found, "coordinates", found)


class PixelStore:
    """Bookkeeping of a `PixelMap`; see there."""

    info: Any
    reduction: Any
    scans: Any
    template: Any
    smoothing: Any
    pixel_maps: dict[int, Any]
    _ours: Model
    _is_unbound: bool = False

    def ready(self) -> Model:
        """Return the model of ours with grid, switches and threads of this one."""
        ours = self._ours
        ours.info, ours.reduction, ours.scans = self.info, self.reduction, list(self.scans or [])
        for name in _SWITCHES:
            setattr(ours, name, getattr(self, name))
        jobs = getattr(self.reduction, "available_reduction_jobs", None)
        if jobs:
            ours.set_parallel(int(jobs))
        grid = None if self.template is None else grid_of(self)
        if grid is not None and (ours.block is None or ours.block.grid != grid):
            ours.set_grid(grid)
        if ours.block is not None:
            ours.smoothing = float(plain(self.smoothing, "arcsec", "smoothing"))
            ours.need_block()
        return ours

    def collect(self) -> list[int]:
        """Bring the block in step with ``pixel_maps``, and return the numbers of the pixels that have maps."""
        block = self.ready().block
        if self._is_unbound:
            self._is_unbound = False
            self.push()
        maps = {int(number): found for number, found in self.pixel_maps.items() if _is_map(found)}
        if block is None:
            return []
        foreign = {}
        for number, found in maps.items():
            if isinstance(found, IntensityMap) and found.is_in(block, number):
                found.absorb()
            else:
                foreign[number] = found
        # Windows on the maps of a block that is not ours any more show what they showed: they are copied.
        kept = [number for number in block.fixed_indices if number in maps and number not in foreign]
        if len(kept) < len(block):
            block.keep(kept)
        for number, found in foreign.items():
            self._adopt(block, number, found)
        self.rebind()
        return list(maps)

    def _adopt(self, block: MapBlock, number: int, found: Any) -> None:  # noqa: ANN401
        """Copy a map into the block, as that of a pixel."""
        ours = getattr(found, "ours", None)
        if ours is not None:
            found.absorb()
            found.pull()
            ours.copy_into(block, number)
        else:
            self._ours.add_maps([number])
            view = self._ours.pixel_maps[number]
            planes = (found.map.data, found.map.weight.data, found.map.exposure.data, found.map.flag)
            for name, plane in zip(("data", "weight", "exposure", "flag"), planes, strict=True):
                put_plane(view, name, plane)
            row = block.row(number)
            block.stack.mark_content("given", pixels=[row])
            values = np.array(block.stack.smoothing_fwhm, dtype=np.float64)
            values[row] = beam_fwhm(found.map.smoothing_beam)
            block.stack.smoothing_fwhm = values
            block.notes[number].generation = int(found.generation)
        self.pixel_maps[number] = IntensityMap.on(self.template, block, number)

    def rebind(self) -> None:
        """Bring ``pixel_maps`` in step with the block: maps that are new there get an object."""
        block = self._ours.block
        if block is None:
            return
        new: list[int] = []
        for number in block.fixed_indices:
            found = self.pixel_maps.get(number)
            if isinstance(found, IntensityMap) and found.is_in(block, number):
                found.rebind()
            elif found is None or _is_map(found):
                new.append(number)
        if new:
            self.pixel_maps.update(IntensityMap.on_each(self.template, block, new))

    def windows(self) -> list[IntensityMap]:
        """Return the objects of all maps in the block, in its order."""
        block = self._ours.block
        return [] if block is None else [self.pixel_maps[number] for number in block.fixed_indices]

    def pull(self) -> list[int]:
        """Bring the block in step, with all that is kept beside the cells; return the numbers of the pixels."""
        numbers = self.collect()
        found = self.windows()
        if found and self._ours.block is not None:
            for one in found:
                one.pull()
            put_records(self._ours.block, list(range(len(found))), [one.records() for one in found])
        return numbers

    def push(self) -> None:
        """Bring ``pixel_maps`` in step, with all that is kept beside the cells."""
        self.rebind()
        for found in self.windows():
            found.push()

    def strangers(self) -> set[int]:
        """Return the keys of ``pixel_maps`` that hold something else than maps, but not nothing."""
        return {int(key) for key, found in self.pixel_maps.items() if found is not None and not _is_map(found)}


def _is_map(found: object) -> bool:
    return isinstance(found, cast("type", NativeIntensityMap))


def scan_maps(maps: Mapping[int, Any]) -> dict[int, Any]:
    """Return maps of sofia_redux as objects of ours, without what is none of them."""
    found = {}
    for number, one in maps.items():
        if isinstance(one, IntensityMap) and one.ours is not None:
            one.absorb()
            found[int(number)] = one.ours
    return found
