"""uvicorn's HTTP protocol, with limits that apply before routing and authentication."""

from __future__ import annotations

import asyncio
from asyncio import BaseTransport, Transport
from functools import partial
from typing import Any, cast

import httptools
import msgspec
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from chandlery.service.auth.guard import PLACE
from chandlery.service.errors import PROBLEM, problem
from chandlery.service.web import limits
from chandlery.service.web.connections import Place
from chandlery.service.web.limits import Edge
from chandlery.service.web.protocol import DirectProtocol

_SLICE = 16_384
_HIGH_WATER = 1 << 20
"""Write buffer limit in bytes before the next part of a response is requested; less would stall fast clients."""
_FORM = b"application/x-www-form-urlencoded"


class BoundedProtocol(HttpToolsProtocol):
    """
    HTTP protocol with limits on request size, on receive time, and on the time that responses stay unread.

    Bytes are parsed in slices, so that at most one slice is parsed beyond a limit. A request beyond a limit is answered
    with a problem document. Further input is then discarded for a moment, because closing a connection with unread
    bytes resets it and loses the answer.
    """

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, place: Place, edge: Edge
    ) -> None:
        super().__init__(config, server_state, app_state)
        upgraded: Any = partial(DirectProtocol, place=place, edge=edge)
        self.ws_protocol_class = upgraded
        self.url = b""
        self._place = place
        self._edge = edge
        self._refused = False
        self._thrown_away = 0
        self._begun = False
        self._in_body = False
        self._loose = 0
        """Bytes since the last complete part of a request: of a head, or between the parts of a body."""
        self._body = 0
        self._counted = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Start waiting for the head of the first request."""
        super().connection_made(cast("Transport", transport))
        self.transport.set_write_buffer_limits(_HIGH_WATER)
        self._place.begin(self.transport.abort)
        self._deadline = self.loop.call_later(self._edge.head_s, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        self._stop(self._deadline, self._unread)
        self._release()
        self._place.leave()
        super().connection_lost(exc)

    # Input.

    def data_received(self, data: bytes) -> None:
        """Parse in slices until a limit is exceeded."""
        self._unset_keepalive_if_required()
        if self._refused:
            self._throw_away(data)
            return
        for start in range(0, len(data), _SLICE):
            if not self._parse(data[start : start + _SLICE]):
                return
        if self._deadline is None and (self._in_body or self._begun or self._loose):
            self._deadline = self.loop.call_later(self._edge.body_s if self._in_body else self._edge.head_s, self._late)

    def _parse(self, part: bytes) -> bool:
        """Parse a slice; return whether more may follow."""
        self._loose += len(part)
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self.cycle.keep_alive = False  # only WebSocket upgrades are supported, and the parser has stopped
            return False
        except httptools.HttpParserError:
            if not self._refused:
                self._refuse("malformed requests", 400, "malformed_request", "the request is not HTTP/1.1")
        if not self._refused and self._loose > limits.MOST_HEAD:
            self._too_long()
        return not self._refused

    def _throw_away(self, data: bytes) -> None:
        self._thrown_away += len(data)
        if self._thrown_away > limits.LINGER_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._refused:
            return
        super().on_message_begin()
        extensions: dict[str, Any] = {PLACE: self._place}
        self.scope["extensions"] = extensions
        self._begun = True
        self._loose = self._body = 0

    def on_headers_complete(self) -> None:
        """Check the head, and start the response."""
        if self._refused:
            return
        self._begun, self._in_body, self._loose = False, True, 0
        self._stop(self._deadline)
        self._deadline = None
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > limits.MOST_HEAD:
            self._too_long()
        elif len(self.pipeline) >= limits.MOST_PIPELINED:
            self._refuse("pipelined requests", 400, "pipelined", "read the responses before sending more requests")
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Receive a part of a body."""
        if self._refused:
            return
        self._loose = 0
        self._body += len(body)
        if self._body > limits.MOST_FORM:
            if self._body > self._most_body(self.scope):
                self._too_large(self.scope)
                return
            self._counted += len(body)
            self._edge.bodies += len(body)
            if self._edge.bodies > limits.MOST_BODIES:
                self._refuse("bodies in all", 503, "busy", "too many large bodies are being received", retryable=True)
                return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Complete a request."""
        if self._refused:
            return
        self._in_body, self._loose = False, 0
        self._stop(self._deadline)
        self._deadline = None
        super().on_message_complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self._place.busy()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start the application, unless the body is refused."""
        scope: Scope = cycle.scope  # type: ignore[assignment]  # the same
        if self._refused:
            return
        headers = dict(scope["headers"])
        if int(headers.get(b"content-length", b"0")) > self._most_body(scope):
            self._too_large(scope)
        elif (
            scope["path"] in self._edge.forms
            and scope["method"] == "POST"
            and headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != _FORM
        ):
            self._refuse("forms", 415, "unsupported_media_type", f"the content type must be {_FORM.decode()}")
        else:
            super()._start_asgi_task(cycle, app)

    def _most_body(self, scope: Any) -> int:
        return limits.MOST_FORM if scope.get("path") in self._edge.forms else limits.MOST_BODY

    # Output.

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._release()
        if not self.pipeline:
            self._place.idle()
        self._end_unread()

    def pause_writing(self) -> None:
        """Pause output, since the client reads too slowly."""
        super().pause_writing()
        self._place.idle()
        self._unread = self.loop.call_later(self._edge.unread_s, self._left)

    def resume_writing(self) -> None:
        """Resume output."""
        super().resume_writing()
        self._stop(self._unread)
        self._unread = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._place.busy()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection without a further request."""
        super().timeout_keep_alive_handler()
        self._end_unread()

    def _end_unread(self) -> None:
        """Bound the time that a closing connection waits for its client to read the rest."""
        if self._unread is None and self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._unread = self.loop.call_later(self._edge.unread_s, self._left)

    def _left(self) -> None:
        self._edge.refusals.count("responses left unread")
        self.transport.abort()

    # Refusals.

    def _late(self) -> None:
        self._deadline = None
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if self.flow.read_paused or (self._in_body and answering):
            self._deadline = self.loop.call_later(self._edge.body_s, self._late)
        elif self._in_body or self._begun or self._loose:
            self._refuse("time for a request", 408, "request_timeout", "the request took too long to arrive")
        else:
            self._edge.refusals.count("time for a request")
            self.transport.close()

    def _too_long(self) -> None:
        if len(self.url) > limits.MOST_HEAD // 2:
            self._refuse("URL", 414, "uri_too_long", f"a URL has at most {limits.MOST_HEAD:,} bytes")
        else:
            self._refuse(
                "head", 431, "headers_too_large", f"request line and headers have at most {limits.MOST_HEAD:,} bytes"
            )

    def _too_large(self, scope: Any) -> None:
        self._refuse("body", 413, "body_too_large", f"a body has at most {self._most_body(scope):,} bytes here")

    def _refuse(self, limit: str, status: int, code: str, detail: str, **more: Any) -> None:
        """Send a problem document if no other response has begun, and close the connection."""
        self._refused = True
        self._edge.refusals.count(limit)
        self._release()
        self._stop(self._deadline)
        self._deadline = None
        cycle = self.cycle
        under_way = cycle is not None and not cycle.response_complete
        others = bool(self.pipeline) or (under_way and (not self._in_body or cycle.response_started))
        self.pipeline.clear()
        if under_way:
            cycle.disconnected = True
            cycle.message_event.set()
        if others:
            self.transport.abort()
            return
        self.transport.write(refusal(status, code, detail, self.server_state.default_headers, **more))
        self._place.idle()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._deadline = self.loop.call_later(limits.LINGER_S, self.transport.abort)

    def _release(self) -> None:
        self._edge.bodies -= self._counted
        self._counted = 0

    @staticmethod
    def _stop(*timers: asyncio.TimerHandle | None) -> None:
        for timer in timers:
            if timer is not None:
                timer.cancel()


def refusal(status: int, code: str, detail: str, headers: list[tuple[bytes, bytes]], **more: Any) -> bytes:
    """Return a complete response, after which the connection closes."""
    body = msgspec.json.encode(problem(status, code, detail, **more))
    lines = [
        *headers,
        (b"content-type", PROBLEM.encode()),
        (b"content-length", str(len(body)).encode()),
        *([(b"retry-after", b"1")] if more.get("retryable") else []),
        (b"connection", b"close"),
    ]
    return b"".join([STATUS_LINE[status], *(b"%b: %b\r\n" % line for line in lines), b"\r\n", body])
