"""The loop: clean, map, fit, until positions and gains settle."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pixtrace.exceptions import DataError
from pixtrace.scan.beam_shape import misfit
from pixtrace.scan.combination import pointing_between, without_strangers
from pixtrace.scan.configuration import setting
from pixtrace.scan.disc import fitted_width
from pixtrace.scan.fits import PixelFits
from pixtrace.scan.flags import ChannelFlag, FitFlag
from pixtrace.scan.parts import Part, fitted_into_memory, make_parts
from pixtrace.scan.refinement import refine_fits
from pixtrace.scan.stamps import cut_stamps

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from pixtrace.scan.pixel_map import PixelMap
    from pixtrace.scan.reduction import Reduction

__all__ = ["LoopState", "Progress", "RoundRecord", "compare_rounds", "run_rounds"]

_log = logging.getLogger("pixtrace.scan")
#: Standard errors by which a pixel may move to and fro between the same two places: a sample that is taken for a glitch
#: in every other round does that to it. The middle is then no farther from either than a tenth of the error.
_SWING = 0.2
_AVERAGED = ("x", "y", "peak", "fwhm_major", "fwhm_minor", "level")
_STUCK = 4  # rounds in which nothing changed
_NEARLY_ALL = 0.95  # of the pixels that were found
_SMALLEST_STEP = 1e-4  # of the FWHM, and of the amplitude: nobody asks for more


class Progress(Protocol):
    """Whoever wants to know how far it has come."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Take the name of the stage, the steps that are done, and all of them."""
        ...


@dataclass(frozen=True)
class RoundRecord:
    """What one round came to.

    Attributes
    ----------
    number : int
        From 1 on.
    n_found : int
        Pixels in which the source was found.
    n_settled : int
        Those of them that have not moved by more than the limits since the round before.
    largest_step : float
        Median over the pixels of how far they moved [standard errors]; NaN in the first round.
    """

    number: int
    n_found: int
    n_settled: int
    largest_step: float


@dataclass
class LoopState:
    """All that a loop needs in order to go on with the next round.

    Attributes
    ----------
    fits : list of PixelFits
        What was found last, one for each part (integration of a scan).
    before : list of PixelFits
        What was found in the round before that.
    shift : ndarray of float64, shape (n_parts, 2)
        Pointing of each part against the first [arcsec].
    misfit : list of float
        By how much the source differs from a Gaussian in each part, see `beam_shape.misfit`.
    shift_before : ndarray of float64, shape (n_parts, 2)
    misfit_before : list of float
        The same before the last round, with which its maps were made.
    records : list of RoundRecord
        Rounds so far.
    is_settled : bool
        Whether all pixels have settled.
    """

    fits: list[PixelFits] = field(default_factory=list[PixelFits])
    before: list[PixelFits] = field(default_factory=list[PixelFits])
    shift: Any = None
    misfit: list[float] = field(default_factory=list[float])
    shift_before: Any = None
    misfit_before: list[float] = field(default_factory=list[float])
    records: list[RoundRecord] = field(default_factory=list[RoundRecord])
    is_settled: bool = False


def run_rounds(
    reduction: Reduction,
    *,
    state: LoopState | None = None,
    progress: Progress | None = None,
    keep: Callable[[LoopState], None] | None = None,
    n_threads: int | None = None,
    scratch: str | os.PathLike[str] | None = None,
) -> tuple[LoopState, list[Part]]:
    """Clean, map and fit until all pixels have settled or the rounds are used up.

    Parameters
    ----------
    reduction : Reduction
        Scans with options; its `source` becomes the maps of the last round.
    state : LoopState, optional
        Where an earlier loop on the same scans stopped.
    progress : callable, optional
        See `Progress`.
    keep : callable, optional
        Is given the state after each round, to be kept on a disk.
    n_threads : int, optional
        Threads; by default those of the caller's pool.
    scratch : path-like, optional
        Folder for cleaned signals while they do not fit into memory; by default that of temporary files.

    Returns
    -------
    LoopState
        The state after the last round.
    list of Part
        The integrations as they were cleaned last.
    """
    configuration = reduction.configuration
    most = max(1, int(setting(configuration, "rounds") or 1))
    least = min(most, int(setting(configuration, "rounds.least") or 1))
    model = reduction.init_source_model()
    if n_threads is not None:
        model.set_parallel(n_threads)
    parts = make_parts(reduction.scans)
    if not any(part.n_usable for part in parts):
        raise DataError(_nothing_usable(parts))
    state = LoopState() if state is None else state
    if state.shift is None or len(state.fits) not in {0, len(parts)}:
        state = LoopState(shift=np.zeros((len(parts), 2)))
    with fitted_into_memory(parts, model, expected_width(model), scratch):
        _go_round(model, parts, state, (least, most), progress or _silent, keep, n_threads)
    return state, parts


