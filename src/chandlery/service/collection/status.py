"""State of the collected coins and their streams."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.time import Micros

DEFAULT_CHANNELS = ("book", "candles:1m")
"""Channels of a coin that is added without any."""


class ChannelStatus(Struct, frozen=True):
    """State of one stream of a coin. Counts are since the start of the service."""

    channel: str
    state: str
    """
    State: ``starting``, ``running``, ``reconnecting`` after a lost connection, ``stale`` if no order book was stored
    for two intervals, or ``failed``, which is retried.
    """
    messages: int
    gaps: int
    resyncs: int
    last_message: Micros | None
    lag_ms: float | None
    """Delay of the last message, in milliseconds, if the exchange sends timestamps."""
    failures: int
    """Number of consecutive failures."""
    error: str | None
    """Reason of the last failure or lost connection; ``None`` while it runs."""


class CoinStatus(Struct, frozen=True):
    """State of a collected coin."""

    exchange: str
    symbol: str
    since: Micros
    channels: tuple[ChannelStatus, ...]
    origin: str | None = None
    """Origin of its data; ``None`` for the exchange itself."""


def only_exchange(coin: str, collected: Iterable[tuple[str, str]]) -> str:
    """
    Return the exchange from which a coin is collected, of pairs of exchange and coin.

    Raises:
        UnknownName: The coin is not collected.
        InvalidInput: The coin is collected from several exchanges.
    """
    pairs = list(collected)
    found = [exchange for exchange, symbol in pairs if symbol == coin]
    if len(found) > 1:
        raise InvalidInput(f"{coin} is collected from {', '.join(found)}; name the exchange")
    if not found:
        known = ", ".join(f"{symbol} of {exchange}" for exchange, symbol in pairs) or "nothing"
        raise UnknownName(f"{coin} is not collected; collected: {known}")
    return found[0]
