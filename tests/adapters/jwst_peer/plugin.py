"""For pytest on jwst's own tests: our kernels are enabled, tests that need a server are left out, none may skip.

``PIXTRACE_PEER_RUN`` says which run it is: "theirs" takes the tests as they are, "offline" with exposures of ours in
the places of those that are made with reference files from CRDS. With ``PIXTRACE_PEER_NATIVE`` set nothing is enabled,
which tells what jwst itself makes of our exposures.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pixtrace.adapters.jwst import disable, enable, is_enabled
from tests.adapters.jwst_peer.untyped import step_module, trace_model

if TYPE_CHECKING:
    from collections.abc import Generator

_RUN = os.environ.get("PIXTRACE_PEER_RUN", "theirs")
_NATIVE = bool(os.environ.get("PIXTRACE_PEER_NATIVE"))
_CRDS = "its exposure is made by assign_wcs with reference files from the CRDS server"
_PLACES = "it marks pixels of an exposure of full size, by number, which ours of the same mode does not have"
_NUMBERS = "its numbers are those of a certain slit; jwst's own functions do not give them on ours either"

#: Tests that are left out of a run, by name, and why.
LEFT_OUT: dict[str, dict[str, str]] = {
    "theirs": dict.fromkeys(
        [
            "test_adaptive_trace_model_step_success",
            "test_adaptive_trace_model_step_with_source",
            "test_adaptive_trace_model_step_negative_mean",
            "test_adaptive_trace_model_step_oversample",
            "test_adaptive_trace_model_step_oversample_with_source",
            "test_adaptive_trace_model_step_with_container",
            "test_adaptive_trace_model_step_psf_optimal",
            "test_save_container_asn_id_present",
            "test_save_container_asn_id_missing",
            "test_adaptive_trace_model_step_save_intermediate",
            "test_adaptive_trace_model_step_tso",
            "test_adaptive_trace_model_step_tso_oversample",
            "test_adaptive_trace_model_step_oversample_nrs_slit",
            "test_adaptive_trace_model_step_oversample_lrs_slit",
            "test_fit_2d_spline_trace",
            "test_fit_2d_spline_trace_fail",
            "test_fit_2d_spline_trace_none",
            "test_crossdisp_profile",
            "test_crossdisp_profile_no_error",
            "test_trim_edges",
            "test_trim_edges_all_invalid",
            "test_fit_one_region_below_threshold",
        ],
        _CRDS,
    ),
    "offline": {
        "test_adaptive_trace_model_step_oversample_lrs_slit[miri_lrs_slit_model_with_source_and_bad_edge]": _PLACES,
        **dict.fromkeys(
            [
                "test_fit_2d_spline_trace",
                "test_crossdisp_profile",
                "test_trim_edges",
                "test_fit_one_region_below_threshold",
            ],
            _NUMBERS,
        ),
    },
}

_wanted: list[str] = []
_passed: set[str] = set()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
    if _RUN == "offline":
        from tests.adapters.jwst_peer import offline

        offline.install()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = LEFT_OUT[_RUN]
    gone, kept, used = list[pytest.Item](), list[pytest.Item](), set[str]()
    for item in items:
        names = {item.name, getattr(item, "originalname", None) or item.name} & set(left_out)
        used |= names
        (gone if names else kept).append(item)
    unknown = sorted(set(left_out) - used)
    assert not unknown, f"to be left out, but not there: {unknown}"
    items[:] = kept
    config.hook.pytest_deselected(items=gone)


def pytest_collection_finish(session: pytest.Session) -> None:
    _wanted.extend(item.nodeid for item in session.items)


@pytest.fixture(autouse=True, scope="session")
def enabled() -> Generator[None]:
    """Every test, and every fixture of a test, meets our kernels; at the end jwst is as it was."""
    names = ("fit_all_regions", "fit_2d_spline_trace", "oversample_flux", "linear_oversample", "_trace_image")
    if _NATIVE:
        yield
        return
    before = [getattr(trace_model, name) for name in names], step_module.fit_and_oversample
    with enable():
        assert is_enabled()
        yield
    disable()
    assert ([getattr(trace_model, name) for name in names], step_module.fit_and_oversample) == before


@pytest.fixture(autouse=True)
def in_place() -> None:
    """Fail a test that would test something else than ours."""
    if _NATIVE:
        return
    assert is_enabled()
    assert trace_model.fit_all_regions.__wrapped__ is not trace_model.fit_all_regions


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        _passed.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    missing = [name for name in _wanted if name not in _passed]
    if session.exitstatus == 0 and (missing or not _wanted):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section(f"jwst's tests with the kernels of pixtrace ({_RUN})")
    for name, reason in LEFT_OUT[_RUN].items():
        terminalreporter.write_line(f"left out: {name}: {reason}")
    for name in _wanted:
        if name not in _passed:
            terminalreporter.write_line(f"did not pass: {name}")
