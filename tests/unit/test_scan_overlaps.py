"""Arrays that are read-only, or lie in the memory of others."""

from typing import Any

import numpy as np
import pytest

from pixtrace.exceptions import DataError, DtypeError, ParameterError
from pixtrace.scan import MapStack
from tests.strategies.scan_calls import STREAM, SYNC, call_sync, means
from tests.strategies.timestreams import BLANK, DT, Array, assert_same_maps, make_timestreams


def test_planes_of_the_stack_are_not_its_timestreams() -> None:
    square = make_timestreams(5, n_frames=4, n_channels=6, shape=(4, 6), is_spoilt=False)
    stack = square.maps()
    for name, plane in (
        ("frame_data", stack.data),
        ("frame_data", stack.weight),
        ("frame_data", stack.exposure),
        ("sample_flags", stack.flag),
    ):
        with pytest.raises(DataError, match="do not pass them to methods of the same stack"):
            square.but(**{name: plane[0]}).add_to(stack)
    shared = square.map_indices
    with pytest.raises(DataError, match="do not pass them to methods of the same stack"):
        stack.accumulate(stack.data[0], stack.data[1], stack.data[2], shared, DT)
    assert_same_maps(stack, square.maps())
    # Those of another stack, and the prior, are only read.
    other = square.maps()
    square.but(frame_data=stack.data[0]).add_to(other)
    square.but(frame_data=np.ascontiguousarray(stack.base[0])).add_to(other)
    assert other.n_skipped == 24


def test_positions_may_lie_in_a_plane_of_the_stack() -> None:
    square = make_timestreams(5, n_frames=4, n_channels=6, shape=(4, 6), is_spoilt=False)
    positions = square.map_indices[..., 0] + 0.25
    stack = square.empty()
    stack.data[:2, 0, :4] = positions
    square.add_to(stack, map_positions=stack.data[:2, 0, :4])
    expected = square.empty()
    square.add_to(expected, map_positions=positions)
    np.testing.assert_array_equal(stack.moments, expected.moments)


def test_what_is_subtracted_does_not_change_meanwhile() -> None:
    square = make_timestreams(5, n_frames=4, n_channels=6, shape=(4, 6), is_spoilt=False)
    stack = square.maps()
    stack.end_accumulation()
    stack.set_base()
    given = {name: getattr(square, name) for name in ("frame_gains", "channel_indices", "map_indices", "source_gains")}
    rest = {**given, "sync_gains": square.source_gains, "frame_valid": square.valid_frames, "sample_blank_flag": BLANK}
    for plane in (stack.data, stack.weight, stack.exposure):
        with pytest.raises(DataError, match="do not pass them to methods of the same stack"):
            stack.sync(plane[0], sample_flags=square.sample_flags.copy(), **rest)
    with pytest.raises(DataError, match="do not pass them to methods of the same stack"):
        stack.sync(square.frame_data.copy(), sample_flags=stack.flag[0], **rest)
    with pytest.raises(DataError, match="`frame_data` is the memory of `base`, which is subtracted; give a copy"):
        stack.sync(stack.base[0], sample_flags=square.sample_flags.copy(), **rest)


def test_gains_may_be_a_view_into_the_data() -> None:
    # As they were before anything was subtracted.
    data = np.abs(STREAM.frame_data)
    expected = data.copy()
    call_sync({**SYNC, "frame_data": expected, "frame_gains": data[:, 0].copy(), "source_gains": data[0].copy()})
    call_sync({**SYNC, "frame_data": data, "frame_gains": data[:, 0], "source_gains": data[0]})
    np.testing.assert_array_equal(data, expected)
    flags = np.zeros((10, 5), np.int64)
    flags[:, :2] = STREAM.map_indices[..., 0].T
    indices = flags[:, :2].T[:, :, np.newaxis]
    data = STREAM.frame_data.copy()
    call_sync({**SYNC, "frame_data": data, "sample_flags": flags, "map_indices": indices})
    expected = STREAM.frame_data.copy()
    call_sync({**SYNC, "frame_data": expected})
    np.testing.assert_array_equal(data, expected)
    stack = STREAM.but(frame_gains=data[:, 0], frame_weights=np.abs(data)[:, 1]).maps()
    assert stack.valid.any()


def test_data_and_flags_do_not_share_their_memory() -> None:
    data = STREAM.frame_data.copy()
    with pytest.raises(DataError, match="`frame_data` and `sample_flags` share their memory; both are changed"):
        call_sync({**SYNC, "frame_data": data, "sample_flags": data.view(np.int64)})
    # Side by side in one record is another matter.
    record = np.zeros((10, 5), dtype=[("data", "f8"), ("flags", "i8")])
    record["data"] = STREAM.frame_data
    call_sync({**SYNC, "frame_data": record["data"], "sample_flags": record["flags"]})
    expected = STREAM.frame_data.copy()
    call_sync({**SYNC, "frame_data": expected})
    np.testing.assert_array_equal(record["data"], expected)


