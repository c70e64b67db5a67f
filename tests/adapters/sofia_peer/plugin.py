"""For pytest on sofia_redux's own tests of `PixelMap`: ours is in its place, deviations are named, none may skip.

Each test of `DEVIATIONS` asserts a defect of sofia_redux 1.5.2 that is not followed. It must fail, by the assertion
that is named; if it passes, or fails in another way, the run fails. All other tests must pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pixtrace.adapters.sofia import disable, enable, is_enabled

if TYPE_CHECKING:
    from collections.abc import Generator

#: Tests that assert what sofia_redux does wrong: name, what they say where it shows, and why it is wrong.
DEVIATIONS: dict[str, tuple[str, str]] = {
    "test_parallel_safe_sync_source_gains": (
        "assert np.allclose(inds, [249, 722, 797])",
        "the reference reads the cell under frame f + k for pixel k: the frames 251, 724, 799 see the source",
    ),
    "test_process": (
        "assert source.generation == 5",
        "the reference counts a round once for each of five maps; one round counts once",
    ),
}
#: Tests that there are.
N_TESTS = 39

_outcomes: dict[str, bool] = {}
_wanted: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    names = [item.name for item in items]
    _wanted.extend(names)


@pytest.fixture(autouse=True, scope="session")
def enabled() -> Generator[None]:
    """Every test meets our class; at the end sofia_redux is as it was."""
    from tests.adapters.sofia_peer.untyped import camera_info, pixel_map

    native = pixel_map.PixelMap
    with enable():
        assert is_enabled()
        yield
    disable()
    assert pixel_map.PixelMap is native
    assert camera_info.PixelMap is native


@pytest.fixture(autouse=True)
def in_place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put our class where the module of tests has imported the other."""
    from pixtrace.adapters.sofia import PixelMap

    monkeypatch.setattr(request.module, "PixelMap", PixelMap)
