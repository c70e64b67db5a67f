"""Pictures of extracted spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixtrace.plots import headline, new_figure, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pixtrace.trace.extract import Extraction
    from pixtrace.trace.spectrum import ExtractedSpectrum

__all__ = ["spectra_figure"]

_LINE, _BAND, _SOFT = "#0f766e", "#99d5cd", "#6b7280"
_MOST_PANELS = 6
_LOW, _HIGH = 0.5, 99.5  # percentiles that the flux axis reaches over


def spectra_figure(extractions: Sequence[Extraction], *, title: str = "") -> Figure:
    """Draw spectra with their errors: those of several slices, or else the ones with the most signal.

    Parameters
    ----------
    extractions : sequence of Extraction
        One per image.
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
    named = [
        (f"{one.name} {spectrum.name}".strip() if len(extractions) > 1 else spectrum.name, spectrum)
        for one in extractions
        for spectrum in one.combined.values() or one.spectra.values()
    ]
    shown = sorted(named, key=lambda item: _signal(item[1]), reverse=True)[:_MOST_PANELS]
    # In the order of the file.
    shown = [item for item in named if any(item is other for other in shown)]
    with style():
        height = 2.6 * max(len(shown), 1) + 1.1
        figure = new_figure((11.0, height))
        errors = "with" if all(one.profile_errors for one in extractions) else "without"
        subtitle = f"{len(shown)} of {len(named)} spectra; errors {errors} those of the profile"
        headline(figure, title, subtitle, left=0.09)
        grid = figure.add_gridspec(
            max(len(shown), 1), 1, left=0.09, right=0.98, top=1.0 - 1.05 / height, bottom=0.5 / height, hspace=0.45
        )
        for index, (name, spectrum) in enumerate(shown):
            _draw(figure.add_subplot(grid[index]), name, spectrum)
    return figure


def _draw(axes: Axes, name: str, spectrum: ExtractedSpectrum) -> None:
    """Draw one spectrum."""
    order = np.argsort(spectrum.wavelength, kind="stable")
    order = order[np.isfinite(spectrum.wavelength[order])]
    x, flux, error = spectrum.wavelength[order], spectrum.flux[order], spectrum.error[order]
    axes.fill_between(x, flux - error, flux + error, color=_BAND, linewidth=0, label="1 sigma")
    axes.plot(x, flux, color=_LINE, linewidth=0.8, label="flux")
    known = flux[np.isfinite(flux)]
    if known.size:
        low, high = np.percentile(known, [_LOW, _HIGH])
        margin = 0.15 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
    axes.set_title(f"{name}   (median signal to noise {_signal(spectrum):.3g})")
    axes.set_xlabel(f"wavelength [{spectrum.wavelength_unit}]" if spectrum.wavelength_unit != "pix" else "column")
    axes.set_ylabel(f"flux [{spectrum.unit}]" if spectrum.unit else "flux")
    axes.tick_params(colors=_SOFT)


def _signal(spectrum: ExtractedSpectrum) -> float:
    """Return the median signal to noise of a spectrum, 0 if nothing was measured."""
    known = np.isfinite(spectrum.flux) & (spectrum.error > 0)
    return float(np.median(spectrum.flux[known] / spectrum.error[known])) if known.any() else 0.0
