"""What every test can ask for."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.reference import EXPOSURE, IN_CI, reference_root

# No deadlines and no "too slow": a busy machine must not change the outcome.
settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile(
    "ci",
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly",
    max_examples=2000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "dev"))

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests of Ctrl-C start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Return the folder that holds the reference data (``trace/``, ...); see `tests.reference`."""
    root = reference_root()
    if not root.is_dir():
        pytest.fail(f"no reference data in {root}: set PIXTRACE_REFERENCE to the folder that holds trace/")
    return root


@pytest.fixture(scope="session")
def full_exposure(reference_dir: Path) -> Path:
    """Return the path of the full MRS exposure, which is too large for the copies in ``tests/data``."""
    path = reference_dir / EXPOSURE
    if not path.is_file():
        if IN_CI:
            pytest.fail(f"{path} is missing")
        pytest.skip(f"{path} is missing: it is not among the small copies that come with the project")
    return path


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI everything a test may need is installed, so a test that skips there has not done its work."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
