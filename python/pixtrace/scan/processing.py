"""What is done to maps between the rounds of a reduction, to many maps of a block at once.

Maps are given by their places in the stack. Sums become means here, once: a map that is processed again without new
data stays as it is up to what the options ask for.
"""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.scan._units import as_arcsec, as_seconds
from pixtrace.scan.configuration import setting
from pixtrace.scan.flags import MapFlag
from pixtrace.scan.options import SMOOTHING_WORDS

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy.typing as npt

    from pixtrace.scan.block import MapBlock
    from pixtrace.scan.projection import MapGrid
    from pixtrace.scan.stack import MapStack

__all__ = [
    "pixelization_fwhm",
    "point_size",
    "process",
    "process_final",
    "process_scan",
    "requested_smoothing",
    "reset_processing",
]

#: Area below a Gaussian of unit FWHM and height.
GAUSSIAN_AREA = math.pi / (4.0 * math.log(2.0))
#: The large scales of a filter that is left to choose its own, in sizes of the source.
AUTO_FILTER = 5.0
MIN_NEIGHBORS = 2
#: Median of chi2 of one degree of freedom, to the digits of the reference.
MEDIAN_CHI2 = 0.454937


def pixelization_fwhm(grid: MapGrid) -> float:
    """Return the FWHM of a round Gaussian of the area of a cell [arcsec], to the bit that which a new map has."""
    return math.sqrt(math.prod(grid.resolution) / GAUSSIAN_AREA)


def point_size(info: Any) -> float:
    """Return the FWHM of a point source [arcsec]; NaN if the instrument does not tell."""
    return math.nan if info is None else as_arcsec(info.instrument.get_point_size(), "point size")


def requested_smoothing(info: Any, grid: MapGrid, smooth: Any = None) -> float:
    """Return the FWHM that a word or number for a beam stands for [arcsec].

    Parameters
    ----------
    info : Info
        The instrument and its options.
    grid : MapGrid
        The grid: nothing is smaller than its cells.
    smooth : str or float, optional
        As the option ``smooth``, which is taken by default.

    Returns
    -------
    float
        FWHM; 0 if no smoothing is asked for.
    """
    configuration = None if info is None else info.configuration
    if smooth is None:
        smooth = setting(configuration, "smooth")
    if smooth is None:
        return 0.0
    if smooth == "optimal":
        optimal = setting(configuration, "smooth.optimal")
        fwhm = point_size(info) if optimal is None else float(optimal)
    elif isinstance(smooth, str):
        fwhm = SMOOTHING_WORDS[smooth] * point_size(info)
    else:
        fwhm = float(smooth)
    return max(fwhm, pixelization_fwhm(grid))


def reset_processing(block: MapBlock, rows: list[int]) -> None:
    """Forget what was done to maps: generation, time, beams and filters; the cells stay as they are."""
    smoothing = requested_smoothing(block.info, block.grid)
    numbers = block.fixed_indices
    for row in rows:
        notes = block.notes[numbers[row]]
        notes.generation, notes.integration_time, notes.smoothing = 0, 0.0, smoothing
        notes.steps.clear()
    beginning = {
        "smoothing_fwhm": pixelization_fwhm(block.grid),
        "filter_fwhm": math.nan,
        "correcting_fwhm": math.nan,
        "filter_blanking": math.nan,
    }
    for name, value in beginning.items():
        values = np.array(getattr(block.stack, name), dtype=np.float64)
        values[rows] = value
        setattr(block.stack, name, values)


def _brief(block: MapBlock, rows: list[int], text: str) -> None:
    numbers = block.fixed_indices
    for row in rows:
        block.notes[numbers[row]].process_brief.append(text)


@contextmanager
def _once(block: MapBlock, rows: list[int], step: str, *settings: object) -> Generator[list[int], None, None]:
    """Give the maps on which a step was not made with these settings since samples came in; note it down when it is.

    Filters and maximum entropy change the cells each time that they are applied, and a clip may find others once what
    came after it has been done.
    """
    numbers, made_with = block.fixed_indices, repr(settings)
    chosen = [row for row in rows if block.notes[numbers[row]].steps.get(step) != made_with]
    yield chosen
    for row in chosen:
        block.notes[numbers[row]].steps[step] = made_with


def _source_size(block: MapBlock) -> float:
    size = setting(block.configuration, "source.size")
    return point_size(block.info) if size is None else float(size)


def _filter(block: MapBlock, rows: list[int], *, final: bool) -> None:
    """Subtract the large scales; of a whole round with bright cells left out, and what that took given back.

    As in the reference, nothing is given back where no cells are left out.
    """
    configuration = block.configuration
    if not setting(configuration, "source.filter"):
        return
    size = _source_size(block)
    fwhm = setting(configuration, "source.filter.fwhm")
    fwhm = AUTO_FILTER * size if fwhm is None or fwhm == "auto" else float(fwhm)
    kind = setting(configuration, "source.filter.type")
    blank = setting(configuration, "source.filter.blank") if final else None
    beam = None if blank is None else size
    once = _once(block, rows, "filter", fwhm, blank, kind, beam) if final else nullcontext(rows)
    with once as chosen:
        if chosen:
            block.stack.filter(fwhm, blank=blank, kind=kind, beam=beam, pixels=chosen, n_threads=block.n_threads)
            _brief(block, chosen, f"filter({kind})")


