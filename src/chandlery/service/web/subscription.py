"""Subscription of one client to one series."""

from __future__ import annotations

import asyncio
from collections import deque

from chandlery.clients.rows import Row
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros, Unit
from chandlery.service.collection.broadcaster import Update
from chandlery.service.web.send_queue import SendQueue

_MOST_HELD = 100_000


class Subscription:
    """
    Subscriber that queues updates for the client.

    While ``held``, closed and restated candles and gaps are queued, in order, behind the historical data.
    """

    def __init__(self, series: SeriesId, send_queue: SendQueue, *, held: bool = False) -> None:
        self.series = series
        self.closed = asyncio.Event()
        """Set while a closed candle is queued."""
        self._send_queue = send_queue
        self._held: deque[Update] | None = deque() if held else None
        self._from: Micros | None = None

    def take(self, update: Update) -> None:
        """Forward an update, or queue it while held."""
        if self._held is not None:
            self._hold(update, self._held)
        elif update.conflates:
            self._send_queue.replace(self.series, update.frame)
        else:
            self._send_queue.drop(self.series)
            self._send_queue.put(update.frame)

    def expect(self, opened: Micros) -> None:
        """Set the open time of the first closed candle to send; running ones of that time may pass already."""
        self._from = opened

    def first_held(self) -> Micros | None:
        """Return the open time of the first queued closed candle that was not sent; discard earlier ones."""
        if self._held and self._from is not None:
            begin = self._from
            self._held = deque(each for each in self._held if each.kind != "closed" or opened(each.content) >= begin)
        closed = (opened(each.content) for each in self._held or () if each.kind == "closed")
        return next(closed, None)

    def release(self) -> None:
        """Forward the queued updates, and later ones immediately."""
        held, self._held = self._held or deque(), None
        for update in held:
            self.take(update)

    def _hold(self, update: Update, held: deque[Update]) -> None:
        if update.kind == "running":
            if self._from is not None and opened(update.content) == self._from:
                self._send_queue.replace(self.series, update.frame)
        elif update.kind != "book":
            if len(held) >= _MOST_HELD:
                held.popleft()  # the resulting hole is fetched like any other
            held.append(update)
            if update.kind == "closed":
                self.closed.set()


def opened(row: Row) -> Micros:
    """Return the open time of a candle."""
    return Unit.MILLIS.micros(row["timestamp"])
