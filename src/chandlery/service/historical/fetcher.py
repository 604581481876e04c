"""Past candles and order books, from storage first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pyarrow as pa

from chandlery.connect.interfaces import IDataSourceConnector
from chandlery.core.errors import IncompleteData, InvalidRange
from chandlery.core.gaps import Gap, Span, subtract
from chandlery.core.interval import Interval
from chandlery.core.provenance import Provenance
from chandlery.core.time import Clock, Micros, iso, to_datetime
from chandlery.service.historical.interfaces import Piece, Source, merge
from chandlery.storage.book_rows import table_of_books
from chandlery.storage.candles import CandleRepository
from chandlery.storage.control import GapRepository
from chandlery.storage.frame import open_times
from chandlery.storage.interfaces import IStorageManager
from chandlery.storage.raw import RawOrderBookEntry
from chandlery.storage.series_ids import SeriesName

FETCHED_AT_ONCE = 50_000
"""How many candles are counted in the database and requested of a client at once, which bounds memory and time of a piece."""


class HistoricalFetcher:
    """Reads the database, and asks the exchange for what it lacks."""

    def __init__(
        self,
        connector: IDataSourceConnector,
        candles: CandleRepository,
        storage: IStorageManager,
        gaps: GapRepository,
        clock: Clock,
    ) -> None:
        self._connector = connector
        self._candles = candles
        self._storage = storage
        self._gaps = gaps
        self._clock = clock

    async def candles(self, series: SeriesName, interval: Interval, span: Span, rows: int) -> AsyncIterator[Piece]:
        """
        The closed candles that open in ``span``, oldest first, at most ``rows`` in a piece.

        Raises:
            InvalidRange: It is none, or lies in the future.
        """
        wanted = self._closed(interval, span)
        at, width = wanted.start, rows
        while at < wanted.end:
            # First as much as one piece takes, then twice as much each time: who takes one page must not pay for the rest.
            width = min(width, FETCHED_AT_ONCE)
            window = Span(at, min(interval.step(at, width), wanted.end))
            covered = await self._candles.covered(series, interval, window)
            parts = sorted([(part, True) for part in covered] + [(part, False) for part in subtract(window, covered)])
            for part, stored in parts:
                pieces = self._stored(series, interval, part, rows) if stored else self._fetched(series, interval, part)
                async for piece in pieces:
                    for cut in _cut(piece, rows):
                        yield cut
            at, width = window.end, width * 2

    async def books(self, series: SeriesName, span: Span, snapshots: int) -> AsyncIterator[Piece]:
        """The order books that were kept in ``span``, a row a level, at most so many ``snapshots`` in a piece."""
        gaps = await self._gaps.find(series, span)
        at = span.start
        while True:
            entries = await self.snapshots(series, Span(at, span.end), snapshots)
            last = len(entries) < snapshots
            until = span.end if last else entries[-1].timestamp + 1
            table = table_of_books(entries)
            if entries or gaps:
                source = [self._kept(series, at, until, table.num_rows)] if entries else []
                yield Piece(
                    table, source, [gap for gap in gaps if at <= gap.start < until or gap.start < at == span.start]
                )
            if last:
                return
            at = until

    async def funding(self, series: SeriesName, span: Span, rows: int) -> AsyncIterator[Piece]:
        """The funding rates in ``span``, at most ``rows`` in a piece."""
        client = self._connector.get_client(series.exchange)
        failed: list[Gap] = []
        try:
            table = await client.fetch_funding(series.symbol, to_datetime(span.start), to_datetime(span.end))
        except IncompleteData as error:
            table, failed = error.data, list(error.missing)
        for cut in _cut(_piece(table, span, failed, series.exchange, self._origin(series)), rows):
            yield cut

    async def snapshots(self, series: SeriesName, span: Span, limit: int) -> list[RawOrderBookEntry]:
        """The first ``limit`` order books that were kept in ``span``."""
        return await self._storage.get_raw_data_range(
            series.symbol, span.start, span.end, limit, exchange=series.exchange
        )

    async def gaps(self, series: SeriesName, span: Span) -> list[Gap]:
        """The gaps of what was collected that touch ``span``."""
        return await self._gaps.find(series, span)

    def _closed(self, interval: Interval, span: Span) -> Span:
        now = self._clock()
        if not span:
            raise InvalidRange(f"the range ends at {iso(span.end)}, not after its start at {iso(span.start)}")
        if span.start > now:
            raise InvalidRange(f"the range starts at {iso(span.start)}, in the future: it is {iso(now)}")
        start = interval.ceil(span.start)
        return Span(start, max(start, min(interval.ceil(span.end), interval.floor(now))))

    async def _stored(self, series: SeriesName, interval: Interval, part: Span, rows: int) -> AsyncIterator[Piece]:
        at = part.start
        while at < part.end:
            table = await self._candles.table(series, interval, Span(at, part.end), rows)
            if not table.num_rows:
                return
            until = interval.step(int(open_times(table)[-1]))
            yield Piece(table, [self._kept(series, at, until, table.num_rows)])
            at = until

    def _kept(self, series: SeriesName, start: Micros, end: Micros, rows: int) -> Source:
        """A stretch of the database."""
        return Source("database", start, end, rows, self._origin(series))

    def _origin(self, series: SeriesName) -> str | None:
        origin = self._connector.origin(series.exchange, series.symbol)
        return None if origin is None else str(origin)

    async def _fetched(self, series: SeriesName, interval: Interval, part: Span) -> AsyncIterator[Piece]:
        """The answer of the exchange's client."""
        client = self._connector.get_client(series.exchange)
        failed: list[Gap] = []
        try:
            table = await client.fetch_candles(series.symbol, to_datetime(part.start), to_datetime(part.end), interval)
        except IncompleteData as error:
            table = error.data
            failed = list(error.missing)
        if table.num_rows and not client.keeps_candles:
            await self._candles.save_table(series, table)
        yield await asyncio.to_thread(_piece, table, part, failed, series.exchange, self._origin(series))


def _piece(table: pa.Table, span: Span, failed: list[Gap], exchange: str, origin: str | None) -> Piece:
    """A client's answer with its account, where it gives one."""
    account = (table.schema.metadata or {}).get(b"chandlery")
    plain = table.replace_schema_metadata(None)
    if account is None:
        sources = [Source(exchange, span.start, span.end, table.num_rows, origin)] if table.num_rows else []
        return Piece(plain, sources, failed)
    provenance = Provenance.from_json(account)
    spans = provenance.spans
    bounds = np.array([(each.start, each.end) for each in spans], np.int64).reshape(-1, 2)
    firsts, ends = np.searchsorted(open_times(plain), bounds).T.tolist()
    sources = [
        Source(f"cache ({each.source})" if each.cached else each.source, each.start, each.end, end - first, each.origin)
        for each, first, end in zip(spans, firsts, ends, strict=True)
    ]
    return Piece(plain, merge([], sources), provenance.gaps)


def _cut(piece: Piece, rows: int) -> Iterator[Piece]:
    """A piece as several of at most so many rows; its account goes with the first."""
    if piece.table.num_rows <= rows:
        yield piece
        return
    for offset in range(0, piece.table.num_rows, rows):
        account = (piece.sources, piece.gaps) if offset == 0 else ((), ())
        yield Piece(piece.table.slice(offset, rows), *account)
