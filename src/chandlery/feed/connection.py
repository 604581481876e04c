"""One connection: receive messages, reply where the exchange demands it, and confirm the subscriptions."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.errors import ChandleryError, ExchangeUnavailable, MalformedResponse, RateLimited
from chandlery.core.http import Shortcut
from chandlery.feed.backoff import Pace
from chandlery.feed.channels import AssignedChannels
from chandlery.feed.recovery import described, holds
from chandlery.net.line_stream import LineStream
from chandlery.net.ws import CloseReason, Socket

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

Item = TypeVar("Item", bound=Hashable)
"""A subscription: a stream of candles, or the symbol of a book."""
Sleep = Callable[[float], Awaitable[None]]

_SPREAD_S = 0.25
"""Longest pause between two messages while below the rate limit."""
_MOST_BAD = 20
"""Number of consecutive unreadable messages after which the connection is given up."""


class Pending(Generic[Item]):
    """
    Subscriptions of a connection that are unconfirmed: neither data nor an acknowledgement has arrived.

    ``heard`` returns the number of messages for one so far. Times are seconds of a monotonic clock.
    """

    def __init__(self, heard: Callable[[Item], int], symbol_of: Callable[[Item], str]) -> None:
        self._heard = heard
        self._symbol_of = symbol_of
        self._sent: dict[Item, tuple[int, float, int]] = {}
        """For each: the message count when it was sent, the time of sending, and the part."""
        self._parts = 0
        self.proved = False
        """True once any was confirmed."""

    def sent(self, items: Iterable[Item], now: float) -> None:
        """Record subscriptions that are sent together."""
        self._parts += 1
        self._sent |= {each: (self._heard(each), now, self._parts) for each in items}

    def left(self, items: Iterable[Item]) -> None:
        """Drop these."""
        for each in items:
            self._sent.pop(each, None)

    def since(self, moment: float = 0.0) -> list[Item]:
        """Return those sent at or after ``moment`` that are unconfirmed."""
        proved = [each for each, (heard, _, _) in self._sent.items() if self._heard(each) != heard]
        self._prove(proved)
        return [each for each, (_, at, _) in self._sent.items() if at >= moment]

    def named(self, message: bytes) -> list[Item]:
        """Return those whose symbol a message names."""
        return [each for each in self.since() if holds(message, self._symbol_of(each).encode())]

    def mates(self, items: Sequence[Item]) -> list[Item]:
        """Return the others that were sent together with any of these."""
        parts = {self._sent[each][2] for each in items if each in self._sent}
        return [each for each in self.since() if self._sent[each][2] in parts and each not in items]

    def acknowledged(self, message: bytes) -> None:
        """Confirm the subscriptions that a message names which has no data and refuses nothing."""
        if self._sent:
            self._prove(self.named(message))

    def _prove(self, items: Sequence[Item]) -> None:
        self.proved = self.proved or bool(items)
        self.left(items)


class Receiver(Protocol):
    """The receiver of a connection's messages."""

    def on_message(self, message: bytes) -> bool:
        """Handle a message. Return whether it held data."""
        ...

    def on_data(self) -> None:
        """Handle the first data."""
        ...

    def on_bad(self, connection: Connection[Any], error: ChandleryError, message: bytes) -> None:
        """Handle an unreadable message, or one that refuses something."""
        ...

    def on_failed(self, error: Exception, message: bytes) -> None:
        """Handle a message whose processing failed with an internal error."""
        ...


