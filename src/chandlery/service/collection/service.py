"""Collection of coins: start, supervision and stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from chandlery.clients.interfaces import IDataSourceConnector, ResolvedSeries
from chandlery.core.errors import InvalidInput, MissingDependency, UnknownName
from chandlery.core.series_id import SeriesId
from chandlery.core.time import SECOND, Clock, Micros
from chandlery.database.candles import CandleRepository
from chandlery.database.coins import CollectedCoin
from chandlery.database.interfaces import IStorageManager
from chandlery.service.collection.availability import AvailabilityChecker
from chandlery.service.collection.broadcaster import Broadcaster, Subscriber, Update
from chandlery.service.collection.coins import CoinCollectionList
from chandlery.service.collection.interfaces import IDataCollectionManager
from chandlery.service.collection.processor import RealTimeProcessor
from chandlery.service.collection.pushed import Pushing
from chandlery.service.collection.status import DEFAULT_CHANNELS, CoinStatus
from chandlery.service.collection.stream_supervisor import StreamSupervisor
from chandlery.service.supervision import Supervised, Supervisor

START_TIMEOUT_S = 15.0
"""Maximum time in seconds that ``add_coin`` waits for a stream's first data; the stream continues independently."""

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_NOTICED_S = 1.0
"""Interval in seconds at which the wait for the next snapshot checks for changes of the clock."""
_LATE_PART = 10
_LEAST_LATE, _MOST_LATE = SECOND // 2, 5 * SECOND


