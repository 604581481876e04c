"""Acceptor of new connections, within the limits."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from chandlery.service.web.bounded import refusal
from chandlery.service.web.connections import GRACE_S, Place
from chandlery.service.web.limits import Edge

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_AT_ONCE = 32
"""Maximum number of connections accepted per turn of the loop, so that evicted ones are closed before the next turn."""
_PAUSE_S = 0.1
"""Pause in seconds when descriptors run out, since an immediate retry would use a full CPU."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_BUSY = refusal(503, "busy", "there are too many connections", [], retryable=True)


class Acceptor:
    """
    Acceptor of a listening socket's connections, which assigns each a slot and a protocol.

    The server of the event loop accepts its whole backlog before any connection can be refused: 2,048 descriptors at
    once, where the process may have 256 in total.
    """

    def __init__(self, listener: socket.socket, edge: Edge, protocol: Callable[[Place], asyncio.BaseProtocol]) -> None:
        self._listener = listener
        self._edge = edge
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._paused: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        listener.setblocking(False)
        self._go_on()

    def close(self) -> None:
        """Stop accepting; idempotent."""
        if self._listener.fileno() < 0:
            return
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for task in self._tasks:
            task.cancel()

    def _go_on(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        connections = self._edge.connections
        connections.hurried = False
        for _ in range(_AT_ONCE):
            if connections.hurried:
                self._pause(GRACE_S)
                return
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._edge.refusals.count("descriptors")
                connections.shed(_AT_ONCE)
                self._pause(_PAUSE_S)
                return
            self._begin(connection, address[0])

    def _pause(self, seconds: float) -> None:
        """Stop accepting for a moment; connections wait in the system's backlog."""
        self._loop.remove_reader(self._listener.fileno())
        self._paused = self._loop.call_later(seconds, self._go_on)

    def _begin(self, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        place = self._edge.connections.join(address)
        if place is None:
            self._edge.refusals.count("connections")
            with connection, suppress(OSError):  # the client may have disconnected
                connection.send(_BUSY)
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        making = self._loop.connect_accepted_socket(lambda: self._protocol(place), connection)
        task = self._loop.create_task(making, name="chandlery connection")
        self._tasks.add(task)
        task.add_done_callback(partial(self._made, connection, place))

    def _made(self, connection: socket.socket, place: Place, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is not None:
            place.leave()
            connection.close()
            if not task.cancelled():
                log.warning("cannot accept a connection: %r", task.exception())
