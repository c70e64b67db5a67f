"""What pixel maps ask of frames and channels, be they of this package or of the reference.

The objects of the reference keep coordinates in wrappers with an attribute `coordinates`, times as quantities, and
flags in flag spaces; ours keep plain arrays. Nothing else in this room knows the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError
from pixtrace.scan._units import arcsec, as_seconds, plain
from pixtrace.scan.flags import FrameFlag, SampleFlag

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.scan.projection import MapGrid

__all__ = [
    "blank_flag",
    "channel_columns",
    "exclude_flag",
    "is_looked_up",
    "map_indices",
    "map_positions",
    "positions_of",
    "put_positions",
    "sampling_interval",
    "source_flags",
    "table_of",
    "usable_frames",
]


def _flag(frames: Any, name: str, ours: int) -> int:
    """Return a bit of the flag space that the frames name, ours where they name none."""
    flags = getattr(getattr(frames, "flagspace", None), "flags", None)
    found = getattr(flags, name, ours)
    return int(getattr(found, "value", found))


def blank_flag(frames: Any) -> int:
    """Return the bit of a sample on the source."""
    return _flag(frames, "SAMPLE_SOURCE_BLANK", SampleFlag.SOURCE_BLANK)


def exclude_flag(frames: Any) -> int:
    """Return the bits that keep a sample out of the maps: all but that of the source."""
    dtype = np.asarray(frames.sample_flag).dtype
    return int(np.iinfo(dtype).max) & ~blank_flag(frames)


def source_flags(frames: Any) -> int:
    """Return the bits that keep a frame out of the maps."""
    return _flag(frames, "SOURCE_FLAGS", FrameFlag.SOURCE_FLAGS)


def usable_frames(frames: Any) -> npt.NDArray[np.bool_]:
    """Tell which frames can be mapped: valid, and without flags that keep them out."""
    unflagged = (np.asarray(frames.flag) & source_flags(frames)) == 0
    usable: npt.NDArray[np.bool_] = np.asarray(frames.valid, dtype=bool) & unflagged
    return usable


def is_looked_up(frames: Any, grid: MapGrid | None) -> bool:
    """Tell whether the cells under frames are known, and are those of this grid, as far as that can be told."""
    if getattr(frames, "map_index", None) is None:
        return False
    of = getattr(frames, "map_grid", None)
    return of is None or of == grid


def map_indices(frames: Any, grid: MapGrid | None) -> npt.NDArray[np.int64]:
    """Return the cell (x, y) of a grid under each frame, shape (2, n_frames, 1).

    Raises
    ------
    DataError
        If nobody has looked it up yet, or somebody has for another grid.
    """
    found = getattr(frames, "map_index", None)
    if found is None:
        msg = "the cells under these frames are not known; call `create_lookup` with their integration first"
        raise DataError(msg)
    if not is_looked_up(frames, grid):
        msg = (
            f"the cells under these frames are those of another grid, {frames.map_grid}; expected {grid}: call "
            "`create_lookup` with their integration first"
        )
        raise DataError(msg)
    index = np.asarray(getattr(found, "coordinates", found))
    return index if index.ndim == 3 else index[..., np.newaxis]  # noqa: PLR2004 - x and y, frames, channels


def map_positions(frames: Any) -> npt.NDArray[np.float64] | None:
    """Return where on the map each frame stands, shape (2, n_frames), if that is known beyond the cell."""
    found: npt.NDArray[np.float64] | None = getattr(frames, "map_position", None)
    return found


def sampling_interval(pixels: Any) -> float:
    """Return the time from frame to frame [s].

    Raises
    ------
    DataError
        If it is not known.
    """
    interval = as_seconds(pixels.info.instrument.sampling_interval, "sampling_interval")
    if not interval > 0:
        msg = f"the sampling interval of the instrument is {interval} s; set `info.instrument.sampling_interval`"
        raise DataError(msg)
    return interval


def channel_columns(pixels: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the fixed indices of channels and the columns of their data."""
    table = table_of(pixels)
    fixed = np.asarray(table.fixed_index, dtype=np.int64)
    columns = getattr(pixels, "indices", None)
    return fixed, np.arange(fixed.size) if columns is None else np.asarray(columns, dtype=np.int64)


def positions_of(pixels: Any) -> npt.NDArray[np.float64]:
    """Return copies of the positions of a group of channels, shape (2, n) [arcsec]."""
    found = pixels.position
    return np.array(plain(getattr(found, "coordinates", found), "arcsec", "position"), dtype=np.float64)


def put_positions(pixels: Any, positions: npt.NDArray[np.float64]) -> None:
    """Set the positions of a group of channels, shape (2, n) [arcsec]."""
    found = pixels.position
    if hasattr(found, "coordinates"):
        wrapper = found.copy()
        wrapper.coordinates = arcsec(positions)
        pixels.position = wrapper
    else:
        pixels.position = arcsec(positions)


def table_of(pixels: Any) -> Any:
    """Return what holds the columns of channels: a group or table itself, or the data of channels of the reference."""
    return pixels if hasattr(pixels, "fixed_index") else pixels.data
