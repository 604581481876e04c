"""Past candles and order books, from storage first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from msgspec import structs

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.core.errors import ChandleryError, ExchangeError, IncompleteData, InvalidSymbol, StorageError
from chandlery.core.gaps import Gap, Span, subtract, subtract_all
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Clock, Micros, to_datetime
from chandlery.database.book_history import BookHistory
from chandlery.database.book_rows import table_of_books
from chandlery.database.candles import CandleRepository
from chandlery.database.gaps import GapRepository
from chandlery.database.interfaces import IStorageManager
from chandlery.database.raw import BookPage
from chandlery.history.checks import holes_of
from chandlery.net.delays import delays_to
from chandlery.service.historical.interfaces import Piece, Source, merge
from chandlery.service.historical.joining import hulls, joined, rows_within, within
from chandlery.service.log_limit import LogLimit
from chandlery.service.proofs import proved_gaps
from chandlery.tables.candle_rows import timed
from chandlery.tables.frame import open_times
from chandlery.tables.part import Part

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_T = TypeVar("_T")

_MANY = 500
"""Number of spans from which work runs in a thread; starting a thread takes as long as a few of them."""
FETCHED_AT_ONCE = 50_000
"""Maximum number of candles per read of the database and per request to a client; bounds the memory and time of a piece."""


class HistoricalFetcher:
    """Past data from the database; parts that it lacks are requested from the exchange."""

    def __init__(
        self,
        candles: CandleRepository,
        storage: IStorageManager,
        gaps: GapRepository,
        clock: Clock,
        awaited: Callable[[SeriesId], Micros | None],
    ) -> None:
        """Create a fetcher. ``awaited`` returns the time for which an order book may be overdue, or ``None`` if the series is not collected."""
        self._candles = candles
        self._storage = storage
        self._gaps = gaps
        self._history = BookHistory(storage, gaps)
        self._clock = clock
        self._awaited = awaited
        self._delays = LogLimit()

    async def candles(
        self, series: ResolvedSeries, interval: Interval, span: Span, rows: int
    ) -> AsyncGenerator[Piece, None]:
        """
        Yield the closed candles that open in ``span``, oldest first, at most ``rows`` per piece.

        Callers have checked the range; an empty one, or one in the future, has no candles.
        """
        wanted = self._closed(interval, span)
        at, width = wanted.start, rows
        stored_from = await self._stored_from(series.id, wanted)
        while at < wanted.end:
            # The first read has the size of one piece, each further one twice the size, so that a single page stays cheap.
            width = min(width, FETCHED_AT_ONCE)
            window = Span(at, min(interval.step(at, width), wanted.end))
            read = self._requested if window.end <= stored_from else self._window
            piece = await read(series, interval, window)
            for cut in _cut(piece, rows):
                yield cut
            at, width = window.end, width * 2

    async def books(self, series: ResolvedSeries, span: Span, snapshots: int) -> AsyncGenerator[Piece, None]:
        """Yield the stored order books of ``span``, one row per level, at most ``snapshots`` books per piece."""
        gaps = await self.gaps(series.id, span)
        at = span.start
        while True:
            page = await self.snapshots(series, Span(at, span.end), snapshots)
            entries = page.entries
            until = span.end if page.following is None else page.following
            found = [gap for gap in gaps if at <= gap.start < until or gap.start < at == span.start]
            if entries or gaps or page.damaged:
                table, source = table_of_books(entries), []
                if entries:
                    source = [_kept(series, entries[0].timestamp, entries[-1].timestamp + 1, table.num_rows)]
                yield Piece(table, source, sorted([*found, *page.damaged]))
            if page.following is None:
                return
            at = until

    async def funding(self, series: ResolvedSeries, span: Span, rows: int) -> AsyncGenerator[Piece, None]:
        """Yield the funding rates in ``span``, at most ``rows`` per piece."""
        start, end = to_datetime(span.start), to_datetime(span.end)
        try:
            with self._delays_logged(series.id.exchange):
                output = await series.client.fetch_funding(series.id.symbol, start, end)
            part = Part.of_output(output)
        except IncompleteData as error:
            part = Part.of_output(error.data, error.missing)
        for cut in _cut(_piece(part, span, series), rows):
            yield cut

    async def snapshots(self, found: ResolvedSeries, span: Span, limit: int) -> BookPage:
        """
        Return the first ``limit`` stored order books of ``span``.

        Raises:
            InvalidSymbol: No book of the series is stored, and the exchange does not trade it.
        """
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

    async def gaps(self, series: SeriesId, span: Span) -> list[Gap]:
        """Return the recorded gaps that touch ``span``; for order books, every span that was not collected."""
        if series.interval is not None:
            return await self._gaps.find(series, span)
        return await self._history.gaps(series, span, self._clock(), self._awaited(series) or 0)

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
            raise InvalidSymbol(f"{exchange} does not trade {symbol} now, and no order book of it is stored")

    def _closed(self, interval: Interval, span: Span) -> Span:
        start = interval.ceil(span.start)
        return Span(start, max(start, min(interval.ceil(span.end), interval.floor(self._clock()))))

    async def _stored_from(self, series: SeriesId, span: Span) -> Micros:
        """Return the time before which the database has no data of ``span``; the end of ``span`` if it has none at all."""
        if not await self._candles.stores(series):
            return span.end
        first = await self._candles.first(series, span)
        gaps = await self._gaps.believed(series, span, self._clock(), limit=1)
        return min([span.end if first is None else first, *(each.start for each in gaps)])

    async def _window(self, series: ResolvedSeries, interval: Interval, window: Span) -> Piece:
        """Return all of a span: from the database, and the rest by as few requests as possible."""
        table = await self._candles.table(series.id, interval, window, FETCHED_AT_ONCE)
        collected = table.num_rows > 0
        holes = await asyncio.to_thread(holes_of, table, interval, window) if collected else [window]
        if not holes:
            return Piece(table, [_kept(series, window.start, window.end, table.num_rows)])
        known = await self._gaps.believed(series.id, window, self._clock())
        believed, left = await _worked(len(known) + len(holes), _accounted, known, holes)
        answers = [
            await self._answer(series, interval, hull, left, collected=collected) for hull in hulls(left, interval)
        ]
        kept = Piece(table, [_kept(series, each.start, each.end, 0) for each in subtract(window, left)], believed)
        return await asyncio.to_thread(joined, kept, left, answers)

    async def _requested(self, series: ResolvedSeries, interval: Interval, window: Span) -> Piece:
        """Return all of a span of which nothing is stored."""
        answer = await self._answer(series, interval, window, [window], collected=False)
        stretches = len(answer.sources) + len(answer.gaps)
        return await _worked(stretches, joined, Piece(answer.table.slice(0, 0)), [window], [answer])

    async def _answer(
        self, series: ResolvedSeries, interval: Interval, hull: Span, left: Sequence[Span], *, collected: bool
    ) -> Piece:
        """
        Request ``hull`` from the exchange's client.

        Rows in ``left`` are stored if the client does not store them itself. Proved gaps are also stored if they lie
        among collected candles, so that the next page needs no request.
        """
        client = series.client
        with self._delays_logged(series.id.exchange):
            part = await client.fetch_part(series.id.symbol, hull, interval)
        if not client.keeps_candles and part.table.num_rows:
            await self._candles.save_table(series.id, rows_within(part.table, left))
        if collected or not client.keeps_candles:
            try:
                with self._delays_logged(series.id.exchange):
                    proved = await proved_gaps(client, series.id, interval, part)
                await self._gaps.settle(series.id, await asyncio.to_thread(within, proved, left))
            except StorageError as error:
                log.warning("%s: proved gaps could not be stored, and will be requested again: %s", series.id, error)
        part = structs.replace(part, table=timed(part.table))
        stretches = len(part.spans) + len(part.gaps)
        return await _worked(stretches, _piece, part, hull, series)


def _kept(series: ResolvedSeries, start: Micros, end: Micros, rows: int) -> Source:
    """Return the source of rows from the database."""
    return Source("database", start, end, rows, series.origin)


async def _worked(stretches: int, work: Callable[..., _T], *args: Any) -> _T:
    """Return the result of ``work``, which runs in a thread if it processes many spans."""
    return work(*args) if stretches < _MANY else await asyncio.to_thread(work, *args)


def _accounted(gaps: Sequence[Gap], holes: Sequence[Span]) -> tuple[list[Gap], list[Span]]:
    """Return the parts of ``gaps`` within ``holes``, and the parts of ``holes`` outside of all gaps."""
    known = within(gaps, holes)
    return known, subtract_all(holes, [gap.span for gap in known])


def _piece(part: Part, span: Span, series: ResolvedSeries) -> Piece:
    """Convert a client's result; without sources, the exchange is the source of all rows."""
    table, spans = part.table, part.spans
    if not spans:
        sources = (
            [Source(series.id.exchange, span.start, span.end, table.num_rows, series.origin)] if table.num_rows else []
        )
        return Piece(table, sources, part.gaps)
    bounds = np.array([(each.start, each.end) for each in spans], np.int64).reshape(-1, 2)
    firsts, ends = np.searchsorted(open_times(table), bounds).T.tolist()
    sources = [
        Source(f"cache ({each.source})" if each.cached else each.source, each.start, each.end, end - first, each.origin)
        for each, first, end in zip(spans, firsts, ends, strict=True)
    ]
    return Piece(table, merge([], sources), part.gaps)


def _cut(piece: Piece, rows: int) -> Iterator[Piece]:
    """Split a piece into several of at most ``rows`` rows; sources and gaps stay with the first."""
    if piece.table.num_rows <= rows:
        yield piece
        return
    for offset in range(0, piece.table.num_rows, rows):
        report = (piece.sources, piece.gaps) if offset == 0 else ((), ())
        yield Piece(piece.table.slice(offset, rows), *report)
