"""uvicorn's WebSocket protocol, extended to send frames that are encoded once for many clients."""

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
"""Key of the ASGI scope that holds the protocol."""

LARGEST_MESSAGE = 1 << 20
"""Maximum size in bytes of a client's message."""
LARGEST_BEFORE_AUTH = 4_096
"""Maximum size in bytes of a message before authentication."""
MOST_BEFORE_AUTH = 100
"""Maximum number of messages before authentication."""
_MOST_FRAGMENTS = 1_024
_MOST_AFTER_CLOSE = 1 << 18
"""Maximum number of bytes received after the close frame, before the connection is aborted."""
_SLICE = 4_096
"""Bytes parsed per turn of the loop: a frame can be as short as six bytes, and each costs as much as a long one."""
_GOING_AWAY, _INVALID_DATA, _POLICY, _TOO_BIG = 1001, 1007, 1008, 1009
_END_S = 10.0
"""Maximum time in seconds for a client to read the rest of a closing connection."""
_ANSWER_S = 3.0
"""Maximum time in seconds for a client to answer the close frame when the server stops."""


class _Handshake(ServerProtocol):
    """Handshake that adds ``headers`` to every response, of the application, uvicorn or websockets."""

    def __init__(self, headers: Sequence[tuple[bytes, bytes]], plain: ServerProtocol) -> None:
        super().__init__(max_size=plain.max_message_size, logger=plain.logger)
        self._headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]

    def send_response(self, response: Response) -> None:
        """Send a response, adding missing headers."""
        for name, value in self._headers:
            if name not in response.headers:
                response.headers[name] = value
        super().send_response(response)


class DirectProtocol(WebSocketsSansIOProtocol):
    """
    WebSocket protocol in the scope, so that the application can write whole frames.

    Per-message compression must be off, since a shared frame cannot depend on the compression state of one client.
    """

    on_shutdown: Callable[[], object] | None = None
    """Called before the connection closes on shutdown, so that queued frames can be written."""
    on_drained: Callable[[], object] | None = None
    """Called when the write buffer has drained."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, place: Place, edge: Edge
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.conn = _Handshake(server_state.default_headers, self.conn)
        self._place = place
        self._edge = edge
        self._rest = b""
        """Received bytes that are not parsed yet: the application takes one message after the other."""
        self._unheard = 0
        self._heard = 0
        self._after_close = 0
        self._turn: Handle | None = None
        """Handle of the next parse; ``None`` while waiting for the application or the client."""
        self._end: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Start the connection, with a write buffer as large as a send queue's limit."""
        super().connection_made(transport)
        cast("Transport", transport).set_write_buffer_limits(HIGH_WATER)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        for handle in (self._end, self._turn):
            if handle is not None:
                handle.cancel()
        self._place.leave()
        super().connection_lost(exc)

    def await_token(self) -> None:
        """Start waiting for a token."""
        self._place.is_socket = True
        self._place.idle()

    def trust(self) -> None:
        """Mark the client as authenticated."""
        self._place.trust()

    def resume_writing(self) -> None:
        """Resume output, on a signal of the transport."""
        super().resume_writing()
        if self.on_drained is not None:
            self.on_drained()

    def data_received(self, data: bytes) -> None:
        """Receive bytes, and parse them in slices, so that one client cannot block others."""
        if self.close_sent:
            self._after_close += len(data)
            if self._after_close > _MOST_AFTER_CLOSE:
                self.transport.abort()
                return
        self._rest = self._rest + data if self._rest else data
        if self._turn is None and not self.read_paused:
            self._parse()

    def _parse(self) -> None:
        """Parse a slice, and continue in the next turn of the loop; after a message, on the next receive."""
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
        """Maximum number of bytes without a complete message."""
        return 2 * (LARGEST_MESSAGE if self._place.is_trusted else LARGEST_BEFORE_AUTH)

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message, one per turn of the loop; the connection is read only on demand."""
        if not self.queue.empty():
            await asyncio.sleep(0)
        elif self.read_paused:
            self.read_paused = False
            self._parse()
        return await self.queue.get()

    async def send(self, message: ASGISendEvent) -> None:
        """Send an event; a handshake answered with a refusal is complete, too."""
        await super().send(message)
        if self.close_sent and message["type"] == "websocket.http.response.body":
            self.handshake_complete = True

    def handle_cont(self, event: Frame) -> None:
        """Receive a continuation frame."""
        if len(self.frames) < _MOST_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self._fail("message of a socket", _TOO_BIG, "too many fragments")

    def send_receive_event_to_app(self) -> None:
        """Pass a message on, unless it is too large, or is not text as required."""
        self._unheard = 0
        self._heard += 1
        if self.close_sent:
            self.frames = []
        elif not self._place.is_trusted and self._heard > MOST_BEFORE_AUTH:
            self._fail("messages before auth", _POLICY, "authenticate first")
        elif not self._place.is_trusted and sum(map(len, self.frames)) > LARGEST_BEFORE_AUTH:
            self._fail(
                "message before auth", _TOO_BIG, f"before auth a message has at most {LARGEST_BEFORE_AUTH} bytes"
            )
        elif self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self._fail("malformed messages", _INVALID_DATA, "a text message must be UTF-8")
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping, unless the client leaves earlier answers unread."""
        if not self.transport.is_closing():
            super().handle_ping()
        if self.unsent > HIGH_WATER * 2:
            self._edge.refusals.count("responses left unread")
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        """Close the connection of a client that neither answers pings nor reads."""
        super().keepalive_timeout()
        self.end_soon()

    def end_soon(self) -> None:
        """Abort the connection after a short delay, even if data is unread."""
        if self._end is None and not self.disconnected:
            self._end = self.loop.call_later(_END_S, self.transport.abort)

    async def run_asgi(self) -> None:
        """Run the application, and close the connection soon after it ends."""
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
            self.read_paused = True  # further input waits until the application has accepted
            self.transport.pause_reading()

    @property
    def is_open(self) -> bool:
        """True while frames can be sent."""
        return (
            self.handshake_complete
            and not self.close_sent
            and not self.disconnected
            and not self.transport.is_closing()
        )

    @property
    def unsent(self) -> int:
        """Number of bytes that the client has not read yet."""
        return int(self.transport.get_write_buffer_size())

    def write_frames(self, frames: bytes) -> None:
        """Send whole frames; what the client does not read at once is buffered in the transport."""
        self.transport.write(frames)

    def write_parts(self, parts: Sequence[Part]) -> None:
        """Send frames given as several buffers, without joining them."""
        if self.is_open:
            self.transport.writelines(parts)

    def shutdown(self) -> None:
        """Close the connection on shutdown, on the client's close frame, or after 3 s."""
        if not self.handshake_complete or self.close_sent:
            super().shutdown()
        elif self.is_open:  # otherwise the client has closed, and may still read what was written before
            if self.on_shutdown is not None:
                self.on_shutdown()
            self.stop_keepalive()
            self.queue.put_nowait({"type": "websocket.disconnect", "code": _GOING_AWAY})
            self.conn.send_close(_GOING_AWAY, "the service stops")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            # Closing now would answer further input with a reset, which discards unread output.
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
