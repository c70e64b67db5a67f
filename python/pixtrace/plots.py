"""Pictures: what was done to an exposure, and the wiggles of a star's spectrum before and after.

The only module that draws. matplotlib (extra ``plot``) is imported when a figure is asked for; figures are made with
its object interface and the Agg backend, so that no display is needed and the caller's own figures are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._plot_parts import (
    AFTER,
    BEFORE,
    FAINT,
    FINE,
    INK,
    PNG_OPTIONS,
    SPLINE,
    asinh_norm,
    colour_bar,
    headline,
    name_axes,
    new_figure,
    open_frame,
    show,
    style,
)
from pixtrace._plotdata import Cutouts, Views, as_shown, block_mean, native_residual, profile_of, robust_range
from pixtrace.io.atomic import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    from pixtrace.simulate import Wiggles
    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.result import OversampledImage

__all__ = ["exposure_figure", "headline", "new_figure", "save_figure", "style", "wiggles_figure"]

_RESIDUAL_LIMIT = 5.0  # standard deviations at the ends of the colour scale
_OVERVIEW, _WIDE = (320, 760), (400, 760)  # no more pixels than the paper has
_PERCENT = 100.0


def exposure_figure(image: SpectralImage, result: OversampledImage, *, title: str = "") -> Figure:
    """Draw flux, trace, cut-outs of the brightest slice, a profile with data and spline, and residuals.

    Parameters
    ----------
    image : SpectralImage
        The image as it was, shape (n_y, n_x).
    result : OversampledImage
        What became of it; factor 1 (trace only) is fine too, and so is a result without any fit.
    title : str, optional
        Line above everything.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window; see `save_figure`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    views = Views.of(image, result)
    with style():
        figure = new_figure((15.0, 10.6))
        headline(figure, title, _subtitle(views, result), left=0.05)
        overview = figure.add_gridspec(1, 2, left=0.05, right=0.945, top=0.885, bottom=0.645, wspace=0.17)
        cutouts = figure.add_gridspec(1, 4, left=0.05, right=0.945, top=0.565, bottom=0.37, wspace=0.2)
        lower = figure.add_gridspec(
            2, 2, left=0.05, right=0.945, top=0.29, bottom=0.055, wspace=0.17, hspace=0.1, height_ratios=(2.6, 1.0)
        )
        norm = asinh_norm(np.where(image.region_map > 0, image.flux, np.nan))
        name = "Trace" if result.factor == 1.0 else f"Trace, oversampled x {result.factor:g}"
        for index, (plane, label) in enumerate(
            ((image.flux, "Flux"), (result.trace_used * as_shown(image, result), f"{name}, where it is used"))
        ):
            axes = figure.add_subplot(overview[index])
            shown = show(
                axes, block_mean(plane, _OVERVIEW), norm, (-0.5, image.shape[1] - 0.5, -0.5, image.shape[0] - 0.5)
            )
            name_axes(axes, label)
            colour_bar(figure, axes, shown)
            if index == 0 and views.region:
                _mark(axes, views)
        _draw_cutouts(
            figure, [figure.add_subplot(cutouts[index]) for index in range(4)], Cutouts.of(image, result, views), norm
        )
        _draw_profile(figure.add_subplot(lower[0, 0]), figure.add_subplot(lower[1, 0]), image, result, views)
        axes = figure.add_subplot(lower[:, 1])
        _draw_residual(figure, axes, native_residual(image, result, views), views, of_error=image.error is not None)
    return figure


