"""Order books and their updates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, ClassVar, TypeAlias

from msgspec import Struct

from chandlery.core.errors import InvalidInput
from chandlery.core.time import Micros

Level: TypeAlias = tuple[float, float]
"""Price and size."""

Digits: TypeAlias = tuple[str, str]
"""Price and size as text, exactly as sent."""


class BookUpdate(Struct, frozen=True, gc=False):
    """
    One update of one book: levels to set, where size 0 deletes.

    Prices and sizes are finite, prices differ from 0. ``at`` is the exchange's time. The meaning of the
    ids depends on the exchange's rule; an id that it does not send is ``None``.
    """

    symbol: str
    bids: Sequence[Level]
    asks: Sequence[Level]
    is_snapshot: bool = False
    """True if it replaces the book."""
    first: int | None = None
    """Id of its first change."""
    last: int | None = None
    """Id of its last change, or the version of the book after it."""
    previous: int | None = None
    """The ``last`` of the preceding update, as the exchange states it."""
    at: Micros | None = None
    checksum: int | None = None
    """Checksum of the book after it; ``None`` or 0 if the exchange sends none."""
    bid_digits: Sequence[Digits] | None = None
    """``bids`` exactly as sent, only if a checksum is computed from them."""
    ask_digits: Sequence[Digits] | None = None


_WIDTH = 24
"""Number of prices in the sorted front: with fewer, sorting is more frequent; with more, inserts are slower."""

_RESERVE = 8
"""Factor on ``width`` for the presorted reserve: a smaller one is used up sooner, a larger one takes longer to sort."""

_WIDEST = 250
"""Larger requests sort all levels each time; widening the front for one would slow the book down for good."""


class _Side(ABC):
    """
    The bids or the asks.

    ``front`` holds, ascending, the prices from the best one to ``edge``. Deeper prices are
    sorted only when the front is used up, or a caller requests more, and then at first no deeper
    than to ``rim``.
    """

    __slots__ = ("digits", "edge", "front", "levels", "rim", "width")

    whole: ClassVar[float]
    """The edge beyond which there are no prices."""

    def __init__(self) -> None:
        self.width = _WIDTH
        self.digits: dict[float, Digits] = {}
        self.replace(())

    def replace(self, levels: Iterable[Level]) -> None:
        self.levels = {price: size for price, size in levels if size}
        self.digits.clear()
        self.rim = self.whole
        self.sort()

    def sort(self) -> None:
        """Move the best prices into the front."""
        self.front = self.within(self.rim)
        if len(self.front) < self.width:
            self.rim = self.whole
            self.front = [*self.levels]
        self.front.sort()
        self.edge = self.rim
        if len(self.front) > _RESERVE * self.width:
            self.rim = self.prices(self.front, _RESERVE * self.width)[-1]
        if len(self.front) > self.width:
            self.cut()

    @abstractmethod
    def within(self, rim: float) -> list[float]:
        """Return the prices at least as good as ``rim``, unordered."""

    @abstractmethod
    def cut(self) -> None:
        """Trim the front to the best prices."""

    @abstractmethod
    def update(self, levels: Iterable[Level]) -> None:
        """Set and delete levels."""

    @abstractmethod
    def prices(self, front: list[float], count: int) -> list[float]:
        """Return the best prices of a front, best first."""

    def best(self) -> Level | None:
        if not self.front:
            self.sort()
        if not self.front:
            return None
        price = self.prices(self.front, 1)[0]
        return price, self.levels[price]

    def top(self, count: int) -> list[Level]:
        if count < 0:
            raise InvalidInput(f"count is {count}; use 0 or more levels")
        if count <= _WIDEST:
            self.width = max(self.width, 3 * count)
        front = self.front
        if len(front) < count and len(front) < len(self.levels):
            if count > self.width:
                front = sorted(self.levels)
            else:
                self.sort()
                front = self.front
        best = self.prices(front, count)
        return [(price, self.levels[price]) for price in best]

    def reaches(self, count: int, rim: float) -> bool:
        """Return whether the best ``count`` prices are at least as good as ``rim``."""
        return len(self.within(rim)) >= min(count, len(self.levels))

    def keep(self, depth: int) -> None:
        """Drop all but the best ``depth`` levels."""
        if len(self.levels) > depth:
            self.width = max(self.width, 3 * depth)
            self.levels = dict(self.top(depth))
            self.digits = {price: text for price, text in self.digits.items() if price in self.levels}
            self.sort()

    def note(self, levels: Iterable[Level], digits: Iterable[Digits]) -> None:
        """Store the levels as text."""
        self.digits.update(zip((price for price, _ in levels), digits, strict=True))
        if len(self.digits) > 2 * len(self.levels) + 1000:
            self.digits = {price: text for price, text in self.digits.items() if price in self.levels}

    def top_digits(self, count: int) -> list[Digits]:
        """Return the best levels as text; empty if any was sent without digits."""
        found = [self.digits.get(price) for price, _ in self.top(count)]
        return [] if None in found else [each for each in found if each is not None]


class _Bids(_Side):
    """Best last. ``update`` duplicates the loop of the asks because it is the hot path."""

    __slots__ = ()
    whole = -inf

    def within(self, rim: float) -> list[float]:
        return [price for price in self.levels if price >= rim]

    def cut(self) -> None:
        del self.front[: -self.width]
        self.edge = self.front[0]

    def update(self, levels: Iterable[Level]) -> None:
        known, front, edge = self.levels, self.front, self.edge
        for price, size in levels:
            if price < edge:
                if size:
                    known[price] = size
                else:
                    known.pop(price, None)
            elif size:
                if price not in known:
                    insort(front, price)
                known[price] = size
            elif known.pop(price, None):
                del front[bisect_left(front, price)]
        if len(front) > 2 * self.width:
            self.cut()

    def prices(self, front: list[float], count: int) -> list[float]:
        return front[: -count - 1 : -1]


class _Asks(_Side):
    """Best first."""

    __slots__ = ()
    whole = inf

    def within(self, rim: float) -> list[float]:
        return [price for price in self.levels if price <= rim]

    def cut(self) -> None:
        del self.front[self.width :]
        self.edge = self.front[-1]

    def update(self, levels: Iterable[Level]) -> None:
        known, front, edge = self.levels, self.front, self.edge
        for price, size in levels:
            if price > edge:
                if size:
                    known[price] = size
                else:
                    known.pop(price, None)
            elif size:
                if price not in known:
                    insort(front, price)
                known[price] = size
            elif known.pop(price, None):
                del front[bisect_left(front, price)]
        if len(front) > 2 * self.width:
            self.cut()

    def prices(self, front: list[float], count: int) -> list[float]:
        return front[:count]


class OrderBook:
    """
    The order book of one symbol, updated by ``apply``.

    ``depth`` limits the levels of each side; by default there is no limit. It does not check that
    updates are consecutive; the caller does.
    """

    def __init__(self, symbol: str, *, depth: int | None = None) -> None:
        self.symbol = symbol
        self.depth = depth
        self.last: int | None = None
        """Id of its last change; ``None`` if the exchange sends no ids."""
        self.at: Micros | None = None
        """The exchange's time of the last update that had one."""
        self.received_ns = 0
        """Local time at which the last update was received, in nanoseconds; 0 if not recorded."""
        self._bids = _Bids()
        self._asks = _Asks()
        self._known_range = (-inf, inf)

    def apply(self, update: BookUpdate) -> None:
        """Apply an update, or replace all levels by a snapshot."""
        bids, asks = self._bids, self._asks
        if update.is_snapshot:
            bids.replace(update.bids)
            asks.replace(update.asks)
            self._known_range = (min(bids.levels, default=-inf), max(asks.levels, default=inf))
        else:
            bids.update(update.bids)
            asks.update(update.asks)
        self.last = update.last
        if update.at is not None:
            self.at = update.at
        if update.bid_digits is not None:
            bids.note(update.bids, update.bid_digits)
        if update.ask_digits is not None:
            asks.note(update.asks, update.ask_digits)
        if self.depth is not None:
            bids.keep(self.depth)
            asks.keep(self.depth)

    def change(self, bids: Iterable[Level], asks: Iterable[Level], last: int | None, at: Micros | None) -> bool:
        """
        Apply an update without digits to a book without a depth limit; a fast path of ``apply``.

        Return whether the book is not crossed afterwards.
        """
        bid_side, ask_side = self._bids, self._asks
        bid_side.update(bids)
        ask_side.update(asks)
        self.last = last
        if at is not None:
            self.at = at
        best_bids, best_asks = bid_side.front, ask_side.front
        return best_bids[-1] < best_asks[0] if best_bids and best_asks else not self.is_crossed

    def bids(self, count: int) -> list[Level]:
        """Return the ``count`` best bids, or as many as there are, best first."""
        return self._bids.top(count)

    def asks(self, count: int) -> list[Level]:
        """Return the ``count`` best asks, or as many as there are, best first."""
        return self._asks.top(count)

    def covers(self, count: int) -> bool:
        """
        Return whether the ``count`` best levels of each side lie within the reach of the last snapshot.

        If updates cover the whole book but the snapshot only its best part, levels
        beyond that part are missing unless they have changed since.
        """
        lowest, highest = self._known_range
        return self._bids.reaches(count, lowest) and self._asks.reaches(count, highest)

    @property
    def best_bid(self) -> float | None:
        """The highest bid; ``None`` without bids."""
        best = self._bids.best()
        return None if best is None else best[0]

    @property
    def best_ask(self) -> float | None:
        """The lowest ask; ``None`` without asks."""
        best = self._asks.best()
        return None if best is None else best[0]

    @property
    def spread(self) -> float | None:
        """The best ask minus the best bid; ``None`` if a side is empty."""
        bid, ask = self._bids.best(), self._asks.best()
        return None if bid is None or ask is None else ask[0] - bid[0]

    @property
    def mid(self) -> float | None:
        """The midpoint of best bid and best ask; ``None`` if a side is empty."""
        bid, ask = self._bids.best(), self._asks.best()
        return None if bid is None or ask is None else (bid[0] + ask[0]) / 2

    @property
    def microprice(self) -> float | None:
        """The best prices, each weighted by the size on the other side; ``None`` if a side is empty."""
        bid, ask = self._bids.best(), self._asks.best()
        return None if bid is None or ask is None else (bid[0] * ask[1] + ask[0] * bid[1]) / (bid[1] + ask[1])

    @property
    def is_crossed(self) -> bool:
        """True if the best bid is at or above the best ask."""
        bids, asks = self._bids.front, self._asks.front
        if bids and asks:
            return bids[-1] >= asks[0]
        bid, ask = self._bids.best(), self._asks.best()
        return bid is not None and ask is not None and bid[0] >= ask[0]

    def __len__(self) -> int:
        """Return the number of levels of both sides together."""
        return len(self._bids.levels) + len(self._asks.levels)

    def __bool__(self) -> bool:
        """Return true, so that an empty book is not mistaken for a missing one."""
        return True

    def top_digits(self, count: int) -> tuple[list[Digits], list[Digits]]:
        """
        Return the ``count`` best bids and asks exactly as sent, best first.

        Empty if the messages carried no digits.
        """
        return self._bids.top_digits(count), self._asks.top_digits(count)

    def columns(self, count: int) -> dict[str, list[Any]]:
        """
        Return the ``count`` best levels of each side, by column: ``side``, ``level``, ``price``, ``size``.

        Bids come first, and ``level`` 0 is the best of its side.
        """
        bids, asks = self.bids(count), self.asks(count)
        return {
            "side": ["bid"] * len(bids) + ["ask"] * len(asks),
            "level": [*range(len(bids)), *range(len(asks))],
            "price": [price for price, _ in (*bids, *asks)],
            "size": [size for _, size in (*bids, *asks)],
        }
