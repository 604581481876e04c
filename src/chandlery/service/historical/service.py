"""Historical and latest data of every series."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.clients.rows import Row
from chandlery.core.gaps import Gap, Span
from chandlery.core.series_id import SeriesId
from chandlery.database.raw import BookPage
from chandlery.service.historical.current import CurrentDataFetcher
from chandlery.service.historical.fetcher import HistoricalFetcher
from chandlery.service.historical.interfaces import IHistoricalDataManager, Piece


class HistoricalDataManagerImpl(IHistoricalDataManager):
    """Historical data from a fetcher, and the latest data. Series are in their canonical spelling."""

    def __init__(self, fetcher: HistoricalFetcher, current: CurrentDataFetcher) -> None:
        self._fetcher = fetcher
        self._current = current
        self.rows: Counter[str] = Counter()
        """Number of rows by source."""

    def stream_historical_data(
        self, series: ResolvedSeries, span: Span, *, rows: int, snapshots: int = 50
    ) -> AsyncGenerator[Piece, None]:
        """Yield candles or order books, depending on the channel."""
        if series.id.interval is None:
            return self._counted(self._fetcher.books(series, span, snapshots))
        return self._counted(self._fetcher.candles(series, series.id.interval, span, rows))

    def stream_funding(self, series: ResolvedSeries, span: Span, *, rows: int) -> AsyncGenerator[Piece, None]:
        """Yield funding rates from the exchange's client, which stores them."""
        return self._counted(self._fetcher.funding(series, span, rows))

    async def get_books(self, series: ResolvedSeries, span: Span, limit: int) -> BookPage:
        """Return order books from the database."""
        return await self._fetcher.snapshots(series, span, limit)

    async def get_gaps(self, series: SeriesId, span: Span) -> list[Gap]:
        """Return gaps from the database."""
        return await self._fetcher.gaps(series, span)

    async def get_most_current_data(self, series: ResolvedSeries) -> Row | None:
        """Return the latest order book or candle."""
        return await self._current.latest(series)

    async def _counted(self, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
        async with aclosing(pieces):
            async for piece in pieces:
                for source in piece.sources:
                    self.rows[source.source] += source.rows
                yield piece
