"""The table ``coins`` of collected coins."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros
from chandlery.database.interfaces import IDatabaseConnection
from chandlery.database.series_ids import OriginOf, exchange_own


class CollectedCoin(Struct, frozen=True):
    """A coin that is collected from an exchange, with its channels and start."""

    exchange: str
    symbol: str
    channels: tuple[str, ...]
    since: Micros

    @property
    def series(self) -> list[SeriesId]:
        """The series of its channels."""
        return [SeriesId.parse(self.exchange, self.symbol, channel) for channel in self.channels]


class CoinRepository:
    """The table ``coins``, for the origins that ``origin_of`` returns."""

    def __init__(self, database: IDatabaseConnection, origin_of: OriginOf = exchange_own) -> None:
        self._database = database
        self._origin_of = origin_of

    async def save(self, coin: CollectedCoin) -> None:
        """Store a coin; the channels of a stored one are replaced."""
        channels = msgspec.json.encode(coin.channels).decode()
        row = (self._origin_of(coin.exchange, coin.symbol), coin.exchange, coin.symbol, channels, coin.since)
        sql = "INSERT INTO coins VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET channels = excluded.channels"
        await self._database.write((sql, [row]))

    async def remove(self, exchange: str, symbol: str) -> None:
        """Remove a coin; collected data stay."""
        row = (self._origin_of(exchange, symbol), exchange, symbol)
        await self._database.write(("DELETE FROM coins WHERE origin = ? AND exchange = ? AND symbol = ?", [row]))

    async def all(self) -> list[CollectedCoin]:
        """Return all coins."""
        rows: list[Any] = await self._database.read(
            "SELECT origin, exchange, symbol, channels, since FROM coins ORDER BY since, exchange, symbol"
        )
        return [
            CollectedCoin(exchange, symbol, msgspec.json.decode(channels, type=tuple[str, ...]), since)
            for origin, exchange, symbol, channels, since in rows
            if origin == self._origin_of(exchange, symbol)
        ]
