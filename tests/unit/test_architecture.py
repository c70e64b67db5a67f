"""The rooms, the arrows and some of the laws of ARCHITECTURE.md, held against the sources."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixtrace._providers import PROVIDERS, provider
from pixtrace.scan.products import PixelMapFiles, ScratchRoom
from tests.reference import PROJECT

PACKAGE = PROJECT / "python" / "pixtrace"
MODULES = sorted(PACKAGE.rglob("*.py"))
# What each room may import from the others; `_native`, `_arrays` and `exceptions` are open to all.
ROOMS = {
    "trace": set[str](),
    "scan": set[str](),
    "simulate": {"trace", "scan"},
    "io": {"trace", "scan"},
    "plots": {"trace", "scan", "io", "simulate"},
    "adapters": {"trace", "scan", "io", "plots"},
    "cli": {"trace", "scan", "io", "simulate", "plots", "adapters"},
}
FILES = {"astropy.io", "asdf"}
OPTIONAL = {"asdf", "gwcs", "h5py", "jwst", "matplotlib", "scipy", "sofia_redux", "specutils", "stdatamodels"}
HEAVY = {*OPTIONAL, "astropy", "rich"}


def room(path: Path) -> str:
    """Return the room that a module belongs to: its folder, or itself without a leading underscore."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "plots" if first.lstrip("_").startswith("plot") else first


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield the full name of everything that is imported, and whether at the top of the module at run time."""
    top = {id(node) for node in ast.iter_child_nodes(tree) if isinstance(node, ast.Import | ast.ImportFrom)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in top


def names_in(path: Path) -> list[tuple[str, bool]]:
    """Return what a module imports."""
    return list(imports(ast.parse(path.read_text(encoding="utf-8"))))


def belongs(name: str, packages: set[str]) -> bool:
    """Tell whether a name lies in one of some packages."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_one_way(path: Path) -> None:
    here = room(path)
    for name, _ in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if name.startswith("pixtrace."):
            other = name.split(".")[1]
            if other in ROOMS and here in ROOMS and other != here:
                assert other in ROOMS[here], f"{here} imports {name}"
            assert here in ROOMS or other not in ROOMS, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    for name, at_top in imports(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (belongs(name, OPTIONAL) and at_top), f"{name} at the top of {path.name}"
        assert not belongs(name, FILES) or room(path) in {"io", "cli"}, f"{path.name} opens files"


@pytest.mark.parametrize(
    "module",
    [
        "pixtrace",
        "pixtrace.trace",
        "pixtrace.scan",
        "pixtrace.cli",
        "pixtrace.adapters",
        "pixtrace.adapters.jwst",
        "pixtrace.adapters.sofia",
    ],
)
def test_importing_brings_in_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not HEAVY & {name.split(".")[0] for name in done.stdout.split()}


def test_one_table_alone_imports_by_name() -> None:
    # A name in a string goes past the arrows; so there is one table of them, and it says who provides what.
    users = [path for path in MODULES if any(name.startswith("importlib") for name, _ in names_in(path))]
    # (`adapters` does so with the packages of others, which come without types.)
    assert [path.name for path in users if room(path) not in {"io", "adapters", "cli"}] == ["_providers.py"]
    assert all(module.split(".")[1] == "io" for module in PROVIDERS.values())


@pytest.mark.parametrize(("need", "protocol"), [("pixel_map_files", PixelMapFiles), ("scratch", ScratchRoom)])
def test_the_provider_gives_all_that_is_asked_for(need: str, protocol: type) -> None:
    for name, function in inspect.getmembers(protocol, inspect.isfunction):
        if not name.startswith("_"):
            asked = list(inspect.signature(function).parameters)[1:]
            assert list(inspect.signature(getattr(provider(need), name)).parameters) == asked
