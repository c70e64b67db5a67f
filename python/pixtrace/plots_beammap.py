"""Pictures of a beam map: the array, its beams, the mean beam, histograms, and pages of single pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._plotdata_beammap import cut_out_side, cut_outs, displacement, gallery_pixels, mean_beam, page_of
from pixtrace.exceptions import ParameterError
from pixtrace.plots import new_figure, style

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from pixtrace.scan.beam_map import BeamMap

__all__ = ["gallery_figure", "geometry_figure", "histogram_figure", "mean_beam_figure", "pixel_figure"]

_INK, _SOFT, _FAINT, _ACCENT, _BAD = "#1f2937", "#6b7280", "#c4c9d1", "#0f766e", "#dc2626"
_MISSING = {"magma": "#334155", "RdBu_r": "#9ca3af"}  # cells without data, not to be taken for faint or bright ones
_TILE = 1.0  # side of a beam in the gallery [inches]
_MARKS = ("x", "+", "^", "v", "D", "*", ".")  # of pixels that were not measured, by reason


def geometry_figure(found: BeamMap) -> Figure:
    """Draw where pixels are against where they were thought to be, coloured by coupling; bad ones are crossed out.

    Parameters
    ----------
    found : BeamMap
        The result.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    from matplotlib.collections import LineCollection

    table, good = found.table, found.is_good
    nominal = np.stack([table.extra["nominal_x"].values, table.extra["nominal_y"].values])
    away = displacement(found)
    seen = nominal + away
    with style():
        figure = new_figure((8.6, 8.4))
        axes = figure.add_axes((0.09, 0.155, 0.77, 0.79))
        size = _marker_size(nominal)
        axes.plot(*nominal[:, good], "s", ms=size, mfc="none", mec=_FAINT, mew=0.6, label="nominal")
        for (reason, rows), mark in zip(_by_reason(found), _MARKS, strict=False):
            axes.plot(
                *nominal[:, rows],
                mark,
                ms=0.6 * size,
                mec=_BAD,
                mfc="none",
                mew=0.8,
                alpha=0.6 if 2 * rows.size > good.size else 1.0,
                label=f"{reason} ({rows.size})",
            )
        if good.any():
            ways = np.stack([nominal[:, good].T, seen[:, good].T], axis=1)
            axes.add_collection(LineCollection(list(ways), colors=_SOFT, linewidths=0.6, zorder=2))
            dots = axes.scatter(
                seen[0, good], seen[1, good], c=table.coupling[good], s=0.5 * size**2, cmap="viridis", zorder=3
            )
            box = axes.get_position()
            _colour_bar(figure, dots, (box.x1 + 0.015, box.y0, 0.018, box.height), "coupling")
        rms = float(np.sqrt(np.nanmean(away[:, good] ** 2))) if good.any() else math.nan
        title = f"{found.n_good} of {table.n_pixels} pixels measured"
        axes.set_title(title + (f"; off nominal by {rms:.2f} arcsec rms in each axis" if good.any() else ""))
        _focal_plane(axes)
        axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.075), ncols=3, borderaxespad=0.0, labelspacing=0.9)
    return figure


def _by_reason(found: BeamMap) -> list[tuple[str, npt.NDArray[np.int64]]]:
    """Return why pixels were not measured, and which; no more reasons than there are marks."""
    rows = np.flatnonzero(~found.is_good)
    of_row = np.array([found.reason(int(row)).partition(";")[0] for row in rows])
    names = list(dict.fromkeys(reason.partition(";")[0] for reason in found.reasons))
    groups = [(name, rows[of_row == name]) for name in names]
    if len(groups) <= len(_MARKS):
        return groups
    head, rest = groups[: len(_MARKS) - 1], groups[len(_MARKS) - 1 :]
    return [*head, ("other reasons", np.concatenate([some for _, some in rest]))]


