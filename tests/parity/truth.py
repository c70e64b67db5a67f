"""How far "robust" and the reference are from the truth: ``python -m tests.parity.truth [SEED]`` prints a table.

With a seed, the noise of each case is drawn anew, and our default stands in the place of the reference, which it agrees
with wherever both are compared.
"""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pixtrace.trace import TraceModel, fit_all_regions, fit_robust, oversample_with_errors
from tests.parity.modes import fit_options, oversample_options, run_options
from tests.parity.pulls import drawn
from tests.reference import Case, case_names, load_case

Planes = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True)
class Comparison:
    """One oversampling run of one case of the reference data.

    Attributes
    ----------
    case : str
        Name of the case.
    factor : float
        Oversampling factor.
    psf_optimal : bool
        Whether the model alone was used, by both.
    n : int
        Pixels for which both have a flux.
    lost : int
        Pixels for which the reference alone has one.
    theirs, ours : tuple of float
        Median and 95th percentile of the absolute difference from the truth.
    """

    case: str
    factor: float
    psf_optimal: bool
    n: int
    lost: int
    theirs: tuple[float, float]
    ours: tuple[float, float]

    @property
    def gain(self) -> tuple[float, float]:
        """How many times farther from the truth the reference is, in the median and at the 95th percentile."""
        return self.theirs[0] / self.ours[0], self.theirs[1] / self.ours[1]


def compare(name: str, seed: int | None = None) -> list[Comparison]:
    """Compare all runs of a case.

    Parameters
    ----------
    name : str
        Name of the case.
    seed : int, optional
        Of another drawing of its noise.

    Returns
    -------
    list of Comparison
        One for each run by a factor of at least 1 whose flux the case holds.
    """
    case = load_case(name)
    planes = (drawn(case, seed), case["err"], case["alpha"], case["region_map"])
    model = fit_robust(*planes)
    default = None if seed is None else _default(case, planes)
    found: list[Comparison] = []
    for number, run in enumerate(case.params["oversample"]):
        factor = float(run["factor"])
        if factor < 1 or f"out_os{number}_flux" not in case:
            continue
        fine = case[f"alpha_os_{factor:g}"]
        if default is None:
            theirs = case[f"out_os{number}_flux"]
        else:
            flux, _, alpha, labels = planes
            options = {**run_options(run), **oversample_options(case)}
            theirs = default.oversample(flux, alpha, labels, factor, fine, **options).flux_os
        psf_optimal = bool(run.get("psf_optimal"))
        ours = oversample_with_errors(model, *planes, factor, fine, psf_optimal=psf_optimal).planes.flux_os
        found.append(_compare(case, factor, theirs, ours, psf_optimal=psf_optimal))
    return found


def _default(case: Case, planes: Planes) -> TraceModel:
    """Fit planes as the reference fits the case."""
    return fit_all_regions(
        *planes, peak_threshold=case.peak_threshold, snr_threshold=case.snr_threshold, **fit_options(case)
    )


def _compare(
    case: Case, factor: float, theirs: npt.NDArray[Any], ours: npt.NDArray[Any], *, psf_optimal: bool
) -> Comparison:
    truth = case[f"truth_os_{factor:g}"].astype(float)
    theirs, ours = np.abs(theirs - truth), np.abs(ours - truth)
    both = np.isfinite(theirs) & np.isfinite(ours)
    return Comparison(
        case.name,
        factor,
        psf_optimal,
        int(np.count_nonzero(both)),
        int(np.count_nonzero(np.isfinite(theirs) & ~both)),
        (float(np.median(theirs[both])), float(np.percentile(theirs[both], 95))),
        (float(np.median(ours[both])), float(np.percentile(ours[both], 95))),
    )


def main() -> None:
    """Print the table in Markdown."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else None
    print("| case | factor | reference: median | 95 % | robust: median | 95 % | times smaller | |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|")  # noqa: T201
    for name in case_names():
        for row in compare(name, seed):
            factor = f"{row.factor:g}{', model alone' if row.psf_optimal else ''}"
            numbers = " | ".join(f"{value:.3g}" for value in (*row.theirs, *row.ours))
            print(f"| {row.case} | {factor} | {numbers} | {row.gain[0]:.2f} | {row.gain[1]:.2f} |")  # noqa: T201


if __name__ == "__main__":
    main()
