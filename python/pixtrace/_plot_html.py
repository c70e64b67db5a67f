"""The page that reports are written on: one HTML file that needs no other, with pictures inside."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from pixtrace._plot_parts import PNG_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from matplotlib.figure import Figure

__all__ = ["Page"]

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


class Page:
    """A page, from top to bottom; every text is escaped.

    Parameters
    ----------
    title : str
        Its heading.
    subtitle : sequence of str
        Words under it; empty ones are left out.
    """

    def __init__(self, title: str, subtitle: Sequence[str]) -> None:
        self._parts = [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            f'<p class="sub">{escape("; ".join(word for word in subtitle if word))}</p>',
        ]

    def numbers(self, numbers: Sequence[tuple[str, str]]) -> None:
        """Add the numbers asked first: name and value of each."""
        boxes = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in numbers)
        self._parts.append(f'<div class="numbers">{boxes}</div>')

    def heading(self, text: str) -> None:
        """Add a heading."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str, kind: Literal["", "note", "problem"] = "") -> None:
        """Add a paragraph, in a frame if it is a note or a problem."""
        self._parts.append(f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>")

    def table(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table."""
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        self._parts.append(f"<table><tr>{head}</tr>{body}</table>")

    def figures(self, figures: Mapping[str, Figure] | Mapping[str, Figure | bytes]) -> None:
        """Add pictures, or bytes of a PNG, under their headings; they become part of the page."""
        for name, figure in figures.items():
            self.heading(name)
            self._parts.append(f'<img alt="{escape(name)}" src="data:image/png;base64,{_png(figure)}">')

    def files(self, names: Sequence[str]) -> None:
        """Add a list of files in the folder of the page."""
        self.heading("Files")
        links = "".join(f'<li><a href="{escape(name)}">{escape(name)}</a></li>' for name in names)
        self._parts.append(f"<ul>{links}</ul>")

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</body></html>\n"])


def _png(figure: Figure | bytes) -> str:
    if isinstance(figure, bytes):
        return base64.b64encode(figure).decode("ascii")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", pil_kwargs=PNG_OPTIONS)
    return base64.b64encode(stream.getvalue()).decode("ascii")
