"""Ordering of closed candles."""

from __future__ import annotations

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.time import Micros
from chandlery.feed.events import Backfilled, CandleUpdate, Missing, Restated


class ClosedInOrder:
    """
    Orders the updates of a candles feed, so that each closed candle follows the one before it.

    A feed publishes a backfilled candle later than those that arrived meanwhile. These are queued here, up to ``most``,
    until the gap is filled or resolved. A gap that cannot be filled is published as ``Missing``. A candle restated
    while queued is published once, in its latest state. ``expected`` is the open time of the first closed candle to
    publish; ``None`` for the first that arrives.
    """

    def __init__(self, interval: Interval, expected: Micros | None, most: int) -> None:
        self._interval = interval
        self._expected = expected
        self._most = most
        self._waiting: dict[Micros, CandleData] = {}
        self._absent: list[Span] = []

    def take(self, update: CandleUpdate) -> list[CandleUpdate]:
        """Return the updates to publish now."""
        if isinstance(update, CandleData):
            return self._closed(update) if update.closed else self._running(update)
        if isinstance(update, Restated) and update.after.open_time in self._waiting:
            self._waiting[update.after.open_time] = update.after
            return []
        published: list[CandleUpdate] = [update]
        if isinstance(update, Missing):
            self._absent.append(update.gap.span)
        elif isinstance(update, Backfilled) and self._expected is not None and update.span.start > self._expected:
            published.append(self._lost(self._interval.ceil(update.span.start)))
        return published + self._ready()

    def _running(self, candle: CandleData) -> list[CandleUpdate]:
        return [candle] if self._expected in {None, candle.open_time} else []

    def _closed(self, candle: CandleData) -> list[CandleUpdate]:
        if self._expected is None:
            self._expected = candle.open_time
        if candle.open_time < self._expected:
            return []
        self._waiting[candle.open_time] = candle
        published = self._ready()
        if len(self._waiting) > self._most:
            published.append(self._lost(min(self._waiting)))
            published += self._ready()
        return published

    def _ready(self) -> list[CandleUpdate]:
        """Return the queued candles that no longer wait for earlier ones."""
        published: list[CandleUpdate] = []
        while self._expected is not None:
            candle = self._waiting.pop(self._expected, None)
            if candle is not None:
                published.append(candle)
            elif not any(span.holds(self._expected) for span in self._absent):
                break
            self._expected = self._interval.step(self._expected)
        self._absent = [span for span in self._absent if self._expected is None or span.end > self._expected]
        return published

    def _lost(self, until: Micros) -> Missing:
        """Give up the candles that should open before ``until``."""
        start = self._expected if self._expected is not None else until
        self._expected = until
        return Missing(Gap(start, until, GapKind.FETCH_FAILED, "older than the feed's buffer of candles"))
