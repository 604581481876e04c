"""Past candles and order books, from storage first."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa
from msgspec import structs

from chandlery.clients.instruments import nearest_listed
from chandlery.clients.interfaces import ResolvedSeries
from chandlery.clients.rows import Row, rows_of_table
from chandlery.core.errors import ChandleryError, ExchangeError, IncompleteData, InvalidSymbol, StorageError, suggest
from chandlery.core.gaps import Gap, Span, subtract, subtract_all
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.provenance import SourceSpan
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Clock, Micros, to_datetime
from chandlery.database.book_history import BookHistory
from chandlery.database.book_rows import table_of_books
from chandlery.database.candles import CandleRepository
from chandlery.database.gaps import GapRepository
from chandlery.database.interfaces import IStorageManager
from chandlery.database.raw import BookPage, RawOrderBookEntry
from chandlery.history.checks import holes_of
from chandlery.net.delays import delays_to
from chandlery.net.log_limit import LogLimit
from chandlery.service.historical.current import CurrentDataFetcher, row_of_book
from chandlery.service.historical.encode import FEW_ROWS
from chandlery.service.historical.interfaces import IHistoricalDataManager, Piece, Source, sources_of
from chandlery.service.historical.joining import hulls, joined, rows_within, within
from chandlery.service.proofs import proved_gaps
from chandlery.tables.candle_rows import timed
from chandlery.tables.part import Part

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_T = TypeVar("_T")

FindSeries: TypeAlias = Callable[[str, str | None, str, Interval], ResolvedSeries]
"""Returns the series of a coin, its exchange if that is given, a channel, and the interval of candles."""

_MANY = 500
"""Number of spans from which work runs in a thread; starting a thread takes as long as a few of them."""
SENT_ROWS, SENT_BOOKS = 500, 10
"""Maximum number of candles and of order books in one message of ``stream_historical_data``."""
FIRST_BOOKS = 10
"""Number of order books in the first read, whose levels determine how many the next ones may have."""
LEVELS_AT_ONCE = 50_000
"""Number of levels of the order books of one read; bounds the memory of a piece."""
FETCHED_AT_ONCE = 50_000
"""Maximum number of candles per read of the database and per request to a client; bounds the memory and time of a piece."""


class HistoricalFetcher(IHistoricalDataManager):
    """Past data from the database; parts that it lacks are requested from the exchange."""

    def __init__(
        self,
        candles: CandleRepository,
        storage: IStorageManager,
        gaps: GapRepository,
        current: CurrentDataFetcher,
        clock: Clock,
        awaited: Callable[[SeriesId], Micros | None],
        find: FindSeries,
    ) -> None:
        """
        Create a fetcher.

        ``awaited`` returns the time for which an order book may be overdue, or ``None`` if the series is not collected.
        ``find`` returns the series of a coin; without its exchange, of the only one from which it is collected.
        """
        self.rows: Counter[str] = Counter()
        """Number of rows by source."""
        self._candles = candles
        self._storage = storage
        self._gaps = gaps
        self._history = BookHistory(storage, gaps)
        self._current = current
        self._clock = clock
        self._awaited = awaited
        self._find = find
        self._delays = LogLimit()

    async def stream_historical_data(
        self,
        coin: ResolvedSeries | str,
        start: datetime,
        end: datetime,
        ws: Any,
        *,
        exchange: str | None = None,
        channel: str = "candles",
        interval: Interval | str = Interval.MINUTE_1,
    ) -> None:
        """
        Send lists of at most ``SENT_ROWS`` candles or ``SENT_BOOKS`` order books, as clients return them.

        ``coin`` is a series, or a coin of ``exchange``, by default of the only one from which it is collected.

        Raises:
            UnknownName: The coin is not collected, and its exchange is not given.
            InvalidInput: It is collected from several exchanges, none of which is given, or the range is invalid.
        """
        coin = self._series(coin, exchange, channel, interval)
        series = coin.id
        span = Span(to_micros(start), to_micros(end))
        while series.channel == "book":
            page = await self.get_books(coin, span, SENT_BOOKS)
            await ws.send_json([row_of_book(entry) for entry in page.entries])
            if page.following is None:
                return
            span = Span(page.following, span.end)
        async with aclosing(self.pieces(coin, span, rows=SENT_ROWS)) as pieces:
            async for piece in pieces:
                found = rows_of_table(piece.table, series.exchange, series.symbol, series.length, counts=True)
                await ws.send_json(found)

    def pieces(
        self, series: ResolvedSeries, span: Span, *, rows: int, snapshots: int = 50
    ) -> AsyncGenerator[Piece, None]:
        """Yield candles, order books or funding rates, depending on the channel."""
        match series.id.channel:
            case "candles":
                return self._read_candles(series, span, rows)
            case "book":
                return self._read_books(series, span, snapshots)
            case "funding":
                return self._fetch_funding(series, span, rows)

    async def _read_candles(self, series: ResolvedSeries, span: Span, rows: int) -> AsyncGenerator[Piece, None]:
        interval = series.id.length
        start = interval.ceil(span.start)
        end = min(interval.ceil(span.end), interval.floor(self._clock()))
        if start >= end:
            return
        at, width = start, rows
        stored_from = await self._stored_from(series.id, Span(start, end))
        while at < end:
            # The first read has the size of one piece, each further one twice the size, so that a single page stays cheap.
            width = min(width, FETCHED_AT_ONCE)
            window = Span(at, min(interval.step(at, width), end))
            part = await (
                self._answer(series, window, [window], collected=False)
                if window.end <= stored_from
                else self._window(series, window)
            )
            for piece in await self._pieces(part, rows):
                yield piece
            at, width = window.end, width * 2

    async def _read_books(self, series: ResolvedSeries, span: Span, snapshots: int) -> AsyncGenerator[Piece, None]:
        """Yield the stored order books of ``span``, one row per level, at most ``snapshots`` books per piece."""
        gaps = await self.get_gaps(series.id, span)
        at, limit = span.start, min(snapshots, FIRST_BOOKS)
        while True:
            page = await self.get_books(series, Span(at, span.end), limit)
            until = span.end if page.following is None else page.following
            found = [gap for gap in gaps if at <= gap.start < until or gap.start < at == span.start]
            if page.entries or gaps or page.damaged:
                count, source = len(page.entries), []
                first, last = (page.entries[0].timestamp, page.entries[-1].timestamp) if count else (at, at)
                table = await asyncio.to_thread(_tabulated, page.entries)
                if count:
                    limit = max(1, min(snapshots, LEVELS_AT_ONCE * count // max(1, table.num_rows)))
                    source = [Source("database", first, last + 1, table.num_rows, series.origin)]
                    self.rows["database"] += table.num_rows
                yield Piece(table, source, sorted([*found, *page.damaged]))
            if page.following is None:
                return
            at = until

    async def _fetch_funding(self, series: ResolvedSeries, span: Span, rows: int) -> AsyncGenerator[Piece, None]:
        """Yield the funding rates of the exchange's client, which stores them, at most ``rows`` per piece."""
        start, end = to_datetime(span.start), to_datetime(span.end)
        try:
            with self._delays_logged(series.id.exchange):
                output = await series.client.fetch_funding(series.id.symbol, start, end)
            part = Part.of_output(output)
        except IncompleteData as error:
            part = Part.of_output(error.data, error.missing)
        for piece in await self._pieces(self._sourced(part, span, series), rows):
            yield piece

    async def get_books(self, found: ResolvedSeries, span: Span, limit: int) -> BookPage:
        """Read the order books; if none is stored at all, check that the exchange trades the symbol."""
        series = found.id
        page = await self._storage.get_book_page(series.symbol, span.start, span.end, limit, exchange=series.exchange)
        if (
            not page.entries
            and not page.damaged
            and self._awaited(series) is None
            and await self._history.bounds(series) is None
        ):
            await self._require_listed(found)
        return page

    async def get_gaps(self, series: SeriesId, span: Span) -> list[Gap]:
        """Return the recorded gaps that touch ``span``; for order books, every span that was not collected."""
        if series.interval is not None:
            return await self._gaps.find(series, span)
        return await self._history.gaps(series, span, self._clock(), self._awaited(series) or 0)

    async def get_most_current_data(
        self,
        coin: ResolvedSeries | str,
        *,
        exchange: str | None = None,
        channel: str = "candles",
        interval: Interval | str = Interval.MINUTE_1,
    ) -> Row | None:
        """Return the latest order book or candle; the arguments are those of ``stream_historical_data``."""
        return await self._current.latest(self._series(coin, exchange, channel, interval))

    def _series(
        self, coin: ResolvedSeries | str, exchange: str | None, channel: str, interval: Interval | str
    ) -> ResolvedSeries:
        if not isinstance(coin, str):
            return coin
        return self._find(coin, exchange, channel, interval if isinstance(interval, Interval) else Interval(interval))

    async def latest(self, series: ResolvedSeries) -> Row | None:
        """Return the latest order book or candle."""
        return await self.get_most_current_data(series)

    @contextmanager
    def _delays_logged(self, exchange: str) -> Iterator[None]:
        """Log failed attempts and waits of requests once a minute: of a broken exchange a page has hundreds."""

        def note(error: ChandleryError) -> None:
            if number := self._delays.count(exchange):
                log.warning("%s: %s; delayed requests since the last such line: %d", exchange, error, number)

        with delays_to(note):
            yield

    async def _require_listed(self, series: ResolvedSeries) -> None:
        """Raise an error if the exchange does not trade the symbol; accept the symbol if this cannot be determined."""
        exchange, symbol = series.id.exchange, series.id.symbol
        try:
            with self._delays_logged(exchange):
                listed = await series.client.check_coin_availability(symbol)
        except ExchangeError as error:
            log.warning("cannot determine whether %s trades %s: %s", exchange, symbol, error)
            return
        if not listed:
            unknown = InvalidSymbol(f"{exchange} does not trade {symbol} now, and no order book of it is stored")
            suggest(unknown, await nearest_listed(series.client, symbol))
            raise unknown

    async def _stored_from(self, series: SeriesId, span: Span) -> Micros:
        """Return the time before which the database has no data of ``span``; the end of ``span`` if it has none at all."""
        if not await self._candles.stores(series):
            return span.end
        first = await self._candles.first(series, span)
        gaps = await self._gaps.believed(series, span, self._clock(), limit=1)
        return min([span.end if first is None else first, *(each.start for each in gaps)])

    async def _window(self, series: ResolvedSeries, window: Span) -> Part:
        """Return all of a span: from the database, and the rest by as few requests as possible."""
        interval, now = series.id.length, self._clock()
        table = await self._candles.table(series.id, window, FETCHED_AT_ONCE)
        collected = table.num_rows > 0
        holes = await asyncio.to_thread(holes_of, table, interval, window) if collected else [window]
        if not holes:
            return Part(table, [SourceSpan(window.start, window.end, "database", now, origin=series.origin)])
        known = await self._gaps.believed(series.id, window, now)
        believed, left = await _worked(0, len(known) + len(holes), _accounted, known, holes)
        answers = [await self._answer(series, hull, left, collected=collected) for hull in hulls(left, interval)]
        read = [
            SourceSpan(each.start, each.end, "database", now, origin=series.origin) for each in subtract(window, left)
        ]
        return await asyncio.to_thread(joined, Part(table, read, believed), left, answers)

    async def _answer(self, series: ResolvedSeries, hull: Span, left: Sequence[Span], *, collected: bool) -> Part:
        """
        Request ``hull`` from the exchange's client.

        Rows in ``left`` are stored if the client does not store them itself. Proved gaps are also stored if they lie
        among collected candles, so that the next page needs no request.
        """
        client = series.client
        with self._delays_logged(series.id.exchange):
            part = await client.fetch_part(series.id.symbol, hull, series.id.length)
        stored = client.keeps_candles
        rows = part.table.num_rows
        if not stored and rows:
            inside = await _worked(rows, len(left), rows_within, part.table, left)
            await self._candles.save_table(series.id, inside)
        if collected or not stored:
            try:
                with self._delays_logged(series.id.exchange):
                    proved = await proved_gaps(client, series.id, part)
                await self._gaps.settle(series.id, await asyncio.to_thread(within, proved, left))
            except StorageError as error:
                log.warning("%s: proved gaps could not be stored, and will be requested again: %s", series.id, error)
        table = await _worked(rows, 0, timed, part.table)
        return self._sourced(structs.replace(part, table=table), hull, series)

    def _sourced(self, part: Part, span: Span, series: ResolvedSeries) -> Part:
        """Return a client's part; if it names no sources, the exchange is the source of all rows."""
        if part.spans or not part.table.num_rows:
            return part
        source = SourceSpan(span.start, span.end, series.id.exchange, self._clock(), origin=series.origin)
        return structs.replace(part, spans=[source])

    async def _pieces(self, part: Part, rows: int) -> list[Piece]:
        """Split a part into pieces of at most ``rows`` rows, and count them; sources and gaps stay with the first."""
        sources = await _worked(part.table.num_rows, len(part.spans), sources_of, part)
        for each in sources:
            self.rows[each.source] += each.rows
        first, *more = range(0, part.table.num_rows, rows) or [0]
        return [
            Piece(part.table.slice(first, rows), sources, part.gaps),
            *(Piece(part.table.slice(offset, rows)) for offset in more),
        ]


async def _worked(rows: int, stretches: int, work: Callable[..., _T], *args: Any) -> _T:
    """Return the result of ``work``, which runs in a thread if it processes many rows or spans."""
    few = rows <= FEW_ROWS and stretches < _MANY
    return work(*args) if few else await asyncio.to_thread(work, *args)


def _tabulated(entries: list[RawOrderBookEntry]) -> pa.Table:
    """Convert and remove the entries: to release many levels takes the time of a callback, which a thread may take."""
    table = table_of_books(entries)
    entries.clear()
    return table


def _accounted(gaps: Sequence[Gap], holes: Sequence[Span]) -> tuple[list[Gap], list[Span]]:
    """Return the parts of ``gaps`` within ``holes``, and the parts of ``holes`` outside of all gaps."""
    known = within(gaps, holes)
    return known, subtract_all(holes, [gap.span for gap in known])
