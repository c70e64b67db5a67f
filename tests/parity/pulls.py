"""Whether the errors of "robust" are what they say: ``python -m tests.parity.pulls`` prints a table.

Pulls are (flux - truth) / error, of the fine pixels where the spline is used. The model counts as adequate in the
columns for which `RegionRecord.is_adequate` says so, which any user can ask; it does not know the truth.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixtrace.trace import TraceModel, fit_robust, oversample_with_errors
from pixtrace.trace.oversample import nearest_rows
from tests.reference import Case, case_names, load_case

_FEWEST = 100


@dataclass(frozen=True)
class Pulls:
    """Pulls of some pixels.

    Attributes
    ----------
    n : int
        Number of pixels.
    bias, std, core : float
        Mean, standard deviation, and half the range of the middle 68 per cent.
    within_1, within_2 : float
        Share no larger than 1 and 2.
    """

    n: int
    bias: float
    std: float
    core: float
    within_1: float
    within_2: float

    @classmethod
    def of(cls, values: npt.NDArray[np.float64]) -> "Pulls":
        """Count."""
        low, high = np.percentile(values, (15.866, 84.134)) if values.size else (np.nan, np.nan)
        if not values.size:
            return cls(0, np.nan, np.nan, np.nan, np.nan, np.nan)
        size = np.abs(values)
        inside = (float(np.mean(size <= limit)) for limit in (1.0, 2.0))
        return cls(values.size, float(values.mean()), float(values.std()), float(high - low) / 2.0, *inside)

    def __str__(self) -> str:
        if self.n < _FEWEST:
            return " | ".join([str(self.n), *["-"] * 5])
        shares = f"{self.within_1:.3f} | {self.within_2:.3f}"
        return f"{self.n} | {self.bias:+.2f} | {self.std:.2f} | {self.core:.2f} | {shares}"


def adequate(case: Case, model: TraceModel) -> npt.NDArray[np.bool_]:
    """Return where the model is adequate, by the native pixels of a case."""
    labels = case["region_map"]
    found: npt.NDArray[np.bool_] = np.zeros_like(labels, dtype=np.bool_)
    for label in model:
        record = model.record(label)
        if record is not None:
            columns = np.zeros(labels.shape[1], dtype=np.bool_)
            columns[record.columns] = record.is_adequate
            found |= (labels == label) & columns
    return found


def pulls(name: str) -> dict[str, Pulls]:
    """Return the pulls of a case by what its pixels are, for its first oversampling run of at least 1."""
    case = load_case(name)
    model = fit_robust(case["flux"], case["err"], case["alpha"], case["region_map"])
    factor = next(float(run["factor"]) for run in case.params["oversample"] if run["factor"] >= 1)
    planes = (case["flux"], case["err"], case["alpha"], case["region_map"])
    found = oversample_with_errors(model, *planes, factor, case[f"alpha_os_{factor:g}"])
    values = (found.planes.flux_os - case[f"truth_os_{factor:g}"]) / np.sqrt(found.variance)
    rows = nearest_rows(case["flux"].shape[0], factor)
    used = np.isfinite(values) & np.isfinite(found.planes.trace_used)
    filled = ~np.isfinite(case["flux"])[rows]
    is_adequate = adequate(case, model)[rows]
    return {
        "all": Pulls.of(values[used & ~filled]),
        "adequate": Pulls.of(values[used & ~filled & is_adequate]),
        "filled": Pulls.of(values[used & filled & is_adequate]),
    }


def main() -> None:
    """Print the table in Markdown."""
    print("| case | pixels | number | bias | std | core | within 1 | within 2 |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|")  # noqa: T201
    for name in case_names():
        for kind, found in pulls(name).items():
            print(f"| {name} | {kind} | {found} |")  # noqa: T201


if __name__ == "__main__":
    main()
