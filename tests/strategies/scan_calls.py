"""Good timestreams for each function that takes some, for tests that spoil them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pixtrace.scan import MapStack, get_delta_sync_parms, get_sample_points
from tests.strategies.timestreams import BLANK, DT, make_timestreams

STREAM = make_timestreams(3, n_frames=10, n_channels=5, shape=(4, 6), is_spoilt=False)
GRID: dict[str, Any] = {"resolution": 1.0, "reference_index": 0.0}


def means() -> MapStack:
    """Return normalised maps of the timestreams."""
    stack = STREAM.maps()
    stack.end_accumulation()
    return stack


SYNC: dict[str, Any] = {
    "frame_data": STREAM.frame_data,
    "frame_valid": STREAM.valid_frames,
    "frame_gains": STREAM.frame_gains,
    "channel_indices": STREAM.channel_indices,
    "map_indices": STREAM.map_indices,
    "source_gains": STREAM.source_gains,
    "sync_gains": STREAM.source_gains,
    "sample_flags": STREAM.sample_flags,
}
ACCUMULATE: dict[str, Any] = {
    "data": STREAM.frame_data,
    "gains": STREAM.frame_data,
    "weights": np.abs(STREAM.frame_data),
    "indices": STREAM.map_indices,
}
DELTA: dict[str, Any] = {
    "channel_source_gains": STREAM.source_gains,
    "channel_indices": STREAM.channel_indices,
    "channel_flags": np.zeros(5, np.int64),
    "channel_variance": STREAM.channel_variance,
    "frame_weight": STREAM.frame_weights,
    "frame_source_gains": STREAM.frame_gains,
    "frame_valid": STREAM.valid_frames,
    "frame_flags": np.zeros(10, np.int64),
}


def call_sync(given: dict[str, Any], stack: MapStack | None = None, **options: Any) -> None:
    """Subtract maps; arrays that are to be changed are copies, unless they are of the wrong kind."""
    changed = {
        name: given[name].copy() if given[name] is SYNC[name] else given[name]
        for name in ("frame_data", "sample_flags")
    }
    arguments: dict[str, Any] = {**given, **changed, "sample_blank_flag": BLANK, **options}
    (means() if stack is None else stack).sync(**arguments)


#: Every function that takes timestreams, and good arguments for it.
FUNCTIONS: dict[str, tuple[Callable[[dict[str, Any]], object], dict[str, Any]]] = {
    "add_points": (
        lambda given: STREAM.empty().add_points(**given, exclude_sample_flag=STREAM.exclude_sample_flag, dt=DT),
        STREAM.arrays,
    ),
    "get_sample_points": (
        lambda given: get_sample_points(**given, exclude_sample_flag=STREAM.exclude_sample_flag),
        STREAM.arrays,
    ),
    "accumulate": (lambda given: STREAM.empty().accumulate(**given, dt=DT), ACCUMULATE),
    "sync": (call_sync, SYNC),
    "get_delta_sync_parms": (lambda given: get_delta_sync_parms(**given, source_flag=1, n_points=3.0), DELTA),
}
CASES = [(function, name) for function, (_, given) in FUNCTIONS.items() for name in given]
IN_PLACE = {("sync", "frame_data"), ("sync", "sample_flags")}


def call(function: str, **changes: Any) -> object:
    """Call a function with good arguments, but for the changes."""
    work, good = FUNCTIONS[function]
    return work({**good, **changes})


#: What is done to maps, all of them or some.
MAP_WORK: dict[str, Callable[..., object]] = {
    "end_accumulation": lambda stack, **o: stack.end_accumulation(**o),
    "count_points": lambda stack, **o: stack.count_points(**o),
    "level": lambda stack, **o: stack.level(**o),
    "chi2": lambda stack, **o: stack.chi2(**o),
    "reweight": lambda stack, **o: stack.reweight(**o),
    "smooth_to": lambda stack, **o: stack.smooth_to(7.0, **o),
    "filter": lambda stack, **o: stack.filter(20.0, **o),
    "despike": lambda stack, **o: stack.despike(2.0, **o),
    "clip_exposure": lambda stack, **o: stack.clip_exposure(0.5, **o),
    "clip_noise": lambda stack, **o: stack.clip_noise(1.5, **o),
    "clip_significance": lambda stack, **o: stack.clip_significance(0.5, **o),
    "clip_redundancy": lambda stack, **o: stack.clip_redundancy(2 * DT, **o),
    "mem_correct": lambda stack, **o: stack.mem_correct(0.3, **o),
    "update_mask": lambda stack, **o: stack.update_mask(0.5, **o),
}
