"""The memory of a stack of maps and of `MapStack.add_points`, in a process of its own.

``python -m tests.bench.scan_memory`` prints the bytes for each cell, and the megabytes that adding takes beside the
maps. Linux only: it reads, and resets, the kernel's record of the peak.
"""

import json
from pathlib import Path

from tests.bench.proc import memory
from tests.bench.scan_inputs import simulate
from tests.bench.scan_ours import Ours

MB = 2.0**20
_RESET_PEAK = "5"


def main() -> None:
    """Measure, and print the result as JSON."""
    ours = Ours(simulate())
    stack, scan = ours.stack, ours.scan
    stack.clear()  # the memory is there from now on; nobody has looked at the weights, so that they wait
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    ours.add(2)
    temporaries = memory("VmHWM") - before
    planes = sum(plane.nbytes for plane in (stack.data, stack.weight, stack.exposure, stack.flag))
    print(
        json.dumps(
            {
                "cell": planes / stack.data.size,
                "base": stack.base.nbytes / stack.data.size,
                "temporaries": temporaries,
                "inputs": (scan.frame_data.nbytes + scan.sample_flags.nbytes) / MB,
            }
        )
    )


if __name__ == "__main__":
    main()
