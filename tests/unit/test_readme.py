"""What README.md and the pages in docs/ say can be done as it stands there."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from pixtrace.io.pixel_table import read_pixel_table
from tests.reference import PROJECT

README = PROJECT / "README.md"
PAGES = [
    README,
    *(PROJECT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((PROJECT / "docs").glob("*.md")),
]
SCRIPTS = Path(sysconfig.get_path("scripts"))


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """Return the commands of a block, without their comments."""
    return [line.split("#")[0].strip() for line in block.splitlines() if line.split("#")[0].strip()]


def run_python(code: str, where: str) -> None:
    """Run an example as a script would."""
    exec(compile(code, where, "exec"), {"__name__": "__main__"})  # noqa: S102  (our own documentation)


def test_the_python_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten lines at most, each."""
    monkeypatch.chdir(tmp_path)
    traces, maps = blocks(README, "python")
    for code in (traces, maps):
        assert len([line for line in code.splitlines() if line.strip()]) <= 10
        run_python(code, "README.md")
    shown = capsys.readouterr().out
    assert "columns fitted" in shown
    assert read_pixel_table(tmp_path / "maps" / "source.scan.ecsv").is_measured.all()


def test_the_rust_example_is_short_and_the_core_tests_it() -> None:
    """It runs as a documentation test of the crate."""
    (code,) = blocks(README, "rust")
    assert len([line for line in code.splitlines() if line.strip(" }")]) <= 10
    assert 'include_str!("../../../README.md")' in (PROJECT / "rust/pixtrace/src/lib.rs").read_text(encoding="utf-8")


def test_the_examples_in_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for page in PAGES[1:]:
        for code in blocks(page, "python"):
            run_python(code, page.name)


def test_the_demo_says_where_its_files_lie(tmp_path: Path) -> None:
    """The first of the two commands, as written."""
    demo, _ = commands(blocks(README, "sh")[1])
    assert demo == "pixtrace demo oversample"
    done = subprocess.run(
        [str(SCRIPTS / "pixtrace"), *demo.split()[1:]], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert any(name.endswith(".png") for name in written)
    assert any(name.endswith(".fits") for name in written)
    named = [word.strip(".,:;()") for word in (done.stdout + done.stderr).split()]
    shown = {Path(word).name for word in named if word.endswith((".png", ".fits"))}
    assert {Path(name).suffix for name in shown & written} == {".png", ".fits"}


def test_the_test_command_is_what_ci_runs() -> None:
    """The second of the two commands is a recipe that `just check` depends on."""
    _, test = commands(blocks(README, "sh")[1])
    assert test == "just test"
    recipes = (PROJECT / "justfile").read_text(encoding="utf-8")
    assert re.search(r"^test( .*)?:$", recipes, flags=re.MULTILINE)
    assert re.search(r"^check:.*\btest\b", recipes, flags=re.MULTILINE)
    assert "just check" in (PROJECT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
