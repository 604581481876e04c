"""WebSockets of one market, in any wire format, with faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Struct

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import Micros
from chandlery.sim.book import tick_of
from chandlery.sim.faults import Fault, FaultKind, Faults
from chandlery.sim.line_socket import LineSocket
from chandlery.sim.wire import Session, Want, Wire

_MAX_BACKLOG = 1000
"""Maximum number of closed candles sent per tick, after a jump of the clock."""
_MAX_LEAP = 6000
"""Maximum number of book ticks that a stream catches up; after a larger jump the connection is cut."""
_SEND_TIMEOUT_S = 5.0
_PING_S = 20.0
_GARBAGE = b"\x1f\x8b\x00garbage\xff"


class _Published(Struct):
    """Progress of a subscription; a new subscription starts over."""

    want: Want
    at: Micros
    tick: int
    began: bool = False
    silent: bool = False


class Connection:
    """One WebSocket: its session, and the progress of each subscription."""

    def __init__(self, socket: web.WebSocketResponse | LineSocket, request: web.BaseRequest, session: Session) -> None:
        self.socket = socket
        self.request = request
        self.session = session
        self.published: dict[str, _Published] = {}
        self.held: list[str | bytes] = []
        """Frames held back behind the next one, for out-of-order delivery."""
        self.stalled = False

    async def send(self, frame: str | bytes) -> None:
        """Send a frame, within the time-out."""
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            if isinstance(frame, bytes):
                await self.socket.send_bytes(frame)
            else:
                await self.socket.send_str(frame)

    def cut(self) -> None:
        """Cut the connection."""
        if self.request.transport is not None:
            self.request.transport.abort()


class Streams:
    """
    WebSockets of one market.

    They send on ``tick``: for each candle stream every newly closed candle once, then the running one; for each book
    the changes.
    """

    def __init__(self, wire: Wire, faults: Faults) -> None:
        self.wire = wire
        self.dropped = 0
        """Number of WebSockets closed because the client did not read, or by a fault."""
        self._faults = faults
        self._connections: set[Connection] = set()

    async def serve(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Serve a WebSocket until it is closed; ``path`` is relative to the market's base URL."""
        session = Session(path, dict(request.query))
        refused = self.wire.admit(session)
        if refused is not None:
            return web.Response(status=refused.status, body=refused.body, headers=refused.headers)
        socket = web.WebSocketResponse(heartbeat=_PING_S, compress=False)
        await socket.prepare(request)
        connection = Connection(socket, request, session)
        try:
            await self.join(connection)
            async for message in socket:
                if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                    text = message.data if isinstance(message.data, str) else message.data.decode(errors="replace")
                    await self.take(connection, text)
        except (TimeoutError, ConnectionError):
            self.dropped += 1
        finally:
            self.leave(connection)
        return socket

    async def join(self, connection: Connection) -> None:
        """Greet a connection, which gets updates from now on."""
        self._connections.add(connection)
        await self._reply(connection, self.wire.greeting(connection.session))
        self._begin(connection)

    async def take(self, connection: Connection, text: str) -> None:
        """Obey a message of the client."""
        await self._reply(connection, self.wire.heed(connection.session, text))
        self._begin(connection)
        if connection.session.cut or (connection.published and self._cuts()):
            connection.cut()

    def leave(self, connection: Connection) -> None:
        """Send no more updates to a connection."""
        self._connections.discard(connection)

    async def serve_lines(
        self, request: web.BaseRequest, path: str, text: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Serve a response of lines until it is closed; ``text`` is the request for ``obey``."""
        session = Session(path, dict(request.query))
        socket = await LineSocket.opened(request, headers)
        connection = Connection(socket, request, session)
        self._connections.add(connection)
        try:
            await self._reply(connection, self.wire.heed(session, text))
            self._begin(connection)
            if self._cuts():
                connection.cut()
            await socket.over()
        except (TimeoutError, ConnectionError):
            self.dropped += 1
        finally:
            self._connections.discard(connection)
        return socket.response

    def _cuts(self) -> bool:
        """Return whether the exchange closes the connection of a new subscription, and count it."""
        if not self.wire.view.cuts:
            return False
        self.wire.view.cuts -= 1
        self.dropped += 1
        return True

    async def tick(self) -> None:
        """Send all pending updates."""
        await asyncio.gather(*(self._notify(connection) for connection in tuple(self._connections)))

    async def close(self) -> None:
        """Close every WebSocket."""
        await asyncio.gather(*(connection.socket.close() for connection in tuple(self._connections)))

    @property
    def subscriptions(self) -> list[str]:
        """Streams subscribed to now, over all WebSockets, sorted."""
        return sorted(key for connection in self._connections for key in connection.session.wants)

    def _begin(self, connection: Connection) -> None:
        """Record the start of each new subscription."""
        now = self.wire.now
        published = connection.published
        connection.published = {
            key: published[key]
            if key in published and published[key].want is want
            else _Published(want, now, tick_of(now))
            for key, want in connection.session.wants.items()
            if want.symbol
        }

    async def _reply(self, connection: Connection, contents: Iterable[Any]) -> None:
        for content in contents:
            await connection.send(self.wire.frame(content))

    async def _notify(self, connection: Connection) -> None:
        try:
            if not connection.session.silent and not connection.stalled:
                await self._reply(connection, self.wire.heartbeat(connection.session))
            for key, published in tuple(connection.published.items()):
                want = connection.session.wants.get(key)
                if want is not None and not connection.session.silent:
                    await self._notify_of(connection, want, published)
        except (TimeoutError, ConnectionError):
            self.dropped += 1
            self._connections.discard(connection)
            await connection.socket.close()

    async def _notify_of(self, connection: Connection, want: Want, published: _Published) -> None:
        session = connection.session
        contents = (
            self._candles(session, want, want.interval, published)
            if want.interval
            else self._book(session, want, published)
        )
        for content in contents:
            if connection.stalled or published.silent or connection.socket.closed:
                return
            await self._send(connection, want, published, content)

    def _candles(self, session: Session, want: Want, interval: Interval, published: _Published) -> Iterable[Any]:
        now = self.wire.now
        view, grid = self.wire.view, self.wire.view.grids[interval]
        since = max(grid.floor(published.at - view.unlike.unsettled), grid.step(grid.floor(now), -_MAX_BACKLOG))
        published.at = now
        candles = view.live(want.symbol, interval, Span(since, now + 1), _MAX_BACKLOG + 1)
        contents = self.wire.candles(session, want, candles) if candles else ()
        return [self.wire.reshaped(each, rows=True) for each in contents]

    def _book(self, session: Session, want: Want, published: _Published) -> Iterable[Any]:
        tick = tick_of(self.wire.now)
        if tick - published.tick > _MAX_LEAP:
            raise ConnectionError
        if not published.began:
            published.began = True
            state = self.wire.view.book(want.symbol, want.depth, published.tick)
            contents = self.wire.book(session, want, state, published.tick)
            yield from (self.wire.reshaped(each, rows=False) for each in contents)
        while published.tick < tick:
            before, published.tick = published.tick, published.tick + 1
            fault = self._faults.of_frame(self._name(want), {FaultKind.SKIPPED_UPDATE, FaultKind.BAD_BOOK_CHECKSUM})
            bids, asks = self.wire.view.changes(want.symbol, want.depth, before, published.tick)
            self.wire.skew = int(fault is not None and fault.kind is FaultKind.BAD_BOOK_CHECKSUM)
            contents = self.wire.changes(session, want, bids, asks, before, published.tick)
            self.wire.skew = 0
            if fault is None or fault.kind is not FaultKind.SKIPPED_UPDATE:
                yield from (self.wire.reshaped(each, rows=False) for each in contents)

    def _name(self, want: Want) -> str:
        return f"{self.wire.id}/{want.key}"

    async def _send(self, connection: Connection, want: Want, published: _Published, content: Any) -> None:
        frame = self.wire.frame(content)
        fault = self._faults.of_frame(self._name(want), ON_FRAMES)
        if fault is not None:
            await self._strike(connection, published, fault, frame)
            return
        await connection.send(frame)
        while connection.held:
            await connection.send(connection.held.pop())

    async def _strike(self, connection: Connection, published: _Published, fault: Fault, frame: str | bytes) -> None:
        match fault.kind:
            case FaultKind.DROP:
                connection.cut()
            case FaultKind.STALLED_SOCKET:
                connection.stalled = True
            case FaultKind.NO_DATA:
                published.silent = True
            case FaultKind.DUPLICATE:
                await connection.send(frame)
                await connection.send(frame)
            case FaultKind.OUT_OF_ORDER:
                connection.held.append(frame)
            case FaultKind.GARBAGE:
                await connection.send(_GARBAGE)
            case FaultKind.POLICY_CLOSE:
                await connection.socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"Too many requests")
            case _:
                self.wire.forget_tokens()
                connection.cut()
        if fault.kind in {FaultKind.DROP, FaultKind.POLICY_CLOSE, FaultKind.TOKEN_EXPIRED}:
            self.dropped += 1
            self._connections.discard(connection)


ON_FRAMES = frozenset(
    {
        FaultKind.DROP,
        FaultKind.STALLED_SOCKET,
        FaultKind.NO_DATA,
        FaultKind.DUPLICATE,
        FaultKind.OUT_OF_ORDER,
        FaultKind.GARBAGE,
        FaultKind.POLICY_CLOSE,
        FaultKind.TOKEN_EXPIRED,
    }
)
"""Faults that affect a data frame."""
