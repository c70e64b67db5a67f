"""Where along a slice a compact source stands."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]


def peaks(histogram: FloatArray, height: float) -> list[int]:
    """Return the strict local maxima of at least `height`; a flat top counts once, at its middle."""
    found = []
    left = 1
    while left < histogram.size - 1:
        right = left
        while right < histogram.size - 1 and histogram[right + 1] == histogram[left]:
            right += 1
        inside = right < histogram.size - 1
        if inside and histogram[left - 1] < histogram[left] > histogram[right + 1] and histogram[left] >= height:
            found.append((left + right) // 2)
        left = right + 1
    return found


def compact(alpha: FloatArray, points: FloatArray, native: float, n_bins: int, pad: int) -> BoolArray:
    """Return the pixels of `alpha` that lie near an accumulation of `points`, the places of high slope."""
    mask = np.zeros(alpha.shape, dtype=np.bool_)
    if points.size < 50:
        return mask
    reach = native * n_bins / 4
    counts, edges = np.histogram(points, bins=n_bins, range=(-reach, reach))
    if counts.max() == 0:
        return mask
    with np.errstate(invalid="ignore"):
        for k in peaks(counts / counts.max(), 0.2):
            mask |= (alpha > edges[k] - pad * native) & (alpha <= edges[k] + pad * native)
    return mask
