"""What waits for each client, and the pump that sends it."""

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
"""How many bytes a client may leave untaken before nothing more is written to it."""
MOST_BYTES = 16 << 20
"""How much may wait for a client."""
MOST_BEFORE_AUTH = 65_536
"""How much a client may owe that has shown no token: what waits for it, and what it has not taken."""
_LOOK_AGAIN_S = 0.05
"""How soon it is looked whether a client that was too slow takes more."""


class Socket(Protocol):
    """Where frames are written."""

    @property
    def is_open(self) -> bool:
        """Whether frames can be sent."""
        ...

    @property
    def unsent(self) -> int:
        """How many bytes the client has not taken yet."""
        ...

    def write_frames(self, frames: bytes) -> None:
        """Send whole frames."""
        ...

    def write_parts(self, parts: Sequence[Part]) -> None:
        """Send a frame, or several, that lie apart."""
        ...

    def trust(self) -> None:
        """The client has shown a token that is to be trusted."""
        ...


class SendQueue:
    """
    Frames for one client, in order.

    What ``replace`` is given takes the place of what waits under the same key. What ``put`` is given is
    never dropped: a client that does not take it for ``grace_s``, or lets more than ``MOST_BYTES`` wait, is too slow,
    and ``on_slow`` is called, once. Before ``trust`` that is so from ``MOST_BEFORE_AUTH`` on.
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
        """How many frames wait."""
        return len(self._waiting)

    def put(self, frame: bytes) -> None:
        """Send it after all that waits."""
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
        """Send it where what waits under the same key would be sent, or after all."""
        if self._ended:
            return
        if key in self._waiting:
            self._metrics.messages_replaced += 1
        self._waiting[key] = frame
        self._pump.soon(self)

    def drop(self, key: Hashable) -> None:
        """Do not send what waits under a key; what comes next says more."""
        if self._waiting.pop(key, None) is not None:
            self._metrics.messages_replaced += 1

    async def send(self, parts: Sequence[Part]) -> None:
        """
        Send a frame that is large and lies in ``parts`` at once after all that waits.

        Where the client has much to take already, this waits until it has; nothing happens where it is gone.
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
        """The client has shown a token that is to be trusted."""
        self._is_trusted = True
        self._socket.trust()

    def drained(self) -> None:
        """The client has taken most of what was written."""
        self._room.set()

    def end(self) -> None:
        """Nothing is sent any more."""
        self._ended = True
        self._waiting.clear()
        self._kept_bytes = 0
        self._room.set()

    def give_up(self) -> None:
        """Close the client, as one that is too slow."""
        self.end()
        self._metrics.slow_clients += 1
        self._on_slow()

    def flush(self, now: float) -> bool:
        """Write what waits; whether it must be looked at again."""
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
        """Write what waits, however much the client has not taken yet."""
        waiting = self._waiting
        if waiting:
            self._metrics.messages_sent += len(waiting)
            frames = next(iter(waiting.values())) if len(waiting) == 1 else b"".join(waiting.values())
            self._socket.write_frames(frames)
            waiting.clear()
            self._kept_bytes = 0

    def _stuck(self, now: float) -> bool:
        if self._stuck_since is None:
            self._stuck_since = now
        if self._kept_bytes and now - self._stuck_since > self._grace_s:
            self.give_up()
            return False
        return True


class Pump:
    """Writes, every so often, what waits for clients, all of it for one client in one go."""

    def __init__(self, every_s: float, metrics: Metrics) -> None:
        self._every_s = every_s
        self._metrics = metrics
        self._dirty: set[SendQueue] = set()
        self._timer: asyncio.TimerHandle | None = None

    def soon(self, send_queue: SendQueue) -> None:
        """Write what waits there at the next turn."""
        self._dirty.add(send_queue)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._turn)

    def _flushed(self, send_queue: SendQueue, now: float) -> bool:
        """Flush it; one client's failure ends that client alone."""
        try:
            return send_queue.flush(now)
        except Exception:
            log.exception("what waits for a client cannot be written; it is closed")
            send_queue.give_up()
            return False

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        dirty, self._dirty = self._dirty, set()
        self._metrics.queued = sum(map(len, dirty))
        again = {send_queue for send_queue in dirty if self._flushed(send_queue, now)}
        if again:
            self._dirty |= again
            if self._timer is None:
                self._timer = loop.call_later(max(self._every_s, _LOOK_AGAIN_S), self._turn)
