"""uvicorn's WebSocket, with a way to send frames that were made once for many."""

from __future__ import annotations

import asyncio
from asyncio import BaseTransport, Handle, TimerHandle, Transport
from collections.abc import Callable, Sequence
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from chandlery.service.frames import Part
from chandlery.service.web.connections import Place
from chandlery.service.web.limits import Edge
from chandlery.service.web.send_queue import HIGH_WATER

EXTENSION = "chandlery.socket"
"""Where the application finds the protocol in its scope."""

LARGEST_MESSAGE = 1 << 20
"""Bytes that a client may send in one message."""
LARGEST_BEFORE_AUTH = 4_096
"""Of one whose client has shown no token yet."""
MOST_BEFORE_AUTH = 100
"""Messages of one whose client has shown no token yet."""
_MOST_FRAGMENTS = 1_024
_MOST_AFTER_CLOSE = 1 << 18
"""Bytes that may come after the service has closed, before the connection is cut."""
_SLICE = 4_096
"""Bytes that are parsed in one turn of the loop: six of them are a frame, and parsing that takes as long as any."""
_GOING_AWAY, _INVALID_DATA, _POLICY, _TOO_BIG = 1001, 1007, 1008, 1009
_END_S = 10.0
"""How long a client may take what is left for it when a connection ends, before it is cut."""
_ANSWER_S = 3.0
"""How long a client may take to answer the close frame when the server stops."""


class _Handshake(ServerProtocol):
    """A connection whose handshake is answered with ``headers``, whoever answers it: the application, uvicorn or websockets."""

    def __init__(self, headers: Sequence[tuple[bytes, bytes]], plain: ServerProtocol) -> None:
        super().__init__(max_size=plain.max_message_size, logger=plain.logger)
        self._headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]

    def send_response(self, response: Response) -> None:
        """Send an answer, with the headers that it does not have."""
        for name, value in self._headers:
            if name not in response.headers:
                response.headers[name] = value
        super().send_response(response)


