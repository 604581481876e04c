"""Live order books, and groups of them that share connections."""

from __future__ import annotations

import asyncio
import random as dice
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeAlias

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import Closed, InvalidInput, RequestTimeout, UnsupportedRequest
from chandlery.core.time import Clock
from chandlery.feed.audit import BookAudit
from chandlery.feed.book_stream import BookBundle, BookStream, LiveBook
from chandlery.feed.events import Event
from chandlery.feed.network import NetworkClient
from chandlery.feed.uplink import Sleep
from chandlery.net.clock import system_clock
from chandlery.net.http import HttpClient

BookFeedUpdate: TypeAlias = LiveBook | Event
"""What an order book feed yields."""

_MOST_EVENTS = 1000


class OrderBookFeed:
    """
    The order book of a pair on an exchange, kept right and up to date.

    An async context manager, which starts and stops it. ``depth`` is how many levels a side are
    wanted: the feed subscribes to the smallest depth of the exchange that has as many, without it
    to the greatest. ``on_update`` is called with the book after each message that changed it, and
    with events, in the event loop, and must not block; what it raises ends the feed. Iterating gives
    the book as often as it has changed since it was last given, and events. ``book`` is ``None``
    while there is none that is known to be right; a crossed one is never served.

    Raises:
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
        endpoints: Mapping[str, Mapping[str, str]] | None = None,
        http: HttpClient | None = None,
        clock: Clock = system_clock,
        group: BookGroup | None = None,
    ) -> None:
        self._group = group or BookGroup(exchange, depth, endpoints=endpoints, http=http, clock=clock)
        network = self._group.network
        self.exchange = network.adapter.id
        self.trading_pair = trading_pair
        self.symbol = network.adapter.symbol(trading_pair)
        self.depth = self._group.depth
        self._stream = BookStream(network, self.symbol, self.depth, publish=self._publish)
        self._on_update = on_update
        self._readers: list[_Reader] = []
        self._group.feeds.append(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, *, timeout_s: float = 60.0) -> None:
        """
        Connect; returns as soon as there is a book. A feed of a group starts all of it.

        Raises:
            RequestTimeout: There was none within ``timeout_s``; the feed is stopped.
            RequestRejected: The exchange does not want to answer for the symbol.
        """
        await self._group.start(timeout_s=timeout_s)

    async def stop(self) -> None:
        """Stop, with all of its group; iterations end. Raises what ``on_update`` has raised."""
        await self._group.stop()

    @property
    def book(self) -> LiveBook | None:
        """The book as it is now; it changes with the next message. ``None`` while there is no valid one."""
        return self._stream.book

    @property
    def ready(self) -> bool:
        """Whether there is a valid book."""
        return self._stream.book is not None

    @property
    def audit(self) -> BookAudit:
        """What happened to the book so far."""
        return self._stream.audit

    @property
    def stream(self) -> BookStream:
        """The book and its messages, for the group."""
        return self._stream

    async def __aiter__(self) -> AsyncIterator[BookFeedUpdate]:
        """The book whenever it has changed, and events, until the feed stops."""
        reader = _Reader()
        if self._group.stopped:
            reader.close()
        self._readers.append(reader)
        try:
            while await reader.wait():
                while reader.events:
                    yield reader.events.popleft()
                if reader.changed:
                    reader.changed = False
                    if (book := self._stream.book) is not None:
                        yield book
        finally:
            self._readers.remove(reader)

    def end(self) -> None:
        """End the iterations."""
        for reader in self._readers:
            reader.close()

    def _publish(self, update: BookFeedUpdate) -> None:
        for reader in self._readers:
            reader.put(update)
        if self._on_update is not None:
            try:
                self._on_update(update)
            except Exception as error:  # noqa: BLE001  # anything that a user's function raises ends the feed
                self._group.fail(error)


class _Reader:
    """What one iteration has not seen: events, the oldest of which give way, and whether the book has changed."""

    def __init__(self) -> None:
        self.events: deque[Any] = deque(maxlen=_MOST_EVENTS)
        self.changed = False
        self._news = asyncio.Event()
        self._closed = False

    def put(self, update: BookFeedUpdate) -> None:
        if isinstance(update, LiveBook):
            self.changed = True
        else:
            self.events.append(update)
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    async def wait(self) -> bool:
        """Wait for news; whether there can be any."""
        if not self._closed:
            await self._news.wait()
            self._news.clear()
        return bool(self.events or self.changed or not self._closed)


class BookGroup:
    """
    Order book feeds of one exchange and depth that share their connections: add them, then start.

    Raises:
        UnknownName: No such exchange.
        UnsupportedRequest: It has no live books, or none so deep.
    """

    def __init__(
        self,
        exchange: str,
        depth: int | None = None,
        *,
        endpoints: Mapping[str, Mapping[str, str]] | None = None,
        http: HttpClient | None = None,
        clock: Clock = system_clock,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float] = dice.random,
    ) -> None:
        adapter = ExchangeRegistry.create(exchange, endpoints)
        offered = adapter.book_depths
        if not offered or adapter.book_rule is None:
            raise UnsupportedRequest(f"{adapter.id} has no live order books")
        wanted = offered[-1] if depth is None else depth
        if not 0 < wanted <= offered[-1]:
            raise UnsupportedRequest(
                f"{adapter.id} has books of {', '.join(map(str, offered))} levels; {depth} cannot be had"
            )
        self.depth = next(each for each in offered if each >= wanted)
        self.network = NetworkClient(adapter, http=http, clock=clock)
        self.feeds: list[OrderBookFeed] = []
        self._sleep = sleep
        self._random = random
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self.stopped = False
        """Whether it was stopped, or has failed."""

    def add(self, trading_pair: str, *, on_update: Callable[[BookFeedUpdate], object] | None = None) -> OrderBookFeed:
        """One more feed of the group; before it starts."""
        if self._task is not None:
            raise InvalidInput("the group runs already; add feeds before it starts")
        return OrderBookFeed(self.network.adapter.id, trading_pair, on_update=on_update, group=self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, *, timeout_s: float = 60.0) -> None:
        """Start all feeds, as ``OrderBookFeed.start`` does."""
        if self.stopped:
            raise Closed("this feed was stopped; make a new one")
        if self._task is not None:
            return
        self._task = asyncio.create_task(self._run())
        waiting = asyncio.gather(*(feed.stream.began.wait() for feed in self.feeds))
        ends: set[asyncio.Future[Any]] = {self._task, waiting}
        done, _ = await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        failures = [feed.stream.failure for feed in self.feeds if feed.stream.failure is not None]
        if waiting in done and not failures and self._failure is None:
            return
        waiting.cancel()
        await self.stop()
        if failures:
            raise failures[0]
        raise RequestTimeout(f"{self.network.adapter.id}: no order book within {timeout_s:g} s")

    async def stop(self) -> None:
        """Stop all feeds, as ``OrderBookFeed.stop`` does."""
        self.stopped = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        for feed in self.feeds:
            feed.end()
        await self.network.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if task is not None and not task.cancelled() and (error := task.exception()) is not None:
            raise error

    def fail(self, error: Exception) -> None:
        """End all feeds with an error, which ``stop`` raises."""
        self._failure = self._failure or error
        self.stopped = True
        if self._task is not None:
            self._task.cancel()
        for feed in self.feeds:
            feed.end()

    async def _run(self) -> None:
        await self.network.now()
        most = self.network.adapter.socket.streams
        streams = [feed.stream for feed in self.feeds]
        async with asyncio.TaskGroup() as tasks:
            for at in range(0, len(streams), most):
                bundle = BookBundle(self.network, streams[at : at + most], sleep=self._sleep, random=self._random)
                tasks.create_task(bundle.run())
