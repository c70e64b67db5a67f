"""Pictures and report of a beam map, written beside its tables."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pixtrace.exceptions import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from pixtrace.io.beammap import BeamMapJob
    from pixtrace.scan import BeamMap

__all__ = ["PICTURES", "draw"]

_log = logging.getLogger(__name__)
#: Pictures by the endings of their names, and their headings in the report.
PICTURES = {
    "geometry.png": "The array",
    "beam.png": "The mean beam",
    "histograms.png": "How pixels differ",
    "gallery.png": "Beams of single pixels",
}


def draw(job: BeamMapJob, found: BeamMap, files: Sequence[Path], pages: Sequence[int] | None) -> list[Path]:
    """Draw all pictures and write the report.

    Parameters
    ----------
    job : BeamMapJob
        Knows where files go.
    found : BeamMap
        The result.
    files : sequence of Path
        Products that were written, for the report.
    pages : sequence of int or None
        Pixels to have a page of their own; None chooses three that tell most.

    Returns
    -------
    list of Path
        Pictures and report; the report alone, without pictures, where matplotlib is missing.

    Raises
    ------
    ParameterError
        A page is asked for of a pixel without a map.
    OutputError
        A file cannot be written.
    """
    from pixtrace import __version__
    from pixtrace.io.atomic import atomic_path
    from pixtrace.plots_beammap_report import beammap_report

    pictures: dict[str, bytes] = {}
    written: list[Path] = []
    try:
        figures = _figures(found, pages)
    except MissingExtraError as error:
        _log.warning("no pictures: %s", error)
    else:
        from pixtrace.plots import save_figure

        for suffix, figure in figures.items():
            path = job.path(suffix)
            save_figure(figure, path, overwrite=True)
            written.append(path)
            pictures[suffix] = path.read_bytes()  # drawing takes longer
    headings = {suffix: PICTURES.get(suffix) or f"Pixel {suffix.split('.')[1]}" for suffix in pictures}
    page = beammap_report(
        found,
        {headings[suffix]: picture for suffix, picture in pictures.items()},
        files=[path.name for path in [*files, *written]],
        options={name: value for name, value in job.options.changed().items() if name != "name"},
        version=__version__,
    )
    report = job.path("report.html")
    with atomic_path(report, overwrite=True) as partial:
        partial.write_text(page, encoding="utf-8")
    return [*written, report]


def _figures(found: BeamMap, pages: Sequence[int] | None) -> dict[str, Figure]:
    """Return all figures by the endings of the names of their files."""
    from pixtrace import plots_beammap as plots
    from pixtrace._plotdata_beammap import chosen_pixels

    numbers = chosen_pixels(found) if pages is None else list(dict.fromkeys(pages))
    return {
        "geometry.png": plots.geometry_figure(found),
        "beam.png": plots.mean_beam_figure(found),
        "histograms.png": plots.histogram_figure(found),
        "gallery.png": plots.gallery_figure(found),
        **{f"pixel.{number}.png": plots.pixel_figure(found, number) for number in numbers},
    }
