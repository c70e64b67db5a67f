"""Record what jwst 3.0.0 makes of one slit whose columns are not divided by anything.

``python -m tests.parity.record_fit_as_it_is`` from the root of the project, in an environment that has jwst, writes
``tests/data/fit_as_it_is.npz``: knots, coefficients, scales and bounds that `fit_2d_spline_trace` returns for some
columns of the reference case ``mos`` when it is given no ``fit_scale``.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tests.reference import load_case

RECORD = Path(__file__).resolve().parents[1] / "data" / "fit_as_it_is.npz"
CASE = "mos"
COLUMNS = tuple(range(10, 190, 20))
OPTIONS: dict[str, Any] = {"lrange": 20, "space_ratio": 1.6, "spline_bkpt": 24, "require_ngood": 6}


def planes() -> tuple[Any, Any]:
    """Return flux and alpha of the slit."""
    case = load_case(CASE)
    inside = case["region_map"] == 1
    flux, alpha = (np.where(inside, case[name], np.nan).astype(np.float32) for name in ("flux", "alpha"))
    return flux, alpha


def main() -> None:
    """Fit and write the record."""
    trace_model: Any = import_module("jwst.adaptive_trace_model.trace_model")
    fits = trace_model.fit_2d_spline_trace(*planes(), None, col_index=COLUMNS, **OPTIONS)
    table: dict[str, Any] = {"columns": list(fits), "scale": [fit["scale"] for fit in fits.values()]}
    table["bounds"] = [fit["bounds"] for fit in fits.values()]
    for column, fit in fits.items():
        t = np.asarray(fit["model"].t)
        table[f"t{column}"], table[f"c{column}"] = t, np.asarray(fit["model"].c)[: t.size - 4]
    np.savez_compressed(RECORD, **table)


if __name__ == "__main__":
    main()
