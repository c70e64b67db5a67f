"""Our `PixelMap` in the place of sofia_redux's, and out again."""

import threading
from collections.abc import Generator
from typing import Any

import pytest

from pixtrace.adapters.sofia import PixelMap, disable, enable, is_enabled
from tests.adapters.sofia_peer.untyped import astro_intensity_map, camera_info, pixel_map

MODULES = (pixel_map, camera_info, astro_intensity_map)


def state() -> list[dict[str, Any]]:
    """Return everything that the modules and their classes hold, but for what Python itself notes down in them."""
    classes = (pixel_map.PixelMap, astro_intensity_map.AstroIntensityMap)
    notes = {"__slotnames__", "__warningregistry__"}
    return [{k: v for k, v in vars(place).items() if k not in notes} for place in (*MODULES, *classes)]


@pytest.fixture(autouse=True)
def unchanged() -> Generator[None]:
    """Nothing of sofia_redux is changed by a test."""
    before = state()
    yield
    disable()
    assert not is_enabled()
    assert state() == before


def test_enable_and_disable() -> None:
    native = camera_info.PixelMap
    enable()
    assert is_enabled()
    assert camera_info.PixelMap is pixel_map.PixelMap is PixelMap
    enable()
    disable()
    assert camera_info.PixelMap is pixel_map.PixelMap is native


def test_blocks_can_be_nested_and_end_with_an_exception() -> None:
    def fail() -> None:
        with enable(), enable():
            assert camera_info.PixelMap is PixelMap
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not is_enabled()


def test_the_last_of_several_threads_takes_it_out() -> None:
    native = camera_info.PixelMap
    ready, go = threading.Barrier(5), threading.Event()
    seen: list[bool] = []

    def work() -> None:
        with enable():
            ready.wait()
            go.wait()
            seen.append(camera_info.PixelMap is PixelMap)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait()
    disable()  # of this thread, which has none open
    assert is_enabled()
    go.set()
    for thread in threads:
        thread.join()
    assert seen == [True] * 4
    assert camera_info.PixelMap is native


def test_what_someone_else_has_put_there_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Another(pixel_map.PixelMap):  # type: ignore[misc]  # without types
        """Somebody's own."""

    monkeypatch.setattr(camera_info, "PixelMap", Another)
    with enable():
        assert camera_info.PixelMap is PixelMap
    assert camera_info.PixelMap is Another
