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
from tests.bench.proc import memory

MB = 2.0**20
_RESET_PEAK = "5"


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
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    planes = model.oversample(flux, alpha, region_map, FACTOR, alpha_os, **params.oversample_kwargs())
    outputs = sum(plane.nbytes for plane in planes) / MB
    print(json.dumps({"inputs": inputs, "outputs": outputs, "taken": inputs + memory("VmHWM") - before}))


if __name__ == "__main__":
    main()
