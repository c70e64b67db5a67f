"""One beam map by sofia_redux 1.5.2, mended so that it runs, in the environment that has it.

``python -m tests.bench.beammap_reference SCAN ROUNDS`` reads a raw HAWC+ scan and reduces it as its option ``beammap``
does, on one thread, which is the fastest for it, and prints seconds as JSON. Everything is done twice; what is printed
is the second time, with nothing left to be compiled. Positions are measured while its products are written, once and
not in each round, the second time only.

As it is, it cannot do this (the numbers are those of section 17 of the semantics of pixel maps):

- (1) With ``parallel.source``, its default, the model has lost its reduction when points are added: the option is off.
- (2, 4, 5) Its model is subtracted from the signals by the cells of other frames, and from the signals of other
  channels; at the first channel without a map it stops. `subtract` calls its kernel for each map with the column and
  the cells that are its own.

Frames are not cut by the speed of the telescope, and delays between data and boresight, which the simulator does not
have, are off. All else is as its configuration has it. One round needs no more; from the second on all maps would share
one map of the round before (6).
"""

import json
import os
import sys
import tempfile
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

OPTIONS = {
    "beammap": "True",
    "parallel.source": "False",
    "parallel.cores": "1",
    "parallel.jobs": "1",
    "write.png": "False",
    "blacklist": "vclip",
    "shift": "0.0",
    "chopper.shift": "0",
}


def part_of(module: str) -> Any:
    """Return a module of sofia_redux, which comes without types."""
    return import_module(f"sofia_redux.scan.{module}")


def subtract(model: Any, frames: Any, pixels: Any, frame_gains: Any, source_gains: Any, sync_gains: Any) -> None:
    """Subtract each map from the signals of its own channel, in the place of `PixelMap.sync_source_gains`."""
    kernel = part_of("source_models.source_numba_functions").sync_map_samples
    blank = part_of("flags.frame_flags").FrameFlags.flags.SAMPLE_SOURCE_BLANK.value
    cells = np.ascontiguousarray(np.broadcast_to(frames.map_index.coordinates, (2, *frames.data.shape)))
    for k, number in enumerate(pixels.fixed_index):
        found = model.pixel_maps.get(int(number))
        if found is None:
            continue
        kernel(
            frame_data=frames.data,
            frame_valid=frames.valid,
            frame_gains=frame_gains,
            channel_indices=np.array([int(pixels.indices[k])]),
            map_values=found.map.data,
            map_valid=found.map.valid,
            map_masked=found.is_masked(),
            map_indices=cells,
            base_values=found.base.data,
            base_valid=found.base.valid,
            source_gains=source_gains,
            sync_gains=sync_gains,
            sample_flags=frames.sample_flag,
            sample_blank_flag=blank,
        )


def reduce_scan(path: str, rounds: int, *, products: bool) -> dict[str, float]:
    """Reduce a scan, with its products or without, and return the seconds of each step and the sizes."""
    reduction = part_of("reduction.reduction").Reduction("hawc_plus")
    reduction.add_user_configuration(options={**OPTIONS, "rounds": str(rounds)})
    write_products, reduction.write_products = reduction.write_products, lambda: None
    times = [time.perf_counter()]
    reduction.read_scans([path])
    reduction.validate()
    times.append(time.perf_counter())
    integration = reduction.scans[0][0]
    n_frames, n_channels, processor = integration.frames.size, integration.channels.size, time.process_time()
    reduction.reduce()
    times.append(time.perf_counter())
    if products:
        write_products()
    times.append(time.perf_counter())
    steps = dict(zip(("reading", "reducing", "products"), np.diff(times).tolist(), strict=True))
    return {
        **steps,
        "processor": time.process_time() - processor,
        "frames": n_frames,
        "channels": n_channels,
        "maps": len(reduction.source.pixel_maps),
    }


def main() -> None:
    """Measure, and print the result."""
    path, rounds = str(Path(sys.argv[1]).resolve()), int(sys.argv[2])
    for name in ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"
    warnings.simplefilter("ignore")
    part_of("source_models.pixel_map").PixelMap.sync_source_gains = subtract
    answer = os.dup(1)
    os.dup2(2, 1)  # sofia_redux talks on standard output
    with tempfile.TemporaryDirectory(prefix="pixtrace-bench-") as folder:
        os.chdir(folder)
        reduce_scan(path, rounds, products=False)
        found = reduce_scan(path, rounds, products=True)
        os.chdir("/")
    os.write(answer, json.dumps(found).encode() + b"\n")


if __name__ == "__main__":
    main()
