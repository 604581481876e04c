"""Every declaration has a standing, and what is claimed is shown by a link, a date or a count."""

from __future__ import annotations

import re

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import DECLARATIONS, NOTHING, Seen, Standing, standings

EXCHANGES = pytest.mark.parametrize("exchange", ExchangeRegistry.names())


@EXCHANGES
def test_every_exchange_says_how_well_its_declarations_are_known(exchange):
    """Each of the declarations and nothing else; none of ours says nothing at all."""
    standing = ExchangeRegistry.get(exchange).standing

    assert set(DECLARATIONS) == set(standing)
    assert standing != NOTHING


@EXCHANGES
def test_what_is_claimed_is_shown(exchange):
    """What is documented has a link; what was seen, or is contradicted, says by what."""
    for name, seen in ExchangeRegistry.get(exchange).standing.items():
        if seen.standing is Standing.DOCUMENTED:
            assert "https://" in seen.note, name
        elif seen.standing is Standing.CONTRADICTED:
            assert re.search(r"\d", seen.note), name
        elif seen.standing is Standing.RECORDED:
            assert seen.note, name


def test_lines_are_read_over_what_is_alike():
    """A market that differs in one declaration names that alone."""
    one = standings("grids: documented, https://x")
    other = standings("memory: recorded, 2026", one)

    assert Seen(Standing.DOCUMENTED, "https://x") == other["grids"]
    assert Seen(Standing.RECORDED, "2026") == other["memory"]
    assert Seen(Standing.UNVERIFIED) == other["checksum"]
    with pytest.raises(ValueError, match="believed"):
        standings("grids: believed, by us")
