"""Every declaration has a standing, and what is claimed is shown by a link, a date or a count."""

from __future__ import annotations

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import Seen, Standing, standings
from chandlery.core.errors import UnknownName

EXCHANGES = pytest.mark.parametrize("exchange", ExchangeRegistry.names())


def test_lines_are_read_over_what_is_alike():
    """A market that differs in one declaration names that alone."""
    one = standings("alignment: documented, https://x")
    other = standings("history depth: recorded, 2026", one)

    assert Seen(Standing.DOCUMENTED, "https://x") == other["alignment"]
    assert Seen(Standing.RECORDED, "2026") == other["history depth"]
    assert Seen(Standing.UNVERIFIED) == other["checksum"]
    with pytest.raises(ValueError, match="believed"):
        standings("alignment: believed, by us")


def test_a_declaration_that_does_not_exist_is_refused():
    """With the names of those that do."""
    with pytest.raises(UnknownName, match=r"'closing flag'.*closed flag"):
        standings("closing flag: unverified")
