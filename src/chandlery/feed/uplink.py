"""One connection to an exchange that is made anew as often as it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any, Protocol

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.live import Channel
from chandlery.core.errors import ChandleryError, Closed, ExchangeUnavailable, MalformedResponse, RateLimited
from chandlery.core.wire import Shortcut
from chandlery.feed.backoff import PACE, Pace
from chandlery.feed.network import NetworkClient
from chandlery.feed.recovery import described
from chandlery.net.hindrance import told_to
from chandlery.net.line_stream import LineStream
from chandlery.net.ws import CloseReason, Socket

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

ROTATE_AT = 0.8
"""After which part of a connection's life it is replaced at the earliest; the rest is for staggering."""
_ROTATE_BY = 0.98
_SPREAD_S = 0.25
"""The longest pause that is made between two messages before a limit is reached."""
_MOST_BAD = 20
"""How many messages in a row may be unreadable before the connection is given up."""

Sleep = Callable[[float], Awaitable[None]]


class Listener(Protocol):
    """What an uplink tells, and what it asks."""

    def subscriptions(self) -> Sequence[str]:
        """The messages that subscribe to everything that is wanted now."""
        ...

    def on_up(self, attempt: int) -> None:
        """Subscribed; data may have begun to flow."""
        ...

    def on_down(self, error: Exception) -> None:
        """The connection is lost, or given up, or could not be made, for this reason."""
        ...

    def on_message(self, message: bytes) -> bool:
        """Take a message; whether it held data."""
        ...

    def shortcut(self) -> Shortcut | None:
        """What takes messages that hold data to the same end as ``on_message``; ``None`` where nothing does."""
        ...

    def on_rejected(self, error: ChandleryError, message: bytes) -> None:
        """Note a message that could not be read, or that refuses something."""
        ...

    def on_failed(self, error: Exception, message: bytes) -> None:
        """Note a message that ``on_message`` failed at by a mistake of ours."""
        ...

    def on_hindered(self, error: ChandleryError) -> None:
        """Note what holds up the next connection, before it is given up."""
        ...