def _go_round(
    model: PixelMap,
    parts: list[Part],
    state: LoopState,
    limits: tuple[int, int],
    say: Progress,
    keep: Callable[[LoopState], None] | None,
    n_threads: int | None,
) -> None:
    """Do one round after the other until there is nothing left to be done; `limits` are the least and the most."""
    if _is_over(state, *limits):
        # It was interrupted after the last round: all that is missing are the maps of that round.
        say("rounds", len(state.records) - 1, len(state.records))
        last = LoopState(fits=list(state.before), shift=state.shift_before, misfit=state.misfit_before)
        _round(model, parts, last, say, n_threads)
        say("rounds", len(state.records), len(state.records))
        return
    _, most = limits
    while True:
        number = len(state.records) + 1
        say("rounds", number - 1, most)
        previous = list(state.fits)
        state.shift_before, state.misfit_before = state.shift.copy(), state.misfit
        state.fits = _round(model, parts, state, say, n_threads)
        if len(parts) > 1:
            for k in range(1, len(parts)):
                moved = pointing_between(state.fits[k], state.fits[0])
                state.shift[k] += moved
                if (stamps := parts[k].stamps) is not None:
                    parts[k].stamps = stamps.moved(-moved)
                state.fits[k] = replace(state.fits[k], x=state.fits[k].x - moved[0], y=state.fits[k].y - moved[1])
        record, state.is_settled = compare_rounds(number, [previous, state.before], state.fits, model.configuration)
        state.before = previous
        state.records.append(record)
        step = "" if math.isnan(record.largest_step) else f", median step {record.largest_step:.3g} of the error"
        usable = sum(part.n_usable for part in parts[:1])
        _log.info(
            "round %d: %d of %d pixels found, %d settled%s", number, record.n_found, usable, record.n_settled, step
        )
        if keep is not None:
            keep(state)
        if _is_over(state, *limits):
            break
    say("rounds", most, most)


def _is_over(state: LoopState, least: int, most: int) -> bool:
    """Tell whether there is nothing left to be done."""
    number = len(state.records)
    return number > 0 and (((state.is_settled or is_stuck(state.records)) and number >= least) or number >= most)


def is_stuck(records: Sequence[RoundRecord]) -> bool:
    """Tell whether more rounds would change nothing: a few pixels move, and none of them has settled for some rounds.

    Parameters
    ----------
    records : sequence of RoundRecord
        The rounds so far.

    Returns
    -------
    bool
        True if the last four rounds found and settled the same number of pixels, nearly all.
    """
    last = records[-_STUCK:]
    same = len({(record.n_found, record.n_settled) for record in last}) == 1
    return len(last) == _STUCK and same and last[0].n_settled >= _NEARLY_ALL * last[0].n_found > 0


def _silent(stage: str, done: int, total: int) -> None:
    """Say nothing."""
    del stage, done, total


def _round(
    model: PixelMap, parts: list[Part], state: LoopState, say: Progress, n_threads: int | None
) -> list[PixelFits]:
    """Clean, map and fit all parts once, and note how much the source differs from a Gaussian."""
    model.clear_content()
    model.clear_process_brief()
    expected = expected_width(model)
    found: list[PixelFits] = []
    misfits: list[float] = []

    def tell(done: int, total: int) -> None:
        say("pixels fitted", done, total)

    alone = len(parts) == 1
    for k, part in enumerate(parts):
        own = model if alone else model.get_clean_local_copy()
        part.misfit = state.misfit[k] if state.misfit else 0.0
        known = state.fits[k] if state.fits else None
        for cleaned in part.cleaned(known, state.shift[k], expected, model, n_threads):
            model.add_integration(cleaned)
            if not alone:
                own.add_integration(cleaned)
        if not part.cut.is_whole:
            own.empty_maps(part.flagged_pixels())
        own.process()
        fits = without_strangers(own.fit_pixels(), expected)
        if bool(setting(model.configuration, "rounds.timestream")):
            refined = refine_fits(part.blocks(), fits, known, n_threads=n_threads, progress=tell)
            fits = without_strangers(refined, expected)
        found.append(fits)
        misfits.append(misfit(own.need_block(), fits))
        if setting(model.configuration, "source.model") == "map":
            # Not farther than nothing is learned from: what was learned wrongly there would stay in the maps.
            part.stamps = cut_stamps(own.need_block(), fits, float(setting(model.configuration, "rounds.blank")))
    if not alone:
        model.process()
    state.misfit = misfits
    return found


