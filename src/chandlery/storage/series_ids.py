"""The numbers under which the tables know the series."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from chandlery.core.interval import Interval
from chandlery.storage.interfaces import IDatabaseConnection

BOOK = "book"
_CANDLES = "candles"


class SeriesName(Struct, frozen=True):
    """What one channel of an exchange says of one symbol."""

    exchange: str
    symbol: str
    channel: str

    @classmethod
    def of_candles(cls, exchange: str, symbol: str, interval: Interval) -> SeriesName:
        """The candles of an interval."""
        return cls(exchange, symbol, candles_channel(interval))

    @classmethod
    def of_book(cls, exchange: str, symbol: str) -> SeriesName:
        """The order book."""
        return cls(exchange, symbol, BOOK)


def candles_channel(interval: Interval) -> str:
    """The channel of an interval's candles, e.g. ``candles:1m``."""
    return f"{_CANDLES}:{interval.value}"


def interval_of(channel: str) -> Interval | None:
    """
    The interval of a channel of candles; ``None`` for that of the book.

    Raises:
        UnknownInterval: It is no channel.
    """
    if channel == BOOK:
        return None
    name, _, interval = channel.partition(":")
    return Interval(interval if name == _CANDLES else channel)


class SeriesIds:
    """The numbers of series, given at the first question and remembered."""

    def __init__(self, database: IDatabaseConnection) -> None:
        self._database = database
        self._known: dict[SeriesName, int] = {}

    async def of(self, name: SeriesName) -> int:
        """
        The number of a series.

        Raises:
            StorageError: It has none yet, and none can be written.
        """
        found = self._known.get(name)
        if found is None:
            found = await self.find(name)
        if found is None:
            row = (name.exchange, name.symbol, name.channel)
            await self._database.write(
                ("INSERT OR IGNORE INTO series (exchange, symbol, channel) VALUES (?, ?, ?)", [row])
            )
            found = await self.find(name)
            assert found is not None  # noqa: S101  # it was committed
        return found

    async def find(self, name: SeriesName) -> int | None:
        """The number of a series; ``None`` where nothing was ever kept of it."""
        if name in self._known:
            return self._known[name]
        rows: list[Any] = await self._database.read(
            "SELECT id FROM series WHERE exchange = ? AND symbol = ? AND channel = ?",
            (name.exchange, name.symbol, name.channel),
        )
        if not rows:
            return None
        self._known[name] = rows[0][0]
        return self._known[name]
