"""Every exchange of the library is offline too."""

from __future__ import annotations

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.sim.wires import wires


def test_each_adapter_has_its_wire():
    """Of the same id and market."""
    markets = {name: ExchangeRegistry.get(name).market_type for name in ExchangeRegistry.names()}

    assert markets == {name: wire.market_type for name, wire in wires().items()}


def test_they_know_nothing_of_our_adapters(project):
    """A wire that used the adapter it is to judge would agree with it, whatever it said."""
    folder = project / "src" / "chandlery" / "sim"
    found = [
        path.name
        for path in folder.rglob("*.py")
        if "chandlery.exchanges" in path.read_text() or "chandlery.adapter" in path.read_text()
    ]

    assert [] == found