def expected_width(model: PixelMap) -> float:
    """Return the FWHM of the Gaussian that the source should show [arcsec], NaN if the beam is not known."""
    beam = model.get_point_size()
    diameter = setting(model.configuration, "source.diameter")
    if not math.isfinite(beam) or not diameter:
        return beam
    return fitted_width(beam, float(diameter))


def compare_rounds(
    number: int, rounds: list[list[PixelFits]], fits: list[PixelFits], configuration: Any
) -> tuple[RoundRecord, bool]:
    """Mark the pixels that have not settled since the round before, and say how many have.

    A pixel that goes to and fro between two places that are near each other is put in their middle.

    Parameters
    ----------
    number : int
        Of this round.
    rounds : list of two lists of PixelFits
        What the round before found in each part, and the one before that; empty lists where there was none.
    fits : list of PixelFits
        What this round found; `FitFlag.UNSETTLED` is set or taken away, and values of pixels that go to and fro change.
    configuration : Configuration
        The options.

    Returns
    -------
    RoundRecord
        What this round came to.
    bool
        Whether all pixels have settled.
    """
    limit_position = float(setting(configuration, "rounds.position"))
    limit_gain = float(setting(configuration, "rounds.gain"))
    previous, earlier = rounds
    n_found = n_settled = 0
    everything = bool(previous)
    steps: list[npt.NDArray[np.float64]] = []
    for k, now in enumerate(fits):
        is_found = now.is_found
        settled = np.zeros(is_found.shape, dtype=bool)
        if previous:
            before = previous[k]
            at, both, step, growth = _steps(now, before)
            settled = both & (step <= limit_position) & (growth <= limit_gain)
            if earlier:
                _, again, swing, growth_of_swing = _steps(now, earlier[k])
                is_back = both & again & (swing <= limit_position) & (growth_of_swing <= limit_gain)
                swings = is_back & (step <= _SWING) & (growth <= _SWING) & ~settled
                settled |= swings
                for name in _AVERAGED:
                    values, others = getattr(now, name), getattr(before, name)
                    values[swings] = 0.5 * (values[swings] + others[at[swings]])
            steps.append(step[both])
            # A pixel that was found and is no more, or the other way round, has not settled either.
            lost = (at >= 0) & ~is_found
            lost[lost] &= before.is_found[at[lost]]
            everything &= not lost.any()
        now.flag[is_found & ~settled] |= int(FitFlag.UNSETTLED)
        now.flag[settled] &= ~int(FitFlag.UNSETTLED)
        n_found, n_settled = n_found + int(is_found.sum()), n_settled + int(settled.sum())
        everything &= bool(settled[is_found].all())
    moved = np.concatenate(steps) if steps else np.zeros(0)
    middle = float(np.median(moved)) if moved.size else math.nan
    return RoundRecord(number, n_found, n_settled, middle), everything


def _steps(
    now: PixelFits, before: PixelFits
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compare two rounds.

    Parameters
    ----------
    now, before : PixelFits
        Fits of the same part.

    Returns
    -------
    at : ndarray of int64, shape (n,)
        Where the pixels of `now` stand in `before`, -1 for none.
    both : ndarray of bool, shape (n,)
        Whether the source was found in both.
    step, growth : ndarray of float64, shape (n,)
        How far pixels moved, and how much their amplitudes changed [standard errors].
    """
    at = before.places_of(now.fixed_index)
    both = (at >= 0) & now.is_found
    both[both] &= before.is_found[at[both]]
    if len(before) == 0:
        return at, both, np.full(at.size, np.inf), np.full(at.size, np.inf)
    width = np.sqrt(now.fwhm_major * now.fwhm_minor)
    with np.errstate(invalid="ignore", divide="ignore"):
        fine = np.fmax(np.hypot(now.x_error, now.y_error) / math.sqrt(2.0), _SMALLEST_STEP * width)
        step = np.hypot(now.x - before.x[at], now.y - before.y[at]) / fine
        fine = np.fmax(now.peak_error, _SMALLEST_STEP * np.abs(now.peak))
        growth = np.abs(now.peak - before.peak[at]) / fine
    return at, both, step, growth


def _nothing_usable(parts: list[Part]) -> str:
    flags = np.concatenate([part.channel_flag for part in parts])
    dead = int(((flags & int(ChannelFlag.DEAD)) != 0).sum())
    blind = int(((flags & int(ChannelFlag.BLIND)) != 0).sum())
    return (
        f"none of the {flags.size} channels can be used: {dead} give a constant or no signal at all, {blind} are blind "
        f"or switched off; look at the bias of the detectors, and at whether this is the right file"
    )
