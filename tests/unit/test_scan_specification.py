"""Names and parameters that callers of the reference know, and the signatures that `design.md` promises."""

import inspect
from typing import Any

import numpy as np
import pytest

from pixtrace.scan import MapStack, PixelMap, SamplePoints, get_delta_sync_parms, get_sample_points
from tests.strategies.scan_calls import STREAM
from tests.strategies.scans import make_maps, make_scan

#: Public methods of the reference's `PixelMap`, with their parameters.
METHODS = {
    "add_model_data": "other weight=1.0",
    "add_points": "frames pixels frame_gains source_gains",
    "base_footprint": "pixels",
    "calculate_coupling": "integration pixels source_gains sync_gains",
    "calculate_pixel_data": "smooth=False",
    "clear_all_memory": "",
    "clear_content": "",
    "clear_process_brief": "",
    "copy": "with_contents=True",
    "count_points": "",
    "covariant_points": "",
    "create_from": "scans assign_scans=True",
    "create_lookup": "integration",
    "get_map_2d": "",
    "get_parallel": "",
    "get_pixel_footprint": "",
    "get_source_name": "",
    "get_unit": "",
    "is_adding_to_master": "",
    "is_empty": "",
    "merge_accumulate": "other",
    "no_parallel": "",
    "process": "",
    "process_final": "",
    "process_scan": "scan",
    "reset_processing": "",
    "set_base": "",
    "set_data_shape": "shape",
    "set_parallel": "threads",
    "sync_source_gains": "frames pixels frame_gains source_gains sync_gains",
    "write": "path",
    "write_fits": "filename",
    "write_pixel_data": "path=None",
}
CLASS_METHODS = {
    "parallel_safe_add_points": "args pixel_number",
    "parallel_safe_calculate_pixel_data": "args pixel_number",
    "parallel_safe_merge_accumulate": "args pixel_index",
    "parallel_safe_process_final": "args pixel_index",
    "parallel_safe_sync_source_gains": "args pixel_number",
}
PROPERTIES = {"referenced_attributes", "shape"}

_SAMPLES = (
    "frame_data frame_gains frame_weights source_gains channel_variance valid_frames map_indices channel_indices "
    "sample_flags exclude_sample_flag"
)
#: What `design.md` and the issue promise of `MapStack`; what is ours besides comes after a bare star.
STACK = {
    "__init__": "n_pixels shape * resolution reference_index",
    "from_arrays": "data weight exposure flag * base=None resolution reference_index",
    "add_points": f"{_SAMPLES} dt",
    "accumulate": "data gains weights indices dt",
    "end_accumulation": "",
    "merge_accumulate": "other",
    "add_model_data": "other weight=1.0",
    "count_points": "",
    "level": "robust=True",
    "reweight": "robust=True",
    "smooth_to": "fwhm",
    "despike": "level",
    "filter": "fwhm",
    "mem_correct": "lambda_",
    "update_mask": "level=None min_neighbors=2 sign='+'",
    "set_base": "",
    "sync": (
        "frame_data frame_valid frame_gains channel_indices map_indices source_gains sync_gains sample_flags "
        "sample_blank_flag"
    ),
}
FUNCTIONS = {
    get_sample_points: _SAMPLES,
    get_delta_sync_parms: (
        "channel_source_gains channel_indices channel_flags channel_variance frame_weight frame_source_gains "
        "frame_valid frame_flags source_flag n_points"
    ),
}


def spelled(function: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the parameters that go by position, as above, and the defaults of those that go by name alone."""
    own = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    named = {p.name: p.default for p in own if p.kind is p.KEYWORD_ONLY}
    others = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in own if p.name not in named]
    return others, named


@pytest.mark.parametrize("name", METHODS | CLASS_METHODS)
def test_methods_of_pixel_maps(name: str) -> None:
    kind = inspect.getattr_static(PixelMap, name)
    assert isinstance(kind, classmethod) == (name in CLASS_METHODS)
    found, named = spelled(getattr(PixelMap, name))
    assert found == (METHODS | CLASS_METHODS)[name].split()
    assert not named
    assert inspect.getdoc(kind)


def test_properties_of_pixel_maps() -> None:
    for name in PROPERTIES:
        assert isinstance(inspect.getattr_static(PixelMap, name), property)
    assert len(METHODS) + len(CLASS_METHODS) + len(PROPERTIES) == 40  # as many as the specification has


@pytest.mark.parametrize("name", STACK)
def test_methods_of_stacks(name: str) -> None:
    found, named = spelled(getattr(MapStack, name))
    promised, _, by_name = (part.split() for part in STACK[name].partition("*"))
    assert found == promised
    for entry in by_name:
        word, _, default = entry.partition("=")
        assert repr(named[word]) == default if default else named[word] is inspect.Parameter.empty
    others = named.keys() - {entry.partition("=")[0] for entry in by_name}
    assert all(named[word] is not inspect.Parameter.empty for word in others)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_on_arrays(function: Any) -> None:
    found, named = spelled(function)
    assert found == FUNCTIONS[function].split()
    assert set(named) <= {"n_threads"}


def test_what_comes_back() -> None:
    points = get_sample_points(**STREAM.arguments)
    assert isinstance(points, SamplePoints)
    assert points._fields == ("n", "data", "gains", "weights", "indices")
    n_frames, n_listed = STREAM.frame_data.shape[0], STREAM.channel_indices.size
    shapes = [array.shape for array in points[1:]]
    assert shapes == [(n_frames, n_listed)] * 3 + [(2, n_frames, n_listed)]
    assert isinstance(points.n, int)


def test_planes_are_no_copies_and_have_their_types() -> None:
    model = make_maps(make_scan(200))
    stack = model.need_block().stack
    full = (4, *model.shape)
    for name, dtype in {"data": "f8", "weight": "f8", "exposure": "f8", "flag": "u1", "base": "f8"}.items():
        plane = getattr(stack, name)
        assert (plane.shape, plane.dtype) == (full, np.dtype(dtype))
        assert plane.flags.writeable
        assert np.shares_memory(plane, getattr(stack, name))
        found = model.pixel_maps[12]
        own = found.base if name == "base" else getattr(found.map, name)
        assert np.shares_memory(own, plane[2])
        assert own.shape == model.shape
    # 24 bytes of each cell for data, weight and exposure, one for flags, eight for the base.
    assert sum(getattr(stack, n).nbytes for n in ("data", "weight", "exposure", "flag", "base")) == 33 * stack.data.size