def latest(every: Micros) -> Micros:
    """Return the maximum delay of a snapshot: a tenth of the interval, between 0.5 and 5 s."""
    return min(max(every // _LATE_PART, _LEAST_LATE), _MOST_LATE)


class DataCollectionManagerImpl(IDataCollectionManager):
    """
    Runs a stream for each channel of each listed coin.

    At each multiple of ``snapshot_every``, the order book of each coin is stored. If that is not possible in time, the
    interval since the last stored book is a gap. ``book_levels`` is the number of levels per side in each live update
    of a book.
    """

    def __init__(
        self,
        connector: IDataSourceConnector,
        coins: CoinCollectionList,
        processor: RealTimeProcessor,
        candles: CandleRepository,
        storage: IStorageManager,
        broadcaster: Broadcaster,
        clock: Clock,
        supervisor: Supervisor,
        *,
        snapshot_every: Micros,
        book_levels: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if snapshot_every < SECOND:
            raise InvalidInput(f"the snapshot interval is {snapshot_every / SECOND:g} s; use at least 1 s")
        self.coins = coins
        self.broadcaster = broadcaster
        self._connector = connector
        self._checker = AvailabilityChecker(connector, clock)
        self._processor = processor
        self._candles = candles
        self._storage = storage
        self._clock = clock
        self._supervisor = supervisor
        self._every = snapshot_every
        self._book_levels = book_levels
        self._sleep = sleep
        self._stream_supervisors: dict[SeriesId, StreamSupervisor] = {}
        # A lock exists while a caller holds it or waits for it.
        self._changing: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._snapshots: Supervised | None = None

    async def start(self) -> None:
        """Resume collecting the listed coins; returns at once."""
        for coin in await self.coins.load():
            self._begin(coin)
        log.info("order books are stored every %g s, at full multiples of the clock", self._every / SECOND)
        self._snapshots = self._supervisor.start("clock of the snapshots", self._keep_books)

    async def stop(self) -> None:
        """Stop every stream; the list is unchanged."""
        if self._snapshots is not None:
            await self._snapshots.end()
        stream_supervisors, self._stream_supervisors = self._stream_supervisors, {}
        await asyncio.gather(*(stream_supervisor.end() for stream_supervisor in stream_supervisors.values()))

    async def add_coin(self, coin: str, exchange: str, channels: Sequence[str] = DEFAULT_CHANNELS) -> CoinStatus:
        """Check, store and start a coin; returns when each stream runs, or has failed for the first time."""
        if not channels:
            raise InvalidInput("name at least one channel: book, or candles:1m and so on")
        return await self.collect([self.resolve(SeriesId.parse(exchange, coin, channel)).id for channel in channels])

    async def collect(self, wanted: Sequence[SeriesId]) -> CoinStatus:
        """Perform ``add_coin`` for the series of one coin, of which there is at least one, in their canonical spelling."""
        exchange, symbol = wanted[0].exchange, wanted[0].symbol
        async with self._changing.setdefault((exchange, symbol), asyncio.Lock()):
            known = self.coins.find(symbol, exchange)
            if known is None or not set(wanted) <= set(known.series):
                await self._checker.require(symbol, exchange)
                for each in wanted:
                    self._checker.require_stream(each)
                known = await self.coins.add_coin(symbol, exchange, tuple(each.channel_text for each in wanted))
            stream_supervisors = self._begin(known)
        waits = [
            asyncio.create_task(stream_supervisor.started.wait())
            for stream_supervisor in stream_supervisors
            if stream_supervisor.series in wanted
        ]
        await asyncio.wait(waits, timeout=START_TIMEOUT_S)
        for wait in waits:
            wait.cancel()
        return self._status(known)

    async def remove_coin(self, coin: str, exchange: str, channel: str | None = None) -> None:
        """Remove a coin, or one channel of it, from the list, and stop its streams."""
        book = self.resolve(SeriesId.of_book(exchange, coin)).id
        async with self._changing.setdefault((book.exchange, book.symbol), asyncio.Lock()):
            for removed in await self.coins.remove_coin(book.symbol, book.exchange, channel):
                series = SeriesId.parse(book.exchange, book.symbol, removed)
                stream_supervisor = self._stream_supervisors.pop(series, None)
                if stream_supervisor is not None:
                    await stream_supervisor.end()
                self.broadcaster.forget(series)

    def list_coins(self) -> list[CoinStatus]:
        """Return the coins with the state of each stream."""
        return [self._status(coin) for coin in self.coins.all()]

    async def check_availability(self, coin: str, exchange: str | None = None) -> bool:
        """Ask the exchange, by default the only one from which the coin is collected, whether it trades the coin now."""
        return await self._checker.check(coin, exchange or self.exchange_of(coin))

    async def stream_realtime_data(self, coin: SeriesId | str, ws: Any, *, exchange: str | None = None) -> None:
        """
        Send the entries of all series of a coin until cancelled; or subscribe to a series, and make sure that it is collected.

        Raises:
            UnknownName: The coin is not collected.
            InvalidInput: The coin is collected from several exchanges, none of which is named.
            Closed: The WebSocket is too slow.
        """
        if isinstance(coin, str):
            await self._push(coin, exchange or self.exchange_of(coin), ws)
            return
        named = self.resolve(coin).id
        self.broadcaster.subscribe(named, ws)
        try:
            await self.collect([named])
        except BaseException:
            self.broadcaster.unsubscribe(named, ws)
            raise

    async def _push(self, coin: str, exchange: str, ws: Any) -> None:
        book = self.resolve(SeriesId.of_book(exchange, coin)).id
        known = self.coins.find(book.symbol, book.exchange)
        if known is None:
            raise UnknownName(f"{coin} of {exchange} is not collected; add it first")
        pushing = Pushing()
        for each in known.series:
            self.broadcaster.subscribe(each, pushing)
        try:
            await pushing.send(ws)
        finally:
            for each in known.series:
                self.broadcaster.unsubscribe(each, pushing)

    def exchange_of(self, coin: str) -> str:
        """Look up the coin in the list."""
        return self.coins.get_exchange(coin)

    def collects(self, series: SeriesId) -> bool:
        """Look up the series in the list."""
        known = self.coins.find(series.symbol, series.exchange)
        return known is not None and series.channel_text in known.channels

    def subscribe(self, series: SeriesId, subscriber: Subscriber) -> Callable[[], object]:
        """Subscribe to the broadcaster."""
        self.broadcaster.subscribe(series, subscriber)
        return partial(self.broadcaster.unsubscribe, series, subscriber)

    def latest(self, series: SeriesId) -> Update | None:
        """Return what the broadcaster published last."""
        return self.broadcaster.latest(series)

    def resolve(self, series: SeriesId) -> ResolvedSeries:
        """Resolve the series with the exchange's client."""
        return self._connector.resolve(series)

    def origin(self, series: SeriesId) -> str | None:
        """Return the origin that the exchange's client reports."""
        origin = self._connector.origin(series.exchange, series.symbol)
        return None if origin is None else str(origin)

    def book_awaited(self, series: SeriesId) -> Micros | None:
        """Return the maximum delay of the next stored order book; ``None`` if the series is not collected."""
        stream_supervisor = self._stream_supervisors.get(series)
        if stream_supervisor is None:
            return None
        return 2 * self._every if stream_supervisor.running else 0

    def stream_supervisors(self) -> list[StreamSupervisor]:
        """Return all streams."""
        return list(self._stream_supervisors.values())

    def _begin(self, coin: CollectedCoin) -> list[StreamSupervisor]:
        """Return the streams of a coin; start those that are missing."""
        for series in coin.series:
            if series not in self._stream_supervisors:
                self._stream_supervisors[series] = StreamSupervisor(
                    series,
                    self._connector,
                    self._processor,
                    self._candles,
                    self._clock,
                    self._supervisor,
                    snapshot_every=self._every,
                    book_levels=self._book_levels,
                    last_kept=lambda series=series: self._last_kept(series),  # type: ignore[misc]  # mypy does not see through the default
                    sleep=self._sleep,
                )
        return [self._stream_supervisors[series] for series in coin.series]

    async def _last_kept(self, series: SeriesId) -> Micros | None:
        if series.interval is not None:
            return await self._candles.last_closed(series)
        entry = await self._storage.get_latest_book(series.symbol, exchange=series.exchange)
        return None if entry is None else entry.timestamp

    async def _keep_books(self) -> None:
        """Store order books at each multiple of ``snapshot_every``; the clock may change in either direction."""
        passed = self._clock() // self._every * self._every
        while True:
            left = max(passed + self._every - self._clock(), 0)
            await self._sleep(min(left / SECOND, _NOTICED_S))
            before, passed = passed, self._clock() // self._every * self._every
            if passed > before:
                books = [
                    stream_supervisor
                    for stream_supervisor in self._stream_supervisors.values()
                    if stream_supervisor.interval is None
                ]
                await asyncio.gather(*(self._keep_book(stream_supervisor, passed) for stream_supervisor in books))

    async def _keep_book(self, stream_supervisor: StreamSupervisor, at: Micros) -> None:
        """Store an order book as the snapshot of ``at``, unless it is too late."""
        if self._clock() - at <= latest(self._every):
            await stream_supervisor.snapshot(at)
        else:
            stream_supervisor.skip(at)

    def _status(self, coin: CollectedCoin) -> CoinStatus:
        stream_supervisors = [
            self._stream_supervisors[series] for series in coin.series if series in self._stream_supervisors
        ]
        try:
            origin = self.origin(SeriesId.of_book(coin.exchange, coin.symbol))
        except (InvalidInput, MissingDependency):  # the exchange is no longer supported here, which its streams report
            origin = None
        channels = tuple(stream_supervisor.status() for stream_supervisor in stream_supervisors)
        return CoinStatus(coin.exchange, coin.symbol, coin.since, channels, origin)
