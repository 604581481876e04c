"""One connection to an exchange that is made anew as often as it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any, Generic, Protocol

from chandlery.adapter.live import Channel
from chandlery.core.errors import ChandleryError, Closed, ExchangeUnavailable, InvalidSymbol, RateLimited
from chandlery.core.wire import Shortcut
from chandlery.feed.backoff import PACE, Pace
from chandlery.feed.examiner import Examiner, Tried, refuses
from chandlery.feed.line import Item, Line, Pending, Sleep, closing_error
from chandlery.feed.network import NetworkClient
from chandlery.feed.recovery import Waits, described, holds, isolated, kept_up
from chandlery.net.hindrance import told_to
from chandlery.net.ws import Socket

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

ROTATE_AT = 0.8
"""After which part of a connection's life it is replaced at the earliest; the rest is for staggering."""
_ROTATE_BY = 0.98
_ACKNOWLEDGED_S = 0.25
"""How long after a refusal the acknowledgements of what was not refused may still come."""
_MOST_CLOSES = 2
"""After how many such connections in a row the subscriptions are split."""


class Listener(Tried[Item], Protocol[Item]):
    """What an uplink tells, and what it asks."""

    def subscriptions(self) -> Sequence[Item]:
        """Everything that a new connection is to be subscribed to."""
        ...

    def heard(self, item: Item) -> int:
        """How many messages of it have come."""
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
        """Note a message that could not be read, or that refuses something else than a subscription."""
        ...

    def on_failed(self, error: Exception, message: bytes) -> None:
        """Note a message that ``on_message`` failed at by a mistake of ours."""
        ...

    def on_hindered(self, error: ChandleryError) -> None:
        """Note what holds up the next connection, before it is given up."""
        ...


