"""The numbers under which the tables know the series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import Struct

from chandlery.core.interval import Interval
from chandlery.database.interfaces import IDatabaseConnection

BOOK = "book"
_CANDLES = "candles"

EXCHANGE_OWN = ""
"""The origin of the exchange's own data in the tables."""

OriginOf: TypeAlias = Callable[[str, str], str]
"""The origin of the data of an exchange's symbol, as the tables hold it."""


def always(origin: str) -> OriginOf:
    """The same origin for every exchange."""
    return lambda *_: origin


exchange_own = always(EXCHANGE_OWN)


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
    """
    The numbers of series, given at the first question and remembered.

    Only series of the origin that ``origin_of`` gives are seen: a series of the same name and another origin
    is another series.
    """

    def __init__(self, database: IDatabaseConnection, origin_of: OriginOf = exchange_own) -> None:
        self._database = database
        self._origin_of = origin_of
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
            sql = "INSERT OR IGNORE INTO series (origin, exchange, symbol, channel) VALUES (?, ?, ?, ?)"
            await self._database.write((sql, [self._key(name)]))
            found = await self.find(name)
            assert found is not None  # noqa: S101  # it was committed
        return found

    async def find(self, name: SeriesName) -> int | None:
        """The number of a series; ``None`` where nothing was ever kept of it."""
        if name in self._known:
            return self._known[name]
        rows: list[Any] = await self._database.read(
            "SELECT id FROM series WHERE origin = ? AND exchange = ? AND symbol = ? AND channel = ?", self._key(name)
        )
        if not rows:
            return None
        self._known[name] = rows[0][0]
        return self._known[name]

    async def of_books(self, symbol: str) -> list[tuple[int, str]]:
        """The number and exchange of each series of the symbol's order books, in the order of the exchanges."""
        sql = "SELECT id, exchange, origin FROM series WHERE symbol = ? AND channel = ?"
        rows: list[Any] = await self._database.read(sql, (symbol, BOOK))
        found = [(number, exchange) for number, exchange, origin in rows if origin == self._origin_of(exchange, symbol)]
        return sorted(found, key=lambda row: row[1])

    async def of_all(self) -> list[tuple[int, str]]:
        """The number and channel of every series."""
        rows: list[Any] = await self._database.read("SELECT id, channel, origin, exchange, symbol FROM series")
        return [
            (number, channel)
            for number, channel, origin, exchange, symbol in rows
            if origin == self._origin_of(exchange, symbol)
        ]

    def _key(self, name: SeriesName) -> tuple[str, str, str, str]:
        return (self._origin_of(name.exchange, name.symbol), name.exchange, name.symbol, name.channel)
