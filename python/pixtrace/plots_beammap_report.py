"""The report of a beam map: one HTML file with the numbers a person asks first, and all pictures in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pixtrace._plot_html import Page
from pixtrace._plotdata_beammap import displacement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from pixtrace.scan.beam_map import BeamMap

__all__ = ["beammap_report"]


def beammap_report(
    found: BeamMap,
    figures: Mapping[str, Figure | bytes],
    *,
    files: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
    version: str = "",
) -> str:
    """Return the report.

    Parameters
    ----------
    found : BeamMap
        The result.
    figures : mapping of str to Figure, or bytes of a PNG
        Pictures by their headings, in order; they are put into the page itself.
    files : sequence of str, optional
        Names of the products beside it.
    options : mapping, optional
        Options of the reduction that were set.
    version : str, optional
        Of pixtrace.

    Returns
    -------
    str
        A page of HTML that needs no other file.
    """
    meta = found.table.meta
    title = f"Beam map of {meta.get('object') or 'the source'} with {meta.get('instrument') or 'the camera'}"
    page = Page(title, _subtitle(found, version))
    if found.problem:
        page.text(f"{found.problem[:1].upper()}{found.problem[1:]}.", "problem")
    elif not found.is_settled:
        n_moving = found.records[-1].n_found - found.records[-1].n_settled if found.records else 0
        page.text(
            f"{n_moving} pixels still moved by more than the limit in the last round; they are marked in the table. "
            "More rounds (--rounds) may settle them.",
            "note",
        )
    page.numbers(headline(found))
    page.heading("What was not measured, and why")
    reasons = [(str(count), reason) for reason, count in found.reasons.items()]
    if reasons:
        page.table(("pixels", "reason"), reasons)
    else:
        page.text("Every pixel was measured.")
    page.figures(figures)
    page.heading("Rounds")
    page.table(
        ("round", "found", "settled", "median step [error]"),
        [(str(r.number), str(r.n_found), str(r.n_settled), _number(r.largest_step, "{:.2g}")) for r in found.records],
    )
    if len(found.pointing) > 1:
        page.heading("Pointing of the scans against the first [arcsec]")
        rows = [(str(k + 1), f"{x:.3f}", f"{y:.3f}") for k, (x, y) in enumerate(found.pointing)]
        page.table(("scan", "x", "y"), rows)
    if options:
        page.heading("Options")
        page.table(("option", "value"), [(name, str(value)) for name, value in sorted(options.items())])
    if files:
        page.files(files)
    return str(page)


def _subtitle(found: BeamMap, version: str) -> list[str]:
    meta = found.table.meta
    words = [str(meta.get("scans", "")), f"{float(meta.get('exposure', 0.0)):.1f} s of data"]
    return [*words, f"pixtrace {version}"] if version else words


def headline(found: BeamMap) -> list[tuple[str, str]]:
    """Return the numbers a person asks first, by their names.

    Parameters
    ----------
    found : BeamMap
        The result.

    Returns
    -------
    list of (str, str)
        Names and values.
    """
    table, good = found.table, found.is_good
    n_dead = int((table.extra["channel_flag"].values != 0).sum())
    numbers = [
        ("pixels measured", f"{found.n_good} of {table.n_pixels}"),
        ("of the channels that work", f"{found.n_good / max(table.n_pixels - n_dead, 1):.1%}"),
    ]
    if not found.n_good:
        return numbers
    away = displacement(found)[:, good]
    error = np.hypot(table.x_error[good], table.y_error[good])
    width, noise = table.extra["beam_fwhm"].values[good], table.extra["noise"].values[good]
    sensitivity = table.extra["sensitivity"]
    unit = sensitivity.unit.replace("s(1/2)", "\N{SQUARE ROOT}s")
    coupling = table.coupling[good]
    return [
        *numbers,
        ("median position error", f'{np.median(error):.3g}"'),
        ("off nominal, rms per axis", f'{np.sqrt(np.mean(away**2)):.3g}"'),
        ("median FWHM of the beam", f'{np.nanmedian(width):.2f}"'),
        ("scatter of the gains", f"{np.std(coupling):.1%}"),
        ("median error of a gain", f"{np.median(table.coupling_error[good]):.2%}"),
        ("median signal to noise", f"{np.median(table.snr[good]):.0f}"),
        ("median noise of a sample", f"{np.nanmedian(noise):.4g} {table.unit}"),
        (f"median sensitivity [{unit}]", f"{np.nanmedian(sensitivity.values[good]):.3g}"),
        ("rounds", f"{len(found.records)}{'' if found.is_settled else ', not settled'}"),
    ]


def _number(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "-"
