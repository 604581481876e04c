"""Numeric ids of the series in the tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from chandlery.core.series_id import SeriesId
from chandlery.database.interfaces import IDatabaseConnection

EXCHANGE_OWN = ""
"""The origin of the exchange's own data in the tables."""

OriginOf: TypeAlias = Callable[[str, str], str]
"""Returns the origin of the data of an exchange's symbol, as stored in the tables."""


def always(origin: str) -> OriginOf:
    """Return a function that gives every exchange the same origin."""
    return lambda *_: origin


exchange_own = always(EXCHANGE_OWN)


class SeriesIds:
    """
    The ids of series, assigned on first use.

    Only series of the origin that ``origin_of`` returns are visible: a series of the same name and another origin
    is another series. All ids are read once, so that a series without one needs no query; whoever shares a database
    while it is written therefore shares this object too.
    """

    def __init__(self, database: IDatabaseConnection, origin_of: OriginOf = exchange_own) -> None:
        self.database = database
        self._origin_of = origin_of
        self._known: dict[SeriesId, int] = {}
        self._stored: dict[tuple[str, str, str], dict[str, int]] | None = None
        """Ids by origin, by exchange, symbol and channel; ``None`` until they are read."""

    async def of(self, series: SeriesId) -> int:
        """
        Return the id of a series; assign one if needed.

        Raises:
            StorageError: It has none yet, and none can be written.
        """
        found = await self.find(series)
        if found is None:
            key = (self._origin_of(series.exchange, series.symbol), *_place(series))
            sql = "INSERT OR IGNORE INTO series (origin, exchange, symbol, channel) VALUES (?, ?, ?, ?)"
            await self.database.write((sql, [key]))
            rows: list[Any] = await self.database.read(
                "SELECT id FROM series WHERE origin = ? AND exchange = ? AND symbol = ? AND channel = ?", key
            )
            found = self._known[series] = rows[0][0]
        return found

    async def find(self, series: SeriesId) -> int | None:
        """Return the id of a series; ``None`` if nothing was ever stored for it."""
        if series in self._known:
            return self._known[series]
        origins = (await self._read()).get(_place(series))
        if origins is None:
            return None
        found = origins.get(self._origin_of(series.exchange, series.symbol))
        if found is not None:
            self._known[series] = found
        return found

    async def _read(self) -> dict[tuple[str, str, str], dict[str, int]]:
        if self._stored is None:
            rows: list[Any] = await self.database.read("SELECT id, origin, exchange, symbol, channel FROM series")
            stored: dict[tuple[str, str, str], dict[str, int]] = {}
            for number, origin, *place in rows:
                stored.setdefault(tuple(place), {})[origin] = number
            self._stored = stored
        return self._stored

    async def of_books(self, symbol: str) -> list[tuple[int, str]]:
        """Return the id and exchange of each series of the symbol's order books, by exchange."""
        sql = "SELECT id, exchange, origin FROM series WHERE symbol = ? AND channel = ?"
        rows: list[Any] = await self.database.read(sql, (symbol, "book"))
        found = [(number, exchange) for number, exchange, origin in rows if origin == self._origin_of(exchange, symbol)]
        return sorted(found, key=lambda row: row[1])

    async def of_all(self) -> list[tuple[int, str]]:
        """Return the id and channel of every series."""
        rows: list[Any] = await self.database.read("SELECT id, channel, origin, exchange, symbol FROM series")
        return [
            (number, channel)
            for number, channel, origin, exchange, symbol in rows
            if origin == self._origin_of(exchange, symbol)
        ]


def _place(series: SeriesId) -> tuple[str, str, str]:
    return series.exchange, series.symbol, series.channel_text
