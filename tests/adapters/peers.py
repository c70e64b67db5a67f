"""Their tests, our code: in an environment of its own, with the wheel of pixtrace and the peer from the package index.

``python -m tests.adapters.peers jwst`` makes the environment ``.venv-peers-jwst``, installs the newest wheel in
``dist`` and the peer, and runs the peer's own tests with our code in its place, then our tests that need the peer.
Whatever does not pass, skips, or is not there any more is a failure.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.reference import PROJECT, reference_root

__all__ = ["PEERS", "Peer", "Run"]


@dataclass(frozen=True)
class Run:
    """One run of pytest.

    Attributes
    ----------
    title : str
        What it is.
    arguments : tuple of str
        For pytest.
    environment : tuple of (str, str)
        Variables to set.
    """

    title: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Peer:
    """A package that we adapt ourselves to.

    Attributes
    ----------
    requirement : str
        What to install.
    extras : str
        Extras of pixtrace.
    runs : tuple of Run
        What to run.
    """

    requirement: str
    extras: str
    runs: tuple[Run, ...]


_SOFIA_TESTS = "sofia_redux.scan.source_models.tests"
_JWST = "tests.adapters.jwst_peer"
_OURS = ("-o", "python_files=peer_*.py", "-W", "default", str(PROJECT / "tests" / "adapters" / "jwst_peer"))
_THEIRS = ("-p", f"{_JWST}.plugin", "--pyargs", "jwst.adaptive_trace_model")
_OURS_SOFIA = ("-o", "python_files=peer_*.py", "-W", "default", str(PROJECT / "tests" / "adapters" / "sofia_peer"))
_THEIRS_SOFIA = ("-p", "tests.adapters.sofia_peer.plugin", "--pyargs", f"{_SOFIA_TESTS}.test_pixel_map")

PEERS = {
    "sofia": Peer(
        requirement="sofia_redux==1.5.2",
        extras="sofia",
        runs=(
            Run("sofia_redux's tests of PixelMap", _THEIRS_SOFIA),
            Run("our tests with sofia_redux", _OURS_SOFIA),
        ),
    ),
    "jwst": Peer(
        requirement="jwst==3.0.0",
        extras="hdf5,jwst,plot",
        runs=(
            Run("jwst's tests as they are", _THEIRS, (("PIXTRACE_PEER_RUN", "theirs"),)),
            Run("jwst's tests on exposures of ours", _THEIRS, (("PIXTRACE_PEER_RUN", "offline"),)),
            Run("our tests with jwst", _OURS),
        ),
    ),
}


def install(peer: Peer, folder: Path, wheel: Path) -> Path:
    """Make an environment anew and return its interpreter."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
    subprocess.run([*pip, "--group", "test", f"{wheel}[{peer.extras}]", peer.requirement], check=True, cwd=PROJECT)
    return python


def newest_wheel() -> Path:
    """Return the wheel that was built last."""
    wheels = sorted((PROJECT / "dist").glob("pixtrace-*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        sys.exit("there is no wheel in dist: run `just wheel` first")
    return wheels[-1]


def run(python: Path, one: Run) -> int:
    """Run pytest away from the project, so that neither its configuration nor its sources are in the way."""
    print(f"== {one.title}", flush=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PIXTRACE_PEER"))},
        **dict(one.environment),
        "PYTHONPATH": str(PROJECT),
        "PIXTRACE_REFERENCE": str(reference_root()),
        "MPLBACKEND": "Agg",
    }
    with tempfile.TemporaryDirectory(prefix="pixtrace-peers-") as folder:
        command = [str(python), "-m", "pytest", "-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider"]
        return subprocess.run([*command, *one.arguments], check=False, cwd=folder, env=environment).returncode


def main() -> int:
    """Install and run; return how many runs failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.adapters.peers", description=__doc__)
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("--wheel", type=Path, help="wheel of pixtrace (default: the newest in dist)")
    parser.add_argument("--python", type=Path, help="interpreter of an environment that has everything already")
    options = parser.parse_args()
    peer = PEERS[options.peer]
    python = options.python or install(peer, PROJECT / f".venv-peers-{options.peer}", options.wheel or newest_wheel())
    failed = [one.title for one in peer.runs if run(python, one) != 0]
    if failed:
        print(f"failed with {peer.requirement}: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
