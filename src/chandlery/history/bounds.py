"""The first and the last candle of a series, found by few requests."""

from __future__ import annotations

from collections.abc import Iterator

from chandlery.adapter.pages import rest_chunks
from chandlery.core.errors import InvalidSymbol
from chandlery.core.gaps import Span
from chandlery.core.holes import Life
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, Micros
from chandlery.net.exchange_client import ExchangeClient

_LEVELS = (Interval.MONTH_1, Interval.DAY_1)


class Bounds:
    """
    The ends of one series at an exchange.

    The search goes from the first month that has a candle to the first day in it, the first candle.
    What an answer lacks is requested a second time: no end rests on one answer without rows.
    """

    def __init__(self, exchange: ExchangeClient, symbol: str, interval: Interval) -> None:
        self._exchange = exchange
        self._adapter = exchange.adapter
        self._symbol = symbol
        self._interval = interval
        self._now: Micros = 0
        levels = (*_LEVELS, Interval.HOUR_1) if interval.longest < MINUTE else _LEVELS  # a day has too many seconds
        longer = [each for each in levels if each in self._adapter.intervals and each.longest > interval.longest]
        self._levels = [*longer, interval]

    async def first(self, now: Micros) -> Life:
        """
        Where the series begins: ``first``, or ``served_from`` where longer candles are older than the oldest of its own.

        Both are ``None`` where there is no candle at all.
        """
        self._now = now
        found = await self._asked_first()
        if found is None:
            return await self._search_first(now)
        coarse = self._levels[0]
        before = Span(self._adapter.launched, coarse.floor(found))
        if coarse is not self._interval and before and await self._in(coarse, before, newest=False) is not None:
            return Life(served_from=found)
        return Life(first=found, sure=coarse is not self._interval)

    async def _asked_first(self) -> Micros | None:
        for _ in range(2):
            rows = await self._exchange.first_candles(self._symbol, self._interval)
            if rows is None:
                return None
            if rows.open_time:
                return min(rows.open_time)
        return None

    async def _search_first(self, now: Micros) -> Life:
        span = Span(self._adapter.launched, now)
        older = False
        for level in self._levels:
            found = await self._in(level, Span(level.floor(span.start), span.end), newest=False)
            if found is None:
                break
            if level is self._interval:
                return Life(first=found, sure=len(self._levels) > 1)
            older = True
            span = Span(found, level.step(level.floor(found)))
        if not older:
            return Life()
        return Life(served_from=await self._served_from(Span(span.start, now)))

    async def _served_from(self, span: Span) -> Micros:
        """The oldest open that is still answered for, by bisection: an exchange forgets from the oldest on."""
        pages = list(self._pages(self._interval, self._remembered(self._interval, span), newest=False))
        low, high = 0, len(pages)
        while low < high:
            middle = (low + high) // 2
            if await self._has_rows(pages[middle]):
                high = middle
            else:
                low = middle + 1
        return span.end if low == len(pages) else min(await self._opens(self._interval, pages[low]), default=span.end)

    async def _has_rows(self, page: Span) -> bool:
        for _ in range(2):
            rows = await self._exchange.candles(self._symbol, self._interval, page)
            if any(page.holds(opened) for opened in rows.open_time):
                return True
        return False

    async def last(self, now: Micros) -> Micros | None:
        """
        The open of the latest candle, the running one included; ``None`` where none is found.

        Raises:
            InvalidSymbol: The exchange does not know the symbol any more.
        """
        self._now, interval = now, self._interval
        page = Span(interval.step(interval.floor(now), 1 - self._size(interval)), interval.step(interval.floor(now)))
        found = await self._in(interval, page, newest=True)
        if found is not None:
            return found
        span = Span(self._adapter.launched, page.start)
        for level in self._levels:
            found = await self._in(level, Span(level.floor(span.start), span.end), newest=True)
            if found is None:
                return None
            span = Span(found, level.step(level.floor(found)))
        return found

    async def delisted(self) -> str:
        """How the exchange shows that the instrument is delisted; empty where it does not."""
        try:
            gone = await self._exchange.is_delisted(self._symbol)
        except InvalidSymbol as error:
            return str(error)
        return "the exchange's list of instruments shows it as delisted or not at all" if gone else ""

    def _size(self, interval: Interval) -> int:
        longest = self._adapter.longest_request
        size = self._adapter.page_size
        return max(1, size if longest is None else min(size, longest // interval.longest))

    async def _in(self, interval: Interval, span: Span, *, newest: bool) -> Micros | None:
        """The first open in ``span``, or the last one with ``newest``."""
        for page in self._pages(interval, self._remembered(interval, span), newest=newest):
            opens = await self._opens(interval, page)
            if opens:
                return max(opens) if newest else min(opens)
        return None

    def _remembered(self, interval: Interval, span: Span) -> Span:
        """The part of ``span`` that the exchange is declared to answer for; it refuses requests for more."""
        oldest = self._adapter.oldest(interval, self._now)
        return span if oldest is None else Span(max(span.start, oldest), span.end)

    def _pages(self, interval: Interval, span: Span, *, newest: bool) -> Iterator[Span]:
        pages = rest_chunks(span, interval, chunk=self._size(interval))
        return iter(list(pages)[::-1]) if newest else pages

    async def _opens(self, interval: Interval, span: Span) -> list[Micros]:
        answers = await self._exchange.settled_candles(
            self._symbol, interval, span, size=self._size(interval), settled=span.end
        )
        return sorted({opened for rows in answers for opened in rows.open_time if span.holds(opened)})
