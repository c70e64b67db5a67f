"""Measuring the source in the maps of a `PixelMap` of sofia_redux, as its options say."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pixtrace.scan import PixelMap as BlockModel
from pixtrace.scan.configuration import setting
from pixtrace.scan.fits import fit_maps

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from pixtrace.scan import PixelFits
    from pixtrace.scan.block import MapBlock

__all__ = ["Model", "as_they_are", "measure"]

_log = logging.getLogger("pixtrace.adapters.sofia")


class Model(BlockModel):
    """The model of ours behind a `PixelMap` of sofia_redux."""

    def fit_pixels(self, fixed_indices: list[int] | None = None, *, smooth: bool = False) -> PixelFits:
        """Find the source in maps, by the option ``pointing.method``; see `pixtrace.scan.PixelMap`."""
        if self.block is None:
            return super().fit_pixels(fixed_indices, smooth=smooth)
        numbers = list(self.pixel_maps) if fixed_indices is None else fixed_indices
        return measure(self.need_block(), numbers, self.get_point_size(), smooth=smooth)


def measure(
    block: MapBlock,
    numbers: Iterable[int],
    point_size: float,
    *,
    smooth: bool,
    degree: int | None = None,
    reduce_degrees: bool | None = None,
) -> PixelFits:
    """Find the source in maps, which stay as they are.

    Parameters
    ----------
    block : MapBlock
        The maps.
    numbers : iterable of int
        Pixels.
    point_size : float
        FWHM of a point source [arcsec].
    smooth : bool
        Smooth copies of the maps to that before.
    degree, reduce_degrees : optional
        Instead of the options ``pointing...``.

    Returns
    -------
    PixelFits
        One entry for each pixel.

    Notes
    -----
    The Gaussian of pixtrace starts from the beam of the instrument. The methods of sofia_redux start from what the maps
    were smoothed with, and a width below that is not tried: its pixel maps know no other beam.
    """
    beam = point_size if math.isfinite(point_size) else None
    is_gaussian = setting(block.configuration, "pointing.method") == "gaussian"
    return fit_maps(
        block,
        numbers,
        smooth_fwhm=beam if smooth else None,
        point_size=beam if is_gaussian else None,
        degree=degree,
        reduce_degrees=reduce_degrees,
    )


@contextmanager
def as_they_are(block: MapBlock | None, numbers: Iterable[int]) -> Generator[None]:
    """Let maps be measured as they are, as sofia_redux does; of those that still hold sums, warn."""
    rows = [] if block is None else block.rows(numbers)
    content = [] if block is None else block.stack.content
    sums = [row for row in rows if content[row] == "sums"]
    if block is None or not sums:
        yield
        return
    _log.warning("%d pixel maps are measured that hold sums over samples, not means; call `process` before", len(sums))
    block.stack.mark_content("given", pixels=sums)
    try:
        yield
    finally:
        block.stack.mark_content("sums", pixels=sums)
