"""The peak memory of one run of the command: ``python -m tests.bench.command_memory ARGUMENTS``.

What the kernel tells a parent about its child includes the parent itself, so the process asks for its own peak.
"""

import sys

from pixtrace.cli import main
from tests.bench.proc import memory

if __name__ == "__main__":
    code = main()
    print(f"{memory('VmHWM'):.1f}")
    sys.exit(code)
