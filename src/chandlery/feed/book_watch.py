"""Watch the order books of a connection: find silent, shallow and outdated ones, and record heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import Protocol

from chandlery.core.time import Clock, Micros
from chandlery.feed.backoff import Pace
from chandlery.feed.book_stream import BookStream
from chandlery.feed.connection import Sleep
from chandlery.feed.watchdog import Watchdog

ALIVE_WITHIN_S = 5.0
"""Time without a frame after which a ping is sent."""
_SOONEST_S = 0.01


class Connection(Protocol):
    """The watched connection."""

    @property
    def last_frame_at(self) -> float | None:
        """Time of its last frame, by the clock of the loop; ``None`` without a connection."""
        ...

    def ask_for_life(self) -> None:
        """Send a ping that is answered at once."""
        ...


class Looks(Protocol):
    """Reactions to what the watch finds."""

    def on_silent(self, stream: BookStream) -> None:
        """Handle a silence that a quiet market does not explain."""
        ...

    def on_shallow(self, stream: BookStream) -> None:
        """Handle a book that may lack levels."""
        ...

    def on_outdated(self, stream: BookStream) -> None:
        """Handle a book that is too old."""
        ...

    def on_look_failed(self, stream: BookStream, error: Exception) -> None:
        """Handle a book whose check failed."""
        ...


class BookWatch:
    """The watchdogs of the subscribed ``streams``; ``clock`` is the local one."""

    def __init__(
        self,
        connection: Connection,
        streams: Mapping[str, BookStream],
        looks: Looks,
        *,
        clock: Clock,
        sleep: Sleep,
        pace: Pace,
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._looks = looks
        self._clock = clock
        self._sleep = sleep
        self._pace = pace
        self._watchdogs: dict[str, Watchdog] = {}
        """Watchdogs of the books that are subscribed. A connection that is up may not have subscribed yet."""

    def listen(self, stream: BookStream) -> None:
        """Expect messages for it from now on."""
        now = asyncio.get_running_loop().time()
        self._watchdogs[stream.symbol] = Watchdog(now, stream.heard, quiet_s=self._pace.quiet_s)

    def leave(self, symbol: str) -> None:
        """Stop expecting messages for it; idempotent."""
        self._watchdogs.pop(symbol, None)

    def leave_all(self) -> None:
        """Stop expecting any messages."""
        self._watchdogs.clear()

    async def silences(self) -> None:
        """Watch for silent books, and record heartbeats, until cancelled."""
        frame_at, looked_at = self._connection.last_frame_at, self._clock()
        while True:
            await self._sleep(self._pace.watch_every_s)
            now = asyncio.get_running_loop().time()
            before, frame_at = frame_at, self._connection.last_frame_at
            # A frame since the last check is dated to that check, so that a clock change never makes a book look younger.
            beat, looked_at = looked_at if frame_at not in {before, None} else None, self._clock()
            if frame_at is not None and now - frame_at >= ALIVE_WITHIN_S:
                self._connection.ask_for_life()
            for symbol, watchdog in tuple(self._watchdogs.items()):
                stream = self._streams[symbol]
                try:
                    self._look_at(stream, watchdog, now, beat)
                except Exception as error:  # noqa: BLE001  # other books are still watched
                    self._looks.on_look_failed(stream, error)

    async def ages(self) -> None:
        """Watch for books that become too old, until cancelled."""
        while True:
            left_s = min((each.left_s for each in self._streams.values() if not each.outdated), default=inf)
            await self._sleep(min(max(left_s, _SOONEST_S), self._pace.watch_every_s))
            for stream in tuple(self._streams.values()):
                stream.look_at_age()
                if stream.outdated:
                    self._looks.on_outdated(stream)

    def _look_at(self, stream: BookStream, watchdog: Watchdog, now: float, beat: Micros | None) -> None:
        if stream.resting:
            return
        if watchdog.is_silent(stream.heard, now):
            self._looks.on_silent(stream)
        elif stream.is_shallow:
            self._looks.on_shallow(stream)
        if beat is not None and watchdog.is_usual(now):
            stream.heartbeat_at = beat
