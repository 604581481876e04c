"""Find the first and the last candle of a series with few requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from chandlery.adapter.pages import rest_chunks
from chandlery.core.errors import InvalidSymbol, RequestRejected, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.holes import Life
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, Micros
from chandlery.net.candle_exchange import CandleExchange

_T = TypeVar("_T")

_REFUSED = (RequestRejected, UnsupportedRequest)
_LONGEST = (Interval.MONTH_1, Interval.WEEK_1)
_DAYS = (Interval.DAY_1, Interval.HOUR_12, Interval.HOUR_8, Interval.HOUR_6, Interval.HOUR_4, Interval.HOUR_1)
_SHORTER = (Interval.DAY_1, Interval.HOUR_1, Interval.MINUTE_1)
_FEW_PAGES = 2
"""Number of pages that are read at once rather than narrowed down by longer candles first."""
_FEW_LATEST = 8
"""Limit when reading from the latest page backwards; usually the first of them has rows."""


class Bounds:
    """
    The ends of one series at an exchange.

    The search narrows from the first month with a candle to the first day in it and the first candle, and skips
    levels that a few pages of shorter candles cover. Absent rows are requested a second time: no end is
    concluded from a single answer without rows.
    """

    def __init__(self, exchange: CandleExchange, symbol: str, interval: Interval) -> None:
        self._exchange = exchange
        self._facts = exchange.facts
        self._symbol = symbol
        self._interval = interval
        self._now: Micros = 0
        known = self._facts.intervals
        levels = [next((each for each in some if each in known), interval) for some in (_LONGEST, _DAYS)]
        levels += [Interval.HOUR_1] if interval.longest < MINUTE else []  # a day has too many seconds for one step
        self._levels = [*[each for each in levels if each in known and each.longest > interval.longest], interval]

    async def first(self, now: Micros) -> Life:
        """
        Find the beginning of the series: ``first``, or ``served_from`` if longer candles are older than its oldest own one.

        Both are ``None`` if there is no candle at all.
        """
        self._now = now
        return await self._served(lambda: self._first(now))

    async def _first(self, now: Micros) -> Life:
        found = await self._asked_first()
        if found is None:
            return await self._search_first(now)
        return Life(served_from=found) if await self._has_longer_before(found) else await self._begins(found)

    async def _served(self, search: Callable[[], Awaitable[_T]]) -> _T:
        """Run a search; repeat it without the longer candles that the exchange refuses although they are declared."""
        while True:
            levels = len(self._levels)
            try:
                return await search()
            except _REFUSED:
                if len(self._levels) == levels:
                    raise

    async def _begins(self, found: Micros | None) -> Life:
        """Build the result for the first candle found. Longer candles, or more of shorter ones, confirm it."""
        sure = found is None or len(self._levels) > 1 or await self._has_more_of_shorter(found)
        return Life(first=found, sure=sure)

    async def _has_more_of_shorter(self, found: Micros) -> bool:
        """Return whether more shorter candles are served, so that no limit on their number ends the series."""
        interval, known = self._interval, self._facts.intervals
        shorter = next((each for each in _SHORTER if each in known and each.longest < interval.longest), None)
        if shorter is None:
            return False
        latest = shorter.step(shorter.floor(self._now), -interval.count(found, self._now) - 1)
        page = Span(max(shorter.step(latest, 1 - self._size(shorter)), found), shorter.step(latest))
        try:
            return bool(page) and await self._in(shorter, page, newest=True) is not None
        except _REFUSED:
            return False

    async def _has_longer_before(self, found: Micros) -> bool:
        """Return whether longer candles are older than ``found``, by the page of them before it."""
        for level in (*[each for each in self._levels if each in _DAYS], *self._levels):
            if level.longest > self._interval.longest:
                end = level.floor(found)
                before = Span(max(level.step(end, -self._size(level)), self._facts.launched), end)
                return bool(before) and await self._in(level, before, newest=True) is not None
        return False

    async def _asked_first(self) -> Micros | None:
        for _ in range(2):
            rows = await self._exchange.first_candles(self._symbol, self._interval)
            if rows is None:
                return None
            if rows.open_time:
                return min(rows.open_time)
        return None

    async def _search_first(self, now: Micros) -> Life:
        found, longer = await self._narrow(Span(self._facts.launched, now), newest=False)
        if found is not None or longer is None:
            return await self._begins(found)
        return Life(served_from=await self._served_from(Span(longer, now)))

    async def _narrow(self, span: Span, *, newest: bool) -> tuple[Micros | None, Micros | None]:
        """Return the first open time in ``span``, or the last with ``newest``, and that of the longer candle found before."""
        longer: Micros | None = None
        levels = self._levels
        while levels:
            # Only longer candles show that the exchange has dropped the first ones.
            own = newest or longer is not None or len(levels) == 1
            level = self._level(levels if own else levels[:-1], span, _FEW_LATEST if newest else _FEW_PAGES)
            levels = levels[levels.index(level) + 1 :]
            found = await self._in(level, Span(level.floor(span.start), span.end), newest=newest)
            if found is None or level is self._interval:
                return found, longer
            longer, span = found, Span(found, level.step(level.floor(found)))
        return None, longer

    def _level(self, levels: Sequence[Interval], span: Span, pages: int) -> Interval:
        """Return the shortest of ``levels`` that covers ``span`` in at most ``pages`` pages; the longest if none does."""
        fitting = [each for each in levels if each.count(span.start, span.end) <= pages * self._size(each)]
        return fitting[-1] if fitting else levels[0]

    async def _served_from(self, span: Span) -> Micros:
        """Find the oldest open time that is still served, by bisection: an exchange drops the oldest first."""
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
        Find the open time of the latest candle, including the running one; ``None`` if there is none.

        Raises:
            InvalidSymbol: The exchange does not know the symbol any more.
        """
        self._now, interval = now, self._interval
        page = Span(interval.step(interval.floor(now), 1 - self._size(interval)), interval.step(interval.floor(now)))
        found = await self._in(interval, page, newest=True)
        if found is not None:
            return found
        found, _ = await self._served(lambda: self._narrow(Span(self._facts.launched, page.start), newest=True))
        return found

    async def delisted(self) -> str:
        """Return the evidence that the instrument is delisted; empty if there is none."""
        try:
            gone = await self._exchange.is_delisted(self._symbol)
        except InvalidSymbol as error:
            return str(error)
        return "the exchange's list of instruments shows it as delisted or not at all" if gone else ""

    def _size(self, interval: Interval) -> int:
        longest = self._facts.longest_request
        size = self._facts.page_size
        return max(1, size if longest is None else min(size, longest // interval.longest))

    async def _in(self, interval: Interval, span: Span, *, newest: bool) -> Micros | None:
        """Return the first open time in ``span``, or the last with ``newest``."""
        try:
            for page in self._pages(interval, self._remembered(interval, span), newest=newest):
                opens = await self._opens(interval, page)
                if opens:
                    return max(opens) if newest else min(opens)
        except _REFUSED:
            self._levels = [each for each in self._levels if each is not interval or each is self._interval]
            raise
        return None

    def _remembered(self, interval: Interval, span: Span) -> Span:
        """Clip ``span`` to the declared limit of the exchange, which refuses requests for older candles."""
        oldest = self._facts.oldest(interval, self._now)
        return span if oldest is None else Span(max(span.start, oldest), span.end)

    def _pages(self, interval: Interval, span: Span, *, newest: bool) -> Iterator[Span]:
        pages = rest_chunks(span, interval, chunk=self._size(interval))
        return iter(list(pages)[::-1]) if newest else pages

    async def _opens(self, interval: Interval, span: Span) -> list[Micros]:
        answers = await self._exchange.settled_candles(
            self._symbol, interval, span, size=self._size(interval), settled=span.end
        )
        return sorted({opened for rows in answers for opened in rows.open_time if span.holds(opened)})
