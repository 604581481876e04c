"""Connecting by name."""

from __future__ import annotations

import pytest

from chandlery.ccxt_bridge.connection_factory import ExchangeConnectionFactory, NamedConnects

NAMES = ["binance", "kraken", "kucoin", "gate", "okx", "bybit", "mexc", "huobi"]


class Manager(NamedConnects):
    """Says what it was asked for."""

    def connect_to_exchange_with_credentials(self, exchange_id, *args, **options):
        return exchange_id, args, options


@pytest.mark.parametrize("name", NAMES)
def test_each_name_connects_to_its_exchange(name):
    """The method of a name asks for that exchange, and passes on what else it is given."""
    expected = (name, ("key",), {"testnet": True})

    assert expected == getattr(Manager(), f"connect_to_{name}_with_credentials")("key", testnet=True)
    factory = ExchangeConnectionFactory()
    assert expected == getattr(factory, f"connect_to_{name}_with_credentials")(Manager(), "key", testnet=True)
