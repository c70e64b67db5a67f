"""Pictures of how good the trace of an exposure is: columns, slices, residuals, spectra."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._plot_parts import (
    AFTER,
    BEFORE,
    FAINT,
    INK,
    MISSING,
    SOFT,
    asinh_norm,
    colour_bar,
    headline,
    name_axes,
    new_figure,
    open_frame,
    show,
    style,
)
from pixtrace._plotdata import block_mean
from pixtrace._plotdata_quality import REFUSED, STATES, ColumnMaps, histogram, straightened
from pixtrace.trace.wiggle import smooth_continuum

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pixtrace._plotdata_quality import Assessment
    from pixtrace.trace.quality import RegionQuality, SliceSpectrum

__all__ = ["columns_figure", "residuals_figure", "slices_figure", "spectra_figure"]

#: Colours of `STATES`.
_COLOURS: dict[str, str] = dict(
    zip(STATES, ("#0f766e", "#5eead4", "#f59e0b", "#818cf8", "#dc2626", "#7f1d1d", "#e5e7eb"), strict=True)
)
_OUTSIDE = "#ffffff"
_LIMIT = 5.0  # errors at the ends of scales
_CHI2_TICKS = (0.25, 0.5, 1.0, 2.0, 4.0)
_MOST_NAMES = 40
_DETECTOR, _SLICE = (460, 760), (60, 900)  # no more pixels than the paper has
_N_SLICES = 4
_N_SPECTRA = 3
_PERCENT = 100.0


def columns_figure(assessments: Sequence[Assessment], *, title: str = "") -> Figure:
    """Draw where the spline of each column comes from, and how well the column is fitted.

    Parameters
    ----------
    assessments : sequence of Assessment
        The images of an exposure.
    title : str, optional
        Line above everything.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window; see `pixtrace.plots.save_figure`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    maps = ColumnMaps.of(assessments)
    with style():
        from matplotlib.colors import ListedColormap, LogNorm
        from matplotlib.patches import Patch

        height = min(max(2.6 + 0.12 * len(maps.names), 3.4), 9.0)
        figure = new_figure((15.0, height))
        headline(figure, title, "one line for each slice or slit, one point for each column", left=0.05)
        grid = figure.add_gridspec(
            1, 2, left=0.05, right=0.945, top=1.0 - 0.95 / height, bottom=0.85 / height, wspace=0.13
        )
        extent = (-0.5, maps.state.shape[1] - 0.5, -0.5, maps.state.shape[0] - 0.5)
        common: dict[str, Any] = {"extent": extent, "origin": "lower", "aspect": "auto", "interpolation": "nearest"}
        axes = figure.add_subplot(grid[0])
        colours = ListedColormap([_OUTSIDE, *_COLOURS.values()])
        axes.imshow(maps.state, cmap=colours, vmin=-1.5, vmax=len(STATES) - 0.5, **common)
        _name_regions(axes, maps.names)
        name_axes(axes, "Where the spline of each column comes from", ylabel="slice or slit")
        there = [name for code, name in enumerate(STATES) if (maps.state == code).any()]
        figure.legend(
            handles=[Patch(facecolor=_COLOURS[name], edgecolor=SOFT, linewidth=0.4, label=name) for name in there],
            loc="lower left",
            bbox_to_anchor=(0.045, 0.0),
            ncols=max(len(there), 1),
            columnspacing=1.2,
            handlelength=1.0,
        )
        axes = figure.add_subplot(grid[1])
        shown = show(axes, maps.chi2, LogNorm(_CHI2_TICKS[0], _CHI2_TICKS[-1]), extent, "RdBu_r")
        _name_regions(axes, maps.names)
        name_axes(axes, "Reduced chi2 of each column", ylabel="")
        bar = colour_bar(figure, axes, shown)
        bar.set_ticks(_CHI2_TICKS, labels=[f"{value:g}" for value in _CHI2_TICKS], minor=False)
        bar.minorticks_off()
        if not np.isfinite(maps.chi2).any():
            _say(axes, "no chi2: nothing was fitted, or there are no errors")
    return figure


