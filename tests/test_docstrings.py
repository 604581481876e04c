"""Docstrings begin with a verb in the imperative, or with a noun."""

from __future__ import annotations

import ast

import pytest


@pytest.fixture
def check_docstrings(script):
    """The checker that ``make lint`` runs."""
    return script("check_docstrings")


@pytest.mark.parametrize("first", ["What is stored", "Whether it runs", "The same for books.", "Nothing to open;"])
def test_refused(check_docstrings, first):
    """Questions and references are found, wherever a docstring may be."""
    assert check_docstrings.REFUSED.match(first)


@pytest.mark.parametrize("first", ["Whatever it costs", "Stop the feed.", "The series of a coin", "Same-day candles"])
def test_accepted(check_docstrings, first):
    """Verbs, nouns, and words that only begin alike."""
    assert not check_docstrings.REFUSED.match(first)


def test_all_kinds_of_docstrings_are_read(check_docstrings):
    """Those of modules, classes, attributes and functions, and no other text."""
    text = '''
"""module"""
CONSTANT = 1
"""constant"""
class Some:
    """class"""
    field: int
    """field"""
    async def method(self):
        """method"""
        value = "text"
        print(value)
        "no docstring"
'''
    found = dict(check_docstrings.docstrings(ast.parse(text)))

    assert ["module", "constant", "class", "field", "method"] == [found[line] for line in sorted(found)]
