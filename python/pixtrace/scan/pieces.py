"""How the frames of a scan are cut into windows that fit into memory, and what a reduction takes of it.

Signals are cleaned window by window. A window begins and ends with a corner of the drifts, which stand where they
would without windows, and reaches over its neighbours by a few corners: what the end of a drift does to the frames
before has died away there. So the windows change next to nothing: gains of common signals, noise and flags of channels
are those of a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pixtrace.exceptions import ConfigError
from pixtrace.scan import access
from pixtrace.scan.cleanup import cleaning_params
from pixtrace.scan.configuration import setting
from pixtrace.scan.products import scratch_room
from pixtrace.scan.signals import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixtrace.scan.configuration import Configuration
    from pixtrace.scan.integration import Integration
    from pixtrace.scan.scan import Scan

__all__ = ["ROOM", "Cut", "available_memory", "cut_frames", "frames_memory", "maps_memory", "memory_limit"]

#: Python, libraries, and what is read at a time [bytes].
ROOM = 200 << 20
_OVERLAP = 3  # corners by which a window reaches over its neighbours
_SHORTEST = 8  # corners of a window: with fewer, gains and noise would be those of too few samples
_PER_SAMPLE = 7  # bytes beside the signal while it is cleaned: a flag, common signals, what is read
_PER_FRAME = 250  # bytes: times, offsets, angles, flags, cells
_PER_CELL = 25  # bytes of a map
_BLOCK = 1 << 25  # samples that are fitted together where not all are in memory: 128 MB


@dataclass(frozen=True)
class Cut:
    """How an integration is gone through.

    Attributes
    ----------
    windows : tuple of Window
        In order; together, what is used of them is every frame once.
    corners : (float, float) or None
        A frame with a corner of the drifts, and the frames from one to the next; None where one window holds all.
    block : int
        Channels whose samples of all frames are fitted together.
    memory : int
        What it takes, with signals that are kept in memory [bytes].
    scratch : int
        What it takes on a disk [bytes].
    """

    windows: tuple[Window, ...]
    corners: tuple[float, float] | None
    block: int
    memory: int
    scratch: int

    @property
    def is_whole(self) -> bool:
        """Whether one window holds all frames."""
        return len(self.windows) == 1


def maps_memory(n_maps: int, n_cells: int, n_parts: int) -> int:
    """Return the bytes of the maps of a reduction.

    Parameters
    ----------
    n_maps, n_cells : int
        Maps, and cells of each.
    n_parts : int
        Integrations; several have maps of their own beside those of all.

    Returns
    -------
    int
        Bytes.
    """
    return (1 if n_parts == 1 else 2) * n_maps * n_cells * _PER_CELL


def frames_memory(integration: Integration) -> int:
    """Return the bytes that an integration takes as it is, with its signals where they are in memory."""
    n_frames, n_channels = integration.frames.shape
    signals = integration.frames.data.itemsize * n_channels if integration.frames.is_in_memory else 0
    return n_frames * (signals + _PER_FRAME)


def memory_limit(options: Configuration) -> int:
    """Return the bytes that a reduction may take: the option ``memory``, or half of what the machine has."""
    given = setting(options, "memory")
    return scratch_room().usual_memory() if given is None else int(float(given) * 1e9)


def available_memory(scans: Sequence[Scan], shape: tuple[int, int], n_maps: int) -> int:
    """Return the bytes that are left for signals while they are cleaned.

    Parameters
    ----------
    scans : sequence of Scan
        The scans; the options of the first one count.
    shape : tuple of int
        Cells of a map, (n_y, n_x).
    n_maps : int
        Number of maps.

    Returns
    -------
    int
        Bytes; negative if maps and frames alone take more than is allowed.
    """
    integrations = [integration for scan in scans for integration in scan.integrations]
    there = sum(frames_memory(integration) for integration in integrations)
    maps = maps_memory(n_maps, shape[0] * shape[1], len(integrations))
    return memory_limit(scans[0].configuration) - ROOM - there - maps


def cut_frames(integration: Integration, n_columns: int, fwhm: float, available: int) -> Cut:
    """Cut an integration into as few windows as fit into memory.

    Parameters
    ----------
    integration : Integration
        Frames with offsets.
    n_columns : int
        Channels that are cleaned.
    fwhm : float
        Width of the source in the maps [arcsec]; NaN if it is not known.
    available : int
        Bytes that may be taken beside maps and what is there already.

    Returns
    -------
    Cut
        The windows.

    Raises
    ------
    ConfigError
        Not even the shortest windows fit.
    """
    n_frames = integration.frames.size
    itemsize = integration.frames.data.itemsize if integration.frames.is_in_memory else 4
    per_frame = max(n_columns, 1) * (itemsize + _PER_SAMPLE)
    if n_frames * per_frame <= available:
        window = Window(0, n_frames, 0, n_frames)
        return Cut((window,), None, max(n_columns, 1), n_frames * per_frame, 0)
    first, spacing, n_spaces = _corners(integration, fwhm)
    # The samples of a block are there with what is read of them.
    block = int(np.clip(min(_BLOCK, available // 8) // max(n_frames, 1), 1, max(n_columns, 1)))
    longest = available // per_frame
    most = int((longest - 2 * _OVERLAP * spacing) / spacing)
    if most < min(_SHORTEST, n_spaces) or n_frames * 8 > available:
        needed = max(int((_SHORTEST + 2 * _OVERLAP) * spacing * per_frame), n_frames * 8)
        msg = (
            f"the option memory leaves {max(available, 0) / 1e9:.3g} GB for the signals of {n_columns} channels beside "
            f"the maps; windows of {_SHORTEST} corners of the drifts ({_SHORTEST * spacing:.0f} frames) take "
            f"{needed / 1e9:.3g} GB: allow {(needed - available) / 1e9:.2g} GB more, or make clean.drift shorter or "
            "the maps smaller"
        )
        raise ConfigError(msg)
    n_windows = -(-n_spaces // most)
    ends = [round(k * n_spaces / n_windows) for k in range(n_windows + 1)]
    frame = [round(first + end * spacing) for end in ends]
    frame[0], frame[-1] = 0, n_frames
    reach = round(_OVERLAP * spacing)
    windows = tuple(
        Window(max(0, low - reach), min(n_frames, high + reach), low, high) for low, high in pairwise(frame)
    )
    memory = max(window.size for window in windows) * per_frame
    return Cut(windows, (first, spacing), block, memory, n_frames * n_columns * itemsize)


def _corners(integration: Integration, fwhm: float) -> tuple[float, float, int]:
    """Return the first corner, the frames from one to the next, and the spaces between them, as without windows."""
    usable = np.flatnonzero(access.usable_frames(integration.frames))
    if usable.size == 0:
        return 0.0, float(max(integration.frames.size, 1)), 1
    params = cleaning_params(integration, fwhm, is_subtracted=False)
    span = float(max(usable[-1] - usable[0], 1))
    n_spaces = max(1, min(round(span / (params.drift_time / integration.info.sampling_interval)), int(span)))
    return float(usable[0]), span / n_spaces, n_spaces
