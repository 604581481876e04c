"""One open WebSocket connection: frames, time-outs, close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from sys import maxsize
from typing import Literal

import picows
from picows import WSCloseCode, WSFrame, WSMsgType, WSTransport

from chandlery.core.errors import (
    ChandleryError,
    Closed,
    ExchangeUnavailable,
    InvalidInput,
    MalformedResponse,
    RequestTimeout,
    ResponseTooLarge,
)
from chandlery.core.http import Shortcut

Cause = Literal["peer", "ours", "cut", "idle", "pong", "unread", "malformed", "failed", "refused"]

_LONGEST_CONTROL = 125
"""Longest payload of a control frame (RFC 6455, 5.5)."""
_MOST_AT_ONCE = 64
"""Number of messages collected from one read; more gain nothing."""
_DELAYED_S = 0.1
_CODES: dict[Cause, int] = {"idle": 1001, "pong": 1001, "unread": 1001, "malformed": 1002, "failed": 1011}

# A library does not write to stderr unless the user configures logging.
logging.getLogger("picows").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class CloseReason:
    """
    The reason why a connection ended.

    ``cause`` is ``peer``: a close frame of the peer; ``ours``: a call of ``close``;
    ``cut``: the end of the TCP connection without a close frame; ``idle``: no frame of any kind for
    too long; ``pong``: no pong; ``unread``: the peer does not read what is sent; ``malformed``:
    received data break the protocol or the size cap; ``failed``: ``on_message`` raised; ``refused``: the
    request was not granted.

    ``code`` is that of the close frame that ended it: of the peer's, 0 if it has none, or of
    ours; 1006 for ``cut``. ``reason`` is the text of that frame, or of ``error``. ``error`` is
    ``None`` only for ``peer`` and ``ours``; for ``failed`` it is the exception of ``on_message``.
    """

    cause: Cause
    code: int
    reason: str
    error: Exception | None = None


class Socket(picows.WSListener):
    """
    An open WebSocket connection, made by ``connect``.

    The methods ``on_ws_...``, ``pause_writing`` and ``resume_writing`` are for picows only.
    """

    # Attributes used for every message; the others are in the dictionary.
    __slots__ = (
        "__dict__", "_clock", "_longest_other", "_unread", "last_message_at", "on_message", "shortcut"
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        on_message: Callable[[bytes], object],
        close_timeout_s: float,
        idle_timeout_s: float | None,
        ping: tuple[float | None, float],
        max_bytes: int,
        max_unsent_bytes: int,
    ) -> None:
        self.name = name
        """Host and path; no query, which may hold secrets."""
        self.last_message_at: float | None = None
        """Time at which the last message was read, by the clock of the loop; ``None`` before the first."""
        self.pings = 0
        """Number of pings of the peer, all of them answered."""
        self.pongs = 0
        """Number of pongs of the peer."""
        self.on_message = on_message
        self.shortcut: Shortcut | None = None
        """Fast path that is offered messages first; may be set and removed at any time."""
        self.on_shortcut_failed: Callable[[Exception], object] | None = None
        """Called with the exception of the shortcut, which is then removed; without it, the connection ends."""
        self._close_timeout_s = close_timeout_s
        self._idle_s = idle_timeout_s or inf
        self._ping_every_s, self._pong_timeout_s = ping[0] or inf, ping[1]
        self._max_bytes = max_bytes
        self._max_unsent = max_unsent_bytes
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._transport: WSTransport
        self._reason: CloseReason | None = None
        self._closed: asyncio.Future[CloseReason] = self._loop.create_future()
        self._fragments: bytearray | None = None
        self._longest_other = _LONGEST_CONTROL  # limit for frames that are not complete messages, or unwanted
        self._unread: list[bytes] = []  # messages of one read, delivered with the last of them
        self._last_frame_at = self._clock()  # of those in ``_on_other``
        self._watcher: asyncio.TimerHandle | None = None
        self._killer: asyncio.TimerHandle | None = None
        self._is_delayed = False
        self._watching_at = self._ping_at = self._pong_by = inf

    @property
    def closed(self) -> asyncio.Future[CloseReason]:
        """
        The reason why the connection ended, once it has; never an exception.

        Cancelling it, as a time-out does, leaves the connection alone: every access returns a new future.
        """
        return asyncio.shield(self._closed)

    def send(self, text: str | bytes) -> None:
        """
        Send a text message, at once or as soon as the peer reads; bytes must be UTF-8.

        Raises:
            ExchangeUnavailable: More than ``max_unsent_bytes`` are buffered already; the connection is then closed.
            Closed: It is closed, by either side, or closing.
        """
        if self._reason is not None or self._transport.is_close_frame_sent or self._transport.is_disconnected:
            why = "" if self._reason is None else f" ({self._reason.cause}: {self._reason.reason})"
            raise Closed(f"{self.name}: the connection is closed{why}")
        if not self._write(WSMsgType.TEXT, text):
            raise ExchangeUnavailable(f"{self.name}: the peer does not read")

    @property
    def last_frame_at(self) -> float:
        """Time at which the last frame of any kind was read, by the clock of the loop; before the first, when it was opened."""
        return max(self.last_message_at or 0.0, self._last_frame_at)

    def ping(self) -> None:
        """Send a ping, which the peer has to answer; no effect once closed."""
        if self._reason is None and not self._transport.is_disconnected:
            self._write(WSMsgType.PING, b"")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """
        Close the connection; returns when it is gone, at the latest after ``close_timeout_s``.

        No message is delivered after the call. Idempotent.

        Raises:
            InvalidInput: A code other than 1000 and 3000 to 4999, or over 123 bytes of reason.
        """
        if code != 1000 and not 3000 <= code <= 4999:
            raise InvalidInput(f"{code} is not a close code for applications: 1000, or 3000 to 4999")
        if len(reason.encode()) > _LONGEST_CONTROL - 2:
            raise InvalidInput(f"the reason of a close has at most {_LONGEST_CONTROL - 2} bytes")
        self._end(CloseReason("ours", code, reason))
        try:
            await self.closed
        except asyncio.CancelledError:
            self._transport.disconnect(graceful=False)
            raise

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin; called by picows."""
        self._transport = transport
        # Only this reports errors that picows found itself.
        gone = self._loop.create_task(transport.wait_disconnected())
        gone.add_done_callback(self._on_closed)
        self._ping_at = self._clock() + self._ping_every_s
        self._watch()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Handle one frame; called by picows."""
        payload = frame.get_payload_as_bytes()
        # A longer frame is not a control frame; reading the type would cost as much as all the rest.
        if len(payload) > self._longest_other and frame.fin:
            unread = self._unread
            unread.append(payload)
            if frame.last_in_buffer or len(unread) >= _MOST_AT_ONCE:
                self._deliver()
        else:
            self._deliver()
            self._on_other(frame, payload)

    def pause_writing(self) -> None:
        """Do nothing: the write buffer is checked before each write."""

    def resume_writing(self) -> None:
        """Do nothing."""

    def _deliver(self) -> None:
        """Deliver the collected messages, in order."""
        if not self._unread:
            return
        messages, self._unread = self._unread, []
        self.last_message_at = self._clock()
        self._give(self._untaken(messages))

    def _give(self, messages: Iterable[bytes]) -> None:
        """Call ``on_message`` for each message, until the connection ends."""
        try:
            for message in messages:
                self.on_message(message)
                if self._reason is not None:
                    return
        except Exception as error:  # noqa: BLE001  # a user's function may raise anything, which ends the connection
            self._fail("failed", error)

    def _untaken(self, messages: list[bytes]) -> Iterator[bytes]:
        """Yield the messages that the shortcut leaves, and all messages after it was removed."""
        shortcut, after = self.shortcut, 0
        if shortcut is not None:
            try:
                for place in shortcut(messages):
                    after = place + 1
                    yield messages[place]
                    if self.shortcut is not shortcut:
                        break
                else:
                    return
            except Exception as error:
                if self.on_shortcut_failed is None:
                    raise
                # Messages that it has processed are delivered again, and recognised as repeated.
                self.shortcut = None
                self.on_shortcut_failed(error)
        yield from messages[after:]

    def _on_other(self, frame: WSFrame, payload: bytes) -> None:
        """Handle control frames, fragments and short messages."""
        self._last_frame_at = self._clock()
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            code = int.from_bytes(payload[:2], "big")
            self._end(CloseReason("peer", code, frame.get_close_reason() or ""))
            self._transport.disconnect()
        elif self._reason is not None:
            pass
        elif kind == WSMsgType.PING:
            self.pings += 1
            self._write(WSMsgType.PONG, payload)
        elif kind == WSMsgType.PONG:
            self.pongs += 1
            self._pong_by = inf
        elif (self._fragments is None) == (kind == WSMsgType.CONTINUATION):
            self._fail("malformed", MalformedResponse(f"{self.name}: an unexpected fragment"))
        else:
            self._on_fragment(payload, last=bool(frame.fin))

    def _on_fragment(self, payload: bytes, *, last: bool) -> None:
        if self._fragments is None:
            self._fragments = bytearray()
        self._fragments += payload
        if len(self._fragments) > self._max_bytes:
            self._fail("malformed", ResponseTooLarge(f"{self.name}: a message of over {self._max_bytes} bytes"), 1009)
            return
        self._longest_other = _LONGEST_CONTROL if last else maxsize
        if not last:
            return
        message, self._fragments = bytes(self._fragments), None
        self.last_message_at = self._last_frame_at
        self._give((message,))

    def _write(self, kind: WSMsgType, payload: str | bytes) -> bool:
        """Write a frame. Return false and end the connection if too many bytes are unsent."""
        waiting = self._transport.underlying_transport.get_write_buffer_size()
        if waiting > self._max_unsent:
            self._fail("unread", ExchangeUnavailable(f"{self.name}: the peer has left {waiting} bytes unread"))
            return False
        self._transport.send(kind, payload)
        return True

    def _watch(self) -> None:
        """Check the time-outs, and set the timer for the next of them."""
        now = self._clock()
        if now - self._watching_at > _DELAYED_S and not self._is_delayed:
            # The loop was blocked: data received meanwhile are still to be read.
            self._is_delayed = True
            self._watch_at(now + _DELAYED_S)
            return
        self._is_delayed = False
        idle_at = self.last_frame_at + self._idle_s
        if self._transport.is_close_frame_sent:  # by picows, to a peer that may not read it
            self._transport.disconnect(graceful=False)
        elif now >= idle_at:
            self._fail("idle", RequestTimeout(f"{self.name}: silent for {self._idle_s:g} s"))
        elif now >= self._pong_by:
            self._fail("pong", RequestTimeout(f"{self.name}: no pong within {self._pong_timeout_s:g} s"))
        else:
            if now >= self._ping_at:
                self._ping_at = now + self._ping_every_s
                self._pong_by = min(self._pong_by, now + self._pong_timeout_s)
                if not self._write(WSMsgType.PING, b""):
                    return
            self._watch_at(min(idle_at, self._pong_by, self._ping_at, now + self._close_timeout_s))

    def _watch_at(self, at: float) -> None:
        self._watching_at = at
        self._watcher = self._loop.call_at(at, self._watch)

    def _fail(self, cause: Cause, error: Exception, code: int | None = None) -> None:
        self._end(CloseReason(cause, code or _CODES[cause], str(error), error))

    def _end(self, reason: CloseReason) -> None:
        """End the connection for the first reason given, in bounded time; later calls have no effect."""
        if self._reason is not None or self._closed.done():
            return
        self._reason = reason
        self._longest_other = maxsize
        if self._watcher is not None:
            self._watcher.cancel()
        text = reason.reason if reason.cause == "ours" else ""
        self._transport.send_close(WSCloseCode(reason.code or 1000), text.encode())
        self._killer = self._loop.call_later(self._close_timeout_s, self._transport.disconnect, False)
        if reason.cause != "ours":  # otherwise wait for the peer's close frame
            self._transport.disconnect(graceful=reason.cause != "unread")

    def _on_closed(self, gone: asyncio.Task[None]) -> None:
        self._longest_other = maxsize
        for timer in (self._watcher, self._killer):
            if timer is not None:
                timer.cancel()
        found = None if gone.cancelled() else gone.exception()
        if gone.cancelled():  # with all tasks of a loop that ends
            self._transport.disconnect(graceful=False)
        if self._reason is None:
            self._reason = self._reason_of(found)
        self._closed.set_result(self._reason)

    def _reason_of(self, found: BaseException | None) -> CloseReason:
        """Convert the error of picows to a reason, if the end was not ours."""
        if isinstance(found, picows.WSError):
            code = int(getattr(found, "code", 1002))
            kind = ResponseTooLarge if code == 1009 else MalformedResponse
            error: ChandleryError = kind(f"{self.name}: {found}")
            return CloseReason("malformed", code, str(error), error)
        error = ExchangeUnavailable(f"{self.name}: the connection was cut")
        error.__cause__ = found
        return CloseReason("cut", 1006, str(error), error)
