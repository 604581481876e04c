"""Read candles by REST: request pages concurrently, request doubtful parts again, and explain every hole."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
from msgspec import Struct, structs
from numpy.typing import NDArray

from chandlery.adapter.layout import CandleColumns
from chandlery.adapter.paging import Paging, candles_of_a_page
from chandlery.core.errors import ChandleryError, Closed, ExchangeError, InvalidInput, InvalidSymbol
from chandlery.core.gaps import Gap, GapKind, Span, common, merge, subtract_all, subtract_each
from chandlery.core.holes import Life, explain
from chandlery.core.interval import Interval
from chandlery.core.provenance import Event, EventKind, SourceSpan
from chandlery.core.query import ChartType
from chandlery.core.time import DAY, Clock, Micros
from chandlery.history.answers import Answers
from chandlery.history.bounds import Bounds
from chandlery.history.checks import GridDiffers
from chandlery.history.columns import inside, whole
from chandlery.history.interfaces import Deliver, Seen, SeriesFacts, first_error, in_body
from chandlery.net.candle_exchange import CandleExchange, CandleFacts
from chandlery.tables.frame import table_of
from chandlery.tables.part import Part

_MANY_PAGES = 8
"""Number of pages from which the ends of the series are located first, so that nothing beyond them is requested."""
_BRACKETED = "two responses contain candles before and after, and none here"
_SILENT = "requested twice, the exchange sent no candle; it has some before and after"
_ENDED = "requested twice, the exchange sent no candle up to now"
_DOUBT = "the exchange sent rows that contradict each other or are impossible"
_UNPROVED = "the exchange returned no candle, and too few responses contain candles before and after"


class RestSeries(Struct):
    """A series at an exchange: how to request it, and what answers have shown so far."""

    exchange: CandleExchange
    symbol: str
    interval: Interval
    facts: SeriesFacts
    clock: Clock
    answered: Callable[[Span, Micros], SourceSpan]
    """Records that the exchange has answered for a span."""


class _Page(Struct):
    """A span that is read in one go, and the wanted parts of it."""

    span: Span
    wanted: list[Span]


class _Settled(Struct, frozen=True):
    """The result of a page, its spans that stay open, and those whose rows are not credible."""

    result: Part
    opened: list[Span]
    wrong: list[Span]


class RestReading:
    """A single reading of one series; see ``RestDataClient.read_spans``."""

    def __init__(
        self, series: RestSeries, deliver: Deliver, *, concurrent: int, seen: Seen, most: int | None = None
    ) -> None:
        self._series = series
        self._declared: CandleFacts = series.exchange.facts
        self._grid = series.facts.grid
        self._deliver = deliver
        self._concurrent = concurrent
        self._page_size = self._declared.page_size
        """Number of candles of an answer: as declared, or fewer once answers have shown it."""
        longest = self._declared.longest_request
        limits = [] if longest is None else [longest // self._grid.longest]
        self._most = min([*limits, *([] if most is None else [most])], default=None)
        """Limit on the candles of a request."""
        self._seen = seen
        self._first, self._last = seen.first, seen.last
        """First and last open time of any row, requested or not."""
        self._served: Micros | None = None
        """First open time that the exchange itself has sent; other sources may have an earlier instrument of this symbol."""
        self._served_last: Micros | None = None
        """Last open time that the exchange itself has sent."""
        self._now: Micros = 0
        self._final_before: Micros = 0
        self._open: list[Span] = []
        """Holes that the answers of their page have not proved."""
        self._bare: list[Span] = []
        """Holes of these that two requests of their own found empty."""
        self._beyond: list[Span] = []
        """Spans outside the ends of the series, which are not requested."""
        self._ended = False
        """True once the last candle was searched up to now."""
        self._unlisted = False
        """True if the list of instruments failed, so that it is unknown why there are no candles up to now."""
        self._failure: ChandleryError | None = None
        self._refused: InvalidSymbol | None = None

    @cached_property
    def _bounds(self) -> Bounds:
        return Bounds(self._series.exchange, self._series.symbol, self._series.interval)

    async def run(self, spans: Sequence[Span]) -> ChandleryError | None:
        """Read ``spans``. Return the first failure."""
        await self._set_clock()
        wanted = merge(spans)
        pages = self._pages(wanted)
        if len(pages) > _MANY_PAGES:
            pages = self._pages(await self._bounded(wanted))
        await self._work(pages, thorough=False)
        if self._open:
            # Read holes that no two answers bracket again, together with the rows around them.
            await self._work(self._pages(subtract_all(self._open, self._bare)), thorough=True)
        await self._account()
        return self._failure

    async def trim(self, spans: Sequence[Span]) -> list[Span]:
        """Drop from ``spans`` what lies before the first candle or after the last, and deliver that as gaps."""
        await self._set_clock()
        inner = await self._bounded(merge(spans))
        await self._account()
        return inner

    async def _set_clock(self) -> None:
        """Use the exchange's clock. If it does not answer, use the local one, and store nothing."""
        exchange = self._series.exchange
        try:
            self._now = await exchange.now()
        except ExchangeError as error:
            self._failure = error
            self._now = exchange.guess()
        if exchange.synchronised:
            self._final_before = self._grid.floor(self._now - self._declared.settle)

    def _size(self) -> int:
        """Return the number of candles that one request may ask for."""
        return max(self._page_size if self._most is None else min(self._page_size, self._most), 1)

    def _pages(self, spans: Sequence[Span]) -> list[_Page]:
        """Split into pages of ``candles_of_a_page``; spans that fit into one page are read together."""
        grid = self._grid
        size = candles_of_a_page(grid, spans, self._size(), wide=bool(self._open))
        pages: list[_Page] = []
        for span in spans:
            at = span.start
            while at < span.end:
                begun = pages[-1].span.start if pages else None
                joins = begun is not None and grid.place(at) - grid.place(begun) < size
                start = begun if joins and begun is not None else at
                end = min(grid.step(grid.floor(start), size), span.end)
                if joins:
                    pages[-1].span = Span(start, end)
                else:
                    pages.append(_Page(Span(start, end), []))
                pages[-1].wanted.append(Span(at, end))
                at = end
        return pages

    async def _work(self, pages: Iterable[_Page], *, thorough: bool) -> None:
        waiting = deque(pages)

        async def work() -> None:
            while waiting:
                page = waiting.popleft()
                shorter = self._page_size < self._declared.page_size
                if shorter and self._grid.count(page.span.start, page.span.end) > self._size():
                    # Answers have shown meanwhile that pages are shorter.
                    waiting.extendleft(reversed(self._pages(page.wanted)))
                else:
                    await self._one(page, thorough=thorough)

        try:
            async with asyncio.TaskGroup() as group:
                await in_body([group.create_task(work()) for _ in range(min(self._concurrent, len(waiting)))])
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None

    async def _one(self, page: _Page, *, thorough: bool) -> None:
        """Read a page and deliver its settled part."""
        try:
            answers, settled = await self._read(page, thorough=thorough)
        except InvalidSymbol as error:
            self._refused = error
            self._open += page.wanted
            return
        opened = settled.opened
        self._page_size = min(self._page_size, answers.paging.page_size)
        await self._deliver(settled.result)
        await self._fail(settled.wrong, _DOUBT)
        if answers.failure is not None:
            self._failure = self._failure or answers.failure
            await self._fail(opened, str(answers.failure))
            opened = []
        self._open = merge([*subtract_all(self._open, page.wanted), *opened]) if thorough else [*self._open, *opened]
        self._bare += answers.paging.bare

    async def _read(self, page: _Page, *, thorough: bool) -> tuple[Answers, _Settled]:
        """Read a page until a request fails."""
        series, grid, span = self._series, self._grid, page.span
        oldest = self._declared.oldest(series.interval, self._now)
        bounds = Span(oldest or 0, grid.step(grid.floor(self._now)))
        paging = Paging(grid, span, self._size(), bounds, thorough=thorough)
        where = f"{series.symbol} {series.interval.value} by REST"
        answers = Answers(where, series.interval, grid, span, self._now, paging)
        settled: _Settled | None = None
        try:
            while settled is None and (asked := paging.next()) is not None:
                rows = await series.exchange.candles(series.symbol, series.interval, asked)
                take = partial(self._taken, page, answers, rows, asked)
                opens, settled = take() if answers.is_quick(rows, asked) else await asyncio.to_thread(take)
                self._saw(opens)
        except (InvalidInput, Closed, GridDiffers):
            raise
        except ChandleryError as error:
            answers.failure = error
        if settled is None:
            settled = await asyncio.to_thread(self._settled, page, answers)
        return answers, settled

    def _taken(
        self, page: _Page, answers: Answers, rows: CandleColumns, asked: Span
    ) -> tuple[NDArray[np.int64], _Settled | None]:
        """Add an answer. Return the open times of its rows, and the result once no further request is needed."""
        opens = answers.add(rows, asked)
        return opens, self._settled(page, answers) if answers.paging.next() is None else None

    def _settled(self, page: _Page, answers: Answers) -> _Settled:
        """Return what the answers to the requests of a page settle."""
        paging = answers.paging
        if paging.page_size < self._size():
            detail = f"{answers.where}: responses contain {paging.page_size} candles; {self._declared.page_size} are declared"
            answers.events[Event(page.span.start, page.span.end, EventKind.SHORT_PAGE, detail)] = None
        opened: list[Span] = []
        wrong: list[Span] = []
        gaps: list[Gap] = []
        settled = page.wanted
        if not paging.complete:
            unread = merge([*paging.open, *paging.proved])
            wrong = common(common(answers.doubtful, page.wanted), unread)
            opened = subtract_all(common(paging.open, page.wanted), wrong)
            proved = subtract_all(common(paging.proved, page.wanted), wrong)
            gaps = [gap for hole in proved for gap in self._gaps(hole, Life(), _BRACKETED, followed=True)]
            settled = subtract_all(page.wanted, [*opened, *wrong])
        table: pa.Table | None = None
        if answers.columns is not None:
            table = table_of(ChartType.KLINES, whole(inside(answers.columns, page.wanted), self._grid))
        return _Settled(self._result(table, settled, gaps, [*answers.events], self._final_before), opened, wrong)

    def _saw(self, opens: NDArray[np.int64]) -> None:
        if len(opens):
            first, last = int(opens.min()), int(opens.max())
            self._served = first if self._served is None else min(first, self._served)
            self._served_last = last if self._served_last is None else max(last, self._served_last)
            self._first = first if self._first is None else min(first, self._first)
            self._last = last if self._last is None else max(last, self._last)

    async def _bounded(self, spans: list[Span]) -> list[Span]:
        """Clip ``spans`` to the ends of the series; unchanged if these cannot be found."""
        if not spans:
            return spans
        try:
            life = await self._life(spans[0].start, spans[-1].end, sure=True)
        except ExchangeError as error:
            self._failure = self._failure or error
            return spans
        if self._refused is not None:
            self._beyond = spans
            return []
        begin = (None if life.again else life.first) or 0
        end = spans[-1].end if self._last is None else max(begin, self._grid.step(self._grid.floor(self._last)))
        inner = common(spans, [Span(begin, end)])
        self._beyond = subtract_all(spans, inner)
        return inner

    async def _life(self, start: Micros, end: Micros, *, sure: bool = False) -> Life:
        """
        Find the ends of the series, as far as they matter for ``[start, end)``, or with ``sure`` in any case.

        Raises:
            InvalidSymbol: The exchange does not know the symbol, and no other source has candles of it.
        """
        life = Life()
        try:
            if self._refused is None and (sure or self._served is None or self._served >= start):
                life = await self._beginning(start)
            recent = end >= self._grid.floor(self._now) and self._now - start < DAY
            unknown = self._last is None or self._last < end
            if self._refused is None and (sure or (unknown and not recent)):
                life = await self._ending(life, end)
        except InvalidSymbol as error:
            if self._seen.last is None:
                raise
            self._refused = error
        if self._refused is None:
            return life
        ended = None if self._last is None else self._grid.step(self._grid.floor(self._last))
        return Life(first=self._first, ended=ended, delisted_by=str(self._refused))

    async def _beginning(self, start: Micros) -> Life:
        """Find the first candle, once for all calls; that of an earlier instrument if other sources have it."""
        facts = self._series.facts
        async with facts.asking:
            if facts.life is None:
                found = await self._bounds.first(self._now)
                facts.life = None if found == Life() else found
        life = facts.life or Life()
        if life.first is not None and life.first > start:
            self._seen = await self._seen.looked(start, life.first)
        first = self._seen.first
        if life.first is not None and first is not None and first < life.first:
            return structs.replace(life, first=first, again=life.first)
        return life

    async def _ending(self, life: Life, end: Micros) -> Life:
        """Find the last candle, and whether the exchange shows that no other will follow."""
        found = await self._bounds.last(self._now)
        self._ended = True
        self._last = max((each for each in (found, self._last) if each is not None), default=None)
        if self._last is None or self._last >= end or self._now - self._last < DAY:
            return life
        try:
            words = await self._bounds.delisted()
        except ExchangeError as error:
            self._failure, self._unlisted, words = self._failure or error, True, ""
        ended = self._grid.step(self._grid.floor(self._last))
        return structs.replace(life, ended=ended, delisted_by=words) if words else life

    async def _account(self) -> None:
        """Deliver a gap for each remaining hole."""
        holes = merge([*self._open, *self._beyond])
        if not holes:
            return
        if self._refused is not None and self._last is None:
            raise self._refused
        doubt = str(self._refused or _UNPROVED)
        try:
            life = await self._life(holes[0].start, holes[-1].end)
        except ExchangeError as error:
            self._failure = self._failure or error
            life, doubt = Life(), str(error)
        gaps = []
        empty = merge([*self._bare, *self._beyond])
        for hole, unread in zip(holes, subtract_each(holes, empty), strict=True):
            before = any(each is not None and each < hole.start for each in (self._first, life.first))
            known = self._last is not None and self._last >= hole.end
            over = known or self._ended or hole.end >= self._grid.floor(self._now)
            proved = self._refused is None and before and over and not unread
            proof = (_SILENT if known else _ENDED) if proved else None
            # For recent time, only a later candle from the exchange itself shows that its answers do not lag.
            followed = self._served_last is not None and self._served_last >= hole.end
            gaps += self._gaps(hole, life, proof, doubt=doubt, followed=followed)
        final_before = 0 if self._unlisted else self._final_before
        settled = [gap.span for gap in gaps if not gap.kind.is_failure]
        await self._deliver(self._result(None, settled, gaps, [], final_before))

    def _gaps(self, hole: Span, life: Life, proof: str | None, *, followed: bool, doubt: str = "") -> list[Gap]:
        declared = self._declared
        return explain(
            hole,
            self._grid,
            life,
            proof=proof,
            doubt=doubt,
            sends_empty=declared.sends_empty_candles,
            followed=followed,
            now=self._now,
            settle=declared.settle,
        )

    def _result(
        self,
        table: pa.Table | None,
        settled: Iterable[Span],
        gaps: Sequence[Gap],
        events: Sequence[Event],
        final_before: Micros,
    ) -> Part:
        series = self._series
        at = series.clock()
        unanswered = [gap.span for gap in gaps if gap.kind.is_failure or gap.kind is GapKind.NOT_YET]
        answered = subtract_all(settled, unanswered) if unanswered else merge(settled)
        spans = [series.answered(each, at) for each in answered]
        return Part(table, spans, gaps, events, final_before)

    async def _fail(self, spans: Sequence[Span], reason: str) -> None:
        if spans:
            gaps = [Gap(each.start, each.end, GapKind.FETCH_FAILED, reason) for each in spans]
            await self._deliver(Part(None, gaps=gaps, final_before=0))
