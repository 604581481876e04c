"""Every Python block of the documentation runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from chandlery.adapter.registry import ExchangeRegistry

PROJECT = Path(__file__).resolve().parent.parent.parent
PAGES = [PROJECT / "README.md", *sorted(PROJECT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page, tmp_path, monkeypatch):
    """The blocks of a page, in order, run in one namespace without an error."""
    monkeypatch.chdir(tmp_path)
    document = Sybil(parsers=[PythonCodeBlockParser()], path=str(page.parent)).parse(page)

    ExchangeRegistry.names()
    known = dict(ExchangeRegistry._adapters)
    try:
        for example in document.examples():
            example.evaluate()
    finally:
        # What a page registers is forgotten after it, so that no other test meets it.
        ExchangeRegistry._adapters.clear()
        ExchangeRegistry._adapters.update(known)
