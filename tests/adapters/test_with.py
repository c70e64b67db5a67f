"""``pixtrace with jwst PROGRAM``: someone's program runs as it is, with ours in place, and nothing is left behind."""

import sys
from pathlib import Path
from typing import Any

import pytest

from pixtrace.adapters import jwst, sofia
from pixtrace.adapters._switch import Enabled, Switch
from pixtrace.cli import main

PROGRAM = """
import sys, beside, peer
print(peer.f(), sys.argv[1:], beside.x, __name__)
if "fail" in sys.argv: raise KeyError("of the program")
if "end" in sys.argv: sys.exit(7)
"""


@pytest.fixture(params=["jwst", "sofia"])
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of an adapter, in whose place stands one for a module made here."""
    return str(request.param)


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a program with a module beside it, which uses a peer that can be replaced."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "beside.py").write_text("x = 'beside'\n")
    (tmp_path / "here").mkdir()
    peer: Any = type(sys)("peer")
    peer.f = theirs
    monkeypatch.setitem(sys.modules, "peer", peer)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    monkeypatch.chdir(tmp_path / "here")
    switch = Switch("ours", lambda: [(peer, "f")], lambda _: [lambda: "ours"])
    for adapter in (jwst, sofia):
        monkeypatch.setattr(adapter, "enable", switch.call)
    return tmp_path / "program.py"


def theirs() -> str:
    return "theirs"


@pytest.fixture(autouse=True)
def nothing_is_left(program: Path) -> Any:
    del program
    before = list(sys.argv), list(sys.path)
    yield
    sys.modules.pop("beside", None)
    assert (sys.argv, sys.path) == before
    assert sys.modules["peer"].f is theirs


def test_a_file(name: str, program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["with", name, str(program), "--oversample=2", "-v"]) == 0
    assert capsys.readouterr().out == "ours ['--oversample=2', '-v'] beside __main__\n"


def test_a_program_on_the_path(
    name: str, program: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program.rename(program.with_name("strun")).chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    assert main(["with", name, "strun", "calwebb_spec3"]) == 0
    assert capsys.readouterr().out == "ours ['calwebb_spec3'] beside __main__\n"


def test_a_module(
    name: str, program: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program.parent)
    assert main(["with", name, "-m", "program", "-q"]) == 0
    assert capsys.readouterr().out == "ours ['-q'] beside __main__\n"


def test_its_exit_code_is_that_of_the_program(name: str, program: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["with", name, str(program), "end"])
    assert ended.value.code == 7


def test_its_errors_are_those_of_the_program(name: str, program: Path) -> None:
    with pytest.raises(KeyError, match="of the program"):
        main(["with", name, str(program), "fail"])


def test_there_must_be_a_program(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["nothing_of_this_name"], ["-m"]):
        assert main(["with", name, *words]) == 2
        assert "no such program" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "remedy"), [("jwst", "pixtrace[jwst]"), ("sofia", "pixtrace[sofia]")])
def test_the_package_must_be_there(
    name: str, remedy: str, program: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pixtrace.adapters.jwst._peer import missing as no_jwst
    from pixtrace.adapters.sofia._peer import missing as no_sofia

    def fail() -> Enabled:
        raise no_jwst() if name == "jwst" else no_sofia()

    for adapter in (jwst, sofia):
        monkeypatch.setattr(adapter, "enable", fail)
    assert main(["with", name, str(program)]) == 2
    printed = capsys.readouterr()
    assert remedy in printed.err
    assert not printed.out
