"""Jumps that the electronics counted: a SQUID loses its place by whole flux quanta, and its signal by a step each.

Where the counter of a channel changes, its level before and behind is compared, and a step that is clearly there is
taken out. So jumps that last too short a time for cleaning to tell them from the source do no harm. Where the counter
changes and the signal does not (the electronics may have corrected it), nothing is done.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from pixtrace.io.scan.raw import DataChunk

__all__ = ["without_counted_jumps"]

_NEAR = 8  # frames on each side from which a level is taken: a source hardly moves in them
_FEWEST = 3  # frames that a level takes
_CLEARLY = 5.0  # standard deviations of a sample


class _Before(NamedTuple):
    """The last frames that were read: their signals as they were, and the counts of the last one."""

    data: npt.NDArray[np.float32]
    jumps: npt.NDArray[np.int16]
    changed: npt.NDArray[np.bool_]


def without_counted_jumps(pieces: Iterator[DataChunk]) -> Iterator[DataChunk]:
    """Take steps where counters change out of the signals.

    Parameters
    ----------
    pieces : iterator of DataChunk
        A scan from the first frame to the last, with the counts in each piece; it may be cut anywhere. Pieces without
        counts stay on the level of those before.

    Yields
    ------
    DataChunk
        The same pieces; signals are changed in place. The result does not depend on where the scan is cut.
    """
    ahead: deque[DataChunk] = deque()
    before: _Before | None = None
    offset: npt.NDArray[np.float32] | None = None
    while True:
        while sum(len(piece.data) for piece in list(ahead)[1:]) < _NEAR:
            following = next(pieces, None)
            if following is None:
                break
            ahead.append(following)
            if following.jumps is None:
                break
        if not ahead:
            return
        piece = ahead.popleft()
        if piece.jumps is None:
            if offset is not None:
                piece.data[...] -= offset
            before = None
            yield piece
            continue
        raw_end = piece.data[-_NEAR:].copy()
        changes = _changes(piece.jumps, before)
        steps = _steps(piece, before, list(ahead), changes) if changes.any() else None
        if offset is not None:
            piece.data[...] -= offset
        if steps is not None:
            columns, rise = steps
            piece.data[:, columns] -= rise
            offset = np.zeros(piece.data.shape[1], dtype=np.float32) if offset is None else offset
            offset[columns] += rise[-1]
        before = _joined(before, raw_end, piece.jumps[-1].copy(), changes[-_NEAR:])
        yield piece


def _changes(jumps: npt.NDArray[np.int16], before: _Before | None) -> npt.NDArray[np.bool_]:
    """Tell in which frames a counter is not what it was in the frame before."""
    changes = np.zeros(jumps.shape, dtype=bool)
    np.not_equal(jumps[1:], jumps[:-1], out=changes[1:])
    if before is not None:
        np.not_equal(jumps[0], before.jumps, out=changes[0])
    return changes


def _joined(
    before: _Before | None,
    data: npt.NDArray[np.float32],
    jumps: npt.NDArray[np.int16],
    changed: npt.NDArray[np.bool_],
) -> _Before:
    """Return the last frames, of pieces that may be shorter than what is needed."""
    if before is not None and len(data) < _NEAR:
        data = np.concatenate([before.data, data])[-_NEAR:]
        changed = np.concatenate([before.changed, changed])[-_NEAR:]
    return _Before(data, jumps, changed.copy())


def _steps(
    piece: DataChunk, before: _Before | None, ahead: list[DataChunk], changes: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]] | None:
    """Return the channels with steps in a piece, and by how much they have risen since its beginning in each frame."""
    columns = np.flatnonzero(changes.any(axis=0))
    data = [] if before is None else [before.data[:, columns]]
    marks = [] if before is None else [before.changed[:, columns]]
    start = 0 if before is None else len(before.data)
    data.append(piece.data[:, columns])
    marks.append(changes[:, columns])
    last = piece.jumps
    for chunk in ahead:
        if chunk.jumps is None or last is None:
            break
        near = chunk.jumps[:_NEAR][:, columns]
        data.append(chunk.data[:_NEAR][:, columns])
        marks.append(np.concatenate([last[-1:, columns], near])[1:] != np.concatenate([last[-1:, columns], near])[:-1])
        last = chunk.jumps
    values, marked = np.concatenate(data).astype(np.float64), np.concatenate(marks)
    rise = np.zeros((len(piece.data), columns.size), dtype=np.float32)
    for k in range(columns.size):
        places = np.flatnonzero(marked[:, k])
        for i, at in enumerate(places):
            if not start <= at < start + len(rise):
                continue
            first = max(places[i - 1] if i else 0, at - _NEAR)
            last_one = min(places[i + 1] if i + 1 < places.size else len(values), at + _NEAR)
            rise[at - start :, k] += _step(values[first:at, k], values[at:last_one, k])
    return (columns, rise) if rise.any() else None


def _step(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> float:
    """Return by how much a level rises, 0 if that is not clear."""
    before, after = before[np.isfinite(before)], after[np.isfinite(after)]
    if min(before.size, after.size) < _FEWEST:
        return 0.0
    low, high = float(np.median(before)), float(np.median(after))
    rest = np.concatenate([before - low, after - high])
    scatter = float(np.sqrt((rest**2).sum() / (rest.size - 2)))
    return high - low if abs(high - low) > _CLEARLY * scatter else 0.0