class Uplink:
    """
    A connection for one channel, kept up until ``run`` is cancelled.

    It subscribes after each connect, pings and answers as the exchange demands, reconnects after
    ever longer waits, and is replaced before the exchange cuts it, without a moment between the old
    one and the new. ``failures`` counts the connects in a row after which no data came.
    """

    def __init__(
        self,
        network: NetworkClient,
        channel: Channel,
        listener: Listener,
        *,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float],
        pace: Pace = PACE,
    ) -> None:
        self.failures = 0
        self.attempts = 0
        self.bad_messages = 0
        """Messages that could not be read, or refused something."""
        self.rotations = 0
        self._network = network
        self._adapter = network.adapter
        self._channel = channel
        self._listener = listener
        self._sleep = sleep
        self._random = random
        self._pace = pace
        self._line: _Line | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._line is not None

    def kick(self, reason: str) -> None:
        """Give the connection up and make a new one."""
        if self._line is not None:
            self._line.give_up(reason)

    async def send(self, messages: Sequence[str]) -> None:
        """
        Send, no faster than the exchange allows; without a connection nothing is sent, as connecting subscribes anew.

        Raises:
            ExchangeUnavailable: The exchange does not read.
        """
        if self._line is not None:
            await self._line.send(messages)

    async def run(self) -> None:
        """Keep the connection up; ends only by being cancelled."""
        waits = self._pace.delays(self._random)
        while True:
            error, stable = await self._live()
            if stable:
                waits = self._pace.delays(self._random)
            pause_s = error.retry_after_s if isinstance(error, RateLimited) else None
            wait_s = max(pause_s or 0.0, next(waits))
            log.warning(
                "%s: %s; connecting again in %.1f s, attempt %d",
                self._adapter.id, described(error), wait_s, self.attempts + 1,
            )  # fmt: skip
            self._listener.on_down(error)
            await self._sleep(wait_s)

    def on_data(self) -> None:
        """Note that a connection has brought data."""
        self.failures = 0

    def on_bad(self, error: ChandleryError, message: bytes) -> None:
        """Note a message that could not be read."""
        self.bad_messages += 1
        self._listener.on_rejected(error, message)

    def on_failed(self, error: Exception, message: bytes) -> None:
        """Note a message that a mistake of ours keeps from being taken."""
        self.bad_messages += 1
        log.error("%s: a message could not be handled: %s", self._adapter.id, described(error), exc_info=error)
        self._listener.on_failed(error, message)

    def _hindered(self, error: ChandleryError) -> None:
        log.warning("%s: the connection has to wait: %s; attempt %d", self._adapter.id, error, self.attempts)
        self._listener.on_hindered(error)

    async def _live(self) -> tuple[Exception, bool]:
        """One life of a connection: why it ended, and whether data had flowed for long."""
        failure: Exception
        heard = stable = False
        try:
            await self._open()
            self._listener.on_up(self.attempts)
            failure = await self._until_over()
        except ChandleryError as error:
            failure = error
        except Exception as error:
            log.exception("%s: the connection ends by a mistake of ours", self._adapter.id)
            failure = error
        finally:
            line, self._line = self._line, None
            if line is not None:
                stable, heard = line.flowed_s >= self._pace.stable_s, line.first_data.done()
                await line.close()
        if not heard:
            self.failures += 1
        return failure, stable

    async def _open(self) -> None:
        """Connect, wait as long as the exchange wants, subscribe."""
        self.attempts += 1
        line = _Line(self, self._adapter, self._listener, self._sleep)
        try:
            with told_to(self._hindered):
                line.socket = await self._network.connect(self._channel, line.take)
            line.guard()
            if self._adapter.socket.pause_s:
                await self._sleep(self._adapter.socket.pause_s)
            self._line = line
            await line.send(self._listener.subscriptions())
        except BaseException:
            await line.close()
            raise

    async def _until_over(self) -> ChandleryError:
        """Ping until the connection is lost or given up, and replace it when it gets old; then why it ended."""
        ping_s = self._adapter.socket.ping_every_s or inf
        loop = asyncio.get_running_loop()
        rotate_at = loop.time() + self._lifetime_s()
        while (line := self._line) is not None:
            left = min(ping_s, max(rotate_at - loop.time(), 0.0))
            closed = line.closed
            ends: set[asyncio.Future[Any]] = {closed, line.given_up}
            await asyncio.wait(ends, timeout=None if left == inf else left, return_when=asyncio.FIRST_COMPLETED)
            if line.given_up.done():
                return ExchangeUnavailable(line.given_up.result())
            if closed.done():
                return _error_of(closed.result())
            if loop.time() >= rotate_at:
                rotate_at = loop.time() + (
                    self._lifetime_s() if await self._replaced(line) else self._pace.rotate_again_s
                )
            elif (ping := self._adapter.ping()) is not None:
                line.answer(ping)
        return Closed("closed")

    def _lifetime_s(self) -> float:
        """Seconds until a new connection is replaced, spread so that not all are at once."""
        life_s = self._adapter.socket.lifetime_s
        return inf if life_s is None else life_s * (ROTATE_AT + (_ROTATE_BY - ROTATE_AT) * self._random())

    async def _replaced(self, old: _Line) -> bool:
        """Replace a connection; it goes on until data come by the new one, and stays if there is none."""
        try:
            await self._open()
        except Exception as error:  # noqa: BLE001  # the old one goes on, whatever it was
            log.warning("%s: could not replace a connection: %s", self._adapter.id, described(error))
            self._line = old
            return False
        except BaseException:
            self._line = old
            raise
        try:
            self.rotations += 1
            self._listener.on_up(self.attempts)
            if self._line is not None:
                await self._line.began(self._pace.overlap_s)
        finally:
            await old.close()
        return True


