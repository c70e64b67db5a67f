"""One beam map from file to report, in a process of its own.

``python -m tests.bench.beammap_runner SCAN FOLDER ROUNDS [GB]`` prints what it took as JSON: seconds of each stage and
of the processor, the peak of the memory, rounds, pixels. Linux only. The seconds of starting the interpreter are not in
the stages; whoever calls it measures the whole.
"""

import json
import sys
import time
from pathlib import Path

from pixtrace.cli._beammap_pictures import draw
from pixtrace.io.beammap import BeamMapJob
from tests.bench.proc import memory


def main() -> None:
    """Measure, and print the result."""
    scan, folder, rounds, *rest = sys.argv[1:]
    options: dict[str, float] = {"rounds": int(rounds)}
    if rest:
        options["memory"] = float(rest[0])
    stages: dict[str, float] = {}
    since = time.perf_counter()

    def end(stage: str) -> None:
        nonlocal since
        now = time.perf_counter()
        stages[stage] = stages.get(stage, 0.0) + now - since
        since = now

    def progress(stage: str, done: int, total: int) -> None:
        if done == (total if stage == "reading" else 0):
            end("reading")

    job = BeamMapJob([scan], options, folder)
    windows = job.plan().windows
    job.prepare(overwrite=True)
    job.forget()
    found = job.run(progress=progress)
    end("rounds")
    peak = memory("VmHWM")
    files = job.write(found)
    end("writing")
    draw(job, found, files, None)
    end("drawing")
    print(
        json.dumps(
            {
                "stages": stages,
                "cpu": time.process_time(),
                "peak": peak,
                "peak_with_pictures": memory("VmHWM"),
                "windows": windows,
                "rounds": len(found.records),
                "good": found.n_good,
                "pixels": found.table.n_pixels,
                "raw": sum(stream.n_frames * stream.n_channels * 4 for stream in job.streams) / 2**20,
                "cells": int(found.maps.need_block().stack.data.size),
                "files": [Path(file).name for file in files],
            }
        )
    )


if __name__ == "__main__":
    main()
