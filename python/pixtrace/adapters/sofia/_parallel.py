"""What sofia_redux hands to its workers: the operations on one map, by the number of a pixel.

Our `PixelMap` works on all maps at once and calls none of them; they are here for whoever does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixtrace.adapters.sofia._fits import as_they_are, measure
from pixtrace.adapters.sofia._maps import IntensityMap
from pixtrace.adapters.sofia._store import grid_of, scan_maps
from pixtrace.exceptions import DataError
from pixtrace.scan import IntensityMap as BlockMap
from pixtrace.scan import PixelMap as BlockModel
from pixtrace.scan._units import plain
from pixtrace.scan.block import MapBlock

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.scan import PixelFit

__all__ = ["ParallelSafe"]


class ParallelSafe:
    """Class methods of a `PixelMap`, each with the arguments and the result that sofia_redux's have."""

    @classmethod
    def parallel_safe_add_points(cls, args: tuple[Any, ...], pixel_number: int) -> tuple[int, Any]:
        """Add samples to one map; see sofia_redux."""
        template, maps, fixed_indices, *rest = args
        plain_template = _template(template)
        number, found = BlockModel.parallel_safe_add_points(
            (plain_template, scan_maps(maps), fixed_indices, *rest), pixel_number
        )
        there = maps.get(number)
        return number, there if there is not None else IntensityMap.on(template, found.block, number)

    @classmethod
    def parallel_safe_merge_accumulate(cls, args: tuple[Any, Any], pixel_index: int) -> tuple[int, Any]:
        """Merge one map onto another; see sofia_redux."""
        found: tuple[int, Any] = BlockModel.parallel_safe_merge_accumulate(args, pixel_index)
        return found

    @classmethod
    def parallel_safe_process_final(cls, args: tuple[Any], pixel_index: int) -> tuple[int, Any]:
        """Level and reweight one map for good; see sofia_redux."""
        found: tuple[int, Any] = BlockModel.parallel_safe_process_final(args, pixel_index)
        return found

    @classmethod
    def parallel_safe_sync_source_gains(cls, args: tuple[Any, ...], pixel_number: int) -> npt.NDArray[Any]:
        """Subtract the source from the signal of one channel; see sofia_redux."""
        maps, *rest = args
        return BlockModel.parallel_safe_sync_source_gains((scan_maps(maps), *rest), pixel_number)

    @classmethod
    def parallel_safe_calculate_pixel_data(cls, args: tuple[Any, ...], pixel_number: int) -> PixelFit | None:
        """Find the source in one map; see sofia_redux."""
        maps, smooth, point_size, degree, reduce_degrees = args
        found = maps.get(pixel_number)
        ours = getattr(found, "ours", None)
        if ours is None:
            return None
        found.absorb()
        with as_they_are(ours.block, [ours.fixed_index]):
            fits = measure(
                ours.block,
                [ours.fixed_index],
                float(plain(point_size, "arcsec", "point_size")),
                smooth=smooth,
                degree=degree,
                reduce_degrees=reduce_degrees,
            )
        return fits.fit(0) if fits.is_found[0] else None


def _template(template: Any) -> BlockMap:  # noqa: ANN401
    """Return an empty map of ours on the grid of a template."""
    grid = grid_of(template)
    if grid is None:
        msg = "the template has no grid; call `create_from` with scans first"
        raise DataError(msg)
    return BlockMap(MapBlock(grid, [-1], info=template.info), -1)
