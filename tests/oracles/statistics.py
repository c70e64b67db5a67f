"""Clipped statistics: median as the centre, standard deviation as the width, five rounds at most."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]


class Clipped(NamedTuple):
    """Mean, median and standard deviation of what survived the clipping."""

    mean: np.floating[Any]
    median: np.floating[Any]
    std: np.floating[Any]


def clipped(values: FloatArray, *, sigma: float = 3.0, rounds: int = 5) -> Clipped:
    """Return clipped statistics in the precision of the values; non-finite values are ignored, NaN if none is left."""
    kept = values[np.isfinite(values)]
    if kept.size == 0:
        nothing = values.dtype.type("nan")
        return Clipped(nothing, nothing, nothing)
    for _ in range(rounds):
        low = np.median(kept) - sigma * np.std(kept)
        high = np.median(kept) + sigma * np.std(kept)
        inside = kept[(kept >= low) & (kept <= high)]
        stop = inside.size == kept.size
        kept = inside
        if stop:
            break
    return Clipped(np.mean(kept), np.median(kept), np.std(kept))
