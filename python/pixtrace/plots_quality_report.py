"""The report of an exposure: one HTML file with the numbers a person asks first, and the pictures in it."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from pixtrace._plot_html import Page
from pixtrace._plotdata_quality import N_SPECTRA, Assessment, region_name
from pixtrace.io.atomic import atomic_path
from pixtrace.trace.quality import PullStatistics
from pixtrace.trace.record import ABSENCES, ORIGINS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.figure import Figure

    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.quality import SliceSpectrum
    from pixtrace.trace.result import OversampledImage

__all__ = ["picture_paths", "report_figures", "report_numbers", "save_trace_report", "trace_report"]

_NAMES = ("columns", "slices", "residuals", "spectra")
_NO_ERRORS = (
    "The exposure has no errors: there is no chi2 and there are no error pulls; residuals are in units of their own "
    "robust standard deviation, by region."
)
_NO_FIT = "No region was fitted: there is no trace, and the flux was interpolated linearly."
_NOT_OVERSAMPLED = "The exposure was not oversampled (factor 1): there are no spectra after it."
_WIGGLES = (
    "Relative rms of the spectrum in one row of the rectified slice, at the peak of its profile, about a smooth "
    "continuum (pixtrace.trace.wiggle_rms). What is left after oversampling is wiggles and noise; the reported error "
    "is that of a pixel of the row."
)

_REGIONS = (
    "Fitted, reused and so on are numbers of columns. Chi2: median reduced chi2 of the columns, and of the fits, which "
    "span many columns. Bias and width: median of residual over error, and half the range that holds the middle 68 per "
    "cent: 0 and 1 if errors are right."
)


def trace_report(
    pairs: Sequence[tuple[SpectralImage, OversampledImage]],
    *,
    title: str = "",
    files: Sequence[str] = (),
    version: str = "",
    figures: Mapping[str, Figure] | None = None,
) -> str:
    """Return the report of an exposure.

    Parameters
    ----------
    pairs : sequence of (SpectralImage, OversampledImage)
        Each image and what became of it, by any factor.
    title : str, optional
        Name of the exposure.
    files : sequence of str, optional
        Names of the products beside the report.
    version : str, optional
        Of pixtrace.
    figures : mapping of str to Figure, optional
        Pictures by their headings; None draws those of `report_figures`.

    Returns
    -------
    str
        A page of HTML that needs no other file. Exposures without regions, fits or errors have one too, which says so.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed, and `figures` is None.
    """
    found = [Assessment.of(image, result) for image, result in pairs]
    if figures is None:
        figures = dict(_figures(found).values())
    return _page(found, figures, title=title, files=files, version=version)


def report_figures(
    pairs: Sequence[tuple[SpectralImage, OversampledImage]],
) -> dict[str, tuple[str, Figure]]:
    """Return the pictures of the report.

    Parameters
    ----------
    pairs : sequence of (SpectralImage, OversampledImage)
        Each image and what became of it. The columns of all images are shown; slices, residuals and spectra are those
        of the image with the most fitted columns.

    Returns
    -------
    dict of str to (str, Figure)
        Headings and pictures by short names: ``"columns"``, ``"slices"``, ``"residuals"``, ``"spectra"``.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    return _figures([Assessment.of(image, result) for image, result in pairs])


