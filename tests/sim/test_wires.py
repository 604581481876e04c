"""Every exchange of the library is offline too."""

from __future__ import annotations

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.sim.wires import wires


@pytest.mark.parametrize("exchange", sorted({*ExchangeRegistry.names(), *wires()}))
def test_each_wire_is_of_an_adapter(exchange):
    """Of the same id and market; an adapter may be without."""
    if exchange not in wires():
        pytest.skip("the offline exchange has no wire of it")

    assert ExchangeRegistry.get(exchange).market_type is wires()[exchange].market_type


def test_they_know_nothing_of_our_adapters(project):
    """A wire that used the adapter it is to judge would agree with it, whatever it said."""
    folder = project / "src" / "chandlery" / "sim"
    found = [
        path.name
        for path in folder.rglob("*.py")
        if "chandlery.exchanges" in path.read_text() or "chandlery.adapter" in path.read_text()
    ]

    assert [] == found