class DirectProtocol(WebSocketsSansIOProtocol):
    """
    Puts itself into the scope, so that the application can write whole frames.

    Compression of messages must be off, since a frame for all cannot depend on what one client has heard.
    """

    on_shutdown: Callable[[], object] | None = None
    """Called before the connection ends because the server stops, so that what waits can still be written."""
    on_drained: Callable[[], object] | None = None
    """Called when the client has taken most of what was too much for it."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, place: Place, edge: Edge
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.conn = _Handshake(server_state.default_headers, self.conn)
        self._place = place
        self._edge = edge
        self._rest = b""
        """What has come and is not parsed: the application takes one message after the other."""
        self._unheard = 0
        self._heard = 0
        self._after_close = 0
        self._turn: Handle | None = None
        """When the next slice is parsed; ``None`` where nothing waits but for the application or the client."""
        self._end: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin, with as much room as a send queue fills."""
        super().connection_made(transport)
        cast("Transport", transport).set_write_buffer_limits(HIGH_WATER)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        for handle in (self._end, self._turn):
            if handle is not None:
                handle.cancel()
        self._place.leave()
        super().connection_lost(exc)

    def await_token(self) -> None:
        """The client has come without a token, and is to send one."""
        self._place.is_socket = True
        self._place.idle()

    def trust(self) -> None:
        """The client has shown a token that is to be trusted."""
        self._place.trust()

    def resume_writing(self) -> None:
        """Go on; the transport says when."""
        super().resume_writing()
        if self.on_drained is not None:
            self.on_drained()

    def data_received(self, data: bytes) -> None:
        """Take bytes, which are parsed a slice at a time, so that much from one client holds nobody else up."""
        if self.close_sent:
            self._after_close += len(data)
            if self._after_close > _MOST_AFTER_CLOSE:
                self.transport.abort()
                return
        self._rest = self._rest + data if self._rest else data
        if self._turn is None and not self.read_paused:
            self._parse()

    def _parse(self) -> None:
        """Parse a slice, and go on in the next turn of the loop; after a message, when the application asks for another."""
        self._turn = None
        if self._rest and not self.transport.is_closing():
            part, self._rest = self._rest[:_SLICE], self._rest[_SLICE:]
            self._unheard += len(part)
            super().data_received(part)
            if self.handshake_complete and self._unheard > self._most_unheard and not self.close_sent:
                self._fail("message of a socket", _TOO_BIG, "too large a message")
            elif self.conn.handshake_exc is not None and not self.handshake_initiated:
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.transport.close()
        if self.read_paused or self.transport.is_closing():
            return
        if self._rest:
            self.transport.pause_reading()
            self._turn = self.loop.call_soon(self._parse)
        else:
            self.transport.resume_reading()

    @property
    def _most_unheard(self) -> int:
        """How many bytes may come without a whole message."""
        return 2 * (LARGEST_MESSAGE if self._place.is_trusted else LARGEST_BEFORE_AUTH)

    async def receive(self) -> ASGIReceiveEvent:
        """The next message, one in a turn of the loop; nothing is read from the connection before the application asks for it."""
        if not self.queue.empty():
            await asyncio.sleep(0)
        elif self.read_paused:
            self.read_paused = False
            self._parse()
        return await self.queue.get()

    async def send(self, message: ASGISendEvent) -> None:
        """Send; a handshake that was answered by a refusal is complete, too."""
        await super().send(message)
        if self.close_sent and message["type"] == "websocket.http.response.body":
            self.handshake_complete = True

    def handle_cont(self, event: Frame) -> None:
        """Take a part of a message."""
        if len(self.frames) < _MOST_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self._fail("message of a socket", _TOO_BIG, "too many fragments")

    def send_receive_event_to_app(self) -> None:
        """Pass a message on, unless it is too large, or no text where it should be."""
        self._unheard = 0
        self._heard += 1
        if self.close_sent:
            self.frames = []
        elif not self._place.is_trusted and self._heard > MOST_BEFORE_AUTH:
            self._fail("messages before auth", _POLICY, "say who you are")
        elif not self._place.is_trusted and sum(map(len, self.frames)) > LARGEST_BEFORE_AUTH:
            self._fail(
                "message before auth", _TOO_BIG, f"before auth a message has at most {LARGEST_BEFORE_AUTH} bytes"
            )
        elif self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self._fail("malformed messages", _INVALID_DATA, "a text is UTF-8")
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer, unless the client does not take what it was answered before."""
        if not self.transport.is_closing():
            super().handle_ping()
        if self.unsent > HIGH_WATER * 2:
            self._edge.refusals.count("answers left untaken")
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        """End the connection of a client that does not answer pings any more, nor takes anything."""
        super().keepalive_timeout()
        self.end_soon()

    def end_soon(self) -> None:
        """Cut the connection in a moment, whatever the client has not taken by then."""
        if self._end is None and not self.disconnected:
            self._end = self.loop.call_later(_END_S, self.transport.abort)

    async def run_asgi(self) -> None:
        """Run the application; the connection does not outlive it by more than a moment."""
        try:
            await super().run_asgi()
        finally:
            self.end_soon()

    def _fail(self, limit: str, code: int, reason: str) -> None:
        self._edge.refusals.count(limit)
        self.frames = []
        self._rest = b""
        self.conn.fail(code, reason)
        self.handle_parser_exception()
        self.end_soon()

    def handle_connect(self, event: Request) -> None:
        """Begin a connection; the application starts after this returns."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self
            self.read_paused = True  # what follows is no matter before the application has accepted
            self.transport.pause_reading()

    @property
    def is_open(self) -> bool:
        """Whether frames can be sent."""
        return (
            self.handshake_complete
            and not self.close_sent
            and not self.disconnected
            and not self.transport.is_closing()
        )

    @property
    def unsent(self) -> int:
        """How many bytes the client has not taken yet."""
        return int(self.transport.get_write_buffer_size())

    def write_frames(self, frames: bytes) -> None:
        """Send whole frames of one who is there; what a client does not take at once waits in the transport."""
        self.transport.write(frames)

    def write_parts(self, parts: Sequence[Part]) -> None:
        """Send a frame, or several, that lie apart, without putting them together."""
        if self.is_open:
            self.transport.writelines(parts)

    def shutdown(self) -> None:
        """End the connection because the server stops: at the close frame of the client, at the latest after 3 s."""
        if not self.handshake_complete or self.close_sent:
            super().shutdown()
        elif self.is_open:  # else the client has ended it, and may still take what was written before
            if self.on_shutdown is not None:
                self.on_shutdown()
            self.stop_keepalive()
            self.queue.put_nowait({"type": "websocket.disconnect", "code": _GOING_AWAY})
            self.conn.send_close(_GOING_AWAY, "the service stops")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            # To close now would answer what the client still sends with a reset, which discards what it has not read.
            if self.read_paused:
                self.read_paused = False
                self._parse()
            self.close_timer = self.loop.call_later(_ANSWER_S, self.transport.abort)


def _is_text(frames: Sequence[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
