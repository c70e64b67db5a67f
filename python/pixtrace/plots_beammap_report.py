"""The report of a beam map: one HTML file with the numbers a person asks first, and all pictures in it."""

from __future__ import annotations

import base64
import io
import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from pixtrace._plotdata_beammap import displacement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from pixtrace.scan.beam_map import BeamMap

__all__ = ["beammap_report"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0; } h2 { font-size: 1.1em; margin: 2em 0 .5em; }
.sub { color: #6b7280; margin-top: .2em; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin: 1.5em 0; }
.numbers div { border: 1px solid #e5e7eb; border-radius: 8px; padding: .7em 1em; }
.numbers b { display: block; font-size: 1.45em; font-weight: 600; }
.numbers span { color: #6b7280; font-size: .87em; }
table { border-collapse: collapse; } td, th { padding: .2em 1.2em .2em 0; text-align: left; vertical-align: top; }
th { color: #6b7280; font-weight: 500; } img { max-width: 100%; }
.problem { border-left: 4px solid #dc2626; background: #fef2f2; padding: .7em 1em; }
.note { border-left: 4px solid #d97706; background: #fffbeb; padding: .7em 1em; }
"""


def beammap_report(
    found: BeamMap,
    figures: Mapping[str, Figure],
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
    figures : mapping of str to Figure
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
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="sub">{escape("; ".join(_subtitle(found, version)))}</p>',
    ]
    if found.problem:
        parts.append(f'<p class="problem">{escape(found.problem[:1].upper() + found.problem[1:])}.</p>')
    elif not found.is_settled:
        n_moving = found.records[-1].n_found - found.records[-1].n_settled if found.records else 0
        parts.append(
            f'<p class="note">{n_moving} pixels still moved by more than the limit in the last round; they are marked '
            "in the table. More rounds (--rounds) may settle them.</p>"
        )
    numbers = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in headline(found)
    )
    parts.append(f'<div class="numbers">{numbers}</div>')
    parts.append("<h2>What was not measured, and why</h2>")
    reasons = [(str(count), reason) for reason, count in found.reasons.items()]
    parts.append(_table(("pixels", "reason"), reasons) if reasons else "<p>Every pixel was measured.</p>")
    for name, figure in figures.items():
        parts.append(f"<h2>{escape(name)}</h2>")
        parts.append(f'<img alt="{escape(name)}" src="data:image/png;base64,{_png(figure)}">')
    parts.append("<h2>Rounds</h2>")
    parts.append(
        _table(
            ("round", "found", "settled", "median step [error]"),
            [
                (str(r.number), str(r.n_found), str(r.n_settled), _number(r.largest_step, "{:.2g}"))
                for r in found.records
            ],
        )
    )
    if len(found.pointing) > 1:
        parts.append("<h2>Pointing of the scans against the first [arcsec]</h2>")
        rows = [(str(k + 1), f"{x:.3f}", f"{y:.3f}") for k, (x, y) in enumerate(found.pointing)]
        parts.append(_table(("scan", "x", "y"), rows))
    if options:
        parts.append("<h2>Options</h2>")
        parts.append(_table(("option", "value"), [(name, str(value)) for name, value in sorted(options.items())]))
    if files:
        links = "".join(f'<li><a href="{escape(name)}">{escape(name)}</a></li>' for name in files)
        parts.append(f"<h2>Files</h2><ul>{links}</ul>")
    parts.append("</body></html>\n")
    return "\n".join(parts)


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
    unit = sensitivity.unit.replace("s(1/2)", "s^0.5")
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


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _png(figure: Figure) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return base64.b64encode(stream.getvalue()).decode("ascii")