class Connection(Generic[Item]):
    """
    One connection of a ``PersistentConnection``.

    ``shortcut`` handles data messages with the same result as the receiver, until an error occurs.
    """

    def __init__(
        self,
        adapter: ExchangeAdapter,
        receiver: Receiver,
        pending: Pending[Item],
        sleep: Sleep,
        pace: Pace,
        shortcut: Shortcut | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.socket: Socket | LineStream | None = None
        self.pending = pending
        self.given_up: asyncio.Future[str] = loop.create_future()
        """The reason to close it, once there is one."""
        self.closing: asyncio.Future[None] = loop.create_future()
        """Done once the exchange has announced that it will close it."""
        self.first_data: asyncio.Future[float] = loop.create_future()
        """Time of the first data, by the clock of the loop."""
        self._welcomed: asyncio.Future[None] = loop.create_future()
        self._adapter = adapter
        self._receiver = receiver
        self._on_message = receiver.on_message
        self._decode = adapter.decode if type(adapter).decode is not ExchangeAdapter.decode else None
        self._channels = None if adapter.socket.channels is None else AssignedChannels(adapter.socket)
        self._shortcut = shortcut if self._decode is None and self._channels is None else None
        self._sleep = sleep
        self._welcome_s = pace.welcome_s
        self._sending = asyncio.Lock()
        self._sent: deque[float] = deque()
        """Sending times of the messages of the current window."""
        self._bad_run = 0
        self._clock = loop.time
        self._has_data = False

    @property
    def closed(self) -> asyncio.Future[CloseReason]:
        """The reason why it closed, once it has."""
        assert self.socket is not None  # noqa: S101  # it is asked of connections that were opened
        return self.socket.closed

    @property
    def flowed_s(self) -> float:
        """Seconds from the first data to the latest message."""
        if self.socket is None or not self.first_data.done():
            return 0.0
        return (self.socket.last_message_at or 0.0) - self.first_data.result()

    def give_up(self, reason: str) -> None:
        """Request that it be closed."""
        if not self.given_up.done():
            self.given_up.set_result(reason)

    async def opened(self, socket: Socket | LineStream) -> None:
        """
        Use an open socket: wait as long as the exchange demands, and for its welcome.

        Raises:
            ExchangeUnavailable: It was closed meanwhile, or no welcome was received.
        """
        self.socket = socket
        if isinstance(socket, Socket):
            socket.on_shortcut_failed = self._shortcut_failed
        rules = self._adapter.socket
        if rules.pause_s:
            await self._sleep(rules.pause_s)
        if rules.welcome is None:
            return
        closed = self.closed
        ends: set[asyncio.Future[Any]] = {self._welcomed, closed}
        await asyncio.wait(ends, timeout=self._welcome_s, return_when=asyncio.FIRST_COMPLETED)
        if closed.done():
            raise closing_error(closed.result())
        if not self._welcomed.done():
            raise ExchangeUnavailable(f"{socket.name}: no welcome message within {self._welcome_s:g} s")

    async def began(self, timeout_s: float) -> None:
        """Wait for data, or the close."""
        ends: set[asyncio.Future[Any]] = {self.first_data, self.closed}
        await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """Close it."""
        if self.socket is not None:
            await self.socket.close()

    async def subscribe(self, items: Sequence[Item], messages: Callable[[Sequence[Item]], Sequence[str]]) -> None:
        """Subscribe to all of them, split by the exchange's limit per message."""
        most = self._adapter.socket.per_message
        for start in range(0, len(items), most):
            part = items[start : start + most]
            self.pending.sent(part, self._clock())
            await self.send(messages(part))

    async def send(self, messages: Sequence[str]) -> None:
        """Send messages one at a time, at the pace of the exchange."""
        async with self._sending:
            for message in messages:
                await self._turn()
                if self.socket is None or self.given_up.done() or self.socket.closed.done():
                    return
                if (whole := self._numbered(message)) is not None:
                    self.socket.send(whole)

    def _numbered(self, message: str) -> str | None:
        """Return a message with its channel number, on connections that have such numbers."""
        return message if self._channels is None else self._adapter.leaving(message, self._channels.answers)

    async def _turn(self) -> None:
        """
        Wait until the exchange's limit allows one more message; replies and pings are exempt.

        Short limits are spread evenly, because messages bunch up in transit.
        """
        limit = self._adapter.socket.messages
        if limit is None:
            return
        if self._sent:
            await self._until(self._sent[-1] + min(limit.seconds / limit.weight, _SPREAD_S))
        while len(self._sent) >= limit.weight:
            await self._until(self._sent.popleft() + limit.seconds)
        self._sent.append(self._clock())

    async def _until(self, moment: float) -> None:
        if (wait_s := moment - self._clock()) > 0:
            await self._sleep(wait_s)

    def answer(self, message: str) -> None:
        """Send a single message at once."""
        if self.socket is not None:
            self.socket.send(message)

    def take(self, frame: bytes) -> None:
        """Handle a message."""
        message = frame
        try:
            if self._decode is not None:
                message = self._decode(frame)
            if self._channels is not None:
                message = self._channels.completed(message)
            if self._on_message(message):
                if not self._has_data:
                    self._has_data = True
                    self.first_data.set_result(self._clock())
                    self._receiver.on_data()
                self._bad_run = 0
                self._divert(self._shortcut)
            else:
                self._heed(message)
        except ChandleryError as error:
            # A refusal is well formed and concerns its symbol only: no number of them ends the connection.
            self._bad_run += isinstance(error, MalformedResponse)
            self._divert(None)
            self._receiver.on_bad(self, error, message)
            if self._bad_run >= _MOST_BAD:
                self.give_up(f"{_MOST_BAD} consecutive messages could not be read, the last because: {error}")
        except Exception as error:  # noqa: BLE001  # an internal error on one message; the others are processed
            self._divert(None)
            self._receiver.on_failed(error, message)

    def _heed(self, message: bytes) -> None:
        """React to a message without data."""
        rules = self._adapter.socket
        if (answer := self._adapter.reply(message)) is not None:
            self.answer(answer)
        elif rules.welcome is not None and not self._welcomed.done() and rules.welcome.search(message):
            self._welcomed.set_result(None)
        elif rules.closing is not None and not self.closing.done() and rules.closing.search(message):
            log.info("%s: the exchange announces that it will close a connection: %r", self._adapter.id, message[:200])
            self.closing.set_result(None)
        else:
            self.pending.acknowledged(message)

    def _shortcut_failed(self, error: Exception) -> None:
        """Fall back to the general path, which finds the message that failed."""
        log.error(
            "%s: the fast path failed, so messages are parsed one by one from now on: %s",
            self._adapter.id,
            described(error),
            exc_info=error,
        )
        self._shortcut = None

    def _divert(self, to: Shortcut | None) -> None:
        """Set or clear the shortcut of the socket. It does not count bad messages."""
        if isinstance(self.socket, Socket):
            self.socket.shortcut = to


def closing_error(over: CloseReason) -> ChandleryError:
    """Return a close as an error; a refusal by the exchange keeps its class."""
    if isinstance(over.error, RateLimited) or (over.cause == "refused" and isinstance(over.error, ChandleryError)):
        return over.error
    return ExchangeUnavailable(f"{over.cause} {over.code} {over.reason}".strip())
