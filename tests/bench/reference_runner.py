"""Calls functions of jwst by name, in the environment that has it, for `tests.bench.reference`.

Requests are lines of JSON on standard input, answers lines of JSON on what was standard output; jwst itself is sent to
standard error. Only the call is timed; the results are written to files afterwards.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "True"
os.environ.setdefault("CRDS_SERVER_URL", "https://localhost")  # no server is asked for anything
os.environ.setdefault("CRDS_PATH", "crds-is-not-used")

import numpy as np

Request = dict[str, Any]
PLANES = ("flux_os", "trace_used", "full_trace", "linear_flux", "residual_flux")

data: dict[str, dict[str, Any]] = {}


def trace_model() -> Any:
    """Return the module under measurement, imported late so that a fresh process is ready at once."""
    from jwst.adaptive_trace_model import trace_model as module  # pyright: ignore[reportMissingImports]

    return module


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def load(request: Request) -> Request:
    """Read the arrays of a data set, and the parameters of its mode."""
    module = trace_model()
    with np.load(request["path"]) as archive:
        found: dict[str, Any] = {key: archive[key] for key in archive.files}
    mode, detector, grating = request["mode"]
    found["fit_options"] = module._set_fit_kwargs(mode, detector, grating, found["flux"].shape[1])
    found["os_options"] = module._set_oversample_kwargs(mode, detector)
    data[request["data"]] = found
    return {}


def fit(request: Request) -> Request:
    """Fit all regions, without thresholds."""
    d = data[request["data"]]
    seconds, models = timed(
        lambda: trace_model().fit_all_regions(
            d["flux"],
            d["error"],
            d["alpha"],
            d["region_map"],
            peak_threshold=None,
            snr_threshold=None,
            **d["fit_options"],
        )
    )
    d["models"] = models
    rows = [(region, column, fitted) for region, columns in models.items() for column, fitted in columns.items()]
    n_knots = max(fitted["model"].t.size for _, _, fitted in rows)
    t, c = np.full((len(rows), n_knots), np.nan), np.full((len(rows), n_knots - 4), np.nan)
    for i, (_, _, fitted) in enumerate(rows):
        t[i, : fitted["model"].t.size], c[i, : fitted["model"].c.size] = fitted["model"].t, fitted["model"].c
    np.savez(
        request["result"],
        at=np.array([(region, column) for region, column, _ in rows]),
        t=t,
        c=c,
        scale=np.array([fitted["scale"] for _, _, fitted in rows]),
    )
    return {"seconds": seconds}


def oversample(request: Request) -> Request:
    """Oversample the flux with the models of the fit."""
    d = data[request["data"]]
    seconds, planes = timed(
        lambda: trace_model().oversample_flux(
            d["flux"],
            d["alpha"],
            d["region_map"],
            d["models"],
            request["factor"],
            d["alpha_os"],
            **d["os_options"],
        )
    )
    np.savez(request["result"], **dict(zip(PLANES, planes, strict=True)))
    return {"seconds": seconds}


def linear(request: Request) -> Request:
    """Oversample the error linearly."""
    d = data[request["data"]]
    seconds, plane = timed(
        lambda: trace_model().linear_oversample(
            d["error"],
            d["region_map"],
            request["factor"],
            d["os_options"]["require_ngood"],
            edge_limit=0,
            preserve_nan=False,
        )
    )
    np.savez(request["result"], plane=plane)
    return {"seconds": seconds}


def trace(request: Request) -> Request:
    """Make the trace image."""
    d = data[request["data"]]
    seconds, (used, full) = timed(
        lambda: trace_model()._trace_image(
            d["flux"].shape, d["models"], d["region_map"], d["alpha"], slope_limit=0.1, pad=d["os_options"]["pad"]
        )
    )
    np.savez(request["result"], used=used, full=full)
    return {"seconds": seconds}


def profile(request: Request) -> Request:
    """Make the cross-dispersion profile of every region; cutting the regions out is not counted."""
    d = data[request["data"]]
    total, found = 0.0, dict[str, Any]()
    for region in request["regions"]:
        inside = d["region_map"] == region
        flux, error, alpha = (
            np.where(inside, d[name], np.nan).astype(d["flux"].dtype) for name in ("flux", "error", "alpha")
        )
        seconds, planes = timed(partial(trace_model()._crossdisp_profile, flux, error, alpha))
        total += seconds
        found[str(region)] = np.array(planes)
    np.savez(request["result"], **found)
    return {"seconds": total}


def step(request: Request) -> Request:
    """Run the whole step, file to file."""
    from stpipe import crds_client  # pyright: ignore[reportMissingImports]

    def no_context(observatory: str) -> str:
        del observatory
        return "N/A"

    crds_client.get_context_used = no_context
    from jwst.adaptive_trace_model import AdaptiveTraceModelStep  # pyright: ignore[reportMissingImports]

    out = Path(request["result"])
    out.mkdir(parents=True, exist_ok=True)

    def call() -> None:
        AdaptiveTraceModelStep.call(
            request["file"], skip=False, save_results=True, output_dir=str(out), **request["options"]
        ).close()

    seconds, _ = timed(call)
    return {"seconds": seconds, "files": [str(path) for path in sorted(out.glob("*.fits"))]}


DOINGS: dict[str, Callable[[Request], Request]] = {
    "load": load,
    "fit": fit,
    "oversample": oversample,
    "linear": linear,
    "trace": trace,
    "profile": profile,
    "step": step,
}


def answer_requests(doings: dict[str, Callable[[Request], Request]]) -> None:
    """Answer requests until there are no more.

    Parameters
    ----------
    doings : dict
        What can be asked for.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    with suppress(BrokenPipeError):
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps(doings[request["do"]](request)), file=answers, flush=True)


if __name__ == "__main__":
    answer_requests(DOINGS)
