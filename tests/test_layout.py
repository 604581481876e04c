"""Promises of the layout: no dead modules, tests for each package, small pieces, nothing that binds it to one machine."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.sim.wires import wires

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "src" / "chandlery"
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
TESTS = sorted(path.relative_to(PROJECT).as_posix() for path in (PROJECT / "tests").rglob("*.py"))

# Places in tests that need what is otherwise refused: (file, word) to the reason.
ALLOWED: dict[tuple[str, str], str] = {}

MODULE_LINES = 400
DATA_LINES = 500
"""The limit of the exchanges' modules, most of which is data."""
FUNCTION_LINES = 60


def _imported(path: Path) -> Iterator[str]:
    """Each module that a file may import: ``a.b`` and ``a.b.c`` of ``from a.b import c``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_is_there_for_tests_alone():
    """Each module is imported by another one, registered, public, or a documented command; else it is dead."""
    modules = {f"chandlery.{module.removesuffix('.py').replace('/', '.')}" for module in MODULES}
    imported = {name for path in SOURCE.rglob("*.py*") if path.suffix in {".py", ".pyi"} for name in _imported(path)}
    registered = {ExchangeRegistry.get(name).__module__ for name in ExchangeRegistry.names()}
    registered |= {wire.__module__ for wire in wires().values()}
    pages = [PROJECT / "Makefile", PROJECT / "README.md", *PROJECT.glob("docs/*.md")]
    documented = {name for page in pages for name in re.findall(r"chandlery(?:\.\w+)+", page.read_text())}
    packages = {name for name in modules if name.endswith("__init__")}

    assert set() == modules - packages - imported - registered - documented


@pytest.mark.parametrize("package", sorted(path.parent.name for path in SOURCE.glob("*/__init__.py")))
def test_every_package_has_tests(package):
    """The tests of ``src/chandlery/<package>`` are in ``tests/<package>``, where who changes it runs them."""
    assert any((PROJECT / "tests" / package).rglob("test_*.py"))


@pytest.mark.parametrize("file", [file for file in TESTS if not Path(file).name.startswith("test_")])
def test_no_test_is_where_pytest_does_not_look(file):
    """A file whose name does not begin with ``test_`` is never collected, so that it holds no test of its own."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse((PROJECT / file).read_text())

    assert [] == [each.name for each in tree.body if isinstance(each, functions) and each.name.startswith("test_")]


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_are_small(module):
    """No module is longer than 400 lines, of an exchange than 500, no function than 60 besides its docstring."""
    text = (SOURCE / module).read_text()
    long = [
        f"{node.name} has {length} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := _lines(node)) > FUNCTION_LINES
    ]

    assert [] == long
    assert len(text.splitlines()) <= (DATA_LINES if module.startswith("exchanges/") else MODULE_LINES)


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    first = function.body[0]
    has_docstring = ast.get_docstring(function, clean=False) is not None
    docstring = first.end_lineno - first.lineno + 1 if has_docstring and first.end_lineno else 0
    return function.end_lineno - function.lineno + 1 - docstring


def test_every_module_is_named_for_what_it_does():
    """Nothing is called utils, common or helpers."""
    vague = {"util", "utils", "common", "helper", "helpers", "misc"}

    assert [] == [module for module in MODULES if vague & {*Path(module).with_suffix("").parts}]


REFUSED_IN_TESTS = {
    "mock": re.compile(
        r"\bimport mock\b|\bunittest\.mock\b|\bunittest import mock\b|\bMock\(|\bMagicMock\b|\bmocker\b"
    ),
    "patch": re.compile(r"\bmonkeypatch\.setattr\b|\bpatch\(|\bpatch\.object\b"),
    "sleep": re.compile(r"\btime\.sleep\("),
}


@pytest.mark.parametrize("file", [file for file in TESTS if file != "tests/test_layout.py"])
def test_tests_replace_nothing_of_ours_and_hope_for_nothing(file):
    """No mock, no patch, no sleep: servers, files and processes are real, and waits have a condition."""
    text = (PROJECT / file).read_text()
    found = {word for word, pattern in REFUSED_IN_TESTS.items() if pattern.search(text)}

    assert set() == {word for word in found if (file, word) not in ALLOWED}


@pytest.mark.parametrize("file", TESTS)
def test_tests_say_what_they_show(file):
    """Each test has a docstring that states the behaviour."""
    silent = [
        node.name
        for node in ast.walk(ast.parse((PROJECT / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert [] == silent


_TEXT = {".py", ".md", ".toml", ".txt", ".cfg", ".yml", ".yaml", ".json", ""}
_BUILT = {".git", ".venv", ".venv-bench", ".make", "dist", "build", "site", "__pycache__"}


def _texts() -> list[Path]:
    """All files of the repository that are text, whatever tool may have left beside them aside."""
    found = []
    for path in PROJECT.rglob("*"):
        parts = path.relative_to(PROJECT).parts
        built = any(
            part in _BUILT or part.endswith(("_cache", ".egg-info")) or part.startswith((".hypothesis", ".coverage"))
            for part in parts
        )
        if not built and path.is_file() and path.suffix in _TEXT:
            found.append(path)
    return found


def test_nothing_names_a_machine_or_a_registry():
    """No absolute path of somebody's machine and no package index stands in any file."""
    # Written in pieces, so that this file does not hold what it refuses.
    everywhere = re.compile(
        "|".join(["/wor" + "k/", "/opt/" + "pypi", "/home/" + r"\w", "pypi" + r"\.org", "python" + "hosted"])
    )
    in_source = re.compile("/tm" + "p/")
    found = []
    for path in _texts():
        text = path.read_text(errors="replace")
        if everywhere.search(text) or (SOURCE in path.parents and in_source.search(text)):
            found.append(path.relative_to(PROJECT).as_posix())

    assert [] == found


def test_import_contracts_have_no_exceptions():
    """The contracts of import-linter are kept without ``ignore_imports``, and the layers are exhaustive."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

    assert [] == [contract["name"] for contract in contracts if "ignore_imports" in contract]
    assert all(contract["exhaustive"] for contract in contracts if contract["type"] == "layers")


def test_every_lint_exception_gives_its_reason():
    """A ``noqa`` or ``type: ignore`` names its rule and says why, after a second ``#``."""
    silent = re.compile(r"#\s*(?:noqa|type: ignore)(?!: ?\w|\[)|#\s*(?:noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\])\s*$")
    found = [
        f"{module}:{number}"
        for module in MODULES
        for number, line in enumerate((SOURCE / module).read_text().splitlines(), 1)
        if silent.search(line)
    ]

    assert [] == found
