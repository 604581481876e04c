"""uvicorn's WebSocket, with a way to send frames that were made once for many."""

from __future__ import annotations

from asyncio import BaseTransport, Transport
from collections.abc import Callable, Sequence
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from chandlery.service.frames import Part
from chandlery.service.web.outbox import HIGH_WATER

EXTENSION = "chandlery.socket"
"""Where the application finds the protocol in its scope."""

_GOING_AWAY = 1001
_ANSWER_S = 3.0
"""How long a client may take to answer the close frame when the server stops."""
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class DirectProtocol(WebSocketsSansIOProtocol):
    """
    Puts itself into the scope, so that the application can write whole frames.

    Compression of messages must be off, since a frame for all cannot depend on what one client has heard.
    """

    on_shutdown: Callable[[], object] | None = None
    """Called before the connection ends because the server stops, so that what waits can still be written."""
    on_drained: Callable[[], object] | None = None
    """Called when the client has taken most of what was too much for it."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin, with as much room as an outbox fills."""
        super().connection_made(transport)
        cast("Transport", transport).set_write_buffer_limits(HIGH_WATER)

    def resume_writing(self) -> None:
        """Go on; the transport says when."""
        super().resume_writing()
        if self.on_drained is not None:
            self.on_drained()

    def data_received(self, data: bytes) -> None:
        """Take bytes; who begins with what is no request, or too long a one, is told and let go."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated and not self.transport.is_closing():
            self.transport.write(_BAD_REQUEST)
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """Begin a connection; the application starts after this returns."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self

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
                self.transport.resume_reading()
            self.close_timer = self.loop.call_later(_ANSWER_S, self.transport.close)
