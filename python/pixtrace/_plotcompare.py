"""The picture of a comparison of two implementations: differences by plane and region, and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pixtrace.plots import headline, new_figure, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["comparison_figure"]

_LEAST, _MOST = -16.0, 0.0  # decades of the colour scale
_THEIRS, _OURS = "#9aa3af", "#0f766e"
_LABELS: Final = 40
_CHARACTER: Final = 0.0058  # width of a letter of a label, as a fraction of the figure's


def comparison_figure(
    cells: Sequence[tuple[str, int, float, int]],
    times: Sequence[tuple[str, float, float]],
    *,
    title: str,
    subtitle: str,
    peer: str,
    place: str,
) -> Figure:
    """Draw how far two products are apart, and how long they took.

    Parameters
    ----------
    cells : sequence of (str, int, float, int)
        What was compared, number of the region or pixel, largest relative difference there, and number of values that
        are missing in one alone.
    times : sequence of (str, float, float)
        What was done, and the seconds that the reference and pixtrace took for it; NaN if it cannot do that.
    title, subtitle : str
        Lines above everything.
    peer : str
        Name of the reference.
    place : str
        What the numbers in the cells are of: "region" or "pixel".

    Returns
    -------
    matplotlib.figure.Figure
        See `pixtrace.plots.save_figure`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    left = max(0.08, 0.015 + _CHARACTER * max((len(cell[0]) for cell in cells), default=0))
    with style():
        figure = new_figure((13.0, 6.4))
        headline(figure, title, subtitle, left=left)
        grid = figure.add_gridspec(1, 2, left=left, right=0.965, top=0.83, bottom=0.11, wspace=0.5, width_ratios=(3, 2))
        _draw_differences(figure, figure.add_subplot(grid[0]), cells, place)
        _draw_times(figure.add_subplot(grid[1]), times, peer)
    return figure


def _draw_differences(figure: Figure, axes: Axes, cells: Sequence[tuple[str, int, float, int]], place: str) -> None:
    planes = list(dict.fromkeys(cell[0] for cell in cells))
    regions = sorted({cell[1] for cell in cells})
    plane = np.full((max(len(planes), 1), max(len(regions), 1)), np.nan)
    for name, region, relative, n_missing in cells:
        at = planes.index(name), regions.index(region)
        plane[at] = max(np.log10(relative), _LEAST) if relative > 0 else _LEAST
        if n_missing:
            axes.text(at[1], at[0], str(n_missing), ha="center", va="center", fontsize=7, color="white")
    shown = axes.imshow(plane, vmin=_LEAST, vmax=_MOST, cmap="viridis", aspect="auto", interpolation="nearest")
    every = -(-len(regions) // _LABELS) if regions else 1
    axes.set_xticks(range(0, len(regions), every), [str(region) for region in regions[::every]], rotation=90)
    axes.set_yticks(range(len(planes)), planes)
    axes.set_xlabel(place)
    axes.set_title("Largest relative difference (number: missing in one alone)")
    bar = figure.colorbar(shown, ax=axes, pad=0.015, fraction=0.045)
    bar.set_label("decades; the darkest are equal")


def _draw_times(axes: Axes, times: Sequence[tuple[str, float, float]], peer: str) -> None:
    places = np.arange(len(times), dtype=np.float64)
    theirs, ours = (np.array([row[i] for row in times], dtype=np.float64) for i in (1, 2))
    axes.barh(places - 0.2, theirs, 0.38, color=_THEIRS, label=peer)
    axes.barh(places + 0.2, ours, 0.38, color=_OURS, label="pixtrace")
    for at, slow, fast in zip(places.tolist(), theirs.tolist(), ours.tolist(), strict=True):
        if fast > 0 and np.isfinite(slow):
            axes.text(fast * 1.15, at + 0.2, f"{slow / fast:.0f} x", va="center", color=_OURS, fontweight="bold")
    axes.set_xscale("log")
    axes.set_yticks(places.tolist(), [row[0] for row in times])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.set_title("Time")
    axes.legend(loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
