"""Find which subscriptions an exchange refuses, on separate connections, so that the others are not affected."""

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
"""Number of connections that must close on a single subscription before it counts as refused."""
_LONGEST_S = 3600.0
"""The longest pause before a refused subscription is tried again."""


def refuses(error: ChandleryError) -> bool:
    """Return whether an error message refuses a subscription, rather than asks for a pause."""
    return isinstance(error, RequestRejected | InvalidInput)


class Tried(Protocol[Item]):
    """The owner of the subscriptions under test."""

    def wants(self, item: Item) -> bool:
        """Return whether the subscription is still needed."""
        ...

    def messages(self, items: Sequence[Item], *, leave: bool = False) -> Sequence[str]:
        """Return the messages that subscribe, or unsubscribe with ``leave``."""
        ...

    def symbol_of(self, item: Item) -> str:
        """Return the symbol in the exchange's spelling."""
        ...

    def found(self, message: bytes) -> Iterable[Item]:
        """Return the subscriptions that a message holds data for; raises what ``ExchangeAdapter.live_rows`` raises."""
        ...

    def on_aside(self, item: Item, error: ChandleryError) -> None:
        """Handle that a subscription is suspended until ``on_taken``, since it may have caused this error."""
        ...

    def on_refused(self, item: Item, error: ChandleryError) -> None:
        """Handle that the exchange refuses this single subscription. It may be retried later."""
        ...

    def on_taken(self, item: Item) -> None:
        """Handle that it is subscribed again."""
        ...


class SubscriptionBisector(Generic[Item]):
    """
    Split subscriptions that were refused together, or on which a connection closed, until the culprit is isolated.

    The main connection does not subscribe to suspended ones. A trial connection only shows whether the exchange
    accepts the subscriptions; ``take`` receives the accepted ones. ``healthy`` returns whether the main connection
    receives data: only then does a closed trial connection say something about its subscriptions.
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
        """Subscriptions that are suspended for now, with the reason."""
        self._network = network
        self._channel = channel
        self._tried = tried
        self._take = take
        self._healthy = healthy
        self._sleep = sleep
        self._random = random
        self._pace = pace
        self._groups: list[list[Item]] = []
        """Groups to try; the next one is last."""
        self._lull = pace.delays(random)
        """Delays after connections that close."""
        self._patient = structs.replace(
            pace, first_delay_s=pace.refused_s, longest_delay_s=_LONGEST_S, stable_s=_LONGEST_S
        )
        self._closes: dict[Item, int] = {}
        self._refused: dict[Item, Waits] = {}
        """Backoff of each refused subscription."""
        self._news = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    def suspect(self, items: Sequence[Item], error: ChandleryError) -> None:
        """Suspend these subscriptions, at least one of which caused this error, and try them."""
        items = [each for each in items if self._tried.wants(each)]
        for each in items:
            self.aside[each] = error
            self._tried.on_aside(each, error)
        half = (len(items) + 1) // 2
        self._groups += [part for part in ([*items[half:]], [*items[:half]]) if part]
        self._news.set()

    def condemn(self, item: Item, error: ChandleryError) -> None:
        """Suspend a refused subscription. Retry it with exponential backoff while it is still needed."""
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
        """Stop trying these."""
        for each in items:
            for held in (self.aside, self._closes, self._refused):
                held.pop(each, None)

    async def run(self) -> None:
        """Try suspected subscriptions until cancelled."""
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
                    # Subscriptions accepted alone but refused together must not loop without a pause.
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
                log.warning("%s: could not test subscriptions: %s", self._network.adapter.id, failure)
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
        """Count a connection that closed on one subscription, if the main connection is healthy."""
        self._closes[item] = self._closes.get(item, 0) + self._healthy()
        if self._closes[item] >= _CLOSES:
            adapter, symbol = self._network.adapter, self._tried.symbol_of(item)
            self.condemn(item, RequestRejected(f"{adapter.id} closes connections that subscribe to {symbol}: {error}"))
            return
        self._groups.insert(0, [item])


class Trial(Generic[Item]):
    """A connection that tries subscriptions and discards the data."""

    def __init__(self, network: NetworkClient, channel: Channel, tried: Tried[Item], sleep: Sleep, pace: Pace) -> None:
        self.error: ChandleryError | None = None
        """The error that refused them."""
        self.named: list[Item] = []
        """Subscriptions that the refusal names."""
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
        Subscribe to these alone. Return the error that refused them, ``None`` if they were accepted.

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
        """Count data per subscription."""
        found = [*self._tried.found(message)]
        self._heard.update(found)
        self._news.set()
        return bool(found)

    def on_data(self) -> None:
        """Do nothing."""

    def on_bad(self, connection: Connection[Item], error: ChandleryError, message: bytes) -> None:
        """Record the first refusal. Unreadable messages say nothing about a subscription."""
        if self.error is None and not isinstance(error, MalformedResponse):
            self.error, self.named = error, connection.pending.named(message)
            self._news.set()

    def on_failed(self, error: Exception, message: bytes) -> None:
        """Do nothing; the main connection reports it."""
