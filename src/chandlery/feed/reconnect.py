"""One connection to an exchange that reconnects whenever it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any, Generic, Protocol

from chandlery.adapter.live import Channel
from chandlery.core.errors import ChandleryError, Closed, ExchangeUnavailable, InvalidSymbol, RateLimited
from chandlery.core.http import Shortcut
from chandlery.feed.backoff import PACE, Pace
from chandlery.feed.bisection import SubscriptionBisector, Tried, refuses
from chandlery.feed.connection import Connection, Item, Pending, Sleep, closing_error
from chandlery.feed.network import NetworkClient
from chandlery.feed.recovery import Waits, described, holds, isolated, kept_up
from chandlery.net.delays import delays_to
from chandlery.net.ws import Socket

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

ROTATE_AT = 0.8
"""Fraction of a connection's lifetime after which it is replaced at the earliest; the rest is for staggering."""
_ROTATE_BY = 0.98
_ACKNOWLEDGED_S = 0.25
"""Time after a refusal within which acknowledgements of other subscriptions may still arrive."""
_MOST_CLOSES = 2
"""Number of consecutive such connections after which the subscriptions are split."""


class Listener(Tried[Item], Protocol[Item]):
    """The owner of a connection's subscriptions and receiver of its messages."""

    def subscriptions(self) -> Sequence[Item]:
        """Return everything that a new connection must subscribe to."""
        ...

    def heard(self, item: Item) -> int:
        """Return the number of its messages so far."""
        ...

    def on_up(self, attempt: int) -> None:
        """Handle a new connection that is subscribed; data may flow already."""
        ...

    def on_down(self, error: Exception) -> None:
        """Handle that the connection is lost, given up, or could not be made."""
        ...

    def on_message(self, message: bytes) -> bool:
        """Handle a message. Return whether it held data."""
        ...

    def shortcut(self) -> Shortcut | None:
        """Return a fast path for data messages, with the same result as ``on_message``; ``None`` if there is none."""
        ...

    def on_rejected(self, error: ChandleryError, message: bytes) -> None:
        """Handle an unreadable message, or one that refuses something else than a subscription."""
        ...

    def on_failed(self, error: Exception, message: bytes) -> None:
        """Handle a message on which ``on_message`` raised an internal error."""
        ...

    def on_delay(self, error: ChandleryError) -> None:
        """Handle an error that delays the next connection."""
        ...


