"""The identity of a series: one channel of an exchange for one symbol."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeAlias

from msgspec import Struct

from chandlery.core.errors import UnknownInterval, UnknownName
from chandlery.core.interval import Interval

Channel: TypeAlias = Literal["candles", "book", "funding"]


class SeriesId(Struct, frozen=True, cache_hash=True):
    """
    One channel of an exchange for one symbol, in the spelling under which its data is stored.

    ``interval`` is that of candles, ``None`` for the other channels. The origin of data is not part of it: stores add it
    to their keys.
    """

    exchange: str
    symbol: str
    channel: Channel
    interval: Interval | None = None

    @classmethod
    def parse(cls, exchange: str, symbol: str, channel: str, interval: str | None = None) -> Self:
        """
        Parse ``book``, ``candles:1m`` or ``1m``, or ``candles``, whose ``interval`` is 1m by default; others ignore it.

        Funding rates are not collected, so that no text names them.

        Raises:
            UnknownName: The text is not a channel.
            UnknownInterval: ``interval`` is not an interval.
        """
        if channel == "book":
            return cls.of_book(exchange, symbol)
        if channel == "candles":
            return cls.of_candles(exchange, symbol, Interval(interval or "1m"))
        name, _, length = channel.partition(":")
        try:
            return cls.of_candles(exchange, symbol, Interval(length if name == "candles" else channel))
        except UnknownInterval as error:
            raise UnknownName(f"{channel!r} is not a channel; use book, candles:1m and so on: {error}") from None

    @classmethod
    def of_candles(cls, exchange: str, symbol: str, interval: Interval) -> Self:
        """Return the series of an interval's candles."""
        return cls(exchange, symbol, "candles", interval)

    @classmethod
    def of_book(cls, exchange: str, symbol: str) -> Self:
        """Return the series of the order book."""
        return cls(exchange, symbol, "book")

    @classmethod
    def of_funding(cls, exchange: str, symbol: str) -> Self:
        """Return the series of the funding rates."""
        return cls(exchange, symbol, "funding")

    @property
    def channel_text(self) -> str:
        """The channel with its interval: ``book``, ``candles:1m``."""
        return self.channel if self.interval is None else f"{self.channel}:{self.interval.value}"

    @property
    def length(self) -> Interval:
        """
        The interval of its candles.

        Raises:
            UnknownInterval: It has no candles.
        """
        if self.interval is None:
            raise UnknownInterval(f"{self} has no interval; only candles have one")
        return self.interval

    def plain(self) -> dict[str, Any]:
        """Return the channel, the exchange, the symbol and, for candles, the interval as JSON values."""
        fields = {"channel": self.channel, "exchange": self.exchange, "symbol": self.symbol}
        return fields if self.interval is None else {**fields, "interval": self.interval.value}

    def __str__(self) -> str:
        """Format for logs and messages, e.g. ``binance BTC/USDT candles:1m``."""
        return f"{self.exchange} {self.symbol} {self.channel_text}"
