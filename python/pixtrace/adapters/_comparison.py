"""What a comparison of a peer's implementation and ours found: in words, as a table and as a picture."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

from pixtrace.exceptions import MissingExtraError
from pixtrace.io.atomic import atomic_path, check_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = ["Comparison", "Gap", "Row", "Timing", "gap", "targets"]

_MOST_LINES = 12


class Gap(NamedTuple):
    """How far two arrays are apart: see the attributes of the rows that are made of it."""

    size: int
    n_differing: int
    n_missing: int
    largest: float
    relative: float


def gap(theirs: npt.NDArray[Any], ours: npt.NDArray[Any]) -> Gap:
    """Compare two arrays of one shape, number by number.

    Parameters
    ----------
    theirs, ours : ndarray
        The arrays; NaN where a value is missing.

    Returns
    -------
    Gap
        Number of values, of those that differ, and of those that are NaN in one array alone; the largest difference,
        and the largest relative to the value or, where that is larger, to the median magnitude. Of whole numbers, such
        as flags: 0 or NaN, and the share of values that differ.
    """
    x, y = theirs.ravel(), ours.ravel()
    if theirs.dtype.kind != "f":
        n = int(np.count_nonzero(x != y))
        return Gap(x.size, n, 0, float("nan") if n else 0.0, n / max(x.size, 1))
    x, y = x.astype(np.float64), y.astype(np.float64)
    missing = np.isnan(x) != np.isnan(y)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        difference = np.where(x == y, 0.0, np.abs(x - y))
    seen = np.isfinite(difference)
    largest = relative = 0.0
    if seen.any():
        magnitude = np.abs(x[seen])
        scale = np.maximum(magnitude, np.median(magnitude))
        largest = float(difference[seen].max())
        relative = float(np.max(np.divide(difference[seen], scale, out=np.zeros_like(scale), where=scale > 0)))
    n_missing = int(np.count_nonzero(missing))
    return Gap(x.size, n_missing + int(np.count_nonzero(difference[seen])), n_missing, largest, relative)


class Row(Protocol):
    """One line of a comparison: a dataclass, whose fields are the columns of the table."""

    @property
    def label(self) -> str:
        """What was compared."""
        ...

    @property
    def place(self) -> int | None:
        """Number of the region or pixel; None for all of them."""
        ...

    @property
    def gap(self) -> Gap:
        """How far the two are apart there."""
        ...


@dataclass(frozen=True)
class Timing:
    """How long something took.

    Attributes
    ----------
    what : str
        What was done.
    reference, pixtrace : float
        Wall-clock time [s] of the peer and of ours; NaN if the peer cannot do it.
    """

    what: str
    reference: float
    pixtrace: float

    @property
    def ratio(self) -> float:
        """How many times faster pixtrace was; NaN if that cannot be said."""
        return self.reference / self.pixtrace if self.pixtrace > 0 else float("nan")


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What a comparison found; printed, it is a report.

    Attributes
    ----------
    path : Path
        The file.
    parameters : mapping of str to object
        What both implementations were told.
    versions : mapping of str to str
        Of the peer, whose name comes first, and of pixtrace.
    threads : int
        Number of threads that pixtrace used.
    differences : sequence of Row
        All that was compared.
    times : sequence of Timing
        How long both took.
    """

    path: Path
    parameters: Mapping[str, Any]
    versions: Mapping[str, str]
    threads: int
    differences: Sequence[Any]
    times: Sequence[Timing]

    kind: ClassVar[str] = "file"
    place: ClassVar[str] = "place"
    everywhere: ClassVar[str] = "everywhere"

    @property
    def peer(self) -> str:
        """Name of the other implementation."""
        return next(iter(self.versions))

    @property
    def title(self) -> str:
        """First line of the picture."""
        return self.path.name

    def __str__(self) -> str:
        options = "".join(f", {name} = {value}" for name, value in self.parameters.items())
        names = " and ".join(f"{name} {release}" for name, release in self.versions.items())
        lines = [f"{self.path.name}: {names}{options}", "", *_time_lines(self.times, self.peer), ""]
        lines += [f"differences {self.everywhere} (relative to the value, or to the median if that is larger)"]
        lines += _difference_lines([row for row in self.differences if row.place is None], self.place)
        worst: list[Row] = [row for row in self.differences if row.place is not None]
        worst = [row for row in worst if row.gap.n_missing or row.gap.relative > 0]
        worst.sort(key=lambda row: (row.gap.n_missing, row.gap.relative), reverse=True)
        if worst:
            shown = worst[:_MOST_LINES]
            rest = len(worst) - len(shown)
            lines += ["", f"{self.place}s that differ most" + (f" ({rest} more are in the table)" if rest else "")]
            lines += _difference_lines(shown, self.place)
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

        rows = [dataclasses.asdict(row) for row in self.differences]
        names = list(rows[0]) if rows else []
        table: Any = Table({name: [row[name] for row in rows] for name in names}, names=names)
        table.meta.update(
            {self.kind: self.path.name},
            parameters=dict(self.parameters),
            versions=dict(self.versions),
            threads=self.threads,
            cores=os.cpu_count(),
            times=[
                {"what": t.what, self.peer: t.reference, "pixtrace": t.pixtrace, "times_faster": t.ratio}
                for t in self.times
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
            (row.label, row.place, row.gap.relative, row.gap.n_missing)
            for row in self.differences
            if row.place is not None
        ]
        times = [(timing.what, timing.reference, timing.pixtrace) for timing in self.times]
        subtitle = " and ".join(f"{name} {release}" for name, release in self.versions.items())
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        figure = comparison_figure(
            cells, times, title=self.title, subtitle=f"{subtitle} on {threads}", peer=self.peer, place=self.place
        )
        return save_figure(figure, Path(path), overwrite=overwrite)

    def publish(self, files: Sequence[Path], *, overwrite: bool) -> str:
        """Write table and picture, and return the report with the names of the files.

        Parameters
        ----------
        files : sequence of Path
            As `targets` returns them.
        overwrite : bool
            Whether files that are there already may be replaced.

        Returns
        -------
        str
            What to say.

        Raises
        ------
        MissingExtraError, OutputError, OutputExistsError
            See `save` and `plot`.
        """
        for file in files:
            (self.save if file.suffix == ".ecsv" else self.plot)(file, overwrite=overwrite)
        return str(self) + "".join(f"\n-> {file}" for file in files)


def targets(path: Path, output: str | os.PathLike[str] | None, *, plot: bool, overwrite: bool) -> list[Path]:
    """Return the files that a comparison will write; refuse at once what cannot be.

    Parameters
    ----------
    path : Path
        The file that is compared.
    output : path-like or None
        Folder, made if need be; None writes nothing.
    plot : bool
        Whether there is a picture.
    overwrite : bool
        Whether files that are there already may be replaced.

    Returns
    -------
    list of Path
        ``..._compare.ecsv`` and ``..._compare.png``.

    Raises
    ------
    MissingExtraError
        matplotlib is needed, and not installed.
    OutputError, OutputExistsError
        They cannot be written.
    """
    if output is None:
        return []
    if plot and importlib.util.find_spec("matplotlib") is None:
        msg = "the picture needs matplotlib, which is not installed: pip install 'pixtrace[plot]', or plot=False"
        raise MissingExtraError(msg)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    stem = path.name.removesuffix(".gz").removesuffix(".fits")
    names = [f"{stem}_compare.ecsv", *([f"{stem}_compare.png"] if plot else [])]
    return [check_output(folder / name, overwrite=overwrite) for name in names]


# -- words


def _time_lines(times: Sequence[Timing], peer: str) -> list[str]:
    rows: list[tuple[str, ...]] = [("", peer, "pixtrace", "times faster")]
    rows += [(t.what, *(_number(value, unit) for value, unit in _numbers(t))) for t in times]
    return _aligned(rows)


def _numbers(timing: Timing) -> tuple[tuple[float, str], tuple[float, str], tuple[float, str]]:
    return (timing.reference, " s"), (timing.pixtrace, " s"), (timing.ratio, "")


def _number(value: float, unit: str) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:.4f}{unit}" if unit else f"{value:.1f}"


def _difference_lines(rows: Sequence[Row], place: str) -> list[str]:
    table: list[tuple[str, ...]] = [("compared", place, "values", "differ", "missing in one", "largest", "relative")]
    table += [
        (
            row.label,
            "all" if row.place is None else str(row.place),
            *(str(count) for count in row.gap[:3]),
            f"{row.gap.largest:.3g}",
            f"{row.gap.relative:.2g}",
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
