"""Historical data interface of the HTTP, WebSocket and MCP endpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct, structs

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.clients.rows import Row
from chandlery.core.errors import UnsupportedRequest
from chandlery.core.gaps import Gap, Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros, iso
from chandlery.database.book_rows import table_of_books
from chandlery.database.raw import BookPage, RawOrderBookEntry
from chandlery.service.documented import books_in, candles_in, named, past, rows_in
from chandlery.service.label import labelled
from chandlery.tables.frame import open_times
from chandlery.tables.part import Part

if TYPE_CHECKING:
    import pyarrow as pa


class Source(Struct, frozen=True):
    """Span that comes from one source: ``database``, ``rest``, ``cache (vision)`` and so on."""

    source: str
    start: Micros
    end: Micros
    rows: int
    origin: str | None = None
    """Origin that served the data in place of the exchange."""

    def plain(self) -> dict[str, Any]:
        """Return the source as JSON values."""
        content = {"source": self.source, "start": iso(self.start), "end": iso(self.end), "rows": self.rows}
        return content | labelled(self.origin)


def merge(known: list[Source], more: Iterable[Source]) -> list[Source]:
    """Append ``more`` to ``known``; merge adjacent spans of the same source."""
    for each in more:
        last = known[-1] if known else None
        if last is not None and (last.source, last.origin, last.end) == (each.source, each.origin, each.start):
            known[-1] = structs.replace(last, end=each.end, rows=last.rows + each.rows)
        else:
            known.append(each)
    return known


def sources_of(part: Part) -> list[Source]:
    """Count the rows of each source of a part, of which neighbours of one kind are one."""
    bounds = np.array([(each.start, each.end) for each in part.spans], np.int64).reshape(-1, 2)
    firsts, ends = np.searchsorted(open_times(part.table), bounds).T.tolist()
    sources = [
        Source(f"cache ({each.source})" if each.cached else each.source, each.start, each.end, end - first, each.origin)
        for each, first, end in zip(part.spans, firsts, ends, strict=True)
    ]
    return merge([], sources)


class Piece(Struct, frozen=True):
    """Consecutive rows, their sources, and the gaps among them."""

    table: pa.Table
    sources: Sequence[Source] = ()
    gaps: Sequence[Gap] = ()


class IHistoricalDataManager(ABC):
    """
    Provider of historical data.

    A third party implements the two abstract methods with ``coin`` in place of a series, of which those without
    ``exchange``, ``channel`` or ``interval`` are called without them. The service calls the others, which have defaults
    over these.
    """

    rows: Mapping[str, int] = MappingProxyType({})
    """Number of rows by source, for the metrics."""

    @abstractmethod
    def stream_historical_data(self, *args: Any, **options: Any) -> Any:
        """
        Send the data of ``coin`` from ``start`` to ``end`` to ``ws.send_json``, oldest first: ``(coin, start, end, ws)``.

        Each message is an entry, a list of entries, or an object with them as ``data``; entries are as clients return
        them, and closed. Times are aware datetimes, the start included and the end not.
        """

    @abstractmethod
    async def get_most_current_data(self, coin: Any) -> Row | None:
        """
        Return the latest order book or candle, ``closed`` or not, as clients return them; ``None`` if there is none.

        Raises:
            InvalidInput: The symbol is unknown.
            ExchangeError: The request to the exchange failed.
        """

    async def pieces(
        self, series: ResolvedSeries, span: Span, *, rows: int, snapshots: int = 50
    ) -> AsyncGenerator[Piece, None]:
        """
        Yield the data of ``span``, oldest first, in pieces of at most ``rows`` rows, or ``snapshots`` order books.

        By default, it is what ``stream_historical_data`` sends. The service's own manager reads the storage; what is
        missing is fetched from the exchange and stored. Closed candles only. Callers have checked the range; one that is
        empty, or lies in the future, has none.

        Raises:
            InvalidInput: The symbol is unknown.
            UnsupportedRequest: The exchange or the coin has no funding rates.
            StorageError: The storage cannot be read.
        """
        found = series.id
        if found.channel == "funding":
            raise UnsupportedRequest(f"{type(self).__name__} has no funding rates")
        async with aclosing(past(self.stream_historical_data, found, span)) as chunks:
            async for chunk in chunks:
                for first in range(0, len(chunk), snapshots if found.channel == "book" else rows):
                    if found.channel == "book":
                        part = chunk[first : first + snapshots]
                        table, times = _books(books_in(part, found, span))
                    else:
                        table = candles_in(chunk[first : first + rows], span)
                        times = [int(each) for each in open_times(table)]
                    if times:
                        source = Source(found.exchange, times[0], times[-1] + 1, table.num_rows, series.origin)
                        yield Piece(table, [source])

    async def get_books(self, series: ResolvedSeries, span: Span, limit: int) -> BookPage:
        """
        Return the first ``limit`` stored order books of ``span``, oldest first; each corrupt one is a gap at its time.

        Raises:
            InvalidSymbol: No book is stored of the series, and the exchange does not trade it.
        """
        found: list[RawOrderBookEntry] = []
        async with aclosing(past(self.stream_historical_data, series.id, span)) as chunks:
            async for chunk in chunks:
                found += books_in(chunk, series.id, span)
                if len(found) > limit:
                    break
        return BookPage(found[:limit], [], found[limit].timestamp if len(found) > limit else None)

    async def get_gaps(self, series: SeriesId, span: Span) -> list[Gap]:
        """
        Return the gaps of collected data that overlap ``span``, oldest first; for order books every interval without
        books.
        """
        return []

    async def latest(self, series: ResolvedSeries) -> Row | None:
        """Call ``get_most_current_data`` with the arguments that it accepts."""
        current: Callable[..., Awaitable[Any]] = self.get_most_current_data
        found = await current(series.id.symbol, **named(current, series.id))
        return next(iter(rows_in(found, series.id)), None) if found else None


def _books(entries: Sequence[RawOrderBookEntry]) -> tuple[pa.Table, list[Micros]]:
    return table_of_books(entries), [each.timestamp for each in entries]
