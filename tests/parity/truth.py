"""How far "robust" and the reference are from the truth: ``python -m tests.parity.truth`` prints a table."""

from dataclasses import dataclass

import numpy as np

from pixtrace.trace import fit_robust, oversample_with_errors
from tests.reference import Case, case_names, load_case


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


def compare(name: str) -> list[Comparison]:
    """Compare all runs of a case.

    Parameters
    ----------
    name : str
        Name of the case.

    Returns
    -------
    list of Comparison
        One for each run by a factor of at least 1 whose flux the case holds.
    """
    case = load_case(name)
    model = fit_robust(case["flux"], case["err"], case["alpha"], case["region_map"])
    found: list[Comparison] = []
    for number, run in enumerate(case.params["oversample"]):
        factor = float(run["factor"])
        if factor >= 1 and f"out_os{number}_flux" in case:
            found.append(_compare(case, model, number, factor, psf_optimal=bool(run.get("psf_optimal"))))
    return found


def _compare(case: Case, model: object, number: int, factor: float, *, psf_optimal: bool) -> Comparison:
    result = oversample_with_errors(
        model,  # type: ignore[arg-type]
        case["flux"],
        case["err"],
        case["alpha"],
        case["region_map"],
        factor,
        case[f"alpha_os_{factor:g}"],
        psf_optimal=psf_optimal,
    )
    truth = case[f"truth_os_{factor:g}"].astype(float)
    theirs = np.abs(case[f"out_os{number}_flux"] - truth)
    ours = np.abs(result.planes.flux_os - truth)
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
    print("| case | factor | reference: median | 95 % | robust: median | 95 % | times smaller | |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|")  # noqa: T201
    for name in case_names():
        for row in compare(name):
            factor = f"{row.factor:g}{', model alone' if row.psf_optimal else ''}"
            numbers = " | ".join(f"{value:.3g}" for value in (*row.theirs, *row.ours))
            print(f"| {row.case} | {factor} | {numbers} | {row.gain[0]:.2f} | {row.gain[1]:.2f} |")  # noqa: T201


if __name__ == "__main__":
    main()
