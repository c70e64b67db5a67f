"""Maps that are to be subtracted, with all that can be wrong with maps."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from pixtrace.scan import MapStack
from tests.strategies.timestreams import BLANK, Array, Timestreams

__all__ = ["SEEDS", "filled_models", "subtract", "synced"]

SEEDS = st.integers(0, 2**32 - 1)


def filled_models(stream: Timestreams, seed: int, kind: type = MapStack) -> Any:
    """Return maps for the listed channels with holes, masks and priors, as means."""
    rng = np.random.default_rng(seed)
    full = (stream.channel_indices.size, *stream.shape)
    data, base = rng.standard_normal(full), rng.standard_normal(full)
    data[rng.random(full) < 0.05] = np.nan
    base[rng.random(full) < 0.1] = np.nan
    weight = rng.uniform(0.5, 2.0, full) * (rng.random(full) > 0.1)
    exposure = weight.copy()
    weight[rng.random(full) < 0.03] = np.inf
    flag = rng.choice(np.array([0, 1, 2, 3], np.uint8), full, p=[0.7, 0.1, 0.15, 0.05])
    stack = kind.from_arrays(data, weight, exposure, flag, base=base, **stream.grid)  # type: ignore[attr-defined]
    stack.mark_content("means")
    return stack


def subtract(stack: Any, stream: Timestreams, data: Array, flags: Array, **options: Any) -> None:
    """Subtract maps from data in place, with other flags than those of the timestreams perhaps."""
    stack.sync(
        data,
        stream.valid_frames,
        stream.frame_gains,
        stream.channel_indices,
        stream.map_indices,
        np.nan_to_num(stream.source_gains),
        0.5 * np.nan_to_num(stream.source_gains),
        flags,
        BLANK,
        **options,
    )


def synced(stack: Any, stream: Timestreams, **options: Any) -> tuple[Array, Array]:
    """Return data and flags after the maps were subtracted."""
    data, flags = stream.frame_data.copy(), stream.sample_flags.copy()
    subtract(stack, stream, data, flags, **options)
    return data, flags