def slices_figure(assessment: Assessment, *, title: str = "") -> Figure:
    """Draw the brightest slices, pushed together, with the ranges where the spline is used, and their residuals.

    Parameters
    ----------
    assessment : Assessment
        The image.
    title : str, optional
        Line above everything.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window; see `pixtrace.plots.save_figure`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    quality, labels = assessment.quality, assessment.image.region_map
    regions = quality.brightest(_N_SLICES)
    with style():
        height = 1.5 + 1.75 * max(len(regions), 1)
        figure = new_figure((15.0, height))
        subtitle = "the brightest slices, each column from its first pixel on; inside the lines the spline is used"
        headline(figure, title, subtitle, left=0.05)
        rows = max(len(regions), 1)
        grid = figure.add_gridspec(
            rows, 2, left=0.05, right=0.945, top=1.0 - 0.95 / height, bottom=0.5 / height, wspace=0.13, hspace=0.42
        )
        for row, region in enumerate(regions):
            axes = [figure.add_subplot(grid[row, side]) for side in range(2)]
            flux, residual, compact = (
                straightened(plane, labels, region.region)
                for plane in (assessment.image.flux, quality.residual, quality.is_compact)
            )
            _draw_slice(figure, axes, region, flux, residual, compact, of_error=quality.has_errors)
            if row < rows - 1:
                for each in axes:
                    each.set_xlabel("")
        if not regions:
            _say(figure.add_subplot(grid[0, 0]), "no slice has data")
    return figure


def residuals_figure(assessment: Assessment, *, title: str = "") -> Figure:
    """Draw the residuals of a whole image in units of the errors, and their distribution beside the unit normal.

    Parameters
    ----------
    assessment : Assessment
        The image.
    title : str, optional
        Line above everything.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window; see `pixtrace.plots.save_figure`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    quality = assessment.quality
    with style():
        from matplotlib.colors import Normalize

        figure = new_figure((15.0, 6.4))
        headline(figure, title, "detector pixels minus model, wherever there is a model", left=0.05)
        grid = figure.add_gridspec(
            1, 2, left=0.05, right=0.975, top=0.86, bottom=0.095, wspace=0.2, width_ratios=(1.55, 1.0)
        )
        axes = figure.add_subplot(grid[0])
        n_y, n_x = quality.residual.shape
        extent = (-0.5, n_x - 0.5, -0.5, n_y - 0.5)
        shown = show(axes, block_mean(quality.residual, _DETECTOR), Normalize(-_LIMIT, _LIMIT), extent, "RdBu_r")
        name_axes(axes, "Residuals")
        unit = "in units of the error" if quality.has_errors else "in robust standard deviations"
        colour_bar(figure, axes, shown, unit)
        axes = figure.add_subplot(grid[1])
        _draw_pulls(axes, assessment)
    return figure


def spectra_figure(assessment: Assessment, *, title: str = "") -> Figure:
    """Draw the spectra in the brightest rows of the brightest slices, relative to a smooth continuum.

    Parameters
    ----------
    assessment : Assessment
        The image.
    title : str, optional
        Line above everything.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window; see `pixtrace.plots.save_figure`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    spectra = assessment.spectra[:_N_SPECTRA]
    factor = assessment.result.factor
    rows = max(len(spectra), 1)
    with style():
        height = 1.6 + 1.7 * rows
        figure = new_figure((15.0, height))
        subtitle = "in one row of each of the brightest slices, at the peak of its profile; relative to the continuum"
        headline(figure, title, subtitle, left=0.05)
        grid = figure.add_gridspec(
            rows, 2, left=0.05, right=0.975, top=1.0 - 1.0 / height, bottom=0.55 / height, wspace=0.1, hspace=0.45
        )
        for row, spectrum in enumerate(spectra):
            limit = _spread(spectrum)
            _draw_spectrum(
                figure.add_subplot(grid[row, 0]),
                spectrum.before,
                spectrum.rms_before,
                f"Slice {spectrum.region}, detector pixels",
                BEFORE,
                limit,
                is_last=row == rows - 1,
            )
            _draw_spectrum(
                figure.add_subplot(grid[row, 1]),
                spectrum.after,
                spectrum.rms_after,
                f"Slice {spectrum.region}, oversampled x {factor:g}" if factor != 1.0 else "Not oversampled",
                AFTER,
                limit,
                is_last=row == rows - 1,
            )
        if not spectra:
            _say(figure.add_subplot(grid[0, 0]), "no slice has data")
    return figure


def _name_regions(axes: Axes, names: Sequence[str]) -> None:
    step = max(-(-len(names) // _MOST_NAMES), 1)
    places = list(range(0, len(names), step))
    axes.set_yticks(places, [names[place] for place in places], fontsize=6.5)


def _say(axes: Axes, words: str) -> None:
    """Write in the middle of an empty picture why it is empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, words, ha="center", va="center", color=SOFT, transform=axes.transAxes)


