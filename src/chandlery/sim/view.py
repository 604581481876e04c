"""Market as the wires of one exchange read it: candles as text, pages, books, funding rates, time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from msgspec import Struct

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND, Clock, Micros, Unit
from chandlery.sim import bars
from chandlery.sim.book import BookState, Levels, SyntheticBook
from chandlery.sim.grids import GRIDS, Grid
from chandlery.sim.market import Market, SyntheticMarket
from chandlery.sim.unlike import LIKE, Unlike

_MILLIS_DIGITS = 13
BOOK_LEVELS = 50
"""Number of levels per side of a book, whatever an exchange offers."""


class SimCandle(Struct, frozen=True):
    """One candle: decimals as text with the market's digits; ``end`` is the next open time, times in microseconds."""

    open_time: Micros
    end: Micros
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote: str
    count: int
    taker: str
    taker_quote: str
    closed: bool


class MarketView:
    """
    View of one market type of ``market`` at the time of ``clock``, with the market's symbols, e.g. ``BTCUSDT``.

    ``grids`` are those that the exchange documents. ``differ`` sets contradictions of the documentation.
    """

    def __init__(
        self, market: Market, market_type: MarketType, clock: Clock, grids: Mapping[Interval, Grid] = GRIDS
    ) -> None:
        self.market_type = market_type
        self.funding_unit = Unit.MICROS
        """Precision of funding times."""
        self._traded = market
        self._clock = clock
        self._documented = grids
        self._book = lru_cache(maxsize=1024)(self._make_book)
        self.differ(LIKE)

    def differ(self, unlike: Unlike) -> None:
        """Replace the contradictions of the documentation."""
        self.unlike = unlike
        self._terms = unlike.terms(self._documented)
        self.grids = self._terms.grids
        self.market = self._traded.on(self._terms)
        self._pages = Counter[tuple[str, Interval]]()
        self.served = 0
        """Number of REST pages of candles requested since."""
        self.refuses: frozenset[str] = frozenset()
        """Symbols that are unknown to the request or connection being handled."""
        self.cuts = unlike.close_on_subscribe or 0
        """Number of connections still to be closed."""

    def clock(self) -> Micros:
        """Return the exchange's time."""
        return self._clock() + round(self.unlike.clock_skew_s * SECOND)

    def knows(self, symbol: str) -> bool:
        """Return whether the symbol is traded."""
        known = self.market.knows(self.market_type, symbol) and symbol not in self.refuses
        return known and (self.unlike.serves_delisted or self._terms.trades(symbol, self.clock()))

    def symbols(self) -> list[str]:
        """Return the traded symbols."""
        now = self.clock()
        return [each for each in self.market.symbols(self.market_type) if self._terms.trades(each, now)]

    def lot(self, symbol: str) -> Decimal:
        """Return the smallest ``volume``, which is the size of a linear contract."""
        return Decimal(1).scaleb(-self._scale(symbol).digits["volume"])

    def contract_value(self, symbol: str) -> int:
        """Return the value of an inverse contract in quote units."""
        return self._scale(symbol).contract or 1

    def _scale(self, symbol: str) -> bars.Scale:
        seed = self.market.seed if isinstance(self.market, SyntheticMarket) else 0
        return bars.scale(seed, self.market_type, symbol)

    def contracts(self, symbol: str, volume: str) -> int:
        """Convert a volume to lots."""
        return int(Decimal(volume) / self.lot(symbol))

    def lines(self, symbol: str, interval: Interval, span: Span, limit: int, *, newest: bool) -> list[bytes]:
        """Return a REST page: at most ``limit`` candles that open in ``span`` until now, as archive lines, oldest first."""
        now, grid, unlike = self.clock() - self.unlike.behind, self.grids[interval], self.unlike
        if unlike.memory is not None:
            span = Span(max(span.start, grid.step(grid.floor(now), 1 - unlike.memory)), span.end)
        if unlike.late:
            span = Span(span.start, min(span.end, grid.floor(now - unlike.late)))
        lines = self._lines(symbol, interval, span, min(limit, unlike.page_size or limit), now, newest=newest)
        self.served += 1
        self._pages[symbol, interval] += bool(lines)
        return [] if lines and self._pages[symbol, interval] == unlike.empty_once else lines

    def candles(self, symbol: str, interval: Interval, span: Span, limit: int, *, newest: bool) -> list[SimCandle]:
        """Return the same page as candles."""
        lines = self.lines(symbol, interval, span, limit, newest=newest)
        return self._candles(lines, interval, self.clock() - self.unlike.behind)

    def live(self, symbol: str, interval: Interval, span: Span, limit: int) -> list[SimCandle]:
        """Return the latest candles that open in ``span`` until now, as a WebSocket sends them."""
        now = self.clock()
        return self._candles(self._lines(symbol, interval, span, limit, now, newest=True), interval, now)

    def _candles(self, lines: Sequence[bytes], interval: Interval, now: Micros) -> list[SimCandle]:
        return [_candle(line, self.grids[interval], now - self.unlike.close_delay) for line in lines]

    def _lines(
        self, symbol: str, interval: Interval, span: Span, limit: int, now: Micros, *, newest: bool
    ) -> list[bytes]:
        grid = self.grids[interval]
        first = self._first(symbol, interval)
        span = Span(span.end if first is None else max(grid.ceil(span.start), first), min(span.end, now + 1))
        lines = (self._newest if newest else self._oldest)(symbol, interval, span, limit, now)
        return self._without_last_trades(symbol, interval, lines, now) if self.unlike.late_update else lines

    def _first(self, symbol: str, interval: Interval) -> Micros | None:
        """Return the open time of the first candle on REST and WebSockets, in the symbol's current listing period."""
        first, life = self.market.first(self.market_type, symbol, interval), self._terms.life(symbol, self.clock())
        if first is None or life is None or self.unlike.serves_delisted:
            return first
        return max(first, self.grids[interval].floor(life.start))

    def _without_last_trades(self, symbol: str, interval: Interval, lines: list[bytes], now: Micros) -> list[bytes]:
        """Return the lines; candles around their close are shown as before their last second."""
        grid = self.grids[interval]
        for place in reversed(range(len(lines))):
            opened = _opened(lines[place])
            end = grid.step(opened)
            if end + self.unlike.late_update <= now:
                break
            if end - SECOND <= now:
                span = Span(opened, opened + 1)
                before = self.market.lines(self.market_type, symbol, interval, span, now=end - SECOND - 1)
                lines[place : place + 1] = before or lines[place : place + 1]
        return lines

    def _oldest(self, symbol: str, interval: Interval, span: Span, limit: int, now: Micros) -> list[bytes]:
        at, lines = span.start, list[bytes]()
        while at < span.end and len(lines) < limit:
            window = Span(at, min(self.grids[interval].step(at, limit), span.end))
            lines += self.market.lines(self.market_type, symbol, interval, window, now=now)
            at = window.end
        return lines[:limit]

    def _newest(self, symbol: str, interval: Interval, span: Span, limit: int, now: Micros) -> list[bytes]:
        grid = self.grids[interval]
        at, lines = span.end, list[bytes]()
        while at > span.start and len(lines) < limit:
            window = Span(max(grid.step(grid.ceil(at), -limit), span.start), at)
            lines = self.market.lines(self.market_type, symbol, interval, window, now=now) + lines
            at = window.start
        return lines[-limit:]

    def book(self, symbol: str, levels: int, tick: int) -> BookState:
        """Return the book during a tick, with at most ``BOOK_LEVELS`` per side; empty before trading began."""
        return self._book(symbol, min(levels, BOOK_LEVELS)).at(tick) or BookState([], [])

    def changes(self, symbol: str, levels: int, before: int, after: int) -> tuple[Levels, Levels]:
        """Return the changes of bids and asks from one tick to another; a size of zero deletes."""
        return self._book(symbol, min(levels, BOOK_LEVELS)).changes(before, after)

    def _make_book(self, symbol: str, levels: int) -> SyntheticBook:
        return SyntheticBook(self.market, self.market_type, symbol, levels=levels)

    def funding_limit(self, limit: int) -> int:
        """Return the number of funding rates in a response for a requested limit."""
        return min(limit, self.unlike.funding_page_size or limit)

    def funding(self, symbol: str, span: Span) -> list[tuple[Micros, str]]:
        """Return times and rates, oldest first, until now."""
        columns = self.market.funding(self.market_type, symbol, Span(span.start, min(span.end, self.clock() + 1)))
        return [
            (self.funding_unit.micros(self.funding_unit.of(moment)), f"{rate:.8f}")
            for moment, rate in zip(columns["open_time"].tolist(), columns["funding_rate"].tolist(), strict=True)
        ]


def _opened(line: bytes) -> Micros:
    opened = line.partition(b",")[0]
    return int(opened) * (1 if len(opened) > _MILLIS_DIGITS else 1000)


def _candle(line: bytes, grid: Grid, now: Micros) -> SimCandle:
    _, o, h, low, c, volume, _, quote, count, taker, taker_quote, *_ = line.decode().split(",")
    open_time = _opened(line)
    end = grid.step(open_time)
    return SimCandle(open_time, end, o, h, low, c, volume, quote, int(count), taker, taker_quote, end <= now)
