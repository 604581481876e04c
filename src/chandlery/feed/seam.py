"""The seam between the past of a series and its live candles, which are published once each, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.interval import Grid
from chandlery.core.time import Micros
from chandlery.feed.events import Backfilled, CandleUpdate, Missing, Restated

Item = TypeVar("Item")

MOST_OTHERS = 100_000
"""Maximum number of waiting items that are no candles; beyond it the oldest are discarded, and counted."""


class Seam(Generic[Item]):
    """
    Joins the past of one series to its live items, whatever these are: each closed candle once, oldest first.

    The owner publishes the past itself and reports how far with ``past``; live items pass through the other methods,
    which return those to publish now. While ``held``, until the first ``past``, all live items wait. Later, closed
    candles wait only while one before them is missing; ``hole`` is the missing span. It ends once its candles arrive,
    are ``absent``, or are ``past``. If more than ``most`` candles wait, the oldest is discarded, so that the owner reads it
    with the rest of the hole. ``expected`` is the open time of the next closed candle; ``None`` for the first to arrive.
    A running candle waits for the closed ones before it, unless ``eager``.
    """

    def __init__(
        self,
        grid: Grid,
        expected: Micros | None = None,
        *,
        most: int,
        held: bool = False,
        eager: bool = False,
    ) -> None:
        self.expected = expected
        self.held = held
        self.discarded = 0
        """Number of discarded items that are no candles."""
        self._grid = grid
        self._eager = eager
        self._most = most
        self._waiting: dict[Micros, Item] = {}
        self._latest: Micros = -1
        """Open time of the latest candle that ever waited."""
        self._others: deque[tuple[Micros, Item]] = deque()
        """Other waiting items, each with the open time of the latest candle that had waited when it arrived, or -1."""
        self._running: tuple[Micros, Item] | None = None
        """The latest running candle, if it arrived before its turn."""
        self._absent: list[Span] = []

    @property
    def hole(self) -> Span | None:
        """The span whose candles the waiting ones wait for; ``None`` if none waits, or while held."""
        if self.held or self.expected is None or not self._waiting:
            return None
        return Span(self.expected, min(self._waiting))

    def running(self, opened: Micros, item: Item) -> Sequence[Item]:
        """Add a running candle. If it must wait, it replaces the one that waits; an outdated one is ignored."""
        if not self.held and (opened == self.expected or self._is_next(opened)):
            self._running = None
            return (item,)
        if self.expected is None or opened >= self.expected:
            self._running = opened, item
        return ()

    def closed(self, opened: Micros, item: Item) -> Sequence[Item]:
        """Add a closed candle; one that was published already is ignored."""
        if not self.held:
            if self.expected is None:
                self.expected = opened
            if opened < self.expected:
                return ()
            if opened == self.expected and not self._waiting and not self._absent and self._running is None:
                self.expected = self._grid.step(opened)
                return (item,)
        self._waiting[opened] = item
        self._latest = max(self._latest, opened)
        published = self._ready()
        if len(self._waiting) > self._most:
            del self._waiting[min(self._waiting)]
        return published

    def replace(self, opened: Micros, item: Item) -> bool:
        """Replace a waiting closed candle by its corrected state. Return whether it waited."""
        waits = opened in self._waiting
        if waits:
            self._waiting[opened] = item
        return waits

    def other(self, item: Item) -> Sequence[Item]:
        """Add an item that is no candle. It waits behind the candles that wait."""
        if not self.held and not self._waiting:
            return (item,)
        self._others.append((self._latest, item))
        if len(self._others) > MOST_OTHERS:
            self._others.popleft()
            self.discarded += 1
        return ()

    def absent(self, span: Span) -> Sequence[Item]:
        """Note that there are no candles in ``span``."""
        if self.expected is None or span.end > self.expected:
            self._absent.append(span)
        return self._ready()

    def past(self, until: Micros | None) -> Sequence[Item]:
        """Note that everything that opens before ``until`` was published or does not exist; ``None`` if there is no past."""
        self.held = False
        if until is None and self.expected is None:
            until = min(self._waiting, default=None)
        if until is not None and (self.expected is None or until > self.expected):
            self.expected = until
            self._waiting = {opened: item for opened, item in self._waiting.items() if opened >= until}
        return self._ready()

    def _ready(self) -> list[Item]:
        """Return the items that wait no longer."""
        published: list[Item] = []
        if self.held:
            return published
        while self.expected is not None:
            if self.expected in self._waiting:
                if self._others:
                    published += self._others_before(self.expected)
                published.append(self._waiting.pop(self.expected))
            elif not any(span.holds(self.expected) for span in self._absent):
                break
            self.expected = self._grid.step(self.expected)
        if self._absent:
            self._absent = [span for span in self._absent if self.expected is None or span.end > self.expected]
        if self._others:
            published += self._others_before(min(self._waiting, default=None))
        if self._running is not None:
            published += self._running_ready(*self._running)
        return published

    def _running_ready(self, opened: Micros, item: Item) -> Sequence[Item]:
        ready = (item,) if self._is_next(opened) else ()
        if ready or (self.expected is not None and opened < self.expected):
            self._running = None
        return ready

    def _is_next(self, opened: Micros) -> bool:
        """Return whether a running candle may be published."""
        return self.expected is None or opened == self.expected or (self._eager and opened > self.expected)

    def _others_before(self, opened: Micros | None) -> list[Item]:
        """Remove and return, in order, the items that wait for no candle from this open time on; all if it is ``None``."""
        ready: list[Item] = []
        while self._others and (opened is None or self._others[0][0] < opened):
            ready.append(self._others.popleft()[1])
        return ready


class CandleSeam(Seam[CandleUpdate]):
    """
    The seam of a candles feed, whose late candles arrive after those that follow them.

    Events are published at once, except while held.
    """

    def __init__(self, grid: Grid, expected: Micros | None = None, *, most: int, held: bool = False) -> None:
        super().__init__(grid, expected, most=most, held=held)
        self._backfilled_from: Micros = -1
        """Start of the latest backfill of the feed."""

    @property
    def lost(self) -> Span | None:
        """The hole that the feed will not fill: it is older than its backfill, or as many candles wait as may; ``None`` if none."""
        if self.held or self.expected is None:
            return None
        if self._backfilled_from > self.expected:
            return Span(self.expected, self._backfilled_from)
        return self.hole if len(self._waiting) >= self._most else None

    def take(self, updates: Iterable[CandleUpdate]) -> list[CandleUpdate]:
        """Add updates of the feed. Return those to publish now, in order."""
        published: list[CandleUpdate] = []
        for update in updates:
            if not isinstance(update, CandleData):
                published += self._event(update)
            elif update.open_time == self.expected and not (update.closed or self.held or self._running):
                published.append(update)  # most are; a call would take as long as all else
            elif self.held or self.expected is None or update.open_time >= self.expected:
                published += (self.closed if update.closed else self.running)(update.open_time, update)
            # A feed repeats its history to readers that came before it.
        return published

    def _event(self, event: CandleUpdate) -> Sequence[CandleUpdate]:
        if isinstance(event, Restated) and self.replace(event.after.open_time, event.after):
            return ()
        published = [*self.other(event)] if self.held else [event]
        if isinstance(event, Missing):
            published += self.absent(event.gap.span)
        elif isinstance(event, Backfilled) and not self.held:
            self._backfilled_from = self._grid.ceil(event.span.start)
        return published