class PersistentConnection(Generic[Item]):
    """
    A connection for one channel, kept open until ``run`` is cancelled.

    It subscribes after each connect, sends pings and replies as the exchange demands, reconnects with
    exponential backoff, and is replaced before the exchange cuts it, without a gap between the old
    connection and the new one. A ``SubscriptionBisector`` isolates subscriptions that the exchange refuses, or on which it closes connections.
    ``failures`` counts the consecutive connects without data.
    """

    def __init__(
        self,
        network: NetworkClient,
        channel: Channel,
        listener: Listener[Item],
        *,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float],
        pace: Pace = PACE,
    ) -> None:
        self.failures = 0
        self.attempts = 0
        self.bad_messages = 0
        """Number of messages that could not be read, or refused something."""
        self.rotations = 0
        self._network = network
        self._adapter = network.adapter
        self._channel = channel
        self._listener = listener
        self.on_message = listener.on_message
        self._sleep = sleep
        self._random = random
        self._pace = pace
        self._connection: Connection[Item] | None = None
        self._due = asyncio.Event()
        """Set when there may be something to subscribe to."""
        self._closes = 0
        """Number of consecutive connections that closed on subscribing, with no subscription confirmed."""
        self._lulls = Waits(pace, random)
        """Backoff for pauses that the exchange asks for."""
        self._slowed: Connection[Item] | None = None
        """The connection that is in such a pause."""
        self._tasks: asyncio.TaskGroup | None = None
        self._bisector = SubscriptionBisector(
            network, channel, listener, self._subscribe, self._is_healthy, sleep=sleep, random=random, pace=pace
        )

    @property
    def connected(self) -> bool:
        """True while there is a connection."""
        return self._connection is not None

    @property
    def last_frame_at(self) -> float | None:
        """Time of the last frame of the connection, by the clock of the loop; ``None`` without a connection."""
        socket = None if self._connection is None else self._connection.socket
        return socket.last_frame_at if isinstance(socket, Socket) else None

    def ask_for_life(self) -> None:
        """Send a ping that the exchange answers at once: its own, or the protocol's if it has none."""
        if self._connection is None or not isinstance(self._connection.socket, Socket):
            return
        ping = self._adapter.ping()
        if ping is None:
            self._connection.socket.ping()
            return
        try:
            self._connection.answer(ping)
        except ChandleryError as error:  # it is closing, or the exchange does not read
            self.kick(str(error))

    def kick(self, reason: str) -> None:
        """Close the connection and make a new one."""
        if self._connection is not None:
            self._connection.give_up(reason)

    def is_aside(self, item: Item) -> bool:
        """Return whether it is suspended because the exchange refuses it, or may do so."""
        return item in self._bisector.aside

    async def join(self, items: Sequence[Item]) -> None:
        """
        Subscribe to more. Without a connection nothing is sent, since connecting subscribes to everything.

        Raises:
            ExchangeUnavailable: The send buffer is full because the exchange does not read.
        """
        await self._subscribe([each for each in items if not self.is_aside(each)])

    async def leave(self, items: Sequence[Item]) -> None:
        """End subscriptions; raises what ``join`` raises."""
        subscribed = [each for each in items if not self.is_aside(each)]
        self._bisector.forget(items)
        if self._connection is not None and subscribed:
            self._connection.pending.left(subscribed)
            await self._connection.send(self._listener.messages(subscribed, leave=True))

    async def send(self, messages: Sequence[str]) -> None:
        """
        Send messages, no faster than the exchange allows. Without a connection nothing is sent.

        Raises:
            ExchangeUnavailable: The send buffer is full because the exchange does not read.
        """
        if self._connection is not None:
            await self._connection.send(messages)

    async def run(self) -> None:
        """Maintain the connection until cancelled."""
        name, waits = f"{self._adapter.id}: trying subscriptions", Waits(self._pace, self._random)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                tasks.create_task(kept_up(self._bisector.run, name=name, waits=waits, sleep=self._sleep))
                await self._keep()
            finally:
                self._tasks = None

    async def _keep(self) -> None:
        waits = self._pace.delays(self._random)
        while True:
            while not self._wanted():
                self._due.clear()
                await self._due.wait()
            error, stable = await self._live()
            if stable:
                waits = self._pace.delays(self._random)
            pause_s = error.retry_after_s if isinstance(error, RateLimited) else None
            wait_s = max(pause_s or 0.0, next(waits))
            log.warning(
                "%s: %s; reconnecting in %.1f s, attempt %d",
                self._adapter.id, described(error), wait_s, self.attempts + 1,
            )  # fmt: skip
            self._listener.on_down(error)
            await self._sleep(wait_s)

    def on_data(self) -> None:
        """Reset the failure count, since a connection has delivered data."""
        self.failures = 0

    def on_bad(self, connection: Connection[Item], error: ChandleryError, message: bytes) -> None:
        """Handle a message that could not be read, or that refuses something."""
        self.bad_messages += 1
        if isinstance(error, RateLimited):
            self._slow_down(connection, error)
        meant = self._meant(connection, message) if refuses(error) else []
        if not meant:
            self._network.log_rejection(str(error), message)
            self._listener.on_rejected(error, message)
            return
        if len(meant) == 1 and isinstance(error, InvalidSymbol):
            self._bisector.condemn(meant[0], error)
        else:
            self._bisector.suspect(meant, error)
        mates = connection.pending.mates(meant)
        connection.pending.left(meant)
        if mates:
            self._retry(connection, _ACKNOWLEDGED_S, mates)

    def _meant(self, connection: Connection[Item], message: bytes) -> list[Item]:
        """Return the subscriptions that a refusal may concern: those it names, or all unconfirmed ones if it names none."""
        listener = self._listener
        named = [each for each in listener.subscriptions() if holds(message, listener.symbol_of(each).encode())]
        pending = connection.pending.since()
        return [each for each in named if each in pending] if named else pending

    def _slow_down(self, connection: Connection[Item], error: RateLimited) -> None:
        """Pause, then subscribe again to what is unconfirmed: after too many commands, some are lost."""
        if connection is not self._slowed and connection.pending.since():
            self._slowed = connection
            wait_s = self._lulls.next_s(asyncio.get_running_loop().time())
            self._retry(connection, max(error.retry_after_s or 0.0, wait_s))

    def _retry(self, connection: Connection[Item], wait_s: float, items: Sequence[Item] | None = None) -> None:
        if self._tasks is not None:
            name = f"{self._adapter.id}: subscribing again"
            self._tasks.create_task(isolated(partial(self._again, connection, wait_s, items), name=name))

    async def _again(self, connection: Connection[Item], wait_s: float, items: Sequence[Item] | None) -> None:
        """After ``wait_s``, subscribe once more to those of ``items``, or of all, that are unconfirmed."""
        await self._sleep(wait_s)
        if items is None:
            self._slowed = None
        if connection is self._connection:
            pending = [each for each in connection.pending.since() if items is None or each in items]
            await self._subscribe([each for each in pending if self._listener.wants(each)])

    def _is_healthy(self) -> bool:
        return self._connection is not None and self._connection.first_data.done()

    def _wanted(self) -> list[Item]:
        return [each for each in self._listener.subscriptions() if not self.is_aside(each)]

    async def _subscribe(self, items: Sequence[Item]) -> None:
        self._due.set()
        if self._connection is not None and items:
            await self._connection.subscribe(items, self._listener.messages)

    def on_failed(self, error: Exception, message: bytes) -> None:
        """Handle a message whose processing failed with an internal error."""
        self.bad_messages += 1
        log.error("%s: a message could not be handled: %s", self._adapter.id, described(error), exc_info=error)
        self._listener.on_failed(error, message)

    def _note_delay(self, error: ChandleryError) -> None:
        log.warning("%s: the connection is delayed: %s; attempt %d", self._adapter.id, error, self.attempts)
        self._listener.on_delay(error)

    async def _live(self) -> tuple[Exception, bool]:
        """Run one connection. Return why it ended, and whether data had flowed for long."""
        failure: Exception
        heard = stable = False
        try:
            await self._open()
            self._listener.on_up(self.attempts)
            failure = await self._until_over()
        except ChandleryError as error:
            failure = error
        except Exception as error:
            log.exception("%s: an internal error ends the connection", self._adapter.id)
            failure = error
        finally:
            connection, self._connection = self._connection, None
            if connection is not None:
                stable, heard = connection.flowed_s >= self._pace.stable_s, connection.first_data.done()
                self._look_for_culprits(connection)
                await connection.close()
        if not heard:
            self.failures += 1
        return failure, stable

    async def _open(self) -> None:
        """Connect, wait as long as the exchange demands, and subscribe."""
        self.attempts += 1
        pending = Pending(self._listener.heard, self._listener.symbol_of)
        connection = Connection(self._adapter, self, pending, self._sleep, self._pace, self._listener.shortcut())
        try:
            with delays_to(self._note_delay):
                socket = await self._network.connect(self._channel, connection.take)
            await connection.opened(socket)
            self._connection = connection
            await connection.subscribe(self._wanted(), self._listener.messages)
        except BaseException:
            await connection.close()
            raise

    def _look_for_culprits(self, connection: Connection[Item]) -> None:
        """Suspend what was subscribed just before a close, if other subscriptions were confirmed or closes repeat."""
        closed = connection.closed
        if not closed.done() or connection.given_up.done():
            return
        fresh = connection.pending.since(asyncio.get_running_loop().time() - self._pace.verdict_s)
        self._closes = self._closes + 1 if fresh and not connection.pending.proved else 0
        if fresh and (connection.pending.proved or (self._closes >= _MOST_CLOSES and len(fresh) > 1)):
            self._closes = 0
            self._bisector.suspect(fresh, closing_error(closed.result()))

    async def _until_over(self) -> ChandleryError:
        """Ping until the connection is lost or given up, and replace it before its lifetime ends. Return why it ended."""
        ping_s = self._adapter.socket.ping_every_s or inf
        loop = asyncio.get_running_loop()
        rotate_at = loop.time() + self._lifetime_s()
        announced: Connection[Item] | None = None
        while (connection := self._connection) is not None:
            left = min(ping_s, max(rotate_at - loop.time(), 0.0))
            closed = connection.closed
            ends: set[asyncio.Future[Any]] = {closed, connection.given_up}
            if connection is not announced:
                ends.add(connection.closing)
            await asyncio.wait(ends, timeout=None if left == inf else left, return_when=asyncio.FIRST_COMPLETED)
            if connection.given_up.done():
                return ExchangeUnavailable(connection.given_up.result())
            if closed.done():
                return closing_error(closed.result())
            if loop.time() >= rotate_at or (connection.closing.done() and connection is not announced):
                announced = connection if connection.closing.done() else None
                rotate_at = loop.time() + (
                    self._lifetime_s() if await self._replaced(connection) else self._pace.rotate_again_s
                )
            elif (ping := self._adapter.ping()) is not None:
                connection.answer(ping)
        return Closed("closed")

    def _lifetime_s(self) -> float:
        """Return the seconds until a new connection is replaced, staggered across connections."""
        life_s = self._adapter.socket.lifetime_s
        return inf if life_s is None else life_s * (ROTATE_AT + (_ROTATE_BY - ROTATE_AT) * self._random())

    async def _replaced(self, old: Connection[Item]) -> bool:
        """Replace a connection. The old one stays open until the new one delivers data, or if it cannot be made."""
        try:
            await self._open()
        except Exception as error:  # noqa: BLE001  # the old one continues in any case
            log.warning("%s: could not replace a connection: %s", self._adapter.id, described(error))
            self._connection = old
            return False
        except BaseException:
            self._connection = old
            raise
        try:
            self.rotations += 1
            self._listener.on_up(self.attempts)
            if self._connection is not None:
                await self._connection.began(self._pace.overlap_s)
        finally:
            await old.close()
        return True