def _draw_slice(
    figure: Figure,
    all_axes: Sequence[Axes],
    region: RegionQuality,
    flux: npt.NDArray[np.float64],
    residual: npt.NDArray[np.float64],
    compact: npt.NDArray[np.float64],
    *,
    of_error: bool,
) -> None:
    """Draw a slice, where its spline is used, and its residuals."""
    from matplotlib.colors import Normalize

    extent = (-0.5, flux.shape[1] - 0.5, -0.5, flux.shape[0] - 0.5)
    shown = show(all_axes[0], block_mean(flux, _SLICE), asinh_norm(flux), extent)
    name_axes(all_axes[0], f"Slice {region.region}{f': {REFUSED}' if region.refused else ''}", ylabel="pixel of slice")
    colour_bar(figure, all_axes[0], shown)
    used = compact > 0.0
    if used.any() and not used.all() and min(used.shape) > 1:
        all_axes[0].contour(used.astype(np.float64), levels=[0.5], colors="#38bdf8", linewidths=0.9, extent=extent)
    what = "the spline is used everywhere" if used[np.isfinite(flux)].all() else f"spline used in {_share(used, flux)}"
    all_axes[0].set_title(what if used.any() else "the spline is used nowhere", loc="right", color=SOFT, fontsize=8.5)
    shown = show(all_axes[1], block_mean(residual, _SLICE), Normalize(-_LIMIT, _LIMIT), extent, "RdBu_r")
    name_axes(all_axes[1], "Residuals", ylabel="")
    colour_bar(figure, all_axes[1], shown, "errors" if of_error else "std")
    if math.isfinite(region.median_chi2):
        all_axes[1].set_title(f"median chi2 {region.median_chi2:.2f}", loc="right", color=SOFT, fontsize=8.5)


def _share(used: npt.NDArray[np.bool_], flux: npt.NDArray[np.float64]) -> str:
    """Return which part of the pixels with data is used."""
    known = np.isfinite(flux)
    return f"{used[known].mean() if known.any() else 0.0:.0%}"


def _draw_pulls(axes: Axes, assessment: Assessment) -> None:
    """Draw the distribution of the residuals and the unit normal."""
    quality = assessment.quality
    x = np.linspace(-_LIMIT, _LIMIT, 400)
    density, edges = histogram(quality.residual, limit=_LIMIT, n_bins=50)
    axes.stairs(density, edges, fill=True, color="#99d5cf", label="residuals")
    axes.plot(x, np.exp(-0.5 * x**2) / math.sqrt(2.0 * math.pi), color=INK, lw=1.2, label="unit normal")
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 1.0)
    axes.set_xlim(-_LIMIT, _LIMIT)
    axes.set_xlabel("residual / error" if quality.has_errors else "residual / robust standard deviation")
    axes.set_ylabel("density; the last bins hold what lies beyond")
    axes.set_title("Error pulls" if quality.has_errors else "No error plane: this tells nothing of errors")
    axes.legend(loc="upper right")
    pulls = quality.pulls
    if pulls.n:
        words = (
            f"{pulls.n} pixels\nmedian {pulls.bias:+.3f}\nwidth {pulls.width:.3f}\n"
            f"within 1: {pulls.within_1:.1%} (68.3%)\nwithin 2: {pulls.within_2:.1%} (95.4%)"
        )
        axes.text(0.03, 0.97, words, ha="left", va="top", color=INK, fontsize=8.5, transform=axes.transAxes)
    open_frame(axes)


def _spread(spectrum: SliceSpectrum) -> float:
    """Return how many per cent to show on either side of the continuum."""
    known = [rms for rms in (spectrum.rms_before, spectrum.rms_after) if math.isfinite(rms)]
    return max(3.2 * _PERCENT * max(known, default=0.0), 1.0)


def _draw_spectrum(
    axes: Axes,
    values: npt.NDArray[np.float64],
    rms: float,
    label: str,
    colour: str,
    limit: float,
    *,
    is_last: bool,
) -> None:
    continuum = smooth_continuum(values)
    relative = np.divide(values, continuum, out=np.full_like(values, np.nan), where=continuum > 0.0)
    axes.axhline(0.0, color=FAINT, lw=0.8)
    axes.plot(_PERCENT * (relative - 1.0), color=colour, lw=0.9)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_ylim(-limit, limit)
    axes.set_ylabel("off [%]")
    axes.set_title(label, color=colour)
    right = f"rms {_PERCENT * rms:.2f} %" if math.isfinite(rms) else "no spectrum"
    axes.set_title(right, loc="right", color=colour, fontsize=10, fontweight="bold")
    if is_last:
        axes.set_xlabel("column (dispersion)", labelpad=2)
    axes.set_facecolor("white" if math.isfinite(rms) else MISSING)
    open_frame(axes)
