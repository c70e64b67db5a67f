"""Who provides what rooms need that must not know each other.

`scan` says by protocols (`PixelMapFiles` and `ScratchRoom` of `pixtrace.scan.products`) what it asks of files, and so
does `trace` for its models (`pixtrace.trace.model.ModelFiles`); `io`, which knows both, provides it. So that the arrows
``scan <- io`` and ``trace <- io`` point one way, and nothing of `io` is loaded before a file is asked for, the provider
is found here by name. This table is the only place in the package that imports by name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["PROVIDERS", "provider"]

#: Modules that provide something, by what they provide.
PROVIDERS = {
    "model_files": "pixtrace.io.models",
    "pixel_map_files": "pixtrace.io.pixel_map_files",
    "scratch": "pixtrace.io.scratch",
}


def provider(need: str) -> ModuleType:
    """Return the module that provides something, one of `PROVIDERS`."""
    return import_module(PROVIDERS[need])