def wiggles_figure(
    wiggles: Wiggles,
    native: npt.NDArray[Any],
    fine: npt.NDArray[Any],
    *,
    title: str = "",
    factor: float = 2.0,
) -> Figure:
    """Draw the spectrum of a star before and after oversampling, each divided by the truth, with pieces of the images.

    Parameters
    ----------
    wiggles : Wiggles
        The spectra, from `pixtrace.simulate.wiggles`.
    native, fine : ndarray of float
        Cut-outs of the star's slice: detector pixels, and the same place oversampled.
    title : str, optional
        Line above everything.
    factor : float, optional
        Oversampling factor, for the labels.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window; see `save_figure`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    spectra = (
        (wiggles.before, wiggles.rms_before, "before", BEFORE),
        (wiggles.after, wiggles.rms_after, f"after oversampling x {factor:g}", AFTER),
    )
    largest = max((rms for _, rms, *_ in spectra if np.isfinite(rms)), default=0.0)
    spread = max(3.2 * _PERCENT * largest, 1.0)
    with style():
        figure = new_figure((12.0, 7.2))
        subtitle = "the spectrum at the star, in one row of the rectified slice; spikes are cosmic rays and bad pixels"
        headline(figure, title, subtitle, left=0.07)
        images = figure.add_gridspec(1, 2, left=0.07, right=0.975, top=0.85, bottom=0.625, wspace=0.1)
        curves = figure.add_gridspec(2, 1, left=0.07, right=0.975, top=0.51, bottom=0.075, hspace=0.34)
        norm = asinh_norm(native)
        extent = (-0.5, native.shape[1] - 0.5, -0.5, native.shape[0] - 0.5)
        for index, (pixels, label) in enumerate(((native, "Detector pixels"), (fine, f"Oversampled x {factor:g}"))):
            axes = figure.add_subplot(images[index])
            show(axes, pixels, norm, extent)
            name_axes(axes, label, ylabel="" if index else "row")
        top: Axes | None = None
        for index, (values, rms, label, colour) in enumerate(spectra):
            axes = figure.add_subplot(curves[index], sharex=top)
            _draw_spectrum(axes, wiggles.wavelength, values, rms, label, colour)
            axes.set_ylim(-spread, spread)
            if top is None:
                top = axes
                axes.tick_params(labelbottom=False)
            else:
                axes.set_xlabel("wavelength [µm]")
    return figure


def save_figure(figure: Figure, path: Path, *, overwrite: bool = False) -> Path:
    """Write a figure as PNG; it is there complete, or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    path : Path
        File to write, ending in ``.png``.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputExistsError
        The file is there and `overwrite` is false.
    OutputError
        It cannot be written.
    """
    with style(), atomic_path(path, overwrite=overwrite) as temporary, temporary.open("wb") as stream:
        figure.savefig(stream, format="png", dpi="figure", pil_kwargs=PNG_OPTIONS)
    return path


def _subtitle(views: Views, result: OversampledImage) -> str:
    """Return what was done, in one line."""
    summary = result.summary
    words = [
        f"{summary.n_regions_fitted} of {summary.n_regions} regions fitted",
        f"{summary.n_columns_fitted} columns fitted",
        f"{summary.n_columns_reused} reused",
        f"{summary.n_columns_skipped} skipped",
        f"{summary.n_pixels_filled} pixels filled",
    ]
    if views.region:
        words.append(f"below: region {views.region}, column {views.column}")
    return "   ·   ".join(words)


def _mark(axes: Axes, views: Views) -> None:
    """Frame the cut-out."""
    from matplotlib.patches import Rectangle

    width, height = views.columns.stop - views.columns.start, views.rows.stop - views.rows.start
    corner = (views.columns.start - 0.5, views.rows.start - 0.5)
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="#38bdf8", linewidth=1.4))


def _draw_cutouts(figure: Figure, all_axes: list[Axes], cutouts: Cutouts, norm: Normalize) -> None:
    """Draw the brightest slice before, after, its trace, and what the trace leaves."""
    from matplotlib.colors import Normalize

    low, high, scatter = robust_range(np.abs(cutouts.rest), highest=98.0)
    limit = max(high, low + scatter)
    panels = (
        (cutouts.native, cutouts.native_extent, "Detector pixels", norm, "magma"),
        (cutouts.fine, cutouts.fine_extent, cutouts.name, norm, "magma"),
        (cutouts.trace, cutouts.fine_extent, "Trace", norm, "magma"),
        (cutouts.rest, cutouts.fine_extent, "Flux minus trace", Normalize(-limit, limit), "RdBu_r"),
    )
    for axes, (plane, extent, title, stretch, colours) in zip(all_axes, panels, strict=True):
        shown = show(axes, plane, stretch, extent, colours)
        name_axes(axes, title, ylabel="row" if axes is all_axes[0] else "")
        if axes is all_axes[-1]:
            colour_bar(figure, axes, shown)


def _draw_profile(
    axes: Axes,
    below: Axes,
    image: SpectralImage,
    result: OversampledImage,
    views: Views,
) -> None:
    """Draw data, spline and oversampled pixels of one column, and data minus spline under it."""
    profile = profile_of(image, result, views)
    axes.plot(
        profile.window_alpha, profile.window_flux, ".", ms=2.2, color=FAINT, label="neighbouring columns", zorder=1
    )
    if profile.spline_alpha.size:
        axes.plot(profile.spline_alpha, profile.spline_flux, color=SPLINE, lw=1.3, label="spline", zorder=2)
    if result.factor != 1.0:
        axes.plot(
            profile.fine_alpha, profile.fine_flux, "o", ms=3.2, mfc="white", color=FINE, label="oversampled", zorder=3
        )
    axes.plot(profile.alpha, profile.flux, "o", ms=5, color=INK, label="detector pixels", zorder=4)
    axes.set_title(f"Profile of column {views.column}, region {views.region}")
    axes.set_ylabel("% of column sum")
    axes.tick_params(labelbottom=False)
    shown = np.concatenate([profile.flux, profile.spline_flux, profile.fine_flux])
    shown = shown[np.isfinite(shown)]
    if shown.size:
        margin = 0.08 * max(float(np.ptp(shown)), 1e-12)
        axes.set_ylim(float(shown.min()) - margin, float(shown.max()) + margin)
    axes.legend(loc="upper right")
    residual = profile.flux - profile.model_at
    below.axhline(0.0, color=SPLINE, lw=1.0)
    below.plot(profile.alpha, residual, "o", ms=3.5, color=INK)
    limit = float(np.nanmax(np.abs(residual))) if np.isfinite(residual).any() else 0.0
    if limit > 0.0:
        below.set_ylim(-1.25 * limit, 1.25 * limit)
    below.set_xlim(axes.get_xlim())
    below.set_xlabel("alpha (along the slice)")
    below.set_ylabel("data - spline")
    for each in (axes, below):
        each.yaxis.set_label_coords(-0.075, 0.5)
    for each in (axes, below):
        open_frame(each)


def _draw_residual(
    figure: Figure, axes: Axes, residual: npt.NDArray[np.float64], views: Views, *, of_error: bool
) -> None:
    """Draw data minus spline over the whole slice."""
    from matplotlib.colors import Normalize

    norm = Normalize(-_RESIDUAL_LIMIT, _RESIDUAL_LIMIT)
    extent = (-0.5, residual.shape[1] - 0.5, views.band.start - 0.5, views.band.stop - 0.5)
    shown = show(axes, block_mean(residual, _WIDE), norm, extent, "RdBu_r")
    name_axes(axes, f"Residuals: detector pixels minus spline, region {views.region}")
    colour_bar(figure, axes, shown, "in units of the error" if of_error else "in robust standard deviations")


def _draw_spectrum(
    axes: Axes,
    wavelength: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    rms: float,
    label: str,
    colour: str,
) -> None:
    """Draw a spectrum relative to its median."""
    finite = values[np.isfinite(values)]
    centre = float(np.median(finite)) if finite.size else 1.0
    axes.axhline(0.0, color=FAINT, lw=0.8)
    axes.plot(wavelength, _PERCENT * (values / centre - 1.0), color=colour, lw=1.1)
    axes.set_xlim(wavelength[0], wavelength[-1])
    axes.set_ylabel("off the truth [%]")
    axes.set_title(label[0].upper() + label[1:], color=colour)
    axes.set_title(f"rms {_PERCENT * rms:.2f} %", loc="right", color=colour, fontsize=11, fontweight="bold")
    open_frame(axes)
