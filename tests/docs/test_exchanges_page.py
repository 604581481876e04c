"""The page of the exchanges says what the adapters declare."""

from __future__ import annotations


def test_the_page_is_up_to_date(project, script):
    """Where it is not, ``make docs`` writes it anew."""
    written = script("exchanges_page").page()

    assert written == (project / "docs" / "exchanges.md").read_text()
