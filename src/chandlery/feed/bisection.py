"""Finds which of some subscriptions an exchange refuses, on connections of its own, so that no other one suffers."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Generic, Protocol

from msgspec import structs

from chandlery.adapter.live import Channel
from chandlery.core.errors import ChandleryError, InvalidInput, MalformedResponse, RateLimited, RequestRejected
from chandlery.feed.backoff import Pace
from chandlery.feed.connection import Connection, Item, Pending, Sleep, closing_error
from chandlery.feed.network import NetworkClient
from chandlery.feed.recovery import Waits, described

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_CLOSES = 2
"""How many connections must close at a subscription that is alone on them."""
_LONGEST_S = 3600.0
"""The longest pause before a refused subscription is tried again."""


def refuses(error: ChandleryError) -> bool:
    """Say whether an error that a message means refuses a subscription, and not merely asks for a pause."""
    return isinstance(error, RequestRejected | InvalidInput)


class Tried(Protocol[Item]):
    """What is to be found out about: the subscriptions of a connection."""

    def wants(self, item: Item) -> bool:
        """Whether it is still wanted."""
        ...

    def messages(self, items: Sequence[Item], *, leave: bool = False) -> Sequence[str]:
        """The messages that subscribe to these, or end that with ``leave``."""
        ...

    def symbol_of(self, item: Item) -> str:
        """The symbol, as the exchange spells it."""
        ...

    def found(self, message: bytes) -> Iterable[Item]:
        """Of what a message holds data; it raises what ``ExchangeAdapter.live_rows`` raises."""
        ...

    def on_aside(self, item: Item, error: ChandleryError) -> None:
        """Note that nothing of it comes until ``on_taken``, since it may be what was refused by this error."""
        ...

    def on_refused(self, item: Item, error: ChandleryError) -> None:
        """Note that the exchange refuses this one, alone, for this reason; it may be tried again later."""
        ...

    def on_taken(self, item: Item) -> None:
        """Note that it is subscribed to again."""
        ...


class SubscriptionBisector(Generic[Item]):
    """
    Splits subscriptions that were refused together, or at which a connection closed, until the culprit is alone.

    Those that are set aside are left out by the connection. What a connection of the bisector sends only says whether the
    subscriptions were taken; ``take`` gets those that were. ``healthy`` says whether the connection that is open brings
    data: only then a connection that closes says something about what was subscribed to on it.
    """

    def __init__(
        self,
        network: NetworkClient,
        channel: Channel,
        tried: Tried[Item],
        take: Callable[[Sequence[Item]], Awaitable[None]],
        healthy: Callable[[], bool],
        *,
        sleep: Sleep,
        random: Callable[[], float],
        pace: Pace,
    ) -> None:
        self.aside: dict[Item, ChandleryError] = {}
        """What is not to be subscribed to for now, and why."""
        self._network = network
        self._channel = channel
        self._tried = tried
        self._take = take
        self._healthy = healthy
        self._sleep = sleep
        self._random = random
        self._pace = pace
        self._groups: list[list[Item]] = []
        """What is to be tried, the next one last."""
        self._lull = pace.delays(random)
        """The pauses after connections that close."""
        self._patient = structs.replace(
            pace, first_delay_s=pace.refused_s, longest_delay_s=_LONGEST_S, stable_s=_LONGEST_S
        )
        self._closes: dict[Item, int] = {}
        self._refused: dict[Item, Waits] = {}
        """The pauses of those that are refused."""
        self._news = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    def suspect(self, items: Sequence[Item], error: ChandleryError) -> None:
        """Set these aside, one of which or more the exchange refuses by this error, and try them."""
        items = [each for each in items if self._tried.wants(each)]
        for each in items:
            self.aside[each] = error
            self._tried.on_aside(each, error)
        half = (len(items) + 1) // 2
        self._groups += [part for part in ([*items[half:]], [*items[:half]]) if part]
        self._news.set()

    def condemn(self, item: Item, error: ChandleryError) -> None:
        """Set one aside that the exchange refuses; one that is still wanted then is tried again after a growing pause."""
        if not self._tried.wants(item):
            return
        log.warning("%s %s: refused: %s", self._network.adapter.id, self._tried.symbol_of(item), described(error))
        self._closes.pop(item, None)
        if item not in self.aside:
            self._tried.on_aside(item, error)
        self.aside[item] = error
        self._tried.on_refused(item, error)
        if self._tasks is not None:
            if item not in self._refused:
                self._refused[item] = Waits(self._patient, self._random)
            wait_s = self._refused[item].next_s(asyncio.get_running_loop().time())
            self._tasks.create_task(self._later(item, wait_s))

    def forget(self, items: Iterable[Item]) -> None:
        """Try these no more."""
        for each in items:
            for held in (self.aside, self._closes, self._refused):
                held.pop(each, None)

    async def run(self) -> None:
        """Try what is suspected; ends only by being cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                waits = Waits(self._pace, self._random)
                while True:
                    while not self._groups:
                        self._news.clear()
                        await self._news.wait()
                    while self._groups:
                        await self._try(self._groups.pop())
                    # What is taken alone and refused together again must not go round without a pause.
                    await self._sleep(waits.next_s(asyncio.get_running_loop().time()))
            finally:
                self._tasks = None

    async def _later(self, item: Item, wait_s: float) -> None:
        await self._sleep(wait_s)
        if item in self.aside and item in self._refused:
            self._groups.append([item])
            self._news.set()

    async def _try(self, group: list[Item]) -> None:
        group = [each for each in group if each in self.aside and self._tried.wants(each)]
        if not group:
            return
        for wait_s in self._pace.delays(self._random):
            trial = Trial(self._network, self._channel, self._tried, self._sleep, self._pace)
            try:
                error = await trial.run(group)
                break
            except ChandleryError as failure:
                log.warning("%s: could not try subscriptions: %s", self._network.adapter.id, failure)
            await self._sleep(wait_s)
        if error is None:
            await self._taken(group)
            return
        if not refuses(error):
            await self._sleep(next(self._lull))
        if trial.named and len(trial.named) < len(group):
            self._groups += [[each for each in group if each not in trial.named], trial.named]
        elif len(group) > 1:
            half = (len(group) + 1) // 2
            self._groups += [group[half:], group[:half]]
        elif refuses(error):
            self.condemn(group[0], error)
        else:
            self._closed(group[0], error)

    async def _taken(self, group: Sequence[Item]) -> None:
        taken = [each for each in group if each in self.aside]
        self.forget(taken)
        self._lull = self._pace.delays(self._random)
        await self._take(taken)
        for each in taken:
            if self._tried.wants(each):
                self._tried.on_taken(each)

    def _closed(self, item: Item, error: ChandleryError) -> None:
        """Count a connection that closed at one subscription, where it says something."""
        self._closes[item] = self._closes.get(item, 0) + self._healthy()
        if self._closes[item] >= _CLOSES:
            adapter, symbol = self._network.adapter, self._tried.symbol_of(item)
            self.condemn(item, RequestRejected(f"{adapter.id} closes connections that subscribe to {symbol}: {error}"))
            return
        self._groups.insert(0, [item])


