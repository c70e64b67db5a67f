"""Timestreams of the wrong shape and kind."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pixtrace.exceptions import DataError, DtypeError, ParameterError, PixtraceError, ShapeError
from pixtrace.scan import get_sample_points
from tests.strategies.scan_calls import (
    ACCUMULATE,
    CASES,
    FUNCTIONS,
    IN_PLACE,
    MAP_WORK,
    STREAM,
    SYNC,
    call,
    call_sync,
    means,
)
from tests.strategies.timestreams import BLANK, DT, I64, PLANES, assert_same_maps

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(("function", "name"), CASES)
def test_wrong_number_of_dimensions(function: str, name: str) -> None:
    good = FUNCTIONS[function][1][name]
    for bad in (good[np.newaxis], good[0], np.zeros((), good.dtype)):
        text = rf"`{name}` has {bad.ndim} dimensions \(shape .*\); expected {good.ndim}"
        with pytest.raises(ShapeError, match=text):
            call(function, **{name: np.array(bad)})


# The gains of all channels alone say how many there are; a list of channels is wrong before its length is looked at.
SIZED = [case for case in CASES if case[0] != "get_delta_sync_parms" or case[1] != "channel_source_gains"]


@pytest.mark.parametrize(("function", "name"), SIZED)
def test_wrong_shape(function: str, name: str) -> None:
    good = FUNCTIONS[function][1][name]
    for axis in range(good.ndim):
        more = np.concatenate([good, np.arange(5, 8) if name == "channel_indices" else good], axis)
        for bad in (np.delete(good, 0, axis), more):
            with pytest.raises(
                (ShapeError, ParameterError), match=r"`\w+`(\[5\] = 5| has shape .*); expected"
            ) as caught:
                call(function, **{name: bad.copy()})
            assert caught.type is ShapeError or name == "channel_indices"


@pytest.mark.parametrize(("function", "name"), CASES)
@pytest.mark.parametrize("dtype", [np.complex128, object, "U3", "S3", "datetime64[s]", "timedelta64[s]", "V4"])
def test_what_is_no_number(function: str, name: str, dtype: Any) -> None:
    shape = FUNCTIONS[function][1][name].shape
    with pytest.raises(DtypeError, match=rf"`{name}` has dtype .*; expected"):
        call(function, **{name: np.zeros(shape, dtype)})


@pytest.mark.parametrize(("function", "name"), CASES)
@pytest.mark.parametrize("thing", [None, "abc", 3, {}, object()])
def test_what_is_no_array(function: str, name: str, thing: object) -> None:
    with pytest.raises((ShapeError, DtypeError), match=f"`{name}`.*expected"):
        call(function, **{name: thing})


@pytest.mark.parametrize(("function", "name"), [case for case in CASES if case not in IN_PLACE])
def test_ragged_lists(function: str, name: str) -> None:
    with pytest.raises(ShapeError, match=f"`{name}` is not an array"):
        call(function, **{name: [[1, 2], [3]]})


WHOLE = [(f, name) for f, name in CASES if FUNCTIONS[f][1][name].dtype.kind in "ib"]


@pytest.mark.parametrize(("function", "name"), WHOLE)
def test_whole_numbers_do_not_come_as_floats(function: str, name: str) -> None:
    # NaN and rounding hide there.
    with pytest.raises(DtypeError, match=f"`{name}` has dtype float64; expected"):
        call(function, **{name: FUNCTIONS[function][1][name].astype(np.float64)})


@pytest.mark.parametrize(("function", "name"), [case for case in WHOLE if case not in IN_PLACE])
def test_whole_numbers_have_no_value_that_stands_for_nothing(function: str, name: str) -> None:
    good = FUNCTIONS[function][1][name]
    masked = np.ma.masked_array(good, mask=np.zeros(good.shape, np.bool_))
    call(function, **{name: masked})
    masked.mask.flat[0] = True
    with pytest.raises(ParameterError, match=f"`{name}` has masked elements"):
        call(function, **{name: masked})


def test_valid_frames_are_zeros_and_ones() -> None:
    assert_same_maps(STREAM.but(valid_frames=STREAM.valid_frames.astype(np.int8)).maps(), STREAM.maps())
    for function, name in (("add_points", "valid_frames"), ("sync", "frame_valid")):
        with pytest.raises(DtypeError, match=f"`{name}` has dtype int64; expected truth values"):
            call(function, **{name: np.full(10, 2)})


@pytest.mark.parametrize("function", ["add_points", "get_sample_points", "sync", "get_delta_sync_parms"])
def test_channels_that_do_not_exist_or_are_named_twice(function: str) -> None:
    for wrong in (5, -1, I64.max, I64.min):
        with pytest.raises(
            ParameterError, match=rf"`channel_indices`\[2\] = {wrong}; expected a number from 0 to 5 - 1"
        ):
            call(function, channel_indices=np.array([0, 1, wrong, 3, 4]))
    with pytest.raises(ParameterError, match=r"`channel_indices`\[3\] = 1 stands there twice"):
        call(function, channel_indices=np.array([0, 1, 2, 1, 4]))
    with pytest.raises(ParameterError, match="`channel_indices` holds 18446744073709551615; the largest index"):
        call(function, channel_indices=np.array([0, 1, 2, 3, 2**64 - 1], np.uint64))


@pytest.mark.parametrize("dt", [np.nan, np.inf, -1.0, "1", None, True, 1j])
def test_times_that_are_none(dt: Any) -> None:
    works: dict[str, dict[str, Any]] = {"add_points": STREAM.arguments, "accumulate": ACCUMULATE}
    for name, given in works.items():
        stack = STREAM.empty()
        with pytest.raises(ParameterError, match=r"`dt` = .*; it must be a (time of 0 s or more|number)"):
            getattr(stack, name)(**given, dt=dt)
        assert not stack.valid.any()


@pytest.mark.parametrize("bits", [None, 1.0, "1", True, 2**64, -(2**63) - 1])
def test_masks_of_flags_that_are_none(bits: Any) -> None:
    with pytest.raises(
        ParameterError, match=r"`exclude_sample_flag` = .*; it must be a whole number of at most 64 bits"
    ):
        STREAM.but(exclude_sample_flag=bits).maps()
    with pytest.raises(ParameterError, match=r"`sample_blank_flag` = .*; it must be a whole number of at most 64 bits"):
        call_sync(SYNC, sample_blank_flag=bits)


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, True, "2", 1025, 10**6, np.nan])
def test_threads_that_are_none(n_threads: Any) -> None:
    stack = means()
    calls: list[Callable[[], object]] = [
        lambda: STREAM.maps(n_threads=n_threads),
        lambda: STREAM.empty().accumulate(**ACCUMULATE, dt=DT, n_threads=n_threads),
        lambda: get_sample_points(**STREAM.arguments, n_threads=n_threads),
        lambda: stack.merge_accumulate(stack, n_threads=n_threads),
        lambda: stack.add_model_data(stack, n_threads=n_threads),
        lambda: call_sync(SYNC, n_threads=n_threads),
        lambda: stack.fit_gaussians(n_threads=n_threads),
        lambda: stack.find_peaks(n_threads=n_threads),
        *(lambda work=work: work(stack, n_threads=n_threads) for work in MAP_WORK.values()),
    ]
    before = {name: getattr(stack, name).copy() for name in PLANES}
    for one in calls:
        with pytest.raises(ParameterError, match="`n_threads`"):
            one()
    for name, plane in before.items():
        np.testing.assert_array_equal(getattr(stack, name), plane)


@pytest.mark.parametrize("name", [*MAP_WORK, "set_base", "fit_gaussians", "find_peaks", "add_points", "select"])
def test_maps_that_do_not_exist(name: str) -> None:
    def work(pixels: Any) -> object:
        if name in MAP_WORK:
            return MAP_WORK[name](stack, pixels=pixels)
        if name == "add_points":
            return STREAM.add_to(stack, pixels=pixels)
        return stack.select(pixels) if name == "select" else getattr(stack, name)(pixels=pixels)

    stack = means()
    with pytest.raises(ParameterError, match="`pixels` holds 5; the stack has 5 maps, counted from 0"):
        work([0, 1, 5, 2, 3])
    with pytest.raises(ParameterError, match="`pixels` = -1; it must be a whole number from 0 on"):
        work([-1, 0, 1, 2, 3])
    with pytest.raises(DtypeError, match="`pixels` has dtype float64; expected integers"):
        work([0.0, 1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ShapeError, match="`pixels` has 2 dimensions"):
        work([[0, 1, 2, 3, 4]])
    assert_same_maps(stack, means())


def test_maps_that_are_named_twice() -> None:
    stack = means()
    for name, work in MAP_WORK.items():
        with pytest.raises(ParameterError, match=r"`pixels`\[2\] = 0 stands there twice"):
            work(stack, pixels=[0, 1, 0])
        assert name
    with pytest.raises(ParameterError, match=r"`pixels`\[4\] = 0 stands there twice"):
        STREAM.add_to(stack, pixels=[0, 1, 2, 3, 0])
    with pytest.raises(ParameterError, match="`pixels` holds 1 more than once; a map is added to once"):
        stack.merge_accumulate(stack.select([3, 4]), pixels=[1, 1])
    with pytest.raises(ParameterError, match="`pixel_ids` holds 1 more than once"):
        stack.select([1, 1])
    with pytest.raises(ParameterError, match="`pixel_ids` holds 4 more than once"):
        stack.extend([7, 4])
    assert_same_maps(stack, means())


def test_nothing_is_added_if_anything_is_wrong() -> None:
    for function in ("add_points", "accumulate"):
        good = FUNCTIONS[function][1]
        for name, array in good.items():
            stack = STREAM.maps()
            with pytest.raises(PixtraceError):
                getattr(stack, function)(
                    **{**good, name: array[:-1]},
                    **({"exclude_sample_flag": 6} if function == "add_points" else {}),
                    dt=DT,
                )
            assert_same_maps(stack, STREAM.maps())
            assert stack.content == ["sums"] * 5


def test_nothing_is_subtracted_if_anything_is_wrong() -> None:
    data, flags = STREAM.frame_data.copy(), STREAM.sample_flags.copy()
    for name in SYNC.keys() - {"frame_data", "sample_flags"}:
        given = {**SYNC, "frame_data": data, "sample_flags": flags, name: SYNC[name][:-1]}
        with pytest.raises(ShapeError):
            means().sync(**given, sample_blank_flag=BLANK)
    with pytest.raises(DataError, match="map 0 holds sums, not means; call `end_accumulation` first"):
        STREAM.maps().sync(**{**SYNC, "frame_data": data, "sample_flags": flags}, sample_blank_flag=BLANK)
    np.testing.assert_array_equal(data, STREAM.frame_data)
    np.testing.assert_array_equal(flags, STREAM.sample_flags)