class _Line:
    """One connection of an uplink: what comes by it is taken, and answered where the exchange demands that."""

    def __init__(self, uplink: Uplink, adapter: ExchangeAdapter, listener: Listener, sleep: Sleep) -> None:
        loop = asyncio.get_running_loop()
        self.socket: Socket | LineStream | None = None
        self.given_up: asyncio.Future[str] = loop.create_future()
        """Why it is to end, as soon as it is."""
        self.first_data: asyncio.Future[float] = loop.create_future()
        """When the first data came, by the clock of the loop."""
        self._uplink = uplink
        self._adapter = adapter
        self._on_message = listener.on_message
        self._decode = adapter.decode if type(adapter).decode is not ExchangeAdapter.decode else None
        self._shortcut = listener.shortcut() if self._decode is None else None
        self._sleep = sleep
        self._sending = asyncio.Lock()
        self._sent: deque[float] = deque()
        """When the messages of the current window were sent."""
        self._bad_run = 0
        self._clock = loop.time
        self._has_data = False

    @property
    def closed(self) -> asyncio.Future[CloseReason]:
        """Why it ended, as soon as it has."""
        assert self.socket is not None  # noqa: S101  # it is asked of connections that were opened
        return self.socket.closed

    @property
    def flowed_s(self) -> float:
        """For how long messages have come since the first data."""
        if self.socket is None or not self.first_data.done():
            return 0.0
        return (self.socket.last_message_at or 0.0) - self.first_data.result()

    def give_up(self, reason: str) -> None:
        """Have it ended."""
        if not self.given_up.done():
            self.given_up.set_result(reason)

    async def began(self, timeout_s: float) -> None:
        """Wait for data, or the end."""
        ends: set[asyncio.Future[Any]] = {self.first_data, self.closed}
        await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """Close it."""
        if self.socket is not None:
            await self.socket.close()

    async def send(self, messages: Sequence[str]) -> None:
        """Send one after the other, at the pace of the exchange."""
        async with self._sending:
            for message in messages:
                await self._turn()
                if self.socket is None or self.given_up.done() or self.socket.closed.done():
                    return
                self.socket.send(message)

    async def _turn(self) -> None:
        """
        Wait until the exchange's limit allows one more message; answers and pings go beside it.

        Short limits are spread evenly, for on the way messages draw nearer to each other.
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
        """Take a message."""
        message = frame
        try:
            if self._decode is not None:
                message = self._decode(frame)
            if self._on_message(message):
                if not self._has_data:
                    self._has_data = True
                    self.first_data.set_result(self._clock())
                    self._uplink.on_data()
                self._bad_run = 0
                self._divert(self._shortcut)
            elif (answer := self._adapter.reply(message)) is not None:
                self.answer(answer)
        except ChandleryError as error:
            # A refusal is well formed, and about its symbol alone: no number of them ends the connection.
            self._bad_run += isinstance(error, MalformedResponse)
            self._divert(None)
            self._uplink.on_bad(error, message)
            if self._bad_run >= _MOST_BAD:
                self.give_up(f"{_MOST_BAD} messages in a row could not be read, the last because: {error}")
        except Exception as error:  # noqa: BLE001  # a mistake of ours about one message; the others are taken
            self._divert(None)
            self._uplink.on_failed(error, message)

    def guard(self) -> None:
        """Hear of a shortcut that fails."""
        if isinstance(self.socket, Socket):
            self.socket.on_shortcut_failed = self.shortcut_failed

    def shortcut_failed(self, error: Exception) -> None:
        """Take messages the general way from now on, which finds the one that it failed at."""
        log.error(
            "%s: messages are read one by one from now on: %s", self._adapter.id, described(error), exc_info=error
        )
        self._shortcut = None

    def _divert(self, to: Shortcut | None) -> None:
        """Have the next messages offered to the shortcut, which counts no bad ones, or no more."""
        if isinstance(self.socket, Socket):
            self.socket.shortcut = to


def _error_of(over: CloseReason) -> ChandleryError:
    """Return the end of a connection as an error; what the exchange refused keeps its class."""
    if isinstance(over.error, RateLimited) or (over.cause == "refused" and isinstance(over.error, ChandleryError)):
        return over.error
    return ExchangeUnavailable(f"{over.cause} {over.code} {over.reason}".strip())
