"""What all pictures of exposures have in common: colours, fonts, how images are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._plotdata import robust_range
from pixtrace.exceptions import MissingExtraError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["asinh_norm", "colour_bar", "headline", "name_axes", "new_figure", "open_frame", "show", "style"]

INK, SOFT, FAINT, MISSING = "#1f2937", "#6b7280", "#b6bcc6", "#d8dbe0"
SPLINE, FINE = "#dc2626", "#0f766e"
BEFORE, AFTER = "#d9541e", "#0f766e"
_DPI = 110
PNG_OPTIONS = {"compress_level": 4}  # two thirds of the time of the usual 6, for 3 % larger files
_STYLE: dict[Any, Any] = {  # matplotlib spells the type of its keys out, all 300 of them
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


def style() -> AbstractContextManager[None]:
    """Return the context in which text and lines look like ours; imports matplotlib."""
    try:
        from matplotlib import rc_context
    except ImportError as error:
        msg = "pictures need matplotlib, which is not installed; install the extra: pip install 'pixtrace[plot]'"
        raise MissingExtraError(msg) from error
    return rc_context(_STYLE)


def new_figure(size: tuple[float, float]) -> Figure:
    """Return an empty figure of this size [inches]."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, dpi=_DPI, facecolor="white")


def headline(figure: Figure, title: str, subtitle: str, *, left: float) -> None:
    """Write two lines above everything; they take the upper 0.7 inches."""
    height = figure.get_figheight()
    figure.text(left, 1.0 - 0.27 / height, title, ha="left", va="center", fontsize=14, fontweight="bold", color=INK)
    figure.text(left, 1.0 - 0.57 / height, subtitle, ha="left", va="center", fontsize=9.5, color=SOFT)


def asinh_norm(plane: npt.NDArray[Any]) -> Normalize:
    """Return a stretch that shows faint wings and bright cores together."""
    from matplotlib.colors import AsinhNorm

    low, high, scatter = robust_range(plane)
    return AsinhNorm(linear_width=3.0 * scatter, vmin=low, vmax=high)


def show(
    axes: Axes,
    plane: npt.NDArray[Any],
    norm: Normalize,
    extent: tuple[float, float, float, float],
    colours: str = "magma",
) -> AxesImage:
    """Draw an image; what is not finite is grey."""
    from matplotlib import colormaps

    colour_map = colormaps[colours].with_extremes(bad=MISSING)
    return axes.imshow(
        np.ma.masked_invalid(plane),
        norm=norm,
        cmap=colour_map,
        extent=extent,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )


def name_axes(axes: Axes, title: str, *, ylabel: str = "row") -> None:
    """Write title and labels of an image whose columns are those of the detector."""
    axes.set_title(title)
    axes.set_xlabel("column (dispersion)", labelpad=2)
    axes.set_ylabel(ylabel, labelpad=2)
    axes.tick_params(length=2.5)


def colour_bar(figure: Figure, axes: Axes, shown: AxesImage, label: str = "") -> Colorbar:
    """Draw a scale of colours on the right."""
    box = axes.get_position()
    bar = figure.colorbar(shown, cax=figure.add_axes((box.x1 + 0.006, box.y0, 0.007, box.height)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=7.5)
    if label:
        bar.set_label(label, fontsize=8)
    return bar


def open_frame(axes: Axes) -> None:
    """Take two sides of the frame away."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