class Trial(Generic[Item]):
    """A connection on which some subscriptions are tried; it takes no data."""

    def __init__(self, network: NetworkClient, channel: Channel, tried: Tried[Item], sleep: Sleep, pace: Pace) -> None:
        self.error: ChandleryError | None = None
        """How they were refused."""
        self.named: list[Item] = []
        """Those that the refusal names."""
        self._network = network
        self._channel = channel
        self._tried = tried
        self._pace = pace
        self._heard: Counter[Item] = Counter()
        self._news = asyncio.Event()
        pending = Pending(self._heard.__getitem__, tried.symbol_of)
        self._connection: Connection[Item] = Connection(network.adapter, self, pending, sleep, pace)

    async def run(self, group: Sequence[Item]) -> ChandleryError | None:
        """
        Subscribe to these alone; how that was refused, ``None`` where it was not.

        Raises:
            ChandleryError: There was no connection, or the exchange asks for a pause.
        """
        connection = self._connection
        try:
            await connection.opened(await self._network.connect(self._channel, connection.take))
            closed = connection.closed
            closed.add_done_callback(lambda _: self._news.set())
            await connection.subscribe(group, self._tried.messages)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.verdict_s):
                    while self.error is None and not closed.done() and connection.pending.since():
                        self._news.clear()
                        await self._news.wait()
            if self.error is None and closed.done():
                self.error = closing_error(closed.result())
                if not isinstance(self.error, RateLimited):
                    return self.error
        finally:
            await connection.close()
        if self.error is not None and not refuses(self.error):
            raise self.error
        return self.error

    def on_message(self, message: bytes) -> bool:
        """Count what comes."""
        found = [*self._tried.found(message)]
        self._heard.update(found)
        self._news.set()
        return bool(found)

    def on_data(self) -> None:
        """Nothing else depends on it."""

    def on_bad(self, connection: Connection[Item], error: ChandleryError, message: bytes) -> None:
        """Note the first refusal; what cannot be read says nothing of a subscription."""
        if self.error is None and not isinstance(error, MalformedResponse):
            self.error, self.named = error, connection.pending.named(message)
            self._news.set()

    def on_failed(self, error: Exception, message: bytes) -> None:
        """Leave it to the connection that takes data."""
