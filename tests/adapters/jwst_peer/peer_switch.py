"""`enable` and `disable`: what is in the peer while, and that it is as it was afterwards, come what may."""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pixtrace.adapters.jwst import disable, enable, is_enabled
from pixtrace.adapters.jwst._threads import last_asked_for
from tests.adapters.jwst_peer.untyped import contents, step_module, trace_model
from tests.reference import Case, load_case

if TYPE_CHECKING:
    from collections.abc import Generator

NAMES = (
    "fit_all_regions",
    "fit_2d_spline_trace",
    "oversample_flux",
    "linear_oversample",
    "_trace_image",
    "fit_and_oversample",
)
ORIGINALS = {name: getattr(trace_model, name) for name in NAMES}
CONTENTS = contents()


def is_untouched() -> bool:
    """Tell whether every name in the peer's modules is bound to what it was bound to at first."""
    return contents() == CONTENTS and not is_enabled()


def is_replaced() -> bool:
    """Tell whether all functions are ours."""
    return (
        is_enabled()
        and all(getattr(trace_model, name) is not ORIGINALS[name] for name in NAMES)
        and step_module.fit_and_oversample is trace_model.fit_and_oversample
    )


@pytest.fixture(autouse=True)
def off() -> Generator[None]:
    """Nothing is enabled before a test, and whatever it did, nothing is changed afterwards."""
    assert is_untouched()
    yield
    disable()
    assert is_untouched()


@pytest.fixture
def case() -> Case:
    return load_case("fs_prism")


def fit(case: Case, **options: Any) -> Any:
    """Fit a case with whatever is in the peer."""
    keywords = trace_model._set_fit_kwargs("NRS_SLIT", "NRS1", "PRISM", case["flux"].shape[1])
    return trace_model.fit_all_regions(
        case["flux"], case["err"], case["alpha"], case["region_map"], **keywords, **options
    )


def test_enable_and_disable() -> None:
    enable()
    assert is_replaced()
    disable()
    assert is_untouched()


def test_disable_undoes_every_enable() -> None:
    enable()
    enable()
    assert is_replaced()
    disable()
    assert is_untouched()
    disable()
    assert is_untouched()


def test_a_block() -> None:
    with enable():
        assert is_replaced()
    assert is_untouched()


def test_nested_blocks() -> None:
    with enable():
        with enable():
            assert is_replaced()
        assert is_replaced()
    assert is_untouched()


def test_the_same_handle_nested() -> None:
    handle = enable()
    with handle:
        with handle:
            pass
        assert is_replaced()
    assert is_untouched()


def test_a_block_leaves_an_earlier_enable_alone() -> None:
    enable()
    with enable():
        pass
    assert is_replaced()


def test_disable_within_blocks_ends_them() -> None:
    with enable(), enable():
        disable()
        assert is_untouched()
    assert is_untouched()


def test_after_an_exception() -> None:
    def fail() -> None:
        with enable():
            assert is_replaced()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert is_untouched()


def test_after_an_exception_in_a_kernel(case: Case) -> None:
    def fail() -> None:
        with enable():
            trace_model.fit_all_regions(case["flux"], case["err"][:5], case["alpha"], case["region_map"])

    with pytest.raises(ValueError, match="shape"):
        fail()
    assert is_untouched()


def test_blocks_of_many_threads(case: Case) -> None:
    """Blocks begin and end in any order, and in each of them the kernels are in; at the end nothing is changed."""
    expected = fit(case)
    gate, wrong = threading.Barrier(6), []

    def work(k: int) -> None:
        gate.wait()
        for _ in range(8):
            with enable():
                if not is_replaced():
                    wrong.append("a block without kernels")
                found = fit(case)
                if any(abs(found[1][c]["scale"] / t["scale"] - 1) > 1e-9 for c, t in expected[1].items()):
                    wrong.append("other results")
            if k % 2:
                enable()
                disable()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert is_untouched()


def test_disable_leaves_the_blocks_of_other_threads_alone() -> None:
    inside, go_on = threading.Event(), threading.Event()
    seen: list[bool] = []

    def work() -> None:
        with enable():
            inside.set()
            go_on.wait()
            seen.append(is_replaced())

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    disable()
    go_on.set()
    thread.join()
    assert seen == [True]
    assert is_untouched()


def test_whoever_kept_a_function_of_ours_gets_the_original_afterwards(case: Case, monkeypatch: Any) -> None:
    with enable():
        kept = trace_model.linear_oversample
    called: list[int] = []
    original = trace_model._reindex

    def watch(*given: Any, **named: Any) -> Any:
        called.append(1)
        return original(*given, **named)

    monkeypatch.setattr(trace_model, "_reindex", watch)
    kept(case["err"], case["region_map"], 2, 3)
    assert called
    monkeypatch.undo()


def test_ours_put_back_behind_our_back_is_replaced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that patches a function while ours is there puts ours back when it ends, which may be after `disable`."""
    enable()
    monkeypatch.setattr(trace_model, "linear_oversample", lambda: None)
    disable()
    monkeypatch.undo()
    assert trace_model.linear_oversample is not ORIGINALS["linear_oversample"]
    with enable():
        pass
    assert is_untouched()


def test_what_someone_else_has_put_there_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def theirs(
        data: Any,
        region_map: Any,
        oversample_factor: Any,
        require_ngood: Any,
        edge_limit: int = 0,
        preserve_nan: Any = 1,
    ) -> str:
        del data, region_map, oversample_factor, require_ngood, edge_limit, preserve_nan
        return "theirs"

    monkeypatch.setattr(trace_model, "linear_oversample", theirs)
    with enable():
        assert trace_model.linear_oversample is not theirs
    assert trace_model.linear_oversample is theirs
    monkeypatch.undo()


def test_a_building_block_that_was_replaced_is_used(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    with enable():
        assert len(fit(case)[1]) > 0
        monkeypatch.setattr(trace_model, "bspline_fit", lambda *_, **__: None)
        assert len(fit(case)[1]) == 0
        monkeypatch.undo()
        assert len(fit(case)[1]) > 0


def test_names_and_documentation_are_those_of_the_peer() -> None:
    with enable():
        for name in NAMES:
            function = getattr(trace_model, name)
            assert inspect.signature(function) == inspect.signature(ORIGINALS[name])
            assert (function.__name__, function.__doc__) == (name, ORIGINALS[name].__doc__)


def test_maximum_cores_becomes_threads(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    with enable():
        results = []
        for cores, threads in (("none", 1), ("quarter", 2), ("half", 4), ("all", 8), ("3", 3)):
            results.append(fit(case, maximum_cores=cores))
            assert last_asked_for() == threads
        for other in results[1:]:
            for column, trace in results[0][1].items():
                assert np.array_equal(other[1][column]["model"].c, trace["model"].c)
                assert other[1][column]["scale"] == trace["scale"]
