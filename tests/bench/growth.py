"""How the cost grows with columns and with regions."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixtrace.trace import TraceModel, fit_all_regions
from tests.bench.inputs import FACTOR, DataSet


@dataclass(frozen=True)
class Series:
    """Times for several sizes.

    Parameters
    ----------
    axis : str
        What grows.
    sizes : sequence of int
        How much there is of it.
    fit, oversample : sequence of float
        Seconds on one thread for the fit, and with the caller's threads for oversampling.
    """

    axis: str
    sizes: Sequence[int]
    fit: Sequence[float]
    oversample: Sequence[float]

    def exponents(self) -> tuple[float, float]:
        """Return the powers of the size that best describe fit and oversampling, from the first to the last size."""
        import math

        steps = math.log(self.sizes[-1] / self.sizes[0])
        return (
            math.log(self.fit[-1] / self.fit[0]) / steps,
            math.log(self.oversample[-1] / self.oversample[0]) / steps,
        )


def seconds(call: Callable[[], object]) -> float:
    """Return the median of five runs.

    Parameters
    ----------
    call : callable
        What to time.

    Returns
    -------
    float
        Seconds.
    """
    times: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _times(data: DataSet, n_columns: int, n_regions: int) -> tuple[float, float]:
    cut = slice(0, n_columns)
    keep = data.regions[:n_regions]
    region_map = data.region_map[:, cut].copy()
    region_map[region_map > keep[-1]] = 0
    flux, error, alpha, alpha_os = data.flux[:, cut], data.error[:, cut], data.alpha[:, cut], data.alpha_os[:, cut]
    options = data.params.fit_kwargs(n_columns)

    def fit() -> TraceModel:
        return fit_all_regions(flux, error, alpha, region_map, n_threads=1, **options)

    model = fit()
    return seconds(fit), seconds(
        lambda: model.oversample(flux, alpha, region_map, FACTOR, alpha_os, **data.params.oversample_kwargs())
    )


def measure(data: DataSet) -> list[Series]:
    """Measure three sizes along both axes.

    Parameters
    ----------
    data : DataSet
        The largest size.

    Returns
    -------
    list of Series
        Columns, then regions.
    """
    n_x, n_regions = data.flux.shape[1], len(data.regions)
    result: list[Series] = []
    for axis, most in (("columns", n_x), ("regions", n_regions)):
        sizes = (most // 4, most // 2, most)
        times = [_times(data, size, n_regions) if axis == "columns" else _times(data, n_x, size) for size in sizes]
        result.append(Series(axis, sizes, [fit for fit, _ in times], [oversample for _, oversample in times]))
    return result


def plot(series: Sequence[Series], path: Path) -> None:
    """Draw the times against the sizes, with straight lines through the largest.

    Parameters
    ----------
    series : sequence of Series
        What was measured.
    path : Path
        The PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(series))
    for ax, one in zip(axes, series, strict=True):
        for times, label, colour in ((one.fit, "fit, one thread", "C0"), (one.oversample, "oversampling x2", "C1")):
            ax.plot([0, one.sizes[-1]], [0, times[-1]], color=colour, linewidth=0.8, linestyle=":")
            ax.plot(one.sizes, times, "o", color=colour, label=label)
        ax.set(xlabel=one.axis, ylabel="seconds", xlim=(0, None), ylim=(0, None))
        ax.legend(frameon=False, loc="upper left")
    figure.savefig(path)
