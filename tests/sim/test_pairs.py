"""Symbols as base and quote."""

from __future__ import annotations

import pytest

from chandlery.sim.pairs import pair_of


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("BTCUSD", ("BTC", "USD")),
        ("ETHBTC", ("ETH", "BTC")),
        ("USDTUSD", ("USDT", "USD")),
        ("BTCJPY", ("BTC", "JPY")),
        ("币安人生USDC", ("币安人生", "USDC")),
    ],
)
def test_symbols_are_base_and_quote(symbol, pair):
    """The longest known quote that they end in; the last three letters where none is known."""
    assert pair == pair_of(symbol)
