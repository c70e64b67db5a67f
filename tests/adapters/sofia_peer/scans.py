"""Models of sofia_redux, or of ours in its place, that hold a simulated scan."""

from typing import Any

import numpy as np

__all__ = ["make", "ones"]


def make(loaded: Any, kind: Any) -> Any:
    """Return a model with grid and lookup, and the samples of the scan."""
    reduction, read = loaded
    model = kind(reduction.info, reduction=reduction)
    model.create_from([read()])
    reduction.available_reduction_jobs = 1
    model.add_integration(model.scans[0][0])
    return model


def ones(model: Any) -> tuple[Any, Any, Any, Any]:
    """Return frames and channels of a model's scan, and gains of one."""
    integration = model.scans[0][0]
    frames, channels = integration.frames, integration.channels
    return frames, channels.get_mapping_pixels(), np.ones(frames.size), np.ones(channels.size)