def save_trace_report(
    path: Path,
    pairs: Sequence[tuple[SpectralImage, OversampledImage]],
    *,
    title: str = "",
    files: Sequence[str] = (),
    version: str = "",
    note: str = "",
    pictures: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write the report of an exposure; each file is there complete, or not at all.

    Parameters
    ----------
    path : Path
        File to write, ending in ``.html``.
    pairs, title, files, version
        As in `trace_report`.
    note : str, optional
        What else there is to be said of the fit, under the title.
    pictures : bool, optional
        Whether the pictures are written as PNG files too, ``<path without .html>_columns.png`` and so on.
    overwrite : bool, optional
        Whether files that are there already may be replaced.

    Returns
    -------
    list of Path
        The files written, the page first.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    OutputExistsError
        A file is there and `overwrite` is false.
    OutputError
        A file cannot be written.
    """
    from pixtrace.plots import save_figure

    found = [Assessment.of(image, result) for image, result in pairs]
    figures = _figures(found)
    written = [path]
    if pictures:
        paths = picture_paths(path)
        written += [save_figure(figure, paths[name], overwrite=overwrite) for name, (_, figure) in figures.items()]
    names = [*files, *(picture.name for picture in written[1:])]
    page = _page(found, dict(figures.values()), title=title, files=names, version=version, note=note)
    with atomic_path(path, overwrite=overwrite) as partial:
        partial.write_text(page, encoding="utf-8")
    return written


def picture_paths(path: Path) -> dict[str, Path]:
    """Return where the pictures of a report go.

    Parameters
    ----------
    path : Path
        The report.

    Returns
    -------
    dict of str to Path
        Files by the short names of `report_figures`.
    """
    return {name: path.with_name(f"{path.stem}_{name}.png") for name in _NAMES}


def report_numbers(pairs: Sequence[tuple[SpectralImage, OversampledImage]]) -> list[tuple[str, str]]:
    """Return the numbers a person asks first, by their names.

    Parameters
    ----------
    pairs : sequence of (SpectralImage, OversampledImage)
        Each image and what became of it.

    Returns
    -------
    list of (str, str)
        Names and values, those of all images together.
    """
    return _numbers([Assessment.of(image, result) for image, result in pairs])


def _figures(found: Sequence[Assessment]) -> dict[str, tuple[str, Figure]]:
    from pixtrace import plots_quality as plots

    figures = {
        "columns": ("Columns", plots.columns_figure(found, title="Where splines come from, and how good they are"))
    }
    if found:
        main = max(found, key=lambda each: each.result.summary.n_columns_fitted)
        name = f" of {main.image.name}" if len(found) > 1 and main.image.name else ""
        figures |= {
            "slices": (f"Slices{name}", plots.slices_figure(main, title="Where the trace is used")),
            "residuals": (f"Residuals and error pulls{name}", plots.residuals_figure(main, title="Data minus model")),
            "spectra": (f"Wiggles{name}", plots.spectra_figure(main, title="Spectra before and after")),
        }
    return figures


def _page(
    found: Sequence[Assessment],
    figures: Mapping[str, Figure],
    *,
    title: str,
    files: Sequence[str],
    version: str,
    note: str = "",
) -> str:
    heading = f"Trace of {title}" if title else "Trace of an exposure"
    factors = {each.result.factor for each in found}
    words = [f"oversampled x {factor:g}" if factor != 1.0 else "trace only" for factor in sorted(factors)]
    methods = {f"{each.result.params.method} fits, {each.result.params.errors} errors" for each in found}
    page = Page(heading, [*words, *sorted(methods), note, f"pixtrace {version}" if version else ""])
    if not any(each.result.summary.n_regions_fitted for each in found):
        page.text(_NO_FIT, "problem")
    if any(each.image.error is None for each in found):
        page.text(_NO_ERRORS, "note")
    if factors == {1.0}:
        page.text(_NOT_OVERSAMPLED, "note")
    page.numbers(_numbers(found))
    spectra = _brightest(found)
    if spectra:
        page.heading("Wiggles of the brightest slices")
        page.table(
            ("slice", "at", "rms before", "rms after", "reported error before", "after"),
            [(name, f"{spectrum.at:.4g}", *_wiggle_row(spectrum)) for name, spectrum in spectra],
        )
        page.text(_WIGGLES)
    page.figures(figures)
    page.heading("Regions")
    page.table(*_region_table(found))
    page.text(_REGIONS)
    if files:
        page.files(files)
    return str(page)


def _numbers(found: Sequence[Assessment]) -> list[tuple[str, str]]:
    parts = [each.result.summary for each in found]
    states: Counter[str] = Counter()
    for each in found:
        for region in each.quality.regions:
            states.update({state: region.count(state) for state in (*ORIGINS, *ABSENCES)})
    fitted = sum(states[origin] for origin in ORIGINS if origin != "reused")
    numbers = [
        ("regions fitted", f"{sum(p.n_regions_fitted for p in parts)} of {sum(p.n_regions for p in parts)}"),
        ("columns fitted", str(fitted)),
        ("columns reused", str(states["reused"])),
        ("columns skipped", str(sum(states[why] for why in ABSENCES))),
        ("pixels filled by the model", str(sum(part.n_pixels_filled for part in parts))),
    ]
    chi2 = np.concatenate([np.zeros(0), *(region.chi2 for each in found for region in each.quality.regions)])
    if np.isfinite(chi2).any():
        numbers.append(("median reduced chi2 of a column", _number(float(np.nanmedian(chi2)), "{:.2f}")))
    residuals = [each.quality.residual[np.isfinite(each.quality.residual)] for each in found if each.quality.has_errors]
    pulls = PullStatistics.of(np.concatenate([np.zeros(0), *residuals]))
    if pulls.n:
        numbers.append(("width of the error pulls (1)", f"{pulls.width:.2f}"))
    for name, spectrum in _brightest(found)[:2]:
        after = f" → {spectrum.rms_after:.1%}" if math.isfinite(spectrum.rms_after) else ""
        if math.isfinite(spectrum.rms_before):
            numbers.append((f"wiggles and noise, slice {name}", f"{spectrum.rms_before:.1%}{after}"))
    return numbers


def _brightest(found: Sequence[Assessment]) -> list[tuple[str, SliceSpectrum]]:
    """Return the spectra of the brightest slices of all images, with their names."""
    spectra = [
        (region_name(each, spectrum.region, several=len(found) > 1), spectrum)
        for each in found
        for spectrum in each.spectra
    ]
    levels = [_level(spectrum.before) for _, spectrum in spectra]
    order = sorted(range(len(spectra)), key=lambda i: -levels[i])
    return [spectra[i] for i in order[:N_SPECTRA]]


def _level(values: npt.NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else -math.inf


def _wiggle_row(spectrum: SliceSpectrum) -> list[str]:
    shares = (spectrum.rms_before, spectrum.rms_after, spectrum.noise_before, spectrum.noise_after)
    return [_number(share, "{:.2%}") for share in shares]


def _region_table(found: Sequence[Assessment]) -> tuple[list[str], list[list[str]]]:
    """Return names and lines of the table of regions, without columns in which nothing stands."""
    names = ["slice or slit", "columns", *ORIGINS, *ABSENCES, "chi2", "chi2 of fits", "bias", "width", "not fitted"]
    rows = [
        [
            region_name(each, region.region, several=len(found) > 1),
            str(region.columns.size),
            *(str(region.count(state) or "") for state in (*ORIGINS, *ABSENCES)),
            _number(region.median_chi2, "{:.2f}"),
            _number(region.median_fit_chi2, "{:.2f}"),
            _number(region.pulls.bias, "{:+.2f}"),
            _number(region.pulls.width, "{:.2f}"),
            region.refused,
        ]
        for each in found
        for region in each.quality.regions
    ]
    told = [place for place in range(len(names)) if any(row[place] for row in rows)]
    return [names[place] for place in told], [[row[place] for place in told] for row in rows]


def _number(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else ""
