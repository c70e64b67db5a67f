"""The peak memory of `TraceModel.oversample`, in a process of its own.

``python -m tests.bench.array_memory FILE.npz PRESET`` prints the megabytes of inputs and outputs, and those that the
process took on top of what it had before the inputs were read. Linux only: it reads, and resets, the kernel's
record of the peak.
"""

import json
import sys
from pathlib import Path

import numpy as np

from pixtrace.trace import fit_all_regions
from pixtrace.trace.params import TraceParams
from tests.bench.inputs import FACTOR

MB = 2.0**20
_RESET_PEAK = "5"


def status(key: str) -> float:
    """Return an entry of the memory of this process [MB].

    Parameters
    ----------
    key : str
        ``VmRSS``, what is in use, or ``VmHWM``, its peak.

    Returns
    -------
    float
        Megabytes.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return float(line.split()[1]) / 1024.0
    raise KeyError(key)


def main() -> None:
    """Measure, and print the result as JSON."""
    path, preset = sys.argv[1:]
    params = TraceParams.preset(preset)
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    flux, error, alpha, region_map, alpha_os = (
        arrays[name] for name in ("flux", "error", "alpha", "region_map", "alpha_os")
    )
    model = fit_all_regions(flux, error, alpha, region_map, **params.fit_kwargs(flux.shape[1]))
    inputs = sum(array.nbytes for array in (flux, alpha, region_map, alpha_os)) / MB
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    planes = model.oversample(flux, alpha, region_map, FACTOR, alpha_os, **params.oversample_kwargs())
    outputs = sum(plane.nbytes for plane in planes) / MB
    print(json.dumps({"inputs": inputs, "outputs": outputs, "taken": inputs + status("VmHWM") - before}))


if __name__ == "__main__":
    main()
