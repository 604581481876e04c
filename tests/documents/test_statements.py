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
_ROW = re.compile(r"^\| (\d)\.(\d+) \|", re.MULTILINE)


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
