"""Whether the errors of "robust" are what they say: ``python -m tests.parity.pulls`` prints a table.

Pulls are (flux - truth) / error, of the fine pixels where the spline is used. `oversample_with_errors` says where the
model is adequate; any user can ask, and it does not know the truth. A case holds one drawing of the noise, whose errors
are alike over many columns: so noise is drawn anew, too.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixtrace.trace import fit_robust, oversample_with_errors
from pixtrace.trace.oversample import nearest_rows
from tests.reference import Case, case_names, load_case

_FEWEST = 100
#: Drawings of the noise for the table.
_N_SEEDS = 60
#: Share of the pixels that are hit, and by how many errors.
_HITS, _HIT_SIZE = 3e-4, (10.0, 60.0)


@dataclass(frozen=True)
class Pulls:
    """Pulls of some pixels.

    Attributes
    ----------
    n : int
        Number of pixels.
    bias, bias_error : float
        Mean, and its standard error by how the means of the drawings scatter; NaN for one drawing.
    std, core : float
        Standard deviation, and half the range of the middle 68 per cent.
    within_1, within_2 : float
        Share no larger than 1 and 2.
    """

    n: int
    bias: float
    bias_error: float
    std: float
    core: float
    within_1: float
    within_2: float

    @classmethod
    def of(cls, drawings: list[npt.NDArray[np.float64]]) -> "Pulls":
        """Count the pulls of some drawings of the noise."""
        values = np.concatenate(drawings)
        if not values.size:
            return cls(0, *[np.nan] * 6)
        means = np.array([drawing.mean() for drawing in drawings if drawing.size])
        error = float(means.std(ddof=1)) / np.sqrt(means.size) if means.size > 1 else np.nan
        low, high = np.percentile(values, (15.866, 84.134))
        inside = (float(np.mean(np.abs(values) <= limit)) for limit in (1.0, 2.0))
        return cls(values.size, float(values.mean()), error, float(values.std()), float(high - low) / 2.0, *inside)

    def __str__(self) -> str:
        if self.n < _FEWEST:
            return " | ".join([str(self.n), *["-"] * 5])
        bias = f"{self.bias:+.3f}" + (f" ({self.bias_error:.3f})" if np.isfinite(self.bias_error) else "")
        return f"{self.n} | {bias} | {self.std:.3f} | {self.core:.2f} | {self.within_1:.3f} | {self.within_2:.3f}"


def drawn(case: Case, seed: int | None) -> npt.NDArray[np.float32]:
    """Return the flux of a case, or its truth with noise of its errors and some cosmic rays where it has a flux."""
    flux: npt.NDArray[np.float32] = case["flux"]
    if seed is None:
        return flux
    rng = np.random.default_rng(seed)
    error = case["err"].astype(float)
    found = case["truth"] + error * rng.standard_normal(flux.shape)
    hit = rng.random(flux.shape) < _HITS
    found[hit] += (error * rng.uniform(*_HIT_SIZE, flux.shape))[hit]
    return np.where(np.isfinite(flux), found, np.nan).astype(np.float32)


def pulls(name: str, *seeds: int | None) -> dict[str, Pulls]:
    """Return the pulls of a case by what its pixels are, for its first oversampling run of at least 1.

    Parameters
    ----------
    name : str
        Name of the case.
    *seeds : int or None
        Drawings of the noise, None for that of the case.

    Returns
    -------
    dict of str to Pulls
        Of all pixels that were not missing, of those where the model is adequate, and of those that were missing where
        it is.
    """
    case = load_case(name)
    factor = next(float(run["factor"]) for run in case.params["oversample"] if run["factor"] >= 1)
    rows = nearest_rows(case["flux"].shape[0], factor)
    found: dict[str, list[npt.NDArray[np.float64]]] = {"all": [], "adequate": [], "filled": []}
    for seed in seeds:
        flux = drawn(case, seed)
        planes = (flux, case["err"], case["alpha"], case["region_map"])
        result = oversample_with_errors(
            fit_robust(*planes), *planes, factor, case[f"alpha_os_{factor:g}"], adequate=True
        )
        values = (result.planes.flux_os - case[f"truth_os_{factor:g}"]) / np.sqrt(result.variance)
        used = np.isfinite(values) & np.isfinite(result.planes.trace_used)
        filled = ~np.isfinite(flux)[rows]
        assert result.adequate is not None
        found["all"].append(values[used & ~filled])
        found["adequate"].append(values[used & ~filled & result.adequate])
        found["filled"].append(values[used & filled & result.adequate])
    return {kind: Pulls.of(values) for kind, values in found.items()}


def main() -> None:
    """Print the table in Markdown."""
    print("| case | noise | pixels | number | bias (error) | std | core | within 1 | within 2 |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|---|")  # noqa: T201
    drawings: dict[str, list[int | None]] = {"its own": [None], "new": [*range(_N_SEEDS)]}
    for name in case_names():
        for noise, seeds in drawings.items():
            for kind, found in pulls(name, *seeds).items():
                if noise == "new" or kind == "adequate":
                    print(f"| {name} | {noise} | {kind} | {found} |")  # noqa: T201


if __name__ == "__main__":
    main()
