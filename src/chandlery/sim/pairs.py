"""Symbols of the offline market as base and quote."""

from __future__ import annotations

from collections.abc import Sequence

QUOTES = ("USDT", "USDC", "USD", "EUR", "BTC", "ETH", "CRO")
"""Quote currencies of the offline market, longer ones before their own suffixes."""


def pair_of(symbol: str, quotes: Sequence[str] = QUOTES) -> tuple[str, str]:
    """Split a market's symbol, e.g. ``BTCUSDT``, into base and quote."""
    quote = next((each for each in quotes if symbol.endswith(each) and symbol != each), symbol[-3:])
    return symbol.removesuffix(quote), quote