@pytest.mark.parametrize("strides", [(8, 8), (0, 8), (8, 0), (0, 0), (16, 8), (-8, 8), (4, 8)])
def test_what_is_changed_has_a_place_for_each_sample(strides: tuple[int, int]) -> None:
    for dtype, name in (("<f8", "frame_data"), ("<i8", "sample_flags")):
        memory = np.zeros(100, dtype)
        array = np.lib.stride_tricks.as_strided(memory[50:], (10, 5), strides, writeable=True)
        with pytest.raises(
            DataError, match=rf"`{name}` has elements that share their memory \(strides .*\); give a copy"
        ):
            call_sync({**SYNC, name: array})
        assert not memory.any()
    # To read, they may.
    constant = np.broadcast_to(1.5, (10, 5))
    assert_same_maps(STREAM.but(frame_data=constant).maps(), STREAM.but(frame_data=constant.copy()).maps())


@pytest.mark.parametrize("name", ["frame_data", "sample_flags"])
def test_what_is_changed_must_not_be_read_only(name: str) -> None:
    array = SYNC[name].copy()
    array.flags.writeable = False
    with pytest.raises(DataError, match=f"`{name}` is read-only, and is to be changed in place; give a copy"):
        call_sync({**SYNC, name: array})


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, np.int64])
def test_what_is_changed_is_of_a_type_that_can_take_it(dtype: Any) -> None:
    with pytest.raises(
        DtypeError, match=r"`frame_data` has dtype .*; expected float32 or float64, which can be changed"
    ):
        call_sync({**SYNC, "frame_data": STREAM.frame_data.astype(dtype)})
    with pytest.raises(DtypeError, match=r"`sample_flags` has dtype bool; expected integers, which can be changed"):
        call_sync({**SYNC, "sample_flags": STREAM.sample_flags.astype(np.bool_)})
    with pytest.raises(DtypeError, match="`frame_data` is a list; expected a numpy array"):
        call_sync({**SYNC, "frame_data": STREAM.frame_data.tolist()})


@pytest.mark.parametrize(
    ("dtype", "bits", "fits"),
    [
        (np.uint8, 128, True),
        (np.uint8, 256, False),
        (np.int8, 128, False),
        (np.int8, -128, True),
        (np.int16, 8192, True),
        (np.int32, 2**31, False),
        (np.uint32, 2**31, True),
        (np.int64, 2**63, True),
        (np.uint64, 2**63, True),
        (np.uint64, 2**63 + 1, True),
    ],
)
def test_flags_that_fit_into_their_type(dtype: Any, bits: int, fits: bool) -> None:
    stack = means()
    stack.update_mask(min_neighbors=0)
    flags = np.zeros((10, 5), dtype)
    if not fits:
        with pytest.raises(
            ParameterError, match=f"`sample_blank_flag` = {bits} does not fit into the flags, which are"
        ):
            call_sync({**SYNC, "sample_flags": flags}, stack, sample_blank_flag=bits)
        return
    call_sync({**SYNC, "sample_flags": flags}, stack, sample_blank_flag=bits)
    expected = np.array(bits, np.uint64).astype(dtype) if bits > 0 else np.array(bits, dtype)
    assert (flags == expected).all()


def test_planes_that_were_made_read_only() -> None:
    stack = STREAM.maps()
    stack.data.flags.writeable = False
    for work in (lambda: STREAM.add_to(stack), stack.end_accumulation, lambda: stack.merge_accumulate(stack)):
        with pytest.raises(DataError, match=r"planes of the stack cannot be changed: .*; make them writeable"):
            work()
    stack.data.flags.writeable = True
    stack.end_accumulation()
    assert_same_maps(stack, means())
    for name in ("flag", "data"):
        plane = getattr(stack, name)
        plane.flags.writeable = False
        with pytest.raises(DataError, match=r"planes of the stack cannot be changed: .*; make them writeable"):
            stack.clear()
        assert_same_maps(stack, means())
        plane.flags.writeable = True
    stack.base.flags.writeable = False
    with pytest.raises(DataError, match=r"planes of the stack cannot be changed: .*; make them writeable"):
        stack.set_base()


def test_a_stack_can_be_added_to_itself() -> None:
    for work in (MapStack.merge_accumulate, MapStack.add_model_data):
        for make in (STREAM.maps, means):
            alone, apart = make(), make()
            work(alone, alone)
            work(apart, make())
            assert_same_maps(alone, apart)
            np.testing.assert_array_equal(alone.weight, 2.0 * STREAM.maps().weight)


def test_maps_added_to_others_of_the_same_stack() -> None:
    stack = STREAM.maps()
    stack.merge_accumulate(stack, pixels=[1, 2, 3, 4, 0])
    expected = STREAM.maps()
    expected.merge_accumulate(STREAM.maps().select([4, 0, 1, 2, 3]))
    assert_same_maps(stack, expected)


def test_views_show_the_stack_as_it_is() -> None:
    stack = make_timestreams(9).maps()
    view: Array = stack.data[3]
    stack.end_accumulation()
    np.testing.assert_array_equal(view, stack.data[3])
    assert np.shares_memory(view, stack.data)
    stack.extend([100])
    assert not np.shares_memory(view, stack.data)
    np.testing.assert_array_equal(view, stack.data[3])
    stack.clear()
    assert not stack.data.any()
    assert stack.content == ["given"] * stack.n_pixels