class Uplink(Generic[Item]):
    """
    A connection for one channel, kept up until ``run`` is cancelled.

    It subscribes after each connect, pings and answers as the exchange demands, reconnects after
    ever longer waits, and is replaced before the exchange cuts it, without a moment between the old
    one and the new. What the exchange refuses, or closes connections at, an ``Examiner`` sets aside.
    ``failures`` counts the connects in a row after which no data came.
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
        """Messages that could not be read, or refused something."""
        self.rotations = 0
        self._network = network
        self._adapter = network.adapter
        self._channel = channel
        self._listener = listener
        self.on_message = listener.on_message
        self._sleep = sleep
        self._random = random
        self._pace = pace
        self._line: Line[Item] | None = None
        self._due = asyncio.Event()
        """Set when there may be something to subscribe to."""
        self._closes = 0
        """How many connections in a row closed at their subscriptions, of which none was taken."""
        self._lulls = Waits(pace, random)
        """The pauses that the exchange asks for."""
        self._slowed: Line[Item] | None = None
        """The connection on which such a pause is made."""
        self._tasks: asyncio.TaskGroup | None = None
        self._examiner = Examiner(
            network, channel, listener, self._subscribe, self._is_healthy, sleep=sleep, random=random, pace=pace
        )

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._line is not None

    @property
    def last_frame_at(self) -> float | None:
        """When the last frame of the connection was read, by the clock of the loop; ``None`` where there is none."""
        socket = None if self._line is None else self._line.socket
        return socket.last_frame_at if isinstance(socket, Socket) else None

    def ask_for_life(self) -> None:
        """Send what the exchange answers at once: its own ping, or where it has none, that of the protocol."""
        if self._line is None or not isinstance(self._line.socket, Socket):
            return
        ping = self._adapter.ping()
        if ping is None:
            self._line.socket.ping()
            return
        try:
            self._line.answer(ping)
        except ChandleryError as error:  # it is closing, or the exchange does not read
            self.kick(str(error))

    def kick(self, reason: str) -> None:
        """Give the connection up and make a new one."""
        if self._line is not None:
            self._line.give_up(reason)

    def is_aside(self, item: Item) -> bool:
        """Whether nothing of it comes for now, as the exchange refuses it, or may do so."""
        return item in self._examiner.aside

    async def join(self, items: Sequence[Item]) -> None:
        """
        Subscribe to more; without a connection nothing is sent, as connecting subscribes to everything.

        Raises:
            ExchangeUnavailable: The exchange does not read.
        """
        await self._subscribe([each for each in items if not self.is_aside(each)])

    async def leave(self, items: Sequence[Item]) -> None:
        """End subscriptions; raises what ``join`` raises."""
        subscribed = [each for each in items if not self.is_aside(each)]
        self._examiner.forget(items)
        if self._line is not None and subscribed:
            self._line.pending.left(subscribed)
            await self._line.send(self._listener.messages(subscribed, leave=True))

    async def send(self, messages: Sequence[str]) -> None:
        """
        Send, no faster than the exchange allows; without a connection nothing is sent.

        Raises:
            ExchangeUnavailable: The exchange does not read.
        """
        if self._line is not None:
            await self._line.send(messages)

    async def run(self) -> None:
        """Keep the connection up; ends only by being cancelled."""
        name, waits = f"{self._adapter.id}: trying subscriptions", Waits(self._pace, self._random)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                tasks.create_task(kept_up(self._examiner.run, name=name, waits=waits, sleep=self._sleep))
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
                "%s: %s; connecting again in %.1f s, attempt %d",
                self._adapter.id, described(error), wait_s, self.attempts + 1,
            )  # fmt: skip
            self._listener.on_down(error)
            await self._sleep(wait_s)

    def on_data(self) -> None:
        """Note that a connection has brought data."""
        self.failures = 0

    def on_bad(self, line: Line[Item], error: ChandleryError, message: bytes) -> None:
        """Note a message that could not be read, or that refuses something."""
        self.bad_messages += 1
        if isinstance(error, RateLimited):
            self._slow_down(line, error)
        meant = self._meant(line, message) if refuses(error) else []
        if not meant:
            self._listener.on_rejected(error, message)
            return
        if len(meant) == 1 and isinstance(error, InvalidSymbol):
            self._examiner.condemn(meant[0], error)
        else:
            self._examiner.suspect(meant, error)
        mates = line.pending.mates(meant)
        line.pending.left(meant)
        if mates:
            self._retry(line, _ACKNOWLEDGED_S, mates)

    def _meant(self, line: Line[Item], message: bytes) -> list[Item]:
        """List the subscriptions that a refusal may be about: those that it names, all that are not proved where it names none."""
        listener = self._listener
        named = [each for each in listener.subscriptions() if holds(message, listener.symbol_of(each).encode())]
        pending = line.pending.since()
        return [each for each in named if each in pending] if named else pending

    def _slow_down(self, line: Line[Item], error: RateLimited) -> None:
        """Subscribe after a pause to what nothing was heard of: of too many commands some are not taken."""
        if line is not self._slowed and line.pending.since():
            self._slowed = line
            wait_s = self._lulls.next_s(asyncio.get_running_loop().time())
            self._retry(line, max(error.retry_after_s or 0.0, wait_s))

    def _retry(self, line: Line[Item], wait_s: float, items: Sequence[Item] | None = None) -> None:
        if self._tasks is not None:
            name = f"{self._adapter.id}: subscribing again"
            self._tasks.create_task(isolated(partial(self._again, line, wait_s, items), name=name))

    async def _again(self, line: Line[Item], wait_s: float, items: Sequence[Item] | None) -> None:
        """Subscribe once more to those of these, or of all, of which nothing is heard by then."""
        await self._sleep(wait_s)
        if items is None:
            self._slowed = None
        if line is self._line:
            pending = [each for each in line.pending.since() if items is None or each in items]
            await self._subscribe([each for each in pending if self._listener.wants(each)])

    def _is_healthy(self) -> bool:
        return self._line is not None and self._line.first_data.done()

    def _wanted(self) -> list[Item]:
        return [each for each in self._listener.subscriptions() if not self.is_aside(each)]

    async def _subscribe(self, items: Sequence[Item]) -> None:
        self._due.set()
        if self._line is not None and items:
            await self._line.subscribe(items, self._listener.messages)

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
                self._look_for_culprits(line)
                await line.close()
        if not heard:
            self.failures += 1
        return failure, stable

    async def _open(self) -> None:
        """Connect, wait as long as the exchange wants, subscribe."""
        self.attempts += 1
        pending = Pending(self._listener.heard, self._listener.symbol_of)
        line = Line(self._adapter, self, pending, self._sleep, self._pace, self._listener.shortcut())
        try:
            with told_to(self._hindered):
                socket = await self._network.connect(self._channel, line.take)
            await line.opened(socket)
            self._line = line
            await line.subscribe(self._wanted(), self._listener.messages)
        except BaseException:
            await line.close()
            raise

    def _look_for_culprits(self, line: Line[Item]) -> None:
        """Set aside what was subscribed to just before a connection closed, where others were taken or it goes on so."""
        closed = line.closed
        if not closed.done() or line.given_up.done():
            return
        fresh = line.pending.since(asyncio.get_running_loop().time() - self._pace.verdict_s)
        self._closes = self._closes + 1 if fresh and not line.pending.proved else 0
        if fresh and (line.pending.proved or (self._closes >= _MOST_CLOSES and len(fresh) > 1)):
            self._closes = 0
            self._examiner.suspect(fresh, closing_error(closed.result()))

    async def _until_over(self) -> ChandleryError:
        """Ping until the connection is lost or given up, and replace it when it gets old; then why it ended."""
        ping_s = self._adapter.socket.ping_every_s or inf
        loop = asyncio.get_running_loop()
        rotate_at = loop.time() + self._lifetime_s()
        announced: Line[Item] | None = None
        while (line := self._line) is not None:
            left = min(ping_s, max(rotate_at - loop.time(), 0.0))
            closed = line.closed
            ends: set[asyncio.Future[Any]] = {closed, line.given_up}
            if line is not announced:
                ends.add(line.closing)
            await asyncio.wait(ends, timeout=None if left == inf else left, return_when=asyncio.FIRST_COMPLETED)
            if line.given_up.done():
                return ExchangeUnavailable(line.given_up.result())
            if closed.done():
                return closing_error(closed.result())
            if loop.time() >= rotate_at or (line.closing.done() and line is not announced):
                announced = line if line.closing.done() else None
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

    async def _replaced(self, old: Line[Item]) -> bool:
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
