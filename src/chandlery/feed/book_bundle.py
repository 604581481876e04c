"""Order books that share a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from chandlery.adapter.books import ConnectionSequence, Fault, Outcome, SnapshotSource
from chandlery.adapter.live import Channel, FollowBook
from chandlery.core.errors import ChandleryError, UnsupportedRequest
from chandlery.core.wire import Shortcut
from chandlery.feed.audit import AuditKind
from chandlery.feed.backoff import PACE, Pace, delays
from chandlery.feed.book_stream import BookStream
from chandlery.feed.events import Connected, Reconnecting, Rejected
from chandlery.feed.network import NetworkClient
from chandlery.feed.pulse import Pulse
from chandlery.feed.uplink import Sleep, Uplink

SNAPSHOT_TIMEOUT_S = 10.0
"""How long a snapshot that comes by the socket may take."""
_FIRST_DELAY_S = 0.2
_LOOK_EVERY_S = 0.05
_SHOWN = 200
_COMPARED = 10
"""How many levels a side tell whether a silent book is behind."""


class BookBundle:
    """The books of one connection, all of the same depth, and what the connection tells."""

    def __init__(
        self,
        network: NetworkClient,
        depth: int,
        *,
        sleep: Sleep,
        random: Callable[[], float],
        pace: Pace = PACE,
    ) -> None:
        self.streams: dict[str, BookStream] = {}
        self._follows: dict[str, FollowBook] = {}
        self.uplink = Uplink(network, Channel.BOOK, self, sleep=sleep, random=random, pace=pace)
        self._network = network
        self._depth = depth
        self._updates = network.adapter.book_updates
        self._sleep = sleep
        self._random = random
        self._pace = pace
        self._tasks: asyncio.TaskGroup | None = None
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._pulses: dict[str, Pulse] = {}
        self._sequence = ConnectionSequence()
        rule = network.adapter.book_rule
        self._numbered = rule is not None and rule.per_connection

    @property
    def has_room(self) -> bool:
        """Whether the exchange allows one more on the connection."""
        return len(self.streams) < self._network.adapter.socket.streams

    def add(self, stream: BookStream) -> None:
        """Take in a book; on a connection that is up, subscribe to it."""
        self.streams[stream.symbol] = stream
        self._follows[stream.symbol] = stream.sync.follow
        if self.uplink.connected:
            self._listen(stream)
            self._spawn(stream, self._join(stream))

    def remove(self, stream: BookStream) -> None:
        """Let a book go."""
        del self.streams[stream.symbol]
        self._follows.pop(stream.symbol, None)
        self._pulses.pop(stream.symbol, None)
        if (job := self._jobs.pop(stream.symbol, None)) is not None:
            job.cancel()
        stream.lost(AuditKind.DISCONNECTED, "removed")
        if self._tasks is not None and self.uplink.connected:
            self._tasks.create_task(self._send(self._subscribe([stream.symbol], leave=True)))

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                tasks.create_task(self._watch())
                await self.uplink.run()
            finally:
                self._tasks = None

    def subscriptions(self) -> Sequence[str]:
        """Every book."""
        self._sequence = ConnectionSequence()
        return self._subscribe(list(self.streams))

    def on_up(self, attempt: int) -> None:
        """Begin every book."""
        for stream in tuple(self.streams.values()):
            self._listen(stream)
            stream.say(Connected(attempt))
            if stream.book is None:
                self._mend(stream, subscribed=True)

    def on_down(self, reason: str) -> None:
        """No book is valid any more."""
        for job in self._jobs.values():
            job.cancel()
        for stream in tuple(self.streams.values()):
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

    def shortcut(self) -> Shortcut | None:
        """The adapter's; where messages are counted over all books of the connection, each must be looked at."""
        return None if self._numbered else self._network.adapter.book_shortcut(self._follows)

    def on_rejected(self, error: ChandleryError, message: bytes) -> None:
        """Nobody knows of which book it was, so all are told; an only one that never began has failed."""
        reason, payload = str(error), repr(message[:_SHOWN])
        alone = len(self.streams) == 1
        for stream in tuple(self.streams.values()):
            stream.say(Rejected(reason, payload))
            if alone and not error.retryable and not stream.began:
                stream.fail(error)

    def _listen(self, stream: BookStream) -> None:
        now = asyncio.get_running_loop().time()
        self._pulses[stream.symbol] = Pulse(now, stream.heard, quiet_s=self._pace.quiet_s)

    def _lost_count(self, came: int) -> None:
        """A message of the connection is missing, whosever it was: every book begins anew."""
        for stream in tuple(self.streams.values()):
            stream.fault(Fault(Outcome.GAP, self._sequence.last, came))
        self.uplink.kick(f"message {came} came, not the next one")

    def _subscribe(self, symbols: Sequence[str], *, leave: bool = False) -> list[str]:
        return self._network.adapter.subscribe_book(symbols, self._depth, leave=leave)

    async def _send(self, messages: Sequence[str]) -> None:
        try:
            await self.uplink.send(messages)
        except ChandleryError as error:
            self.uplink.kick(str(error))

    def _spawn(self, stream: BookStream, job: Coroutine[Any, Any, None]) -> None:
        """Do something for a book in the background, unless something is being done for it already."""
        busy = self._jobs.get(stream.symbol)
        if self._tasks is None or (busy is not None and not busy.done()):
            job.close()
        else:
            self._jobs[stream.symbol] = self._tasks.create_task(job)

    def _mend(self, stream: BookStream, *, subscribed: bool) -> None:
        """See to it that a book gets its snapshot; ``subscribed`` says that it was just asked for by subscribing."""
        self._spawn(stream, self._mended(stream, subscribed=subscribed))

    async def _join(self, stream: BookStream) -> None:
        await self._send(self._subscribe([stream.symbol]))
        await self._mended(stream, subscribed=True)

    async def _mended(self, stream: BookStream, *, subscribed: bool) -> None:
        for wait_s in delays(self._random, first_s=_FIRST_DELAY_S):
            try:
                await self._snapshot(stream, subscribed=subscribed)
            except ChandleryError as error:
                stream.say(Rejected(f"no snapshot: {error}", stream.symbol))
                if not error.retryable and not stream.began:
                    stream.fail(error)
                    return
            if stream.book is not None:
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
        while stream.book is None and asyncio.get_running_loop().time() < until:
            await self._sleep(_LOOK_EVERY_S)

    async def _watch(self) -> None:
        while True:
            await self._sleep(self._pace.watch_every_s)
            now = asyncio.get_running_loop().time()
            for stream in self._connected():
                if self._pulses[stream.symbol].is_silent(stream.heard, now):
                    self._spawn(stream, self._look_into(stream))
                elif stream.is_shallow:
                    self._spawn(stream, self._renewed(stream))

    def _connected(self) -> Iterable[BookStream]:
        return tuple(self.streams.values()) if self.uplink.connected else ()

    async def _renewed(self, stream: BookStream) -> None:
        del self._follows[stream.symbol]  # meanwhile two books take each message
        try:
            await stream.renew()
        except ChandleryError as error:
            stream.say(Rejected(f"no snapshot: {error}", stream.symbol))
        finally:
            if self.streams.get(stream.symbol) is stream:
                self._follows[stream.symbol] = stream.sync.follow

    async def _look_into(self, stream: BookStream) -> None:
        """Ask about a silence by REST, and where the exchange has no book there, on the socket."""
        heard = stream.heard
        try:
            newest = await self._network.book(stream.symbol, stream.depth)
        except UnsupportedRequest:
            if heard == stream.heard:
                stream.lost(AuditKind.SILENT, "nothing heard for long")
                await self._mended(stream, subscribed=False)
            return
        except ChandleryError as error:
            stream.say(Rejected(f"silent, and REST could not be asked: {error}", stream.symbol))
            return
        book = stream.book
        if heard != stream.heard or book is None:
            return
        ours, theirs = (book.bids(_COMPARED), book.asks(_COMPARED)), (newest.bids, newest.asks)
        count = min(map(len, (*ours, *theirs)))
        if any(list(mine[:count]) != [*side[:count]] for mine, side in zip(ours, theirs, strict=True)):
            self.uplink.kick(f"no data of {stream.symbol} although there is news by REST")
