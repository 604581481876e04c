"""Send queue of each client, and the pump that flushes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from chandlery.service.frames import Part
from chandlery.service.metrics import Metrics

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

HIGH_WATER = 1 << 20
"""Limit in bytes of unread data, beyond which nothing more is written to a client."""
MOST_BYTES = 16 << 20
"""Maximum size in bytes of a client's queue."""
MOST_BEFORE_AUTH = 65_536
"""Maximum size in bytes of queued and unread data before authentication."""
_LOOK_AGAIN_S = 0.05
"""Interval in seconds between checks of a slow client."""


class Socket(Protocol):
    """Destination of frames."""

    @property
    def is_open(self) -> bool:
        """True while frames can be sent."""
        ...

    @property
    def unsent(self) -> int:
        """Number of bytes that the client has not read yet."""
        ...

    def write_frames(self, frames: bytes) -> None:
        """Send whole frames."""
        ...

    def write_parts(self, parts: Sequence[Part]) -> None:
        """Send frames given as several buffers."""
        ...

    def trust(self) -> None:
        """Mark the client as authenticated."""
        ...


class SendQueue:
    """
    Ordered queue of frames for one client.

    ``replace`` conflates by key. Frames of ``put`` are never dropped: a client that does not read them for ``grace_s``,
    or lets more than ``MOST_BYTES`` queue up, is too slow, and ``on_slow`` is called once. Before ``trust`` the limit
    is ``MOST_BEFORE_AUTH``.
    """

    def __init__(
        self, socket: Socket, pump: Pump, *, grace_s: float, on_slow: Callable[[], object], metrics: Metrics
    ) -> None:
        self._socket = socket
        self._pump = pump
        self._grace_s = grace_s
        self._on_slow = on_slow
        self._metrics = metrics
        self._waiting: dict[Hashable, bytes] = {}
        self._kept_bytes = 0
        self._number = 0
        self._stuck_since: float | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._is_trusted = False

    def __len__(self) -> int:
        """Return the number of queued frames."""
        return len(self._waiting)

    def put(self, frame: bytes) -> None:
        """Queue a frame."""
        if self._ended:
            return
        self._number += 1
        self._waiting[self._number] = frame
        self._kept_bytes += len(frame)
        if self._kept_bytes > MOST_BYTES or (
            not self._is_trusted and self._kept_bytes + self._socket.unsent > MOST_BEFORE_AUTH
        ):
            self.give_up()
        else:
            self._pump.soon(self)

    def replace(self, key: Hashable, frame: bytes) -> None:
        """Replace the queued frame with the same key, or queue a new one."""
        if self._ended:
            return
        waiting = self._waiting
        if key in waiting:
            self._metrics.messages_replaced += 1  # the flush of the older frame is scheduled already
        else:
            self._pump.soon(self)
        waiting[key] = frame

    def drop(self, key: Hashable) -> None:
        """Discard the queued frame with a key, since a later one supersedes it."""
        if self._waiting.pop(key, None) is not None:
            self._metrics.messages_replaced += 1

    async def send(self, parts: Sequence[Part]) -> None:
        """
        Send a large frame in ``parts`` immediately, after the queued ones.

        Waits while the client has much unread data; does nothing if the client has disconnected.
        """
        while not self._ended and self._socket.unsent > HIGH_WATER:
            self._room.clear()
            self._pump.soon(self)
            await self._room.wait()
        if not self._ended and self._socket.is_open:
            self.write_all()
            self._metrics.messages_sent += 1
            self._socket.write_parts(parts)

    def trust(self) -> None:
        """Mark the client as authenticated."""
        self._is_trusted = True
        self._socket.trust()

    def drained(self) -> None:
        """Resume after the write buffer has drained."""
        self._room.set()

    def end(self) -> None:
        """Stop sending."""
        self._ended = True
        self._waiting.clear()
        self._kept_bytes = 0
        self._room.set()

    def give_up(self) -> None:
        """Close the client as too slow."""
        self.end()
        self._metrics.slow_clients += 1
        self._on_slow()

    def flush(self, now: float) -> bool:
        """Write queued frames; return whether another flush is needed."""
        socket = self._socket
        if not socket.is_open:
            self.end()
            return False
        if socket.unsent > HIGH_WATER:
            return self._stuck(now)
        self._stuck_since = None
        self.write_all()
        if self._room.is_set():
            return False
        if socket.unsent > HIGH_WATER:
            return True
        self._room.set()
        return False

    def write_all(self) -> None:
        """Write all queued frames, whatever the client has left unread."""
        waiting = self._waiting
        if waiting:
            self._metrics.messages_sent += len(waiting)
            if len(waiting) == 1:
                _, frames = waiting.popitem()
            else:
                frames = b"".join(waiting.values())
                waiting.clear()
            self._socket.write_frames(frames)
            self._kept_bytes = 0

    def _stuck(self, now: float) -> bool:
        if self._stuck_since is None:
            self._stuck_since = now
        if self._kept_bytes and now - self._stuck_since > self._grace_s:
            self.give_up()
            return False
        return True


class Pump:
    """Periodic writer of all send queues, with one write per client."""

    def __init__(self, every_s: float, metrics: Metrics) -> None:
        self._every_s = every_s
        self._metrics = metrics
        self._dirty: set[SendQueue] = set()
        self._timer: asyncio.TimerHandle | None = None

    def soon(self, send_queue: SendQueue) -> None:
        """Schedule a flush in the next turn."""
        self._dirty.add(send_queue)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._turn)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        dirty, self._dirty = self._dirty, set()
        self._metrics.queued = sum(map(len, dirty))
        again = set()
        for send_queue in dirty:
            try:
                if send_queue.flush(now):
                    again.add(send_queue)
            except Exception:
                log.exception("cannot write to a client; closing its connection")
                send_queue.give_up()
        if again:
            self._dirty |= again
            if self._timer is None:
                self._timer = loop.call_later(max(self._every_s, _LOOK_AGAIN_S), self._turn)
