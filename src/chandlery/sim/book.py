"""Order books of the synthetic market, computed for any symbol at any time without replay."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from msgspec import Struct

from chandlery.core.errors import InvalidSymbol, UnsupportedRequest
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, Micros
from chandlery.sim import bars, noise
from chandlery.sim.market import Market, SyntheticMarket
from chandlery.sim.noise import Integers

Levels: TypeAlias = list[tuple[str, str]]
"""Prices and sizes as decimal text with all digits of the market."""

_Side: TypeAlias = Mapping[int, int]
"""Sizes in lots by price in ticks, best first."""

TICK: Micros = 100_000
"""Time between changes of a book."""

_TICKS = MINUTE // TICK
_CELLS = 40_000
"""Number of price steps in an ordinary price; each step holds one level."""
_KEPT = 64
"""Number of cached books and minutes."""


def tick_of(now: Micros) -> int:
    """Return the number of the tick that contains ``now``."""
    return now // TICK


class BookState(Struct, frozen=True):
    """Full order book, best levels first."""

    bids: Levels
    asks: Levels


class SyntheticBook:
    """
    Order book of one symbol, as a pure function of the tick.

    The result is the same for each object with the same seed, market and symbol. The best bid and ask lie around the
    candles' price, which moves linearly from the open of each second to its close. A book with fewer ``levels`` per
    side is the top of a deeper one. During a halt the book does not change.

    Raises:
        UnsupportedRequest: The market is not synthetic.
        InvalidSymbol: The market does not have the symbol.
    """

    def __init__(self, market: Market, market_type: MarketType, symbol: str, *, levels: int = 50) -> None:
        if not isinstance(market, SyntheticMarket):
            raise UnsupportedRequest(
                f"{type(market).__name__} has candles but no order books; SyntheticMarket has both"
            )
        first = market.first(market_type, symbol, Interval.MINUTE_1)
        if first is None:
            raise InvalidSymbol(f"{symbol!r} is not traded on the {market_type.value} market")
        self._began, self._halts, self._levels = first, market.halts, levels
        self._scale = bars.scale(market.seed, market_type, symbol)
        self._step = max(self._scale.level // _CELLS, 1)
        self._place_key, self._size_key = (
            noise.key(market.seed, market_type.value, symbol, use) for use in ("book places", "book sizes")
        )
        self._path = lru_cache(maxsize=_KEPT)(self._compute_path)
        self._sides = lru_cache(maxsize=_KEPT)(self._compute_sides)

    def at(self, tick: int) -> BookState | None:
        """Return the book during a tick; ``None`` before trading began."""
        traded = self._traded(tick)
        if traded is None:
            return None
        bids, asks = self._sides(traded)
        return BookState(self._texts(bids), self._texts(asks))

    def changes(self, before: int, after: int) -> tuple[Levels, Levels]:
        """
        Return the changes of bids and asks from tick ``before`` to tick ``after``, best first; either may be empty.

        A size of zero deletes the level. Before trading began the book is empty.
        """
        (old_bids, old_asks), (new_bids, new_asks) = (self._known(tick) for tick in (before, after))
        bids, asks = _changed(old_bids, new_bids), _changed(old_asks, new_asks)
        return self._texts(dict(sorted(bids.items(), reverse=True))), self._texts(dict(sorted(asks.items())))

    def _known(self, tick: int) -> tuple[_Side, _Side]:
        traded = self._traded(tick)
        return ({}, {}) if traded is None else self._sides(traded)

    def _traded(self, tick: int) -> int | None:
        """Return the last tick of trading up to ``tick``."""
        moment = tick * TICK
        for halt in self._halts:
            moment = halt.start - TICK if halt.holds(moment) else moment
        return tick_of(moment) if moment >= self._began else None

    def _compute_path(self, minute: int) -> list[int]:
        """Return the prices at the bounds of the 60 seconds of a minute."""
        known = bars.seconds(self._scale, bars.minutes(self._scale, minute, 1))
        return [*known["open"].tolist(), int(known["close"][-1])]

    def _compute_sides(self, tick: int) -> tuple[_Side, _Side]:
        """Return bids and asks: one price in each step around the candles' price, each changing at its own rhythm."""
        minute, past = divmod(tick, _TICKS)
        second, part = divmod(past, 10)
        opened, closed = self._path(minute)[second : second + 2]
        price = opened + (closed - opened) * part // 10
        middle, reach = price // self._step, (self._levels + 1) * 4 // 3 + 1
        cells = np.arange(max(middle - reach, 1), middle + reach + 1, dtype=np.int64)
        fixed = noise.bits(self._place_key, cells)
        prices = cells * self._step + noise.sixteen(fixed, 0) % self._step
        turns = (tick + noise.sixteen(fixed, 1)) // (16 + (noise.sixteen(fixed, 2) & 63))
        random = noise.bits(self._size_key, (cells << 32) + turns)
        size = noise.sixteen(random, 0)
        sizes = 1 + (self._scale.lots * (size * size >> 16) >> 18)
        # Only one in four may be missing, so that ``reach`` always contains enough of them.
        there = (cells & 3 != 0) | (noise.sixteen(random, 1) >= 1 << 14)
        split = np.searchsorted(prices, price)
        bids, asks = np.flatnonzero(there[:split])[::-1], split + np.flatnonzero(there[split:])

        def side(places: Integers) -> _Side:
            known = places[: self._levels]
            return dict(zip(prices[known].tolist(), sizes[known].tolist(), strict=True))

        return side(bids), side(asks)

    def _texts(self, side: _Side) -> Levels:
        prices, sizes = self._scale.digits["open"], self._scale.digits["volume"]
        return [(_text(price, prices), _text(size, sizes)) for price, size in side.items()]


def _changed(before: _Side, after: _Side) -> dict[int, int]:
    gone = dict.fromkeys(before.keys() - after.keys(), 0)
    return gone | {price: size for price, size in after.items() if before.get(price) != size}


def _text(value: int, digits: int) -> str:
    """Format an integer of the last digit as a decimal."""
    if not digits:
        return str(value)
    whole, rest = divmod(value, 10**digits)
    return f"{whole}.{rest:0{digits}d}"
