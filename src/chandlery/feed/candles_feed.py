"""Live candles of one pair, and groups of them that share connections."""

from __future__ import annotations

import asyncio
import random as dice
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.candle import CandleData
from chandlery.core.endpoints import Endpoints
from chandlery.core.errors import Closed, InvalidInput
from chandlery.core.interval import Interval
from chandlery.core.moment import TimeLike, to_micros
from chandlery.core.time import SECOND, Clock
from chandlery.feed.backoff import PACE, Pace
from chandlery.feed.conflating_queue import ConflatingQueue
from chandlery.feed.connection import Sleep
from chandlery.feed.events import CandleUpdate
from chandlery.feed.frame import candles_frame
from chandlery.feed.group import Group
from chandlery.feed.network import NetworkClient
from chandlery.feed.processed import ProcessorOf
from chandlery.feed.readers import Readers
from chandlery.feed.recovery import kept_up
from chandlery.feed.second_reader import SecondReader
from chandlery.feed.selection import Strategy, last_candles, require_strategy, require_streamed
from chandlery.feed.strategies import NetworkStrategy, RESTPollingStrategy, WebSocketStrategy
from chandlery.feed.stream import LiveStream
from chandlery.feed.updates import merged, updates_since
from chandlery.net.clock import system_clock
from chandlery.net.http import HttpClient

if TYPE_CHECKING:
    import pandas as pd

_PATIENCE_S = 60.0
_SLACK = 3
"""Factor on the time that the exchange's limits demand for the history."""


