"""The report on each exposure, written beside its product."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pixtrace.cli._options import Options
    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.result import OversampledImage

__all__ = ["Report"]

_log = logging.getLogger(__name__)


class Report:
    """The report beside a product, if one is wanted.

    Parameters
    ----------
    product : Path
        The product; the report is called ``<product without .fits>_report.html``.
    options : Options
        Whether there is to be one, and whether its pictures are written as PNG files too.
    """

    def __init__(self, product: Path, options: Options) -> None:
        self._path = product.with_name(f"{product.stem}_report.html")
        self._options = options

    @property
    def is_wanted(self) -> bool:
        """Whether there is to be a report."""
        return self._options.report or self._options.report_png

    def check(self) -> None:
        """Refuse names that cannot be written.

        Raises
        ------
        OutputExistsError, OutputError
            As `pixtrace.io.atomic.check_output`.
        """
        if not self.is_wanted:
            return
        from pixtrace.io.atomic import check_output
        from pixtrace.plots_quality_report import picture_paths

        for path in (self._path, *(picture_paths(self._path).values() if self._options.report_png else ())):
            check_output(path, overwrite=self._options.overwrite)

    def write(
        self,
        images: Sequence[SpectralImage],
        results: Sequence[OversampledImage],
        *,
        title: str,
        files: Sequence[Path],
        note: str = "",
    ) -> None:
        """Write it.

        Parameters
        ----------
        images : sequence of SpectralImage
            The images of an exposure.
        results : sequence of OversampledImage
            What became of them.
        title : str
            What it is about.
        files : sequence of Path
            Products beside it.
        note : str, optional
            What else there is to be said of the fit.

        Raises
        ------
        OutputExistsError, OutputError
            A file cannot be written.
        """
        if not self.is_wanted:
            return
        from pixtrace import __version__
        from pixtrace.plots_quality_report import save_trace_report

        written = save_trace_report(
            self._path,
            list(zip(images, results, strict=True)),
            title=title,
            files=[path.name for path in files],
            version=__version__,
            note=note,
            pictures=self._options.report_png,
            overwrite=self._options.overwrite,
        )
        _log.info("%s: wrote %s", title, ", ".join(map(str, written)))
