"""Each statement of the five documents has a test, or its reason in the documentation."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent
COUNTS = [41, 78, 60, 36, 42]
"""The statements of each document."""
_OWN = re.compile(r"test_(\d)_(\d\d)_\w+")
_ROW = re.compile(r"^\| (\d)\.(\d+) \|", re.MULTILINE)


def number(document, statement):
    """How a statement is called, e.g. 0.4."""
    return f"{int(document)}.{int(statement)}"


@cache
def names_in(file):
    """All names that a test file defines, and its functions that run only in long runs."""
    tree = ast.parse((TESTS / file).read_text())
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    classes = [each for each in tree.body if isinstance(each, ast.ClassDef)]
    assigned = {name.id for each in tree.body if isinstance(each, ast.Assign) for name in each.targets if isinstance(name, ast.Name)}  # fmt: skip
    long = {each.name for each in functions if "pytest.mark.soak" in map(ast.unparse, each.decorator_list)}
    return {each.name for each in [*functions, *classes]} | assigned, long


@pytest.fixture(scope="module")
def table():
    """Documents with their statements, each with its title and the tests that prove it."""
    return tomllib.loads((HERE / "statements.toml").read_text())


def own_tests():
    """The statements that have a test in this folder."""
    names = {name for path in HERE.glob("test_00*.py") for name in names_in(path.relative_to(TESTS))[0]}
    return [number(*found.groups()) for name in names if (found := _OWN.fullmatch(name))]


def test_each_statement_is_covered_once(table, project):
    """By a test of its own, by tests elsewhere, or by a row that gives the reason why it differs."""
    page = (project / "docs" / "coming-from.md").read_text().partition("\n## Statements that differ\n")[2]
    mapped = [number(document, each) for document, statements in table.items() for each in statements]
    found = Counter([*own_tests(), *mapped, *(number(*each) for each in _ROW.findall(page))])
    expected = [number(document, each + 1) for document, count in enumerate(COUNTS) for each in range(count)]

    assert [] == sorted(set(expected) - set(found))
    assert {} == {name: times for name, times in found.items() if times != 1 or name not in expected}


def test_the_tests_of_the_table_are_there(table):
    """Each is defined in its file as a test, and runs with every suite."""
    entries = [each for statements in table.values() for each in statements.values()]
    wrong = []
    for test in {test for _, *tests in entries for test in tests}:
        file, *parts = test.split("::")
        defined, long = names_in(file) if (TESTS / file).is_file() else (set(), set())
        if not parts or not set(parts) <= defined or parts[-1] in long or not parts[-1].lower().startswith("test"):
            wrong.append(test)

    assert [] == sorted(wrong)
    assert all(title and tests for title, *tests in entries)


def test_the_numbers_are_those_of_the_list(project):
    """The list of the statements lies beside the checkout, and is never copied."""
    path = project.parent / "shared" / "cases" / "documents" / "statements.md"
    if not path.is_file():
        pytest.skip("the list of the statements is not beside the checkout")
    listed = Counter(document for document, _ in _ROW.findall(path.read_text()))

    assert COUNTS == [listed[str(document)] for document in range(len(COUNTS))]
