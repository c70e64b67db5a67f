"""What a comparison of two implementations found, in words, as a table and as a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pixtrace.adapters.jwst._planes import Difference
from pixtrace.io.atomic import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Comparison", "Timing"]

_MOST_LINES: Final = 12


@dataclass(frozen=True)
class Timing:
    """How long something took.

    Attributes
    ----------
    what : str
        A function of jwst's step, all calls together, or the whole step.
    jwst, pixtrace : float
        Wall-clock time [s].
    """

    what: str
    jwst: float
    pixtrace: float

    @property
    def ratio(self) -> float:
        """How many times faster pixtrace was."""
        return self.jwst / self.pixtrace if self.pixtrace > 0 else float("nan")


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What `compare` found; printed, it is a report.

    Attributes
    ----------
    path : Path
        The exposure.
    parameters : mapping of str to object
        Parameters of the step.
    versions : mapping of str to str
        Of jwst and pixtrace.
    threads : int
        Number of threads that pixtrace used.
    differences : sequence of Difference
        By image, plane and region; region 0 is the whole image.
    times : sequence of Timing
        Function by function, then the whole step.
    """

    path: Path
    parameters: Mapping[str, Any]
    versions: Mapping[str, str]
    threads: int
    differences: Sequence[Difference]
    times: Sequence[Timing]

    def __str__(self) -> str:
        options = ", ".join(f"{name} = {value}" for name, value in self.parameters.items())
        names = " and ".join(f"{name} {release}" for name, release in self.versions.items())
        lines = [f"{self.path.name}: {names}, {options}", "", *_time_lines(self.times), ""]
        whole = [row for row in self.differences if row.region == 0]
        lines += ["differences over the whole image (relative to the value, or to the median of the plane)"]
        lines += _difference_lines(whole)
        worst = [row for row in self.differences if row.region != 0 and (row.n_missing or row.relative > 0)]
        worst.sort(key=lambda row: (row.n_missing, row.relative), reverse=True)
        if worst:
            shown = worst[:_MOST_LINES]
            rest = len(worst) - len(shown)
            lines += ["", "regions that differ most" + (f" ({rest} more are in the table)" if rest else "")]
            lines += _difference_lines(shown)
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the table of differences, with the times in its header, as ECSV.

        Parameters
        ----------
        path : path-like
            File to write; ``astropy.table.Table.read`` reads it.
        overwrite : bool, optional
            Whether a file that is there already may be replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputError, OutputExistsError
            It cannot be written.
        """
        from astropy.table import Table

        columns: dict[str, Any] = {name: [] for name in Difference.__annotations__}
        for row in self.differences:
            for name, values in columns.items():
                values.append(getattr(row, name))
        table: Any = Table(columns, names=list(columns))
        table.meta.update(
            exposure=self.path.name,
            parameters=dict(self.parameters),
            versions=dict(self.versions),
            threads=self.threads,
            cores=os.cpu_count(),
            times=[
                {"what": t.what, "jwst": t.jwst, "pixtrace": t.pixtrace, "times_faster": t.ratio} for t in self.times
            ],
        )
        target = Path(path)
        with atomic_path(target, overwrite=overwrite) as unfinished:
            table.write(unfinished, format="ascii.ecsv")
        return target

    def plot(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Draw differences and times, as PNG.

        Parameters
        ----------
        path : path-like
            File to write.
        overwrite : bool, optional
            Whether a file that is there already may be replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        MissingExtraError
            matplotlib is not installed.
        OutputError, OutputExistsError
            It cannot be written.
        """
        from pixtrace._plotcompare import comparison_figure
        from pixtrace.plots import save_figure

        cells = [
            (f"{row.image} {row.plane}".strip(), row.region, row.relative, row.n_missing)
            for row in self.differences
            if row.region != 0
        ]
        times = [(timing.what, timing.jwst, timing.pixtrace) for timing in self.times]
        title = f"{self.path.name}   x {self.parameters['oversample']:g}"
        subtitle = " and ".join(f"{name} {release}" for name, release in self.versions.items())
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return save_figure(
            comparison_figure(cells, times, title=title, subtitle=f"{subtitle} on {threads}"),
            Path(path),
            overwrite=overwrite,
        )


# -- words


def _time_lines(times: Sequence[Timing]) -> list[str]:
    rows = [("", "jwst", "pixtrace", "times faster")]
    rows += [(t.what, f"{t.jwst:.3f} s", f"{t.pixtrace:.3f} s", f"{t.ratio:.1f}") for t in times]
    return _aligned(rows)


def _difference_lines(rows: Sequence[Difference]) -> list[str]:
    table = [("plane", "region", "pixels", "differ", "missing in one", "largest", "relative")]
    table += [
        (
            f"{row.image} {row.plane}".strip(),
            str(row.region) if row.region else "all",
            str(row.n_pixels),
            str(row.n_differing),
            str(row.n_missing),
            f"{row.largest:.3g}",
            f"{row.relative:.2g}",
        )
        for row in rows
    ]
    return _aligned(table)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  "
        + "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
