"""Subscription of one client to one series."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chandlery.clients.rows import Row
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros, Unit
from chandlery.feed.seam import Seam
from chandlery.service.collection.broadcaster import Update
from chandlery.service.web.send_queue import SendQueue

_MOST_HELD = 100_000


class Subscription:
    """
    Subscriber that queues updates for the client.

    While ``held``, closed and restated candles and gaps wait behind the historical data, until the first closed candle
    follows it without a hole.
    """

    def __init__(self, series: SeriesId, send_queue: SendQueue, *, held: bool = False) -> None:
        self.series = series
        self._send_queue = send_queue
        self._seam: Seam[Update] | None = None
        """The seam between the historical and the live data; ``None`` after it."""
        if held:
            # Order books have no candles, whose length would matter.
            self._seam = Seam(series.interval or Interval.SECOND_1, most=_MOST_HELD, held=True)
        self._passed = asyncio.Event()
        """Set when a closed candle has followed the past, or waits for a hole."""

    def take(self, update: Update) -> None:
        """Forward an update, or queue it while held."""
        if self._seam is not None:
            self._join(update, self._seam)
        elif update.conflates:
            self._send_queue.replace(self.series, update.frame)
        else:
            self._send_queue.drop(self.series)
            self._send_queue.put(update.frame)

    def past(self, until: Micros) -> None:
        """Note that the candles that open before ``until`` were sent, and forward those that follow them."""
        if self._seam is not None:
            self._forward(self._seam.past(until), self._seam)

    async def hole(self) -> Span | None:
        """Wait for the first closed candle after the past. Return the span before it that is missing; ``None`` if nothing is."""
        while self._seam is not None and self._seam.hole is None:
            self._passed.clear()
            await self._passed.wait()
        return None if self._seam is None else self._seam.hole

    def release(self) -> None:
        """Forward later updates immediately."""
        self.past(0)
        self._seam = None

    def _join(self, update: Update, seam: Seam[Update]) -> None:
        if update.kind == "running":
            self._forward(seam.running(opened(update.content), update), seam)
        elif update.kind == "closed":
            self._forward(seam.closed(opened(update.content), update), seam)
        elif update.kind != "book":
            self._forward(seam.other(update), seam)

    def _forward(self, updates: Sequence[Update], seam: Seam[Update]) -> None:
        """Forward what the seam returned. The seam ends once a closed candle has passed and no hole is left."""
        self._seam = None
        for update in updates:
            self.take(update)
        passed = any(update.kind == "closed" for update in updates)
        if seam.hole is not None or not passed:
            self._seam = seam
        if seam.hole is not None or passed:
            self._passed.set()


def opened(row: Row) -> Micros:
    """Return the open time of a candle."""
    return Unit.MILLIS.micros(row["timestamp"])
