"""Live entries of the documented method: those that a third party's collector pushes, and those that ours does."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from chandlery.core.errors import Closed
from chandlery.core.series_id import SeriesId
from chandlery.service.collection.broadcaster import Kind, Subscriber, Update
from chandlery.service.documented import named, rows_in

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


MOST_WAITING = 1_000
"""Number of entries that may wait for a WebSocket."""


class Pushing:
    """A subscriber that sends the entries of all its series to a WebSocket, in order."""

    def __init__(self) -> None:
        self._waiting: deque[Update] = deque()
        self._news = asyncio.Event()
        self._too_slow = False

    def take(self, update: Update) -> None:
        """Queue an entry. A book or a running candle replaces the last one that waits, if it is of the same series."""
        if update.kind == "gap":
            return
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last.conflates and update.conflates and last.series == update.series:
            self._waiting.pop()
        self._too_slow = self._too_slow or len(self._waiting) >= MOST_WAITING
        if not self._too_slow:
            self._waiting.append(update)
        self._news.set()

    async def send(self, ws: Any) -> None:
        """
        Send to ``ws.send_json`` until cancelled.

        Raises:
            Closed: More than ``MOST_WAITING`` entries wait.
        """
        while not self._too_slow:
            while self._waiting:
                await ws.send_json(self._waiting.popleft().content)
            self._news.clear()
            await self._news.wait()
        raise Closed(f"the WebSocket is too slow: more than {MOST_WAITING} entries wait for it")


class LiveSocket:
    """The ``ws`` of ``stream_realtime_data``: each entry becomes an update of its subscriber, until it is closed."""

    def __init__(self, series: SeriesId, subscriber: Subscriber) -> None:
        self.closed = False
        self._series = series
        self._subscriber = subscriber

    async def send_json(self, message: Any) -> None:
        """Pass on an entry, a list of them, or the ``data`` of a message; entries of other channels are ignored."""
        for row in rows_in(message, self._series):
            if not self.closed:
                kind: Kind = "book" if self._series.interval is None else "closed" if row.get("closed") else "running"
                self._subscriber.take(Update(self._series, kind, row))
        await asyncio.sleep(0)  # so that a manager that pushes without a pause lets others run


def live(stream: Callable[..., Awaitable[object]], series: SeriesId, subscriber: Subscriber) -> Callable[[], object]:
    """
    Run ``stream_realtime_data`` in the background; return a function that ends it. Its errors are logged.

    Raises:
        UnsupportedRequest: It has no ``interval``, and the series has another one than a minute.
    """
    socket = LiveSocket(series, subscriber)
    options = named(stream, series)

    async def run() -> None:
        try:
            await stream(series.symbol, socket, **options)
        except Exception:
            log.exception("%s: the stream of a manager has failed", series)

    task = asyncio.create_task(run(), name=f"chandlery {series} of a manager")

    def end() -> None:
        socket.closed = True
        task.cancel()

    return end
