"""For pytest on sofia_redux's own tests of `PixelMap`: ours is in its place, deviations are named, none may skip.

Each test of `DEVIATIONS` asserts a defect of sofia_redux 1.5.2 that is not followed. It must fail, in the line that is
named; if it passes, or fails elsewhere, the run fails. All other tests must pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pixtrace.adapters.sofia import PixelMap, disable, enable, is_enabled
from tests.adapters.sofia_peer.untyped import camera_info, pixel_map

if TYPE_CHECKING:
    from collections.abc import Generator

#: Tests that assert what sofia_redux does wrong: the line in which they must fail, and why it is wrong. Ours is tested
#: for the right numbers in `peer_reductions.py`.
DEVIATIONS: dict[str, tuple[str, str]] = {
    "test_parallel_safe_sync_source_gains": (
        "assert np.allclose(inds, [249, 722, 797])",
        "pixel k reads the cell under frame f + k, and sums are taken for means; the frames are 251, 724, 799",
    ),
    "test_calculate_pixel_data": (
        "assert np.allclose( mapping_pixels.position.coordinates",
        "it adopts maps that are not normalised, with holes as zeros; one fit of five ends in another minimum",
    ),
    "test_process": (
        "assert source.generation == 5",
        "it counts a round once for each of five maps; a round counts once",
    ),
}
#: Tests that there are in that module.
N_TESTS = 39

_outcomes: dict[str, str] = {}


@pytest.fixture(autouse=True, scope="session")
def enabled() -> Generator[None]:
    """Every test meets our class; at the end sofia_redux is as it was."""
    before = pixel_map.PixelMap, camera_info.PixelMap
    with enable():
        assert is_enabled()
        yield
    disable()
    assert (pixel_map.PixelMap, camera_info.PixelMap) == before


@pytest.fixture(autouse=True)
def in_place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put our class where the module of tests has imported the other before it was enabled."""
    monkeypatch.setattr(request.module, "PixelMap", PixelMap)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # a wrapper of pluggy's, which has no types here
    name = getattr(item, "originalname", None) or item.name
    if report.when == "call" and name in DEVIATIONS:
        line = DEVIATIONS[name][0]
        failed = call.excinfo is not None and any(
            " ".join(str(entry.statement).split()).startswith(line) for entry in call.excinfo.traceback
        )
        report.outcome = "passed" if failed else "failed"
        report.longrepr = (
            None if failed else f"{name} must fail in `{line}`, and did not: is it mended? {report.longrepr}"
        )
    if report.when == "call" or report.outcome != "passed":
        _outcomes[name] = report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    passed = sum(outcome == "passed" for outcome in _outcomes.values())
    if session.exitstatus == 0 and (passed != N_TESTS or not set(DEVIATIONS) <= set(_outcomes)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("sofia_redux's tests of PixelMap with the maps of pixtrace")
    for name, (line, reason) in DEVIATIONS.items():
        terminalreporter.write_line(f"fails as it should: {name}: {line}: {reason}")
    passed = [name for name, outcome in _outcomes.items() if outcome == "passed"]
    terminalreporter.write_line(f"{len(passed)} of {N_TESTS} tests as expected, {len(DEVIATIONS)} of them deviations")
    for name in sorted(set(_outcomes) - set(passed)):
        terminalreporter.write_line(f"{_outcomes[name]}: {name}")