class CandlesFeed:
    """
    The latest ``max_records`` candles of a pair on an exchange, complete and up to date.

    An async context manager that starts and stops it. ``exchange`` is an id, e.g. ``binance_spot``; ``trading_pair`` is
    ``BTC-USDT``, ``BTC/USDT`` or the exchange's spelling. ``history`` candles are requested at the start, by default all.
    ``processor`` replaces the ``DataProcessor``: a subclass of it, or an instance, whose ``max_records`` then apply.
    ``on_update`` is called with each update, in the event loop, and must not block. Its exceptions are counted and
    reported; the feed continues. Iterating yields the same updates: candles and events in order. ``endpoints`` and
    ``credentials`` are by exchange id. ``http`` is a shared client, whose proxies are used; without it, ``proxy`` or the
    environment's proxies apply.

    Raises:
        UnknownName: No such exchange.
        InvalidSymbol: Not a symbol of it.
        UnknownInterval: Not an interval.
        UnsupportedRequest: The exchange has no such candles.
    """

    def __init__(
        self,
        exchange: str,
        trading_pair: str,
        interval: Interval | str = "1m",
        max_records: int = 150,
        *,
        history: int | None = None,
        processor: ProcessorOf | None = None,
        on_update: Callable[[CandleUpdate], object] | None = None,
        endpoints: Endpoints | None = None,
        proxy: str | None = None,
        credentials: Mapping[str, Mapping[str, str]] | None = None,
        http: HttpClient | None = None,
        clock: Clock = system_clock,
        group: FeedGroup | None = None,
    ) -> None:
        for name, count in {"max_records": max_records, "history": history}.items():
            if count is not None and count < 1:
                raise InvalidInput(f"{name} is {count}; use at least 1")
        self.group = group or FeedGroup(
            exchange, endpoints=endpoints, proxy=proxy, credentials=credentials, http=http, clock=clock
        )
        network = self.group.network
        self.exchange = network.adapter.id
        self.trading_pair, self.max_records = trading_pair, max_records
        self.interval = interval if isinstance(interval, Interval) else Interval(interval)
        network.adapter.interval_name(self.interval)
        self.symbol = network.adapter.symbol(trading_pair)
        name = f"{self.exchange} {self.symbol} {self.interval.value}"
        self._readers = Readers(name, on_update, self.group.waits())
        self.stream = LiveStream(
            network,
            self.symbol,
            self.interval,
            max_records=max_records,
            history=history,
            processor=processor,
            publish=self._readers.publish,
            publish_all=self._readers.publish_all,
            on_begun=self.group.look,
        )
        """The series, for the strategies."""
        self._readers.follow(self.stream)
        self.group.join(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, strategy: Strategy = "auto", *, timeout_s: float | None = None) -> None:
        """
        Backfill the history and continue live; returns once the history is complete. Running candles are published before that.

        ``auto`` uses a socket if the exchange streams these candles, or shorter ones to resample,
        and polls if it does not, or while no connection delivers any. A ``NetworkStrategy`` of ``group.network`` feeds
        all series itself. A feed of a group starts the whole group; if the group already runs, only this feed is awaited.

        Raises:
            InvalidInput: The strategy is unknown, or is for another exchange.
            RequestTimeout: The history was not complete within ``timeout_s``, by default ``group.patience_s``; the feed is stopped.
            InvalidSymbol: The exchange does not know the symbol.
            UnsupportedRequest: ``websocket``, and the exchange does not stream such candles.
            RequestRejected: The exchange refuses the symbol.
            Closed: It was stopped or removed, before or meanwhile, or its event loop has ended.
        """
        await self.group.start(strategy, timeout_s=timeout_s, only=self)

    async def stop(self) -> None:
        """Stop the feed and its whole group. Iterations end after the updates still queued."""
        await self.group.stop()

    @property
    def ready(self) -> bool:
        """True while the history is complete and the feed has not ended."""
        return self.stream.began and self.stream.failure is None and not self.group.ended

    @property
    def first_timestamp(self) -> int | None:
        """Open time of the oldest candle, in whole seconds; ``None`` without candles."""
        first = self.stream.processor.first
        return None if first is None else first // SECOND

    @property
    def last_timestamp(self) -> int | None:
        """Open time of the latest candle, in whole seconds; ``None`` without candles."""
        last = self.stream.processor.last
        return None if last is None else last // SECOND

    @property
    def counts(self) -> dict[str, int]:
        """
        Number of candles by result: ``taken``, ``repeated``, ``outdated``, and the reasons of rejects.

        ``restated`` counts closed candles that were replaced, ``provisional`` closed candles that await a second read.
        """
        processor, provisional = self.stream.processor, self.stream.provisional
        second = {"restated": provisional.restated, "provisional": len(provisional)}
        refused = {verdict.value: count for verdict, count in processor.counts.items()}
        return {"taken": processor.taken} | {name: count for name, count in second.items() if count} | refused

    @property
    def dropped(self) -> int:
        """Number of updates that slow readers have missed."""
        return self._readers.dropped

    @property
    def failures(self) -> int:
        """Number of internal errors, of handling an update or of ``on_update``."""
        return self.stream.failures + self._readers.errors.count

    def get_candles(self) -> list[CandleData]:
        """Return the stored candles, oldest first; the last one may be running. Empty before the history is complete."""
        return self.stream.processor.candles if self.stream.began else []

    def get_candles_df(self) -> pd.DataFrame:
        """Return the stored candles as a frame indexed by ``open_time``, with the columns of ``OUTPUT_DTYPES`` and ``closed``."""
        return candles_frame(self.get_candles(), self.interval)

    async def fetch_candles(
        self,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        start_time: TimeLike | None = None,
        end_time: TimeLike | None = None,
        limit: int | None = None,
    ) -> list[CandleData]:
        """
        Fetch the candles with ``start <= open < end`` by REST, oldest first, whether or not the feed stores them.

        Both are a ``TimeLike``, whose integers are whole seconds since 1970 here; ``start_time`` and ``end_time`` are other
        names of them. The end is now by default. Without a start, the last ``limit`` candles before the end are fetched, by
        default as many as the feed stores; with one, ``limit`` leaves out those after the first ``limit``.

        Raises:
            InvalidRange: A value is not a ``TimeLike``, or the end is not after the start.
            InvalidInput: ``limit`` is less than 1.
        """
        begin, until = (start_time if start is None else start), (end_time if end is None else end)
        count = self.max_records if limit is None else limit
        span = last_candles(begin, until, count, self.interval, self.group.network.clock())
        found = await self.group.network.candles(self.symbol, self.interval, span)
        return found if limit is None else found[:limit]

    def __aiter__(self) -> AsyncIterator[CandleUpdate]:
        """
        Yield updates from now on, until the feed stops; each reader gets all of them.

        Raises:
            Closed: The event loop of the feed has ended.
        """
        return self._read()

    def updates(self, since: TimeLike | None = None) -> AsyncIterator[CandleUpdate]:
        """
        Yield the closed candles since a moment, each once and in order, and the events and running candles between them.

        The candles that open at or after ``since`` are yielded first; it is a ``TimeLike``, whose integers are whole
        seconds since 1970 here. By default, candles follow the latest closed one at the call, or at the first iteration
        if the feed had not started before. Candles wait for a late one before them. Candles that do not exist are
        yielded as ``Missing``, and later changes as ``Restated``. Candles that the feed does not store are requested by
        REST. It ends when the feed stops.

        Raises:
            Closed: The event loop of the feed has ended.
            InvalidRange: ``since`` is not a ``TimeLike``.
            ExchangeError: A request for candles before the feed's history failed; the iteration ends.
        """
        now = self.group.network.clock()
        start = None if since is None else to_micros(since, name="since", now=now, unit="s")
        return updates_since(self.stream, self._read(), start)

    def end(self) -> None:
        """End the iterations."""
        self._readers.close()

    def _read(self) -> ConflatingQueue:
        self.group.check_loop()
        return self._readers.join()


