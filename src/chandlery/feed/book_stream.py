"""One live order book, and those that share a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from chandlery.adapter.books import BookRule, BookSync, ConnectionSequence, Fault, Outcome, SnapshotSource
from chandlery.adapter.live import Channel
from chandlery.core.book import BookUpdate, OrderBook
from chandlery.core.errors import ChandleryError
from chandlery.feed.audit import AuditKind, BookAudit
from chandlery.feed.backoff import delays
from chandlery.feed.events import Connected, Reconnecting, Rejected, Resynced, Resyncing
from chandlery.feed.network import NetworkClient
from chandlery.feed.pulse import Pulse
from chandlery.feed.uplink import Sleep, Uplink

WATCH_EVERY_S = 1.0
SNAPSHOT_TIMEOUT_S = 10.0
"""How long a snapshot that comes by the socket may take."""
_SHOWN = 200


class LiveBook(OrderBook):
    """The order book that a feed keeps."""

    def to_arrow(self, count: int) -> Any:
        """
        The ``count`` best levels of each side as a ``pyarrow.Table``: ``side``, ``level``, ``price``, ``size``.

        ``level`` 0 is the best; the schema's metadata hold ``symbol``, ``last`` and ``at`` (microseconds).
        """
        import pyarrow as pa  # noqa: PLC0415  # loaded where it is used

        schema = pa.schema(
            [("side", pa.string()), ("level", pa.int32()), ("price", pa.float64()), ("size", pa.float64())],
            {"symbol": self.symbol, "last": str(self.last), "at": str(self.at)},
        )
        return pa.table(self.columns(count), schema=schema)


class BookStream:
    """
    The book of one symbol.

    ``publish`` is called with the book after each message that changed it, and with events. What
    makes it invalid is written into ``audit``, and mended by ``mend`` for this symbol alone.
    """

    def __init__(self, network: NetworkClient, symbol: str, depth: int, *, publish: Callable[[Any], None]) -> None:
        rule = network.adapter.book_rule
        assert rule is not None  # noqa: S101  # the feed has refused exchanges without one
        self.network = network
        self.symbol = symbol
        self.depth = depth
        self.rule: BookRule = rule
        self.sync = BookSync(symbol, rule, depth=depth, make=LiveBook)
        self.audit = BookAudit(network.guess())
        self.began = asyncio.Event()
        """Set as soon as there is a book for the first time, or never will be."""
        self.failure: ChandleryError | None = None
        self.heard = 0
        """How many messages about it came."""
        self._publish = publish
        self._valid = False

    @property
    def book(self) -> LiveBook | None:
        """The book; ``None`` while there is no valid one."""
        book = self.sync.book
        return book if isinstance(book, LiveBook) else None

    def take(self, update: BookUpdate) -> bool:
        """Take a message of the socket; whether the book is in need of a snapshot."""
        self.heard += 1
        outcome = self.sync.feed(update)
        if outcome is not Outcome.APPLIED:
            return self._needs(outcome)
        if not self._valid:
            self._became_valid()
        self._publish(self.sync.book)
        return False

    def take_snapshot(self, update: BookUpdate) -> bool:
        """Take a snapshot that was fetched; whether another is needed."""
        outcome = self.sync.snapshot(update)
        if self.sync.book is None:
            return self._needs(outcome)
        if not self._valid:
            self._became_valid()
            self._publish(self.sync.book)
        return False

    def lost(self, kind: AuditKind, reason: str) -> None:
        """Nothing comes any more, so what there is cannot be trusted."""
        self.sync.reset()
        self._valid = False
        self.audit.lost(kind, reason, self.network.guess())

    def fault(self, fault: Fault) -> None:
        """Something made it invalid that is not in its own messages."""
        self._needs(self.sync.fail(fault))

    def fail(self, error: ChandleryError) -> None:
        """Note that there will be no book, whatever is tried."""
        self.failure = error
        self.began.set()

    def say(self, event: Any) -> None:
        """Tell an event."""
        self._publish(event)

    def _needs(self, outcome: Outcome) -> bool:
        if outcome.needs_snapshot:
            fault = self.sync.fault
            if self._valid and fault is not None:
                self._valid = False
                self.audit.fault(fault, self.network.guess())
                self._publish(Resyncing(fault.outcome.value))
            return True
        return outcome is Outcome.WAITING

    def _became_valid(self) -> None:
        self._valid = True
        self.audit.valid(self.network.guess())
        self.began.set()
        self._publish(Resynced(self.audit.entries[-1].invalid_ms))


class BookBundle:
    """The books of one connection, and what the connection tells."""

    def __init__(
        self,
        network: NetworkClient,
        streams: Sequence[BookStream],
        *,
        sleep: Sleep,
        random: Callable[[], float],
    ) -> None:
        self.streams = {stream.symbol: stream for stream in streams}
        self.uplink = Uplink(network, Channel.BOOK, self, sleep=sleep, random=random)
        self._network = network
        self._updates = network.adapter.book_updates
        self._sleep = sleep
        self._random = random
        self._mending: dict[str, asyncio.Task[None]] = {}
        self._pulses: dict[str, Pulse] = {}
        self._sequence = ConnectionSequence()
        self._numbered = any(stream.rule.per_connection for stream in streams)

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.uplink.run())
                tasks.create_task(self._watch())
        finally:
            self._stop_mending()

    def subscriptions(self) -> Sequence[str]:
        """Every book; all have the same depth."""
        self._sequence = ConnectionSequence()
        return self._subscribe(list(self.streams))

    def on_up(self, attempt: int) -> None:
        """Begin every book."""
        now = asyncio.get_running_loop().time()
        self._pulses = {symbol: Pulse(now) for symbol in self.streams}
        for stream in self.streams.values():
            stream.say(Connected(attempt))
            if stream.sync.book is None:
                self._mend(stream, subscribed=True)

    def on_down(self, reason: str) -> None:
        """No book is valid any more."""
        self._stop_mending()
        for stream in self.streams.values():
            stream.lost(AuditKind.DISCONNECTED, reason)
            stream.say(Reconnecting(reason))

    def on_message(self, message: bytes) -> bool:
        """Give each update to its book."""
        updates = self._updates(message)
        for update in updates:
            if self._numbered and update.last is not None and not self._sequence.follows(update.last):
                self._lost_count(update.last)
                return True
            stream = self.streams.get(update.symbol)
            if stream is not None and stream.take(update):
                self._mend(stream, subscribed=False)
        return bool(updates)

    def on_rejected(self, error: ChandleryError, message: bytes) -> None:
        """Nobody knows of which book it was, so all are told; one that has no snapshot yet has failed."""
        for stream in self.streams.values():
            stream.say(Rejected(str(error), repr(message[:_SHOWN])))
            if not error.retryable and len(self.streams) == 1 and not stream.began.is_set():
                stream.fail(error)

    def _lost_count(self, came: int) -> None:
        """A message of the connection is missing, whosever it was: every book begins anew."""
        expected = self._sequence.last
        for stream in self.streams.values():
            stream.fault(Fault(Outcome.GAP, expected, came))
        self.uplink.kick(f"message {came} came, not the next one")

    def _subscribe(self, symbols: Sequence[str], *, leave: bool = False) -> list[str]:
        depth = next(iter(self.streams.values())).depth
        return self._network.adapter.subscribe_book(symbols, depth, leave=leave)

    def _mend(self, stream: BookStream, *, subscribed: bool) -> None:
        """See to it that a book gets its snapshot; ``subscribed`` says that it was just asked for by subscribing."""
        task = self._mending.get(stream.symbol)
        if task is None or task.done():
            self._mending[stream.symbol] = asyncio.create_task(self._mended(stream, subscribed=subscribed))

    async def _mended(self, stream: BookStream, *, subscribed: bool) -> None:
        for wait_s in delays(self._random, first_s=0.2):
            try:
                await self._snapshot(stream, subscribed=subscribed)
            except ChandleryError as error:
                stream.say(Rejected(f"no snapshot: {error}", stream.symbol))
                if not error.retryable and not stream.began.is_set():
                    stream.fail(error)
                    return
            if stream.sync.book is not None:
                return
            subscribed = False
            await self._sleep(wait_s)

    async def _snapshot(self, stream: BookStream, *, subscribed: bool) -> None:
        """Ask for a snapshot by the way of the exchange, once."""
        source = stream.rule.snapshot
        if source is SnapshotSource.REST:
            stream.take_snapshot(await self._network.book(stream.symbol, stream.depth))
            return
        if source is SnapshotSource.MESSAGE:
            await self.uplink.send([self._network.adapter.book_message(stream.symbol, stream.depth)])
        elif not subscribed:
            await self.uplink.send([*self._subscribe([stream.symbol], leave=True), *self._subscribe([stream.symbol])])
        until = asyncio.get_running_loop().time() + SNAPSHOT_TIMEOUT_S
        while stream.sync.book is None and asyncio.get_running_loop().time() < until:
            await self._sleep(0.05)

    async def _watch(self) -> None:
        while True:
            await self._sleep(WATCH_EVERY_S)
            if self.uplink.connected:
                now = asyncio.get_running_loop().time()
                for symbol, pulse in tuple(self._pulses.items()):
                    stream = self.streams[symbol]
                    if pulse.is_silent(stream.heard, now) and await self._is_behind(stream):
                        self.uplink.kick(f"no data of {symbol} although there is news by REST")
                        break

    async def _is_behind(self, stream: BookStream) -> bool:
        """Whether REST has another book than the socket's, which has been silent for long."""
        book = stream.sync.book
        try:
            newest = await self._network.book(stream.symbol, stream.depth)
        except ChandleryError as error:
            stream.say(Rejected(f"silent, and REST could not be asked: {error}", stream.symbol))
            return book is None
        if book is None:
            return True
        count = min(len(newest.bids), len(newest.asks), 10)
        return [list(newest.bids)[:count], list(newest.asks)[:count]] != [book.bids(count), book.asks(count)]

    def _stop_mending(self) -> None:
        for task in self._mending.values():
            task.cancel()
        self._mending.clear()
