"""Raw order books in the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from chandlery.core.errors import CorruptStorage, InvalidInput
from chandlery.core.gaps import Gap, GapKind
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros, iso
from chandlery.database.entries import Book, Moment, entry_of, moment_of
from chandlery.database.interfaces import IRawDataRepository, IStorageManager, Record, Value
from chandlery.database.paging import entries_between, latest_entry
from chandlery.database.raw import BookPage, RawOrderBookEntry, decode, encode
from chandlery.database.series_ids import SeriesIds

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_PRUNED_AT_ONCE = 5_000


class RawDataRepositoryImpl(IRawDataRepository):
    """The table ``books``, of the series that ``ids`` number."""

    def __init__(self, ids: SeriesIds) -> None:
        self._database = ids.database
        self._ids = ids

    async def save(self, entries: RawOrderBookEntry | Sequence[RawOrderBookEntry]) -> None:
        """Encode and commit the entries."""
        entries = [entries] if isinstance(entries, RawOrderBookEntry) else entries
        rows = [
            (
                await self._ids.of(SeriesId.of_book(entry.exchange, entry.coin_symbol)),
                entry.timestamp,
                encode(entry.data),
            )
            for entry in entries
        ]
        sql = "INSERT INTO books (series, at, entry) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET entry = excluded.entry"
        await self._database.write((sql, rows))

    async def find_by_range(
        self, coin: str, start: Moment, end: Moment, limit: int, offset: int = 0, *, exchange: str | None = None
    ) -> list[RawOrderBookEntry]:
        """Read and decode a page of entries."""
        bounds = (moment_of(start, "start"), moment_of(end, "end"))
        if limit < 0 or offset < 0:
            raise InvalidInput(f"limit {limit} and offset {offset} count entries; neither can be negative")
        rows = await self._rows(coin, exchange, "at >= ? AND at < ?", bounds, "ASC", limit, offset)
        return await asyncio.to_thread(lambda: [_entry(row) for row in rows])

    async def find_page(self, coin: str, start: Micros, end: Micros, limit: int, *, exchange: str) -> BookPage:
        """Read a page and decode each entry separately."""
        rows = await self._rows(coin, exchange, "at >= ? AND at < ?", (start, end), "ASC", limit + 1)
        # In a thread: a book of a thousand levels takes a fifth of a millisecond.
        return await asyncio.to_thread(_page, rows[:limit], rows[limit][2] if len(rows) > limit else None)

    async def find_latest(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """Read and decode the newest entry; if it is damaged, the one before."""
        passed = 0
        while rows := await self._rows(coin, exchange, "TRUE", (), "DESC", 1, passed):
            try:
                return _entry(rows[0])
            except CorruptStorage as error:
                log.warning("a stored order book is left out: %s", error)
                passed += 1
        return None

    async def prune(self, before: Micros) -> int:
        """Delete in batches, so that writers need not wait."""
        removed = 0
        for number in [number for number, channel in await self._ids.of_all() if channel == "book"]:
            sql = "SELECT rowid FROM books WHERE series = ? AND at < ? ORDER BY at LIMIT ?"
            while rows := await self._database.read(sql, (number, before, _PRUNED_AT_ONCE)):
                await self._database.write(("DELETE FROM books WHERE rowid = ?", rows))
                removed += len(rows)
        return removed

    async def _rows(
        self, coin: str, exchange: str | None, within: str, bounds: Record, order: str, limit: int, offset: int = 0
    ) -> list[tuple[str, str, Micros, bytes]]:
        """Return the rows of each exchange by the index, merged by time and then by exchange."""
        series = await self._exchanges(coin, exchange)
        if not series:
            return []
        one = f"SELECT ? AS place, at, entry FROM books WHERE series = ? AND {within}"
        parameters: list[Value] = []
        for place, (number, _) in enumerate(series):
            parameters += [place, number, *bounds]
        sql = f"{' UNION ALL '.join([one] * len(series))} ORDER BY at {order}, place LIMIT ? OFFSET ?"
        rows: list[Any] = await self._database.read(sql, (*parameters, limit, offset))
        return [(series[place][1], coin, at, entry) for place, at, entry in rows]

    async def _exchanges(self, coin: str, exchange: str | None) -> list[tuple[int, str]]:
        """Return the series of the coin's order books, by exchange."""
        if exchange is not None:
            number = await self._ids.find(SeriesId.of_book(exchange, coin))
            return [] if number is None else [(number, exchange)]
        return await self._ids.of_books(coin)


def _page(rows: Sequence[tuple[str, str, Micros, bytes]], following: Micros | None) -> BookPage:
    page = BookPage([], [], following)
    for row in rows:
        try:
            page.entries.append(_entry(row))
        except CorruptStorage as error:
            log.warning("a stored order book is left out: %s", error)
            page.damaged.append(Gap(row[2], row[2] + 1, GapKind.NOT_COLLECTED, f"what was stored is damaged: {error}"))
    return page


def _entry(row: tuple[str, str, Micros, bytes]) -> RawOrderBookEntry:
    exchange, symbol, at, entry = row
    try:
        return RawOrderBookEntry(exchange, symbol, at, decode(entry))
    except CorruptStorage as error:
        raise CorruptStorage(f"{exchange} {symbol} {iso(at)}: {error}") from error


class StorageManagerImpl(IStorageManager):
    """A storage manager over a repository."""

    def __init__(self, repository: IRawDataRepository) -> None:
        self._repository = repository

    async def store_raw_data(
        self, coin: str, data: Book, *, exchange: str | None = None, timestamp: Moment | None = None
    ) -> None:
        """
        Store an order book, under the exchange and time that are given, or that it has.

        Raises:
            InvalidInput: The exchange or the time is unknown, or it is not an order book.
        """
        await self._repository.save(entry_of(coin, data, exchange, timestamp))

    async def get_raw_data_range(
        self, coin: str, start: Moment, end: Moment, limit: int = 100, offset: int = 0, *, exchange: str | None = None
    ) -> list[RawOrderBookEntry]:
        """Read a page of entries."""
        first, last = moment_of(start, "start"), moment_of(end, "end")
        return await entries_between(
            self._repository.find_by_range, coin, first, last, limit, offset, exchange=exchange
        )

    async def get_book_page(self, coin: str, start: Micros, end: Micros, limit: int, *, exchange: str) -> BookPage:
        """Read a page of entries, with damaged ones as gaps."""
        return await self._repository.find_page(coin, start, end, limit, exchange=exchange)

    async def get_latest_raw_entry(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """Read the newest entry."""
        return await latest_entry(self._repository.find_latest, self._repository.find_by_range, coin, exchange=exchange)
