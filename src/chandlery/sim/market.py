"""Markets of the offline exchange, and the synthetic market."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol, Self, TypeAlias

import numpy as np

from chandlery.core.gaps import Span, merge, subtract
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, Micros, add_months, month_of
from chandlery.sim import bars, noise
from chandlery.sim.bars import Bars
from chandlery.sim.csv_lines import csv_lines
from chandlery.sim.grids import Grid
from chandlery.sim.trading import FUNDING_EVERY, Trading
from chandlery.sim.venues import VENUES, Venue

Columns: TypeAlias = dict[str, np.ndarray]

LISTED: Mapping[MarketType, Micros] = {venue.market_type: venue.listed for venue in VENUES.values()}
"""Default listing time of each market."""

_BASES = (
    "BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "TRX", "LINK", "AVAX", "DOT", "LTC", "BCH", "XLM",
    "HBAR", "SUI", "TON", "SHIB", "UNI", "PEPE", "AAVE", "NEAR", "APT", "ICP", "ETC", "ATOM", "FIL", "ARB",
    "OP", "INJ", "SEI", "TIA", "MKR", "RUNE", "ALGO", "VET", "POL", "RENDER", "IMX", "STX", "GRT", "FTM",
    "EOS", "XTZ", "SAND", "MANA", "AXS", "THETA", "FLOW", "EGLD", "QNT", "LDO", "CRV", "SNX", "COMP", "KAVA",
    "ZEC", "DASH", "XMR", "JUP", "WIF", "BONK", "ENA",
)  # fmt: skip
"""Common coins, which programs expect on any exchange."""
_QUOTES = {
    MarketType.SPOT: ("USDT", "USDC", "USD"),
    MarketType.FUTURES_USDT: ("USDT", "USDC", "USD"),
    MarketType.FUTURES_COIN: ("USD_PERP",),
}
_SYMBOLS = {
    market_type: tuple(f"{base}{quote}" for quote in quotes for base in _BASES)
    for market_type, quotes in _QUOTES.items()
}


class Market(Protocol):
    """
    Data that the offline exchange serves.

    Markets of one ``origin`` hold the same data. ``span`` is half-open by open time. ``now``, if given, is the current
    time: nothing that opens later exists, and the running candle holds what is known so far.
    """

    @property
    def origin(self) -> str:
        """Name under which the data is stored, e.g. ``offline-7``."""
        ...

    def candles(self, market_type: MarketType, symbol: str, interval: Interval, span: Span) -> Columns:
        """Return the columns ``open_time`` to ``taker_buy_quote_volume``, ascending; times in microseconds."""
        ...

    def funding(self, market_type: MarketType, symbol: str, span: Span) -> Columns:
        """Return the columns ``open_time`` and ``funding_rate``, ascending."""
        ...

    def lines(
        self, market_type: MarketType, symbol: str, interval: Interval, span: Span, *, now: Micros | None = None
    ) -> list[bytes]:
        """Return the candles as lines of an archive file, without a header and without line ends."""
        ...

    def header(self, market_type: MarketType, symbol: str, interval: Interval, opened: Micros) -> bytes | None:
        """Return the header line of the archive file that holds the candle at ``opened``; ``None`` if it has none."""
        ...

    def has(self, market_type: MarketType, symbol: str, interval: Interval, span: Span) -> bool:
        """Return whether any candle opens in ``span``."""
        ...

    def first(self, market_type: MarketType, symbol: str, interval: Interval) -> Micros | None:
        """Return the oldest open time; ``None`` without candles."""
        ...

    def knows(self, market_type: MarketType, symbol: str) -> bool:
        """Return whether the symbol is traded."""
        ...

    def symbols(self, market_type: MarketType) -> Sequence[str]:
        """Return the traded symbols."""
        ...

    def on(self, terms: Trading) -> Self:
        """Return a synthetic market on the terms of an exchange; a recorded market is unchanged."""
        ...


class SyntheticMarket:
    """
    Synthetic market, deterministic for a seed.

    A candle of a minute or more is exactly the sum of its minutes, a minute of its seconds, and a range does not depend
    on how it is requested. Nothing opens before ``listed`` (one time, or one per market), nor in a minute that overlaps
    one of the ``halts``. ``symbols`` replace the default list; no other symbol is known. Spot and perpetuals of one
    asset stay within 0.1 %.
    """

    def __init__(
        self,
        seed: int = 7,
        *,
        listed: Mapping[MarketType, Micros] | Micros | None = None,
        halts: Sequence[Span] = (),
        symbols: Mapping[MarketType, Sequence[str]] | None = None,
    ) -> None:
        self.seed = seed
        given = dict.fromkeys(MarketType, listed) if isinstance(listed, int) else dict(listed or {})
        self._listed = {**LISTED, **given}
        self.halts = tuple(merge(Span(Interval.MINUTE_1.floor(h.start), Interval.MINUTE_1.ceil(h.end)) for h in halts))
        self._symbols = _SYMBOLS if symbols is None else symbols
        self._terms = Trading()
        self._month = lru_cache(maxsize=1024)(self._compute_month)
        differs = repr((sorted((each.value, at) for each, at in given.items()), self.halts)) if given or halts else ""
        self.origin = f"offline-{seed}" + (f"-{int(noise.key(differs)):016x}"[:9] if differs else "")
        """Another listing time or other halts make another market's data."""

    def on(self, terms: Trading) -> Self:
        """Return the same trades on the terms of an exchange."""
        if terms == self._terms:
            return self
        other = copy.copy(self)
        other._terms = terms  # noqa: SLF001  # a copy of this object
        if terms.lives != self._terms.lives:
            other._month = lru_cache(maxsize=1024)(other._compute_month)  # noqa: SLF001  # the same
        return other

    def knows(self, market_type: MarketType, symbol: str) -> bool:
        """Return whether the symbol is listed."""
        return symbol in self.symbols(market_type)

    def symbols(self, market_type: MarketType) -> Sequence[str]:
        """Return all listed symbols."""
        return (*self._symbols.get(market_type, ()), *self._terms.symbols)

    def _pauses(self, symbol: str) -> tuple[Span, ...]:
        """Return the halts of a symbol."""
        pauses = self._terms.pauses(symbol)
        return tuple(merge([*self.halts, *pauses])) if pauses else self.halts

    def first(self, market_type: MarketType, symbol: str, interval: Interval) -> Micros | None:
        """Return the candle in which trading began."""
        if not self.knows(market_type, symbol):
            return None
        began = Interval.MINUTE_1.ceil(self._listed[market_type])
        for halt in self._pauses(symbol):
            began = halt.end if halt.holds(began) else began
        return self._terms.grids[interval].floor(began)

    def has(self, market_type: MarketType, symbol: str, interval: Interval, span: Span) -> bool:
        """Return whether any candle opens in ``span``."""
        grid = self._terms.grids[interval]
        whole = Span(grid.ceil(span.start), grid.ceil(span.end))
        whole = whole.clip(Span(Interval.MINUTE_1.ceil(self._listed[market_type]), whole.end))
        return self.knows(market_type, symbol) and bool(whole) and bool(subtract(whole, self._pauses(symbol)))

    def candles(self, market_type: MarketType, symbol: str, interval: Interval, span: Span) -> Columns:
        """Return the candles that open in ``span`` as numbers; times in microseconds, ``close_time`` as in the archive."""
        known = self._bars(market_type, symbol, interval, span, None)
        digits = self._scale(market_type, symbol).digits
        columns: Columns = {
            name: known[name] / 10.0 ** digits[name] if name in digits else known[name] for name in bars.NAMES
        }
        columns["close_time"] = bars.close_times(known["open_time"], self._terms.grids[interval], _venue(market_type))
        return {name: columns[name] for name in bars.COLUMNS}

    def lines(
        self, market_type: MarketType, symbol: str, interval: Interval, span: Span, *, now: Micros | None = None
    ) -> list[bytes]:
        """Return the candles as lines of an archive file, with Binance's digits."""
        known = self._bars(market_type, symbol, interval, span, now)
        return csv_lines(
            known, self._scale(market_type, symbol).digits, self._terms.grids[interval], _venue(market_type)
        )

    def header(self, market_type: MarketType, symbol: str, interval: Interval, opened: Micros) -> bytes | None:
        """Return the header, which futures' files have since May 2022."""
        return _venue(market_type).header(opened)

    def funding(self, market_type: MarketType, symbol: str, span: Span) -> Columns:
        """Return a rate every eight hours, or as the terms say, some milliseconds past the hour; none during a halt."""
        due = Span(max(span.start - MINUTE, self._listed[market_type]), span.end)
        if not self.knows(market_type, symbol) or market_type is MarketType.SPOT:
            due = Span(0, 0)
        parts = [self._rates(market_type, symbol, part, every) for part, every in self._terms.periods(due)]
        open_time = np.concatenate([each for each, _ in parts] or [np.empty(0, dtype=np.int64)])
        rate = np.concatenate([each for _, each in parts] or [np.empty(0)])
        keep = (open_time >= span.start) & (open_time < span.end)
        for halt in self._pauses(symbol):
            keep &= (open_time < halt.start) | (open_time >= halt.end)
        return {"open_time": open_time[keep], "funding_rate": rate[keep]}

    def _rates(self, market_type: MarketType, symbol: str, span: Span, every: Micros) -> tuple[np.ndarray, np.ndarray]:
        first, last = -(-span.start // every), -(-span.end // every)
        turns = np.arange(first, max(last, first), dtype=np.int64)
        parts = (symbol, "funding") if every == FUNDING_EVERY else (symbol, "funding", every)
        random = noise.bits(noise.key(self.seed, market_type.value, *parts), turns)
        open_time = turns * every + noise.sixteen(random, 0) % 15 * 1000
        return open_time, (noise.sixteen(random, 1) % 70_000 - 25_000) / 1e8

    def _scale(self, market_type: MarketType, symbol: str) -> bars.Scale:
        return bars.scale(self.seed, market_type, symbol)

    def _bars(self, market_type: MarketType, symbol: str, interval: Interval, span: Span, now: Micros | None) -> Bars:
        if not self.knows(market_type, symbol):
            return bars.empty()
        if now is None:
            return self._closed(market_type, symbol, interval, span)
        grid = self._terms.grids[interval]
        running = grid.floor(now)
        closed = self._closed(market_type, symbol, interval, Span(span.start, min(span.end, running)))
        if not span.holds(running):
            return closed
        minute = max(Interval.MINUTE_1.floor(now), running)
        parts = [
            self._minutes(market_type, symbol, Span(running, minute)),
            self._seconds(market_type, symbol, Span(minute, now + 1)),
        ]
        return bars.join([closed, bars.aggregate(bars.join(parts), grid)])

    def _closed(self, market_type: MarketType, symbol: str, interval: Interval, span: Span) -> Bars:
        """Return the candles as if all were closed."""
        grid = self._terms.grids[interval]
        whole = Span(grid.ceil(span.start), grid.ceil(span.end))
        if interval is Interval.SECOND_1:
            return self._seconds(market_type, symbol, whole)
        if interval is Interval.MINUTE_1:
            return self._minutes(market_type, symbol, whole)
        if not grid.holds(HOUR):
            return bars.aggregate(self._minutes(market_type, symbol, whole), grid)
        return self._long(market_type, symbol, grid, whole)

    def _long(self, market_type: MarketType, symbol: str, grid: Grid, span: Span) -> Bars:
        """Aggregate cached whole calendar months of hours or days."""
        base = DAY if grid.holds(DAY) else HOUR
        listed = month_of(self._listed[market_type])
        month, months = max(month_of(span.start), listed), []
        while month < span.end:
            months.append(self._month(market_type, symbol, base, month))
            month = add_months(month, 1)
        known = bars.cut(bars.join(months), span)
        return known if grid == Grid(base) else bars.aggregate(known, grid)

    def _compute_month(self, market_type: MarketType, symbol: str, base: Micros, month: Micros) -> Bars:
        return bars.aggregate(self._minutes(market_type, symbol, Span(month, add_months(month, 1))), Grid(base))

    def _minutes(self, market_type: MarketType, symbol: str, span: Span) -> Bars:
        span = span.clip(Span(Interval.MINUTE_1.ceil(self._listed[market_type]), span.end))
        if not span:
            return bars.empty()
        start = -(-span.start // MINUTE)
        made = bars.minutes(self._scale(market_type, symbol), start, -(-span.end // MINUTE) - start)
        return _without(made, self._pauses(symbol))

    def _seconds(self, market_type: MarketType, symbol: str, span: Span) -> Bars:
        whole = Span(Interval.MINUTE_1.floor(span.start), Interval.MINUTE_1.ceil(span.end))
        minutes = self._minutes(market_type, symbol, whole)
        split = bars.seconds(self._scale(market_type, symbol), minutes)
        return bars.cut(split, Span(-(-span.start // SECOND) * SECOND, span.end))


def _venue(market_type: MarketType) -> Venue:
    return next(venue for venue in VENUES.values() if venue.market_type is market_type)


def _without(known: Bars, halts: Iterable[Span]) -> Bars:
    for halt in halts:
        opens = known["open_time"]
        low, high = np.searchsorted(opens, [halt.start, halt.end])
        if low < high:
            known = {name: np.delete(column, slice(low, high)) for name, column in known.items()}
    return known
