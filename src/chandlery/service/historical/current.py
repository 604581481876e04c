"""Latest data of a series."""

from __future__ import annotations

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.clients.rows import Row, row_of_candle, rows_of_table
from chandlery.core.gaps import Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Clock, Unit, to_datetime
from chandlery.database.candles import CandleRepository
from chandlery.database.interfaces import IStorageManager
from chandlery.database.raw import RawOrderBookEntry
from chandlery.service.collection.broadcaster import Broadcaster

_LOOKED_BACK = 3
"""Number of candles requested from the exchange if none is known."""


class CurrentDataFetcher:
    """Source of the latest data: the streams, then the database, then for candles the exchange."""

    def __init__(
        self,
        broadcaster: Broadcaster,
        candles: CandleRepository,
        storage: IStorageManager,
        clock: Clock,
    ) -> None:
        self._broadcaster = broadcaster
        self._candles = candles
        self._storage = storage
        self._clock = clock

    async def latest(self, series: ResolvedSeries) -> Row | None:
        """Return the latest order book or candle; ``None`` if there is none."""
        update = self._broadcaster.latest(series.id)
        if update is not None:
            return update.content
        return await (self._candle(series) if series.id.channel == "candles" else self._book(series.id))

    async def _book(self, series: SeriesId) -> Row | None:
        entry = await self._storage.get_latest_book(series.symbol, exchange=series.exchange)
        return None if entry is None else row_of_book(entry)

    async def _candle(self, found: ResolvedSeries) -> Row | None:
        series, interval = found.id, found.id.length
        kept = await self._candles.latest(series)
        now = self._clock()
        current = interval.step(interval.floor(now), -1)
        if kept is not None and kept.open_time >= current:
            return row_of_candle(kept, series.exchange, series.symbol, interval)
        span = Span(interval.step(current, -_LOOKED_BACK), now)
        start, end = to_datetime(span.start), to_datetime(span.end)
        table = await found.client.fetch_candles(series.symbol, start, end, interval)
        rows = rows_of_table(
            table.slice(max(table.num_rows - 1, 0)), series.exchange, series.symbol, interval, counts=True
        )
        return rows[0] if rows else None


def row_of_book(entry: RawOrderBookEntry) -> Row:
    """Convert a stored order book to a row, with the times of its message."""
    book = entry.data
    return {
        "exchange": entry.exchange,
        "symbol": entry.coin_symbol,
        "timestamp": None if book.at is None else Unit.MILLIS.of(book.at),
        "received_at": Unit.MILLIS.of(book.received_at),
        "sequence": book.sequence,
        "bids": book.bids,
        "asks": book.asks,
    }
