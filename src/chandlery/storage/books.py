"""Raw order books in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chandlery.core.errors import CorruptStorage, InvalidInput
from chandlery.core.time import Micros, iso
from chandlery.storage.interfaces import IDatabaseConnection, IRawDataRepository, IStorageManager
from chandlery.storage.raw import BookSnapshot, RawOrderBookEntry, decode, encode
from chandlery.storage.series_ids import BOOK, SeriesIds, SeriesName

_FOUND = """
    SELECT s.exchange, s.symbol, b.at, b.entry FROM books b JOIN series s ON s.id = b.series
    WHERE s.symbol = ? AND s.channel = ? AND (? IS NULL OR s.exchange = ?)
"""
_PRUNED_AT_ONCE = 5_000


class RawDataRepositoryImpl(IRawDataRepository):
    """In the table ``books``."""

    def __init__(self, database: IDatabaseConnection) -> None:
        self._database = database
        self._ids = SeriesIds(database)

    async def save(self, entries: Sequence[RawOrderBookEntry]) -> None:
        """Encode the entries and have them committed."""
        rows = [
            (
                await self._ids.of(SeriesName.of_book(entry.exchange, entry.coin_symbol)),
                entry.timestamp,
                encode(entry.data),
            )
            for entry in entries
        ]
        sql = "INSERT INTO books (series, at, entry) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET entry = excluded.entry"
        await self._database.write((sql, rows))

    async def find_by_range(
        self, coin: str, start: Micros, end: Micros, limit: int, offset: int = 0, *, exchange: str | None = None
    ) -> list[RawOrderBookEntry]:
        """Read and decode a page of them."""
        if limit < 0 or offset < 0:
            raise InvalidInput(f"limit {limit} and offset {offset} count entries; neither can be negative")
        rows = await self._database.read(
            f"{_FOUND} AND b.at >= ? AND b.at < ? ORDER BY b.at, s.exchange LIMIT ? OFFSET ?",
            (coin, BOOK, exchange, exchange, start, end, limit, offset),
        )
        return [_entry(row) for row in rows]

    async def find_latest(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """Read and decode the newest."""
        rows = await self._database.read(
            f"{_FOUND} ORDER BY b.at DESC, s.exchange LIMIT 1", (coin, BOOK, exchange, exchange)
        )
        return _entry(rows[0]) if rows else None

    async def prune(self, before: Micros) -> int:
        """Delete some at a time, so that who collects need not wait."""
        removed = 0
        while True:
            sql = "SELECT rowid FROM books WHERE at < ? LIMIT ?"
            rows = await self._database.read(sql, (before, _PRUNED_AT_ONCE))
            if not rows:
                return removed
            await self._database.write(("DELETE FROM books WHERE rowid = ?", rows))
            removed += len(rows)


def _entry(row: tuple[Any, ...]) -> RawOrderBookEntry:
    exchange, symbol, at, entry = row
    try:
        return RawOrderBookEntry(exchange, symbol, at, decode(entry))
    except CorruptStorage as error:
        raise CorruptStorage(f"{exchange} {symbol} {iso(at)}: {error}") from error


class StorageManagerImpl(IStorageManager):
    """Over a repository."""

    def __init__(self, repository: IRawDataRepository) -> None:
        self._repository = repository

    async def store_raw_data(self, coin: str, data: BookSnapshot, *, exchange: str, timestamp: Micros) -> None:
        """Keep a snapshot."""
        await self._repository.save([RawOrderBookEntry(exchange, coin, timestamp, data)])

    async def get_raw_data_range(
        self, coin: str, start: Micros, end: Micros, limit: int = 100, offset: int = 0, *, exchange: str | None = None
    ) -> list[RawOrderBookEntry]:
        """A page of them."""
        return await self._repository.find_by_range(coin, start, end, limit, offset, exchange=exchange)

    async def get_latest_raw_entry(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """The newest."""
        return await self._repository.find_latest(coin, exchange=exchange)