def gallery_figure(found: BeamMap) -> Figure:
    """Draw the beams of single pixels side by side, each in units of its height.

    Parameters
    ----------
    found : BeamMap
        The result.

    Returns
    -------
    matplotlib.figure.Figure
        Up to 64 beams from all over the array.
    """
    from matplotlib.patches import Rectangle

    rows = gallery_pixels(found)
    n_columns = max(1, min(8, math.ceil(math.sqrt(max(rows.size, 1)))))
    n_rows = max(1, math.ceil(rows.size / n_columns))
    with style():
        size = (max(1.15 * n_columns + 0.25, 5.6), 1.28 * n_rows + 0.7)
        figure = new_figure(size)
        shown = "all" if rows.size == found.n_good else f"{rows.size} of {found.n_good}"
        title = f"Beams of {shown} pixels, each in units of its height"
        if rows.size:
            title += f"; {cut_out_side(found):.0f} arcsec a side"
        figure.suptitle(title, x=0.02, ha="left", fontsize=10)
        # One sheet [inches] for all: as many axes of their own would take ten times as long to draw.
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), frameon=False, xticks=[], yticks=[])
        for k, (row, image) in enumerate(zip(rows, cut_outs(found, rows), strict=True)):
            left, top = 0.2 + 1.15 * (k % n_columns), size[1] - 0.75 - 1.28 * (k // n_columns)
            if image is not None:
                extent = (left, left + _TILE, top - _TILE, top)
                axes.imshow(image, origin="lower", cmap=_colours("magma"), vmin=-0.05, vmax=1.0, extent=extent)
            axes.add_patch(Rectangle((left, top - _TILE), _TILE, _TILE, fill=False, ec=_SOFT, lw=0.8))
            number = str(found.table.fixed_index[row])
            axes.text(left + 0.5 * _TILE, top + 0.03, number, fontsize=7, ha="center", va="bottom", color=_INK)
        axes.set(xlim=(0.0, size[0]), ylim=(0.0, size[1]))
        if rows.size == 0:
            figure.text(0.5, 0.45, "no pixel was measured", ha="center", color=_SOFT)
    return figure


def mean_beam_figure(found: BeamMap) -> Figure:
    """Draw the mean of all beams, and its profile with the Gaussian of the median width.

    Parameters
    ----------
    found : BeamMap
        The result.

    Returns
    -------
    matplotlib.figure.Figure
        Image and profile.
    """
    beam = mean_beam(found)
    with style():
        figure = new_figure((10.0, 4.4))
        if beam is None:
            figure.text(0.5, 0.5, "no pixel was measured", ha="center", color=_SOFT)
            return figure
        axes = figure.add_axes((0.06, 0.13, 0.37, 0.76))
        extent = (-beam.half, beam.half, -beam.half, beam.half)
        axes.imshow(beam.image, origin="lower", cmap=_colours("magma"), extent=extent, vmin=-0.02, vmax=1.0)
        axes.contour(beam.image, levels=(0.1, 0.5, 0.9), extent=extent, colors="white", linewidths=0.7)
        axes.set_title("Mean beam (10, 50, 90 % of the peak)")
        _focal_plane(axes)
        axes = figure.add_axes((0.53, 0.37, 0.45, 0.52))
        below = figure.add_axes((0.53, 0.13, 0.45, 0.2), sharex=axes)
        smooth = np.linspace(0.0, float(beam.radius[-1]), 300)
        axes.plot(smooth, beam.gaussian(smooth), color=_BAD, lw=1.2, label="Gaussian of the median width")
        axes.errorbar(beam.radius, beam.profile, beam.scatter, fmt="o", ms=3, color=_INK, lw=0.9, label="mean of beams")
        axes.axhline(0.0, color=_FAINT, lw=0.8)
        axes.set_title(f"Profile; FWHM {beam.fwhm:.2f} arcsec")
        axes.set_ylabel("relative to the peak")
        axes.tick_params(labelbottom=False)
        axes.legend()
        below.plot(beam.radius, 100.0 * (beam.profile - beam.gaussian(beam.radius)), "o", ms=3, color=_INK)
        below.axhline(0.0, color=_BAD, lw=1.0)
        below.set_xlabel("distance from the centre [arcsec]")
        below.set_ylabel("difference\n[% of the peak]")
    return figure


def histogram_figure(found: BeamMap) -> Figure:
    """Draw how widths, couplings, noise and sensitivities are distributed.

    Parameters
    ----------
    found : BeamMap
        The result.

    Returns
    -------
    matplotlib.figure.Figure
        Four histograms with their medians.
    """
    table, good = found.table, found.is_good
    extra = table.extra
    panels = (
        (extra["beam_fwhm"].values[good], "FWHM of the beam [arcsec]"),
        (table.coupling[good], "coupling"),
        (extra["noise"].values[good], f"noise of a sample [{table.unit}]"),
        (extra["sensitivity"].values[good], f"sensitivity [{_in_print(extra['sensitivity'].unit)}]"),
    )
    with style():
        figure = new_figure((11.0, 3.2))
        for k, (values, name) in enumerate(panels):
            axes = figure.add_subplot(1, 4, k + 1)
            _histogram(axes, values, name)
            if k == 0:
                axes.set_ylabel("pixels")
        figure.subplots_adjust(left=0.05, right=0.985, bottom=0.17, top=0.88, wspace=0.25)
    return figure


def _histogram(axes: Axes, values: npt.NDArray[np.float64], name: str) -> None:
    known = values[np.isfinite(values)]
    if known.size:
        low, high = np.quantile(known, [0.005, 0.995])
        margin = 0.1 * (high - low) or 0.05 * abs(float(high)) or 1.0
        axes.hist(
            known,
            bins=min(40, max(8, known.size // 8)),
            range=(low - margin, high + margin),
            color=_ACCENT,
            histtype="stepfilled",
        )
        middle = float(np.median(known))
        axes.axvline(middle, color=_INK, lw=1.0)
        axes.set_title(f"median {middle:#.4g}")
        axes.locator_params(axis="x", nbins=3)  # long numbers must not touch
    axes.set_xlabel(name)
    axes.tick_params(length=2.5)


def pixel_figure(found: BeamMap, number: int) -> Figure:
    """Draw the map of one pixel, the Gaussian that was fitted, and what it leaves.

    Parameters
    ----------
    found : BeamMap
        The result.
    number : int
        Fixed index of the pixel.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels on the same scale (the last one on its own) and the numbers of the fit.

    Raises
    ------
    ParameterError
        The pixel has no map.
    """
    page = page_of(found, number)
    if page is None:
        msg = f"pixel {number} has no map; it is dead, blind or unknown, or never saw a frame"
        raise ParameterError(msg)
    shown_values = np.concatenate([page.image.ravel(), page.model.ravel()])
    high = float(np.nanquantile(shown_values, 0.9995)) if np.isfinite(shown_values).any() else 1.0
    low = float(np.nanquantile(page.image, 0.02)) if np.isfinite(page.image).any() else 0.0
    spread = 4.0 * float(np.nanstd(page.rest)) if np.isfinite(page.rest).any() else 1.0
    with style():
        figure = new_figure((12.4, 4.6))
        panels: tuple[tuple[npt.NDArray[Any], str, str, float, float], ...] = (
            (page.image, "Map", "magma", low, high),
            (page.model, "Gaussian", "magma", low, high),
            (page.rest, "Map minus Gaussian", "RdBu_r", -spread, spread),
        )
        for k, (plane, title, colours, least, most) in enumerate(panels):
            axes = figure.add_axes((0.05 + 0.325 * k, 0.2, 0.25, 0.66))
            shown = axes.imshow(
                plane,
                origin="lower",
                cmap=_colours(colours),
                vmin=least,
                vmax=most,
                extent=page.extent if k < len(panels) - 1 else page.rest_extent,
                interpolation="nearest",
            )
            axes.set_title(title)
            _focal_plane(axes)
            axes.set_xlabel("x of the boresight from the source [arcsec]", labelpad=2)
            if k == 0:
                axes.plot(*page.centre, "+", color="#38bdf8", ms=9, mew=1.2)
            else:
                axes.set_ylabel("")
            box = axes.get_position()
            _colour_bar(figure, shown, (box.x1 + 0.004, box.y0, 0.007, box.height), page.unit if k != 1 else "")
        figure.suptitle(f"Pixel {page.number}", x=0.02, ha="left", fontweight="bold")
        line = "    ".join(f"{name}: {value}" for name, value in page.facts)
        figure.text(0.5, 0.03, line, ha="center", fontsize=8, color=_SOFT)
    return figure


def _colours(name: str) -> Colormap:
    """Return a colour map that shows what is missing."""
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=_MISSING[name])


def _colour_bar(figure: Figure, shown: ScalarMappable, box: tuple[float, float, float, float], label: str) -> None:
    bar = figure.colorbar(shown, cax=figure.add_axes(box))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=7)
    bar.set_label(label, fontsize=8, labelpad=2)


def _in_print(unit: str) -> str:
    """Return a unit as it is written, not as a FITS file spells it."""
    return unit.replace("s(1/2)", "\N{SQUARE ROOT}s")  # the letter: to set a formula takes as long as a picture


def _focal_plane(axes: Axes) -> None:
    axes.set_aspect("equal", adjustable="datalim" if not axes.images else "box")
    axes.set_xlabel("x [arcsec]", labelpad=2)
    axes.set_ylabel("y [arcsec]", labelpad=2)
    axes.tick_params(length=2.5)


def _marker_size(positions: npt.NDArray[np.float64]) -> float:
    """Return the size of a marker [points] that fills about half the distance of neighbours."""
    n = max(int(np.isfinite(positions).all(axis=0).sum()), 1)
    return float(np.clip(260.0 / math.sqrt(n), 3.0, 16.0))
