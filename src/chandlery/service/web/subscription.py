"""One client's wish for one series."""

from __future__ import annotations

import asyncio
from collections import deque

from chandlery.clients.rows import Row
from chandlery.core.time import Micros, Unit
from chandlery.database.series_ids import SeriesName
from chandlery.service.collection.broadcaster import Update
from chandlery.service.web.send_queue import SendQueue

_MOST_HELD = 100_000


class Subscription:
    """
    Passes updates on to the client's send queue.

    While it is ``held``, closed and restated candles and gaps wait, in order, for what comes before them.
    """

    def __init__(self, series: SeriesName, send_queue: SendQueue, *, held: bool = False) -> None:
        self.series = series
        self.closed = asyncio.Event()
        """Whether a closed candle waits."""
        self._send_queue = send_queue
        self._held: deque[Update] | None = deque() if held else None
        self._from: Micros | None = None

    def take(self, update: Update) -> None:
        """Pass it on, or hold it."""
        if self._held is not None:
            self._hold(update, self._held)
        elif update.conflates:
            self._send_queue.replace(self.series, update.frame)
        else:
            self._send_queue.drop(self.series)
            self._send_queue.put(update.frame)

    def expect(self, opened: Micros) -> None:
        """The first closed candle to tell; running ones of that open may pass already."""
        self._from = opened

    def first_held(self) -> Micros | None:
        """The open of the first closed candle that waits and has not been told; those before are let go."""
        if self._held and self._from is not None:
            begin = self._from
            self._held = deque(each for each in self._held if each.kind != "closed" or opened(each.content) >= begin)
        closed = (opened(each.content) for each in self._held or () if each.kind == "closed")
        return next(closed, None)

    def release(self) -> None:
        """Pass on what waits, and from now on everything at once."""
        held, self._held = self._held or deque(), None
        for update in held:
            self.take(update)

    def _hold(self, update: Update, held: deque[Update]) -> None:
        if update.kind == "running":
            if self._from is not None and opened(update.content) == self._from:
                self._send_queue.replace(self.series, update.frame)
        elif update.kind != "book":
            if len(held) >= _MOST_HELD:
                held.popleft()  # what is missing then is fetched as any other hole
            held.append(update)
            if update.kind == "closed":
                self.closed.set()


def opened(row: Row) -> Micros:
    """The open of a candle."""
    return Unit.MILLIS.micros(row["timestamp"])