def process_scan(block: MapBlock, rows: list[int]) -> npt.NDArray[np.float64]:
    """Process the maps of one scan: end, add the base, level, despike, filter.

    Parameters
    ----------
    block : MapBlock
        The maps.
    rows : list of int
        Places of maps in the stack.

    Returns
    -------
    ndarray of float64, shape (len(rows),)
        What each map says about the weight of the scan: 1, or with the option ``weighting.scans`` one over the
        reduced chi2 of its cells, 0 where that is not finite.
    """
    stack, configuration = block.stack, block.configuration
    block.end_accumulation(rows, given=True)
    if stack.has_base:
        for row in rows:
            prior = stack.base[row]
            add = stack.valid_in(row) & ~np.isnan(prior)
            stack.data[row][add] += prior[add]
    if block.enable_level:
        stack.level(robust=True, pixels=rows, n_threads=block.n_threads)
        _brief(block, rows, "level")
    if setting(configuration, "source.despike"):
        stack.despike(setting(configuration, "source.despike.level"), pixels=rows, n_threads=block.n_threads)
        _brief(block, rows, "despike")
    _filter(block, rows, final=False)
    if not (block.enable_weighting and setting(configuration, "weighting.scans")):
        return np.ones(len(rows))
    robust = setting(configuration, "weighting.scans.method") == "robust"
    chi2 = np.array([_significance_variance(stack, row, robust=robust) for row in rows])
    good = np.isfinite(chi2) & (chi2 > 0)
    weights: npt.NDArray[np.float64] = np.divide(1.0, chi2, out=np.zeros(len(rows)), where=good)
    return weights


def _significance_variance(stack: MapStack, row: int, *, robust: bool) -> float:
    """Return the variance of the signal to noise of a map; robust: from the plain median of its squares."""
    data, weight = stack.data[row], stack.weight[row]
    kept = (stack.flag[row] & np.uint8(MapFlag.DISCARD)) == 0
    valid = ~np.isnan(data) & kept & (weight > 0) & np.isfinite(weight)
    if not valid.any():
        return math.nan
    squares = data[valid] ** 2 * weight[valid]
    return float(np.median(squares)) / MEDIAN_CHI2 if robust else float(squares.mean())


def process(block: MapBlock, rows: list[int]) -> None:
    """Process maps fully: end, clip, smooth, filter, mask, as the options ask for.

    What was done to a map already, with the same options and no new samples since, is not done again. Cells that were
    written to by hand count as new once `MapStack.mark_content` calls them "given".

    Parameters
    ----------
    block : MapBlock
        The maps.
    rows : list of int
        Places of maps in the stack.
    """
    stack, configuration = block.stack, block.configuration
    block.end_accumulation(rows, given=True)
    numbers = block.fixed_indices
    for row in rows:
        block.notes[numbers[row]].generation += 1
    redundancy = setting(configuration, "source.redundancy")
    if redundancy is not None:
        seconds = as_seconds(block.info.instrument.integration_time, "integration_time")
        with _once(block, rows, "redundancy", redundancy * seconds) as chosen:
            stack.clip_redundancy(redundancy * seconds, pixels=chosen, n_threads=block.n_threads)
            _brief(block, chosen, "redundancy")
    if setting(configuration, "smooth") is not None and not setting(configuration, "smooth.external"):
        for fwhm in sorted({block.notes[numbers[row]].smoothing for row in rows} - {0.0}):
            alike = [row for row in rows if block.notes[numbers[row]].smoothing == fwhm]
            stack.smooth_to(fwhm, pixels=alike, n_threads=block.n_threads)
            _brief(block, alike, f"smooth {fwhm:.1f}")
    _filter(block, rows, final=True)
    _clip(block, rows)
    if setting(configuration, "source.mem"):
        strength = setting(configuration, "source.mem.lambda")
        with _once(block, rows, "mem", strength) as chosen:
            stack.mem_correct(strength, pixels=chosen, n_threads=block.n_threads)
            _brief(block, chosen, "mem")
    if not setting(configuration, "source.nosync"):
        stack.update_mask(
            setting(configuration, "blank"),
            MIN_NEIGHBORS,
            setting(configuration, "source.sign"),
            pixels=rows,
            n_threads=block.n_threads,
        )
        _brief(block, rows, "mask")


def _clip(block: MapBlock, rows: list[int]) -> None:
    stack, configuration = block.stack, block.configuration
    exposure, noise = setting(configuration, "exposureclip"), setting(configuration, "noiseclip")
    if exposure is not None:
        with _once(block, rows, "exposureclip", exposure) as chosen:
            stack.clip_exposure(exposure, pixels=chosen, n_threads=block.n_threads)
            _brief(block, chosen, "exposureclip")
    if noise is not None:
        with _once(block, rows, "noiseclip", noise) as chosen:
            stack.clip_noise(noise, pixels=chosen, n_threads=block.n_threads)
            _brief(block, chosen, "noiseclip")
    clip = setting(configuration, "clip")
    sign = setting(configuration, "source.sign")
    if block.enable_bias and clip is not None:
        with _once(block, rows, "clip", clip, sign) as chosen:
            stack.clip_significance(clip, sign, pixels=chosen, n_threads=block.n_threads)
            _brief(block, chosen, f"clip {clip:.1f}")


def process_final(block: MapBlock, rows: list[int]) -> None:
    """Level and reweight maps for good, unless the source is extended or faint.

    Parameters
    ----------
    block : MapBlock
        The maps.
    rows : list of int
        Places of maps in the stack.
    """
    block.end_accumulation(rows)
    numbers = block.fixed_indices
    for row in rows:
        block.notes[numbers[row]].history.clear()
    if setting(block.configuration, "extended") or setting(block.configuration, "deep"):
        return
    if block.enable_level:
        block.stack.level(robust=True, pixels=rows, n_threads=block.n_threads)
    if block.enable_weighting:
        block.stack.reweight(robust=True, pixels=rows, n_threads=block.n_threads)
