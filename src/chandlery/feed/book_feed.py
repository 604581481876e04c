"""Live order books, and groups of them that share connections."""

from __future__ import annotations

import asyncio
import random as dice
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self, TypeAlias
from weakref import ref

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.endpoints import Endpoints
from chandlery.core.errors import Closed, InvalidInput, UnsupportedRequest
from chandlery.core.time import Clock
from chandlery.feed.audit import BookAudit
from chandlery.feed.backoff import PACE, Pace
from chandlery.feed.book_bundle import BookBundle
from chandlery.feed.book_stream import BookStream, LiveBook
from chandlery.feed.callback import CallbackErrors
from chandlery.feed.connection import Sleep
from chandlery.feed.events import Event
from chandlery.feed.group import Group
from chandlery.feed.network import NetworkClient
from chandlery.net.clock import system_clock
from chandlery.net.http import HttpClient

BookFeedUpdate: TypeAlias = LiveBook | Event
"""An item that an order book feed yields."""

_MOST_EVENTS = 1000

OrderBook = LiveBook
"""The public name of a live order book."""


class OrderBookFeed:
    """
    The validated order book of a pair on an exchange, up to date.

    An async context manager that starts and stops it. ``depth`` is the number of levels a side:
    the feed subscribes to the smallest depth that the exchange offers with at least as many, by default
    to the greatest. ``on_update`` is called with the book after each message that changed it, and
    with events, in the event loop, and must not block. Its exceptions are counted and reported; the feed
    continues. Iterating yields events, and the book, conflated to its latest state. ``book`` is ``None``
    while there is no validated one; a crossed book is never served.

    ``max_age_s`` is the time for which a book is valid without a message for it. An older one becomes ``None``, ``Outdated``
    is published once, and the next message makes it valid again. Without it, a book is valid however quiet it is.

    Raises:
        InvalidInput: ``max_age_s`` is not greater than 0.
        UnknownName: No such exchange.
        InvalidSymbol: Not a symbol of it.
        UnsupportedRequest: It has no live books, or none so deep.
    """

    def __init__(
        self,
        exchange: str,
        trading_pair: str,
        depth: int | None = None,
        *,
        on_update: Callable[[BookFeedUpdate], object] | None = None,
        endpoints: Endpoints | None = None,
        proxy: str | None = None,
        http: HttpClient | None = None,
        clock: Clock = system_clock,
        group: BookGroup | None = None,
        max_age_s: float | None = None,
    ) -> None:
        if max_age_s is not None and not max_age_s > 0:
            raise InvalidInput(f"max_age_s is {max_age_s}; use more than 0 seconds, or None for no limit")
        self.group = group or BookGroup(exchange, depth, endpoints=endpoints, proxy=proxy, http=http, clock=clock)
        network = self.group.network
        self.exchange = network.adapter.id
        self.trading_pair = trading_pair
        self.symbol = network.adapter.symbol(trading_pair)
        network.adapter.require_books(self.symbol)
        self.depth = self.group.depth
        self.stream = BookStream(
            network,
            self.symbol,
            self.depth,
            max_age_s=max_age_s,
            publish=self._publish,
            on_begun=self.group.look,
        )
        """The book and its messages, for the group."""
        self.dropped = 0
        """Number of events that slow readers have missed."""
        self._on_update = on_update
        name = f"{self.exchange} {self.symbol}"
        self._callback_errors = CallbackErrors(name, self.group.waits(), self._put)
        self._readers: list[ref[_Reader]] = []
        self._ended = False
        self._notify_directly()
        self.group.join(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def __repr__(self) -> str:
        """Show the symbol and its book."""
        return f"<OrderBookFeed {self.exchange} {self.symbol}: {self.book}>"

    async def start(self, *, timeout_s: float = 60.0) -> None:
        """
        Connect; returns once there is a valid book. A feed of a group starts the whole group; if the
        group already runs, only this feed is awaited.

        Raises:
            RequestTimeout: There was none within ``timeout_s``; the feed is stopped.
            RequestRejected: The exchange refuses the symbol.
            Closed: It was stopped or removed, before or meanwhile, or its event loop has ended.
        """
        await self.group.start(timeout_s=timeout_s, only=self)

    async def stop(self) -> None:
        """Stop the feed and its whole group. Iterations end."""
        await self.group.stop()

    @property
    def book(self) -> LiveBook | None:
        """The current book, which the next message changes. ``None`` while there is no valid one."""
        return None if self.group.ended else self.stream.book

    @property
    def ready(self) -> bool:
        """True while there is a valid book."""
        return self.book is not None

    @property
    def failures(self) -> int:
        """Number of internal errors, of handling an update or of ``on_update``."""
        return self.stream.audit.failures + self._callback_errors.count

    @property
    def audit(self) -> BookAudit:
        """The audit log of the book."""
        return self.stream.audit

    def __aiter__(self) -> AsyncIterator[BookFeedUpdate]:
        """
        Yield the book whenever it has changed, and events, until the feed stops.

        Raises:
            Closed: The event loop of the feed has ended.
        """
        self.group.check_loop()
        reader = _Reader(self.stream)
        if self._ended:
            reader.close()
        # Leaving the loop does not notify us: a reader is removed once it is garbage-collected.
        self._readers.append(ref(reader, self._readers.remove))
        self._notify_directly()
        return reader

    def end(self) -> None:
        """End the iterations."""
        self._ended = True
        self._notify_directly()
        for each in self._readers:
            if (reader := each()) is not None:
                reader.close()

    def _notify_directly(self) -> None:
        """Call ``on_update`` directly if there is no other reader."""
        alone = self._on_update is not None and not self._readers and not self._ended
        to = self._on_update if alone else None
        self.stream.notify_directly(to or self._publish, self._callback_errors)

    def _publish(self, update: BookFeedUpdate) -> None:
        if self._ended:
            return
        self._put(update)
        if self._on_update is not None:
            try:
                self._on_update(update)
            except Exception as error:  # noqa: BLE001  # a user's function may raise anything
                self._callback_errors(error)

    def _put(self, update: BookFeedUpdate) -> None:
        for each in self._readers:
            if (reader := each()) is not None and not reader.put(update):
                self.dropped += 1


class _Reader:
    """Unread items of one iteration: events, the oldest of which are dropped, and whether the book has changed."""

    def __init__(self, stream: BookStream) -> None:
        self._stream = stream
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._changed = False
        self._news = asyncio.Event()
        self._closed = False

    def put(self, update: BookFeedUpdate) -> bool:
        """Queue an update. Return whether no event was dropped for it."""
        room = True
        if isinstance(update, LiveBook):
            self._changed = True
        else:
            room = len(self._events) < _MOST_EVENTS
            self._events.append(update)
        self._news.set()
        return room

    def close(self) -> None:
        self._closed = True
        self._news.set()

    def __aiter__(self) -> _Reader:
        return self

    async def __anext__(self) -> BookFeedUpdate:
        while True:
            if self._events:
                return self._events.popleft()
            changed, self._changed = self._changed, False
            if changed and (book := self._stream.book) is not None:
                return book
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()


class BookGroup(Group[OrderBookFeed]):
    """
    Order book feeds of one exchange and depth that share their connections. Feeds can be added and removed at any time.

    ``sleep``, ``random`` (numbers from 0 to 1) and ``pace`` determine its delays.

    Raises:
        UnknownName: No such exchange.
        UnsupportedRequest: It has no live books, or none so deep.
    """

    waits_for = "order book"

    def __init__(
        self,
        exchange: str,
        depth: int | None = None,
        *,
        endpoints: Endpoints | None = None,
        proxy: str | None = None,
        http: HttpClient | None = None,
        clock: Clock = system_clock,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float] = dice.random,
        pace: Pace = PACE,
    ) -> None:
        adapter = ExchangeRegistry.create(exchange, endpoints)
        self.depth = _offered(adapter, depth)
        network = NetworkClient(adapter, http=http, endpoints=endpoints, proxy=proxy, clock=clock)
        super().__init__(network, sleep=sleep, random=random, pace=pace)
        self._bundles: dict[BookBundle, asyncio.Task[None] | None] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def add(
        self,
        trading_pair: str,
        *,
        on_update: Callable[[BookFeedUpdate], object] | None = None,
        max_age_s: float | None = None,
    ) -> OrderBookFeed:
        """Add a feed to the group. In a running group it begins at once, and its ``start`` waits for its book."""
        exchange = self.network.adapter.id
        return OrderBookFeed(exchange, trading_pair, on_update=on_update, group=self, max_age_s=max_age_s)

    def remove(self, feed: OrderBookFeed) -> None:
        """End one feed of the group; the others continue."""
        if feed not in self.feeds:
            return
        self.feeds.remove(feed)
        bundle = next(each for each in self._bundles if each.streams.get(feed.symbol) is feed.stream)
        bundle.remove(feed.stream)
        if not bundle.streams and (task := self._bundles.pop(bundle)) is not None:
            task.cancel()
        feed.end()
        self.look()

    async def start(self, *, timeout_s: float = 60.0, only: OrderBookFeed | None = None) -> None:
        """
        Start all feeds, as ``OrderBookFeed.start`` does.

        In a running group, wait for all of them, or for ``only`` one, which alone is removed if it fails.
        Feeds that the exchange refuses are removed from the group. The first error is raised once all other
        feeds have begun; they continue to run.
        """
        await self._started(self._run, timeout_s, only)

    def join(self, feed: OrderBookFeed) -> None:
        """
        Add a feed.

        Raises:
            Closed: The group was stopped.
            InvalidInput: It has a feed of that symbol.
        """
        if self.ended:
            raise Closed("this group was stopped; make a new one")
        if any(each.symbol == feed.symbol for each in self.feeds):
            raise InvalidInput(f"the group has a feed of {feed.symbol} already; use that one")
        self.feeds.append(feed)
        bundle = next((each for each in self._bundles if each.has_room), None)
        if bundle is None:
            bundle = BookBundle(self.network, self.depth, sleep=self._sleep, random=self._random, pace=self._pace)
            self._bundles[bundle] = None if self._tasks is None else self._tasks.create_task(bundle.run())
        bundle.add(feed.stream)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for bundle in self._bundles:
                    self._bundles[bundle] = tasks.create_task(bundle.run())
                await asyncio.Event().wait()
            finally:
                self._tasks = None


def _offered(adapter: ExchangeAdapter, depth: int | None) -> int:
    """Return the smallest offered depth with at least as many levels; the greatest for ``None``."""
    offered = adapter.book_depths
    if not offered or adapter.book_rule is None:
        raise UnsupportedRequest(f"{adapter.id} has no live order books")
    wanted = offered[-1] if depth is None else depth
    if not 0 < wanted <= offered[-1]:
        raise UnsupportedRequest(f"{adapter.id} has books of {', '.join(map(str, offered))} levels, not {depth}")
    return next(each for each in offered if each >= wanted)
