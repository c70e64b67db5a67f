"""The work on one pixel, for callers who bring a scheduler of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._arrays import as_count
from pixtrace.exceptions import ParameterError
from pixtrace.scan import access
from pixtrace.scan._units import as_arcsec
from pixtrace.scan.block import MapBlock
from pixtrace.scan.fits import fit_maps
from pixtrace.scan.intensity_map import IntensityMap
from pixtrace.scan.model_points import ModelPoints

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pixtrace.scan.fits import PixelFit

__all__ = ["ModelUnits"]

#: What the units of work take, as one tuple.
_ADD = ("template", "maps", "fixed indices", "data", "gains", "weights", "time of a sample", "cells")
_MERGE = ("maps", "maps to be merged")
_FINAL = ("maps",)
_SYNC = ("maps", "frames", "channels", "frame gains", "source gains", "sync gains")
_MEASURE = ("maps", "whether to smooth", "FWHM of a point source", "degree", "whether to reduce it")


def _unpacked(args: tuple[Any, ...], names: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the arguments of a unit of work, as many as there must be."""
    if len(args) != len(names):
        msg = f"`args` has {len(args)} elements; expected {len(names)}: {', '.join(names)}"
        raise ParameterError(msg)
    return args


class ModelUnits(ModelPoints):
    """Adding, merging, subtracting and fitting, one pixel at a time; see `PixelMap`."""

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
        template, maps, fixed_indices, data, gains, weights, dt, indices = _unpacked(args, _ADD)
        pixel_number = as_count(pixel_number, "pixel_number", most=len(fixed_indices) - 1)
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
        maps, others = _unpacked(args, _MERGE)
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
        (maps,) = _unpacked(args, _FINAL)
        found = maps.get(pixel_index)
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
        maps, frames, pixels, frame_gains, source_gains, sync_gains = _unpacked(args, _SYNC)
        fixed, columns = access.channel_columns(pixels)
        pixel_number = as_count(pixel_number, "pixel_number", most=len(fixed) - 1)
        column = int(columns[pixel_number])
        found = maps.get(int(fixed[pixel_number]))
        if found is not None:
            row = found.block.row(found.fixed_index)
            found.block.end_accumulation([row])
            found.block.stack.sync(
                frames.data,
                np.asarray(frames.valid, dtype=bool),
                frame_gains,
                np.array([column]),
                access.map_indices(frames, found.grid),
                source_gains,
                sync_gains,
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
        maps, smooth, point_size, degree, reduce_degrees = _unpacked(args, _MEASURE)
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
