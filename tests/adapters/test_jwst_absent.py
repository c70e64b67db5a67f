"""`pixtrace.adapters.jwst` where jwst is not installed, or not in a release that is known."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pixtrace.adapters.jwst
from pixtrace.adapters.jwst import compare, disable, enable, get_steps, is_enabled
from pixtrace.cli import main
from pixtrace.exceptions import MissingExtraError, UnsupportedVersionError

REMEDY = r'pip install "pixtrace\[jwst\]" "jwst>=3\.0,<3\.1"'


@pytest.fixture
def no_jwst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make jwst as good as not installed."""
    monkeypatch.setitem(sys.modules, "jwst", None)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return a function that installs a package jwst of some version, with some trace module."""

    def put(version: str, source: str) -> None:
        package = tmp_path / "jwst" / "adaptive_trace_model"
        package.mkdir(parents=True)
        (tmp_path / "jwst" / "__init__.py").touch()
        (package / "__init__.py").touch()
        (package / "trace_model.py").write_text(source, encoding="utf-8")
        info = tmp_path / f"jwst-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: jwst\nVersion: {version}\n", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        for name in [name for name in sys.modules if name.split(".")[0] == "jwst"]:
            monkeypatch.delitem(sys.modules, name)

    return put


@pytest.mark.usefixtures("no_jwst")
def test_every_name_can_be_imported() -> None:
    for name in pixtrace.adapters.jwst.__all__:
        assert getattr(pixtrace.adapters.jwst, name) is not None


def test_importing_names_imports_no_package() -> None:
    names = ", ".join(set(pixtrace.adapters.jwst.__all__) - {"compare", "Comparison"})
    code = f"import sys; sys.modules['jwst'] = None; from pixtrace.adapters.jwst import {names}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"asdf", "astropy", "gwcs", "matplotlib", "scipy", "stdatamodels", "stpipe"}
    assert not heavy & {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.usefixtures("no_jwst")
def test_using_them_says_what_to_install(tmp_path: Path) -> None:
    from pixtrace.adapters.jwst import AdaptiveTraceModelStep

    uses: list[Callable[[], object]] = [
        enable,
        lambda: compare(tmp_path / "x_cal.fits"),
        AdaptiveTraceModelStep,
        lambda: AdaptiveTraceModelStep.call("x_cal.fits", oversample=2),
    ]
    for use in uses:
        with pytest.raises(MissingExtraError, match=REMEDY):
            use()
    assert not is_enabled()
    disable()  # which there is no reason to complain about
    assert not is_enabled()


@pytest.mark.usefixtures("no_jwst")
def test_the_command_says_what_to_install(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["compare", str(tmp_path / "x_cal.fits")]) == 2
    assert 'pip install "pixtrace[jwst]" "jwst>=3.0,<3.1"' in capsys.readouterr().err


@pytest.mark.parametrize("version", ["2.0.1", "3.1.0", "3.10.0", "4.0.0.dev3+gabc"])
def test_another_release_is_named(version: str, install: Callable[[str, str], None]) -> None:
    install(version, "")
    with pytest.raises(UnsupportedVersionError, match=rf"jwst {version.replace('+', '.')} .* works with jwst 3\.0\.x"):
        enable()
    assert not is_enabled()


def test_functions_that_have_changed_are_named(install: Callable[[str, str], None]) -> None:
    install("3.0.7", "def fit_all_regions(flux, errors):\n    pass\n")
    with pytest.raises(
        UnsupportedVersionError, match=r"fit_all_regions of jwst 3\.0\.7 has the parameters flux, errors"
    ):
        enable()
    assert not is_enabled()


def test_functions_that_are_gone_are_named(install: Callable[[str, str], None]) -> None:
    install("3.0.8.dev1", "")
    with pytest.raises(UnsupportedVersionError, match=r"fit_all_regions of jwst 3\.0\.8\.dev1 does not exist"):
        enable()


def test_an_installation_that_is_broken_is_named(install: Callable[[str, str], None]) -> None:
    install("3.0.0", "import a_package_that_is_not_there\n")
    with pytest.raises(MissingExtraError, match=r"cannot be imported .*a_package_that_is_not_there"):
        enable()


def test_steps_are_registered_under_a_name_of_their_own() -> None:
    ((name, alias, is_pipeline),) = get_steps()
    assert name == "pixtrace.adapters.jwst.AdaptiveTraceModelStep"
    assert alias != "adaptive_trace_model"  # which would be ambiguous on the command line
    assert not is_pipeline


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        pixtrace.adapters.jwst.nonsense  # noqa: B018 - the access is the test
