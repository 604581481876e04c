"""Streams of an exchange's feeds, which share connections and, for one coin, the feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from chandlery.adapter.base import ExchangeAdapter
from chandlery.clients.interfaces import EventCallback, StreamChannel
from chandlery.clients.rows import Row, row_of_candle
from chandlery.clients.streaming import BookAges, Callback, RealtimeStream, deliver
from chandlery.core.candle import CandleData
from chandlery.core.endpoints import Endpoints
from chandlery.core.errors import Closed, InvalidInput
from chandlery.core.interval import Interval
from chandlery.core.time import Clock, Unit
from chandlery.feed.book_feed import BookGroup, OrderBookFeed
from chandlery.feed.book_stream import LiveBook
from chandlery.feed.candles_feed import CandlesFeed, FeedGroup
from chandlery.net.http import HttpClient

KEPT_CANDLES = 1000
"""Maximum number of closed candles that a feed buffers, which limits the gap it can backfill after a reconnect."""
_HISTORY = 100
"""Number of candles that a feed requests at its start; streams use the latest, since a coin may not trade for an hour."""


class LiveFeeds:
    """
    Running feeds of one client.

    Each market has one group of candle feeds and one of book feeds. A group that has ended, for whatever reason, is
    replaced when the next stream starts. A feed runs as long as streams read it.
    """

    def __init__(
        self,
        exchange: str,
        endpoints: Endpoints,
        credentials: Mapping[str, Mapping[str, str]],
        http: HttpClient,
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._endpoints = endpoints
        self._credentials = credentials
        self._http = http
        self._clock = clock
        self._candles: dict[str, FeedGroup] = {}
        self._books: dict[str, BookGroup] = {}
        self._readers: dict[CandlesFeed | OrderBookFeed, int] = {}
        self._streams: set[RealtimeStream] = set()
        self._starting = asyncio.Lock()

    async def start(
        self,
        adapter: ExchangeAdapter,
        symbol: str,
        coin: str,
        name: str,
        callback: Callback,
        *,
        channel: StreamChannel,
        interval: Interval | str,
        depth: int | None,
        on_event: EventCallback | None,
    ) -> RealtimeStream:
        """Start a stream named ``name``, and return it once its feed has its history or its book."""
        if channel not in {"candles", "book"}:
            raise InvalidInput(f"channel is {channel!r}; use candles or book")
        if depth is not None and depth < 1:
            raise InvalidInput(f"depth is {depth}; it must be at least one level per side")
        feed: CandlesFeed | OrderBookFeed
        async with self._starting:
            if channel == "candles":
                feed = await self._candles_feed(
                    adapter, symbol, Interval(interval) if isinstance(interval, str) else interval
                )
            else:
                feed = await self._book_feed(adapter, symbol)
            updates: AsyncIterator[Any] = feed.updates() if isinstance(feed, CandlesFeed) else aiter(feed)
            self._readers[feed] = self._readers.get(feed, 0) + 1
        try:
            await feed.start()
        except BaseException:
            self._leave(feed)
            raise

        async def run() -> None:
            try:
                async for update in updates:
                    entry = self._entry(update, name, feed, depth)
                    if entry is not None:
                        await deliver(callback, coin, entry)
                    elif on_event is not None:
                        await deliver(on_event, coin, update)
                raise feed.stream.failure or Closed(f"{adapter.id} {symbol}: the feed has ended")
            finally:
                self._leave(feed)

        stream = RealtimeStream(
            f"{adapter.id} {symbol} {channel}",
            run(),
            dropped=lambda: feed.dropped,
            book=lambda levels: self._whole(feed, name, levels),
            ages=_ages(feed),
        )
        self._streams = {stream, *(each for each in self._streams if each.running)}
        return stream

    async def close(self) -> None:
        """Stop all streams, then the groups."""
        await asyncio.gather(*(stream.end() for stream in self._streams))
        for candles in self._candles.values():
            await candles.stop()
        for books in self._books.values():
            await books.stop()

    async def _candles_feed(self, adapter: ExchangeAdapter, symbol: str, interval: Interval) -> CandlesFeed:
        adapter.interval_name(interval)
        group = self._candles.get(adapter.id)
        if group is None or group.ended:
            group = FeedGroup(
                adapter.id,
                endpoints=self._endpoints,
                credentials=self._credentials,
                http=self._http,
                clock=self._clock,
            )
            # Started empty, so that an unavailable coin ends its own feed and not the group.
            await group.start()
            self._candles[adapter.id] = group
        known = (each for each in group.feeds if each.symbol == symbol and each.interval is interval)
        return next(known, None) or group.add(symbol, interval, KEPT_CANDLES, history=_HISTORY)

    async def _book_feed(self, adapter: ExchangeAdapter, symbol: str) -> OrderBookFeed:
        group = self._books.get(adapter.id)
        if group is None or group.ended:
            group = BookGroup(adapter.id, endpoints=self._endpoints, http=self._http, clock=self._clock)
            await group.start()
            self._books[adapter.id] = group
        known = (each for each in group.feeds if each.symbol == symbol)
        return next(known, None) or group.add(symbol)

    def _leave(self, feed: CandlesFeed | OrderBookFeed) -> None:
        """Remove a reader; a feed without readers ends."""
        self._readers[feed] -= 1
        if not self._readers[feed]:
            del self._readers[feed]
            # In its own group: a group that has ended was replaced by another meanwhile.
            if isinstance(feed, CandlesFeed):
                feed.group.remove(feed)
            else:
                feed.group.remove(feed)

    def _whole(self, feed: CandlesFeed | OrderBookFeed, name: str, levels: int | None) -> Row | None:
        """Return the current book as an entry."""
        held = feed.book if isinstance(feed, OrderBookFeed) else None
        return None if held is None else self._entry(held, name, feed, levels or max(len(held), 1))

    def _entry(self, update: object, name: str, feed: CandlesFeed | OrderBookFeed, depth: int | None) -> Row | None:
        """Convert an update to an entry; ``None`` for events."""
        if isinstance(update, CandleData) and isinstance(feed, CandlesFeed):
            return row_of_candle(update, self._exchange, name, feed.interval)
        if isinstance(update, LiveBook) and isinstance(feed, OrderBookFeed):
            levels = depth or feed.depth
            return {
                "exchange": self._exchange,
                "symbol": name,
                "timestamp": None if update.at is None else Unit.MILLIS.of(update.at),
                "received_at": None if update.received_at is None else Unit.MILLIS.of(update.received_at),
                "sequence": update.last,
                "bids": update.bids(levels),
                "asks": update.asks(levels),
            }
        return None


def _ages(feed: CandlesFeed | OrderBookFeed) -> Callable[[], BookAges | None]:
    """Return a function that gives the age of a feed's book; candles have none."""
    if not isinstance(feed, OrderBookFeed):
        return lambda: None
    stream = feed.stream

    def ages() -> BookAges | None:
        return None if stream.held is None else BookAges(stream.held.age_ms / 1000, stream.silent_s)

    return ages
