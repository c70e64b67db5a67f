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
    # A number of the points' precision, as it comes out of a median of theirs: it sets that of the edges of the bins.
    spacing: Any = points.dtype.type(native)
    reach = spacing * n_bins / 4
    if not np.any(np.abs(points) <= reach):
        return mask
    # Densities: where the edges are rounded to single precision, bins with the same count differ in height.
    density, _ = np.histogram(points, bins=n_bins, range=(-reach, reach), density=True)
    with np.errstate(invalid="ignore"):
        for k in peaks(density / density.max(), 0.2):
            position = np.float64(k) * np.float64(spacing) / 2 - np.float64(reach)
            width = np.float64(pad * spacing)
            mask |= (alpha > position - width) & (alpha <= position + width)
    return mask
