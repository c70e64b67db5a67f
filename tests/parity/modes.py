"""The numbers that jwst uses for each mode (reference/trace/semantics.md, section 7), written out once more."""

from typing import Any

from tests.oracles.columns import Settings
from tests.reference import Case

MRS_KNOTS, MRS_GOOD = 36, 8
LRS = {"MIR_LRS_SLIT": (40, 3), "MIR_LRS_SLITLESS": (60, 2)}
PAD = {"NRS_IFU": 2, "NRS_SLIT": 1, "NRS_MOS": 1}


def column_order(case: Case) -> list[int]:
    """Return the order in which the columns of a case are fitted."""
    n = case["flux"].shape[1]
    if case.params["mode"] == "MIR_MRS":
        return [*range(n // 2 + 1), *range(n - 1, n // 2, -1)]
    if case.params["mode"].startswith("MIR_LRS") or case.params["detector"] == "NRS2":
        return list(range(n - 1, -1, -1))
    return list(range(n))


def settings(case: Case) -> Settings:
    """Return the fit parameters of a case."""
    mode = case.params["mode"]
    if mode == "MIR_MRS":
        return Settings(n_intervals=MRS_KNOTS, require_ngood=MRS_GOOD)
    if mode in LRS:
        n_intervals, n_rounds = LRS[mode]
        return Settings(lrange=5, n_intervals=n_intervals, require_ngood=8, sigma=3.0, n_rounds=n_rounds)
    if case.params["grating"] == "PRISM":
        return Settings(lrange=10, space_ratio=1.6, auto_ngood_factor=0.25, auto_bkpt_factor=1.0)
    return Settings(space_ratio=1.6)


def fit_options(case: Case) -> dict[str, Any]:
    """Return the same as keyword arguments of `pixtrace.trace.fit_all_regions`."""
    found = settings(case)
    return {
        "lrange": found.lrange,
        "col_index": column_order(case),
        "space_ratio": found.space_ratio,
        "sigma_low": found.sigma,
        "sigma_high": found.sigma,
        "fit_iter": found.n_rounds,
        "require_ngood": found.require_ngood,
        "spline_bkpt": found.n_intervals,
        "auto_ngood_factor": found.auto_ngood_factor,
        "auto_bkpt_factor": found.auto_bkpt_factor,
    }


def oversample_options(case: Case) -> dict[str, Any]:
    """Return the keyword arguments of `pixtrace.trace.oversample_flux` that go with the mode of a case."""
    mode = case.params["mode"]
    return {"require_ngood": 3, "trim_ends": mode.startswith("NRS"), "pad": PAD.get(mode, 3)}


def run_options(run: dict[str, Any]) -> dict[str, Any]:
    """Return what the reference was told for one run."""
    return {"slope_limit": run.get("slope_limit", 0.1), "psf_optimal": run.get("psf_optimal", False)}
