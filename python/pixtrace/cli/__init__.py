"""The command ``pixtrace``.

This package prints and exits; nothing imports it. Its modules import numpy, the core and everything else that is heavy
only when a command needs it, so that ``pixtrace --help`` answers at once.
"""

from pixtrace.cli._main import main

__all__ = ["main"]
