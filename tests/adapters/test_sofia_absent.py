"""`pixtrace.adapters.sofia` where sofia_redux is not installed, or not in the release that is known."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pixtrace.adapters.sofia
from pixtrace.adapters.sofia import disable, enable, is_enabled
from pixtrace.exceptions import MissingExtraError, UnsupportedVersionError

REMEDY = r'pip install "pixtrace\[sofia\]"'


@pytest.fixture
def no_sofia(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sofia_redux as good as not installed."""
    monkeypatch.setitem(sys.modules, "sofia_redux", None)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that installs an empty package sofia_redux of some version."""

    def put(version: str) -> None:
        (tmp_path / "sofia_redux").mkdir()
        (tmp_path / "sofia_redux" / "__init__.py").touch()
        info = tmp_path / f"sofia_redux-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: sofia_redux\nVersion: {version}\n", encoding="utf-8"
        )
        monkeypatch.syspath_prepend(tmp_path)
        for name in [name for name in sys.modules if name.split(".")[0] == "sofia_redux"]:
            monkeypatch.delitem(sys.modules, name)

    return put


@pytest.mark.usefixtures("no_sofia")
def test_every_name_can_be_imported() -> None:
    for name in pixtrace.adapters.sofia.__all__:
        assert getattr(pixtrace.adapters.sofia, name) is not None


def test_importing_names_imports_no_package() -> None:
    names = ", ".join(pixtrace.adapters.sofia.__all__)
    blocked = "import sys; sys.modules['sofia_redux'] = None"
    code = f"{blocked}; from pixtrace.adapters.sofia import {names}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"astropy", "joblib", "matplotlib", "numba", "pandas", "scipy"}
    assert not heavy & {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.usefixtures("no_sofia")
def test_using_them_says_what_to_install() -> None:
    from pixtrace.adapters.sofia import IntensityMap, PixelMap

    uses: list[Callable[[], object]] = [
        enable,
        lambda: PixelMap(None),
        lambda: IntensityMap(None),
        lambda: PixelMap.parallel_safe_process_final(({},), 0),
    ]
    for use in uses:
        with pytest.raises(MissingExtraError, match=REMEDY):
            use()
    assert not is_enabled()
    disable()  # which there is no reason to complain about
    assert not is_enabled()


@pytest.mark.parametrize("version", ["1.5.1", "1.5.20", "2.0.0.dev3"])
def test_another_release_is_named(version: str, install: Callable[[str], None]) -> None:
    install(version)
    with pytest.raises(UnsupportedVersionError, match=rf"sofia_redux {version} is installed, .* works with 1\.5\.2"):
        enable()
    assert not is_enabled()


def test_an_installation_that_is_broken_is_named(install: Callable[[str], None]) -> None:
    install("1.5.2")
    with pytest.raises(MissingExtraError, match=r"cannot be imported .*sofia_redux\.scan"):
        enable()
    assert not is_enabled()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        pixtrace.adapters.sofia.nonsense  # noqa: B018 - the access is the test