class FeedGroup(Group[CandlesFeed]):
    """
    Feeds of one exchange that share their connections. Feeds can be added and removed at any time.

    ``sleep``, ``random`` (numbers from 0 to 1) and ``pace`` determine its delays.

    Raises:
        UnknownName: No such exchange.
    """

    waits_for = "history"

    def __init__(
        self,
        exchange: str,
        *,
        endpoints: Endpoints | None = None,
        proxy: str | None = None,
        credentials: Mapping[str, Mapping[str, str]] | None = None,
        http: HttpClient | None = None,
        clock: Clock = system_clock,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float] = dice.random,
        pace: Pace = PACE,
    ) -> None:
        network = NetworkClient(
            ExchangeRegistry.create(exchange, endpoints),
            credentials,
            http=http,
            endpoints=endpoints,
            proxy=proxy,
            clock=clock,
        )
        super().__init__(network, sleep=sleep, random=random, pace=pace)
        self.sockets = WebSocketStrategy(self.network, sleep=sleep, random=random, pace=pace)
        self.polling = RESTPollingStrategy(self.network, sleep=sleep, random=random, pace=pace)
        self._second = SecondReader(self.network, sleep=sleep, random=random, pace=pace)
        self._strategy: Strategy | None = None

    def add(
        self,
        trading_pair: str,
        interval: Interval | str = "1m",
        max_records: int = 150,
        *,
        history: int | None = None,
        processor: ProcessorOf | None = None,
        on_update: Callable[[CandleUpdate], object] | None = None,
    ) -> CandlesFeed:
        """Add a feed to the group. In a running group it begins at once, and its ``start`` waits for its history."""
        return CandlesFeed(
            self.network.adapter.id,
            trading_pair,
            interval,
            max_records,
            history=history,
            processor=processor,
            on_update=on_update,
            group=self,
        )

    def remove(self, feed: CandlesFeed) -> None:
        """End one feed of the group; the others continue."""
        if feed in self.feeds:
            self.feeds.remove(feed)
            for strategy in self._strategies():
                if feed.stream in strategy.streams:
                    strategy.remove(feed.stream)
                    self._second.remove(feed.stream)
            feed.end()
            self.look()

    async def start(
        self, strategy: Strategy = "auto", *, timeout_s: float | None = None, only: CandlesFeed | None = None
    ) -> None:
        """
        Start all feeds, as ``CandlesFeed.start`` does, by default within ``patience_s``.

        In a running group, wait for all of them, or for ``only`` one, which alone is removed if it fails.
        Feeds that the exchange refuses are removed from the group. The first error is raised once all other
        feeds have begun; they continue to run.
        """
        if self._task is None and not self._stopped:
            self._choose(strategy)
        await self._started(self._run, self.patience_s if timeout_s is None else timeout_s, only)

    @property
    def patience_s(self) -> float:
        """
        Default time limit of a start: 60 s, plus three times what the exchange's limits demand for all missing history.

        The margin allows for other users of the same limits, such as second reads.
        """
        lacking = [feed for feed in self.feeds if not feed.stream.began]
        history = (
            self.network.history_s(each.symbol, each.interval, each.stream.processor.history) for each in lacking
        )
        return _PATIENCE_S + _SLACK * sum(history)

    @property
    def second_reads(self) -> dict[str, float]:
        """Counters of second reads of all feeds, and their backlog; see ``SecondReader.counts``."""
        return self._second.counts

    def updates(self, since: TimeLike | None = None) -> AsyncIterator[tuple[CandlesFeed, CandleUpdate]]:
        """Yield the updates of the present feeds, as ``CandlesFeed.updates`` does, each with its feed; in order for each."""
        return merged([(feed, feed.updates(since)) for feed in self.feeds])

    def join(self, feed: CandlesFeed) -> None:
        """
        Add a feed.

        Raises:
            Closed: The group was stopped.
            UnsupportedRequest: It runs with ``websocket``, and the exchange does not stream such candles.
        """
        if self.ended:
            raise Closed("this group was stopped; make a new one")
        if self._strategy is not None:
            require_streamed(self._strategy, self.network.adapter, feed.stream)
            self._feed(feed, self._strategy)
        self.feeds.append(feed)

    def _choose(self, strategy: Strategy) -> None:
        require_strategy(strategy, self.network.adapter)
        strategy = "polling" if strategy == "rest" else strategy
        for feed in self.feeds:
            require_streamed(strategy, self.network.adapter, feed.stream)
        self.sockets.fall_back = strategy == "auto"
        for feed in self.feeds:
            self._feed(feed, strategy)
        self._strategy = strategy

    def _feed(self, feed: CandlesFeed, strategy: Strategy) -> None:
        if isinstance(strategy, NetworkStrategy):
            strategy.add(feed.stream)
        else:
            listens = strategy != "polling" and feed.stream.live is not None
            (self.sockets if listens else self.polling).add(feed.stream)
        self._second.add(feed.stream)

    def _strategies(self) -> list[NetworkStrategy]:
        own: list[NetworkStrategy] = [self.sockets, self.polling]
        return [*own, self._strategy] if isinstance(self._strategy, NetworkStrategy) else own

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            parts = [(type(strategy).__name__, strategy.run) for strategy in self._strategies()]
            for part, run in [*parts, ("second reads", self._second.run)]:
                name = f"{self.network.adapter.id}: {part}"
                tasks.create_task(kept_up(run, name=name, waits=self.waits(), sleep=self._sleep))
