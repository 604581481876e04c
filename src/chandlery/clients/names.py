"""Canonical names of exchanges, and their other spellings."""

from __future__ import annotations

from collections.abc import Mapping

PRIORITY = ("binance", "kraken", "kucoin", "gate", "okx", "bybit", "mexc", "htx")
"""Default order in which exchanges are tried."""

_OTHERS: Mapping[str, tuple[str, ...]] = {
    "htx": ("huobi",),
    "gate": ("gateio", "gate_io"),
    "okx": ("okex",),
    "cryptocom": ("crypto_com",),
    "coinbase": ("coinbase_advanced_trade",),
    "ascendex": ("ascend_ex",),
}
_CANONICAL = {other: name for name, others in _OTHERS.items() for other in others}


def canonical(exchange: str) -> str:
    """Return the canonical name of an exchange, e.g. ``htx`` for ``Huobi``."""
    name = exchange.strip().lower()
    return _CANONICAL.get(name, name)


def other_names(exchange: str) -> tuple[str, ...]:
    """Return the other spellings of a canonical name."""
    return _OTHERS.get(exchange, ())
