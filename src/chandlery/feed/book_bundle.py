"""Order books that share a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from chandlery.adapter.books import ConnectionSequence, Fault, Outcome, SnapshotSource
from chandlery.adapter.live import Channel, FollowBook
from chandlery.core.book import BookUpdate
from chandlery.core.errors import ChandleryError, ExchangeError, InvalidSymbol, UnsupportedRequest
from chandlery.core.http import Shortcut
from chandlery.feed.audit import AuditKind
from chandlery.feed.backoff import PACE, Pace, delays
from chandlery.feed.book_stream import BookStream
from chandlery.feed.book_watch import BookWatch
from chandlery.feed.connection import Sleep
from chandlery.feed.events import Connected, Reconnecting, Rejected, Resyncing
from chandlery.feed.network import NetworkClient
from chandlery.feed.reconnect import PersistentConnection
from chandlery.feed.recovery import Job, Waits, described, isolated, kept_up, named_in
from chandlery.net.delays import delays_to

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

SNAPSHOT_TIMEOUT_S = 10.0
"""Time limit of a snapshot by the socket."""
_FIRST_DELAY_S = 0.2
_LOOK_EVERY_S = 0.05
_SHOWN = 200


class BookBundle:
    """The books of one connection, all of the same depth, and the listener of the connection."""

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
        self.connection = PersistentConnection(network, Channel.BOOK, self, sleep=sleep, random=random, pace=pace)
        self._network = network
        self._depth = depth
        self._updates = network.adapter.book_updates
        self._sleep = sleep
        self._random = random
        self._pace = pace
        self._tasks: asyncio.TaskGroup | None = None
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._watch = BookWatch(self.connection, self.streams, self, clock=network.clock, sleep=sleep, pace=pace)
        self._waits: dict[str, Waits] = {}
        """Backoff of the books that have failed."""
        self._sequence = ConnectionSequence()
        rule = network.adapter.book_rule
        self._numbered = rule is not None and rule.per_connection

    @property
    def has_room(self) -> bool:
        """Return whether the exchange allows one more on the connection."""
        return len(self.streams) < self._network.adapter.socket.streams

    def add(self, stream: BookStream) -> None:
        """Add a book, and subscribe to it if the connection is up."""
        self.streams[stream.symbol] = stream
        self._follows[stream.symbol] = stream.sync.follow
        if self.connection.connected:
            self._watch.listen(stream)
            self._spawn(stream, partial(self._join, stream))

    def remove(self, stream: BookStream) -> None:
        """Remove a book."""
        del self.streams[stream.symbol]
        self._watch.leave(stream.symbol)
        for each in (self._follows, self._waits):
            each.pop(stream.symbol, None)
        self._end_job(stream.symbol)
        stream.lost(AuditKind.DISCONNECTED, "removed")
        if self._tasks is not None:
            leave = partial(self._notify, self.connection.leave, [stream.symbol])
            self._tasks.create_task(isolated(leave, name=self._name("unsubscribing")))

    async def run(self) -> None:
        """Run the connection until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for job, name in (
                    (self.connection.run, "the connection"),
                    (self._watch.silences, "the watchdog"),
                    (self._watch.ages, "the ages"),
                ):
                    waits = Waits(self._pace, self._random)
                    tasks.create_task(kept_up(job, name=self._name(name), waits=waits, sleep=self._sleep))
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def subscriptions(self) -> Sequence[str]:
        """Return the symbol of every book."""
        return list(self.streams)

    def wants(self, item: str) -> bool:
        """Return whether there is a book of it."""
        return item in self.streams

    def messages(self, items: Sequence[str], *, leave: bool = False) -> Sequence[str]:
        """Return the messages in the exchange's format, for the depth of the books."""
        return self._network.adapter.subscribe_book(items, self._depth, leave=leave)

    def symbol_of(self, item: str) -> str:
        """Return the item itself."""
        return item

    def heard(self, item: str) -> int:
        """Return the number of messages for its book so far."""
        return self.streams[item].heard if item in self.streams else 0

    def found(self, message: bytes) -> Iterable[str]:
        """Return the symbols of the books that a message updates."""
        return (update.symbol for update in self._updates(message))

    def on_aside(self, item: str, error: ChandleryError) -> None:
        """Invalidate the book until it is subscribed again, and check by REST whether the exchange knows it."""
        stream = self.streams[item]
        self._watch.leave(item)
        self._end_job(item)
        if stream.held is not None:
            stream.say(Resyncing(described(error)))
        stream.lost(AuditKind.REFUSED, described(error))
        stream.note_delay(error, may_fail=False)
        self._spawn(stream, partial(self._ask, stream))

    def on_refused(self, item: str, error: ChandleryError) -> None:
        """Publish the refusal; a book that has not begun fails."""
        stream = self.streams[item]
        stream.say(Rejected(f"refused: {error}", item))
        stream.note_delay(error)

    def on_taken(self, item: str) -> None:
        """Start the book."""
        stream = self.streams[item]
        self._end_job(item)
        if self.connection.connected:
            self._watch.listen(stream)
            self._mend(stream, subscribed=True)

    async def _ask(self, stream: BookStream) -> None:
        """Fail a book that REST rejects too, with the exchange's error."""
        try:
            await self._network.book(stream.symbol, stream.depth)
        except (ExchangeError, InvalidSymbol) as error:
            stream.note_delay(error)
        except UnsupportedRequest:
            return

    def on_up(self, attempt: int) -> None:
        """Start every book."""
        for stream in tuple(self.streams.values()):
            stream.say(Connected(attempt))
            if self.connection.is_aside(stream.symbol):
                continue
            self._watch.listen(stream)
            if stream.held is None:
                self._mend(stream, subscribed=True)

    def on_down(self, error: Exception) -> None:
        """Invalidate all books. A book that has not begun fails if the error is final."""
        reason = described(error)
        self._sequence = ConnectionSequence()
        self._watch.leave_all()
        for symbol in [each for each in self._jobs if not self.connection.is_aside(each)]:
            self._end_job(symbol)
        for stream in tuple(self.streams.values()):
            self._take_again(stream)
            stream.lost(AuditKind.DISCONNECTED, reason)
            stream.say(Reconnecting(reason))
            stream.note_delay(error)

    def on_message(self, message: bytes) -> bool:
        """Pass each update to its book. An update without a symbol only has a sequence number."""
        held = False
        for update in self._updates(message):
            if self._numbered and update.last is not None and not self._sequence.follows(update.last):
                self._lost_count(update.last)
                return True
            held = held or bool(update.symbol)
            stream = self.streams.get(update.symbol)
            if stream is not None and not stream.resting:
                self._give(update, stream)
        return held

    def shortcut(self) -> Shortcut | None:
        """Return the adapter's shortcut; ``None`` if messages are numbered per connection, since each must be checked."""
        return None if self._numbered else self._network.adapter.book_shortcut(self._follows)

    def on_rejected(self, error: ChandleryError, message: bytes) -> None:
        """Publish it to the books that it may concern. If it concerns a single book, a refusal fails that book."""
        reason, payload = str(error), repr(message[:_SHOWN])
        meant = self._meant(message)
        for stream in meant:
            stream.say(Rejected(reason, payload))
            stream.note_delay(error, may_fail=len(meant) == 1)

    def on_failed(self, error: Exception, message: bytes) -> None:
        """Restart the book that the message names. If it names none, the book's rule detects what is missing."""
        meant = self._meant(message)
        for stream in meant:
            if len(meant) == 1:
                self._restart(stream, error)
            else:
                stream.say(Rejected(described(error), repr(message[:_SHOWN])))

    def _meant(self, message: bytes) -> list[BookStream]:
        """Return the book that a message names; all if it names none or several."""
        symbol = named_in(message, self.streams)
        return list(self.streams.values()) if symbol is None else [self.streams[symbol]]

    def _give(self, update: BookUpdate, stream: BookStream) -> None:
        """Pass an update to its book. An exception affects this book alone."""
        was_outdated = stream.outdated
        try:
            needs_snapshot = stream.take(update)
        except Exception as error:  # noqa: BLE001  # other books continue
            self._restart(stream, error)
        else:
            if needs_snapshot:
                self._mend(stream, subscribed=False)
            if was_outdated and not stream.outdated:
                self._follows[stream.symbol] = stream.sync.follow

    def _lost_count(self, came: int) -> None:
        """Restart every book, since a message of the connection is missing."""
        for stream in tuple(self.streams.values()):
            stream.fault(Fault(Outcome.GAP, self._sequence.last, came))
        self.connection.kick(f"message {came} out of sequence")

    async def _notify(self, send: Callable[[Sequence[str]], Awaitable[None]], symbols: Sequence[str]) -> None:
        try:
            await send(symbols)
        except ChandleryError as error:
            self.connection.kick(str(error))

    def _note_delay(self, stream: BookStream, error: ChandleryError) -> None:
        """Record an error that delays a snapshot request."""
        self._note(stream, f"the snapshot is delayed: {error}")
        stream.note_delay(error, may_fail=False)

    def on_delay(self, error: ChandleryError) -> None:
        """Record an error that delays the connection."""
        for stream in tuple(self.streams.values()):
            stream.note_delay(error, may_fail=False)

    def _note(self, stream: BookStream, text: str) -> None:
        log.warning("%s %s: %s", self._network.adapter.id, stream.symbol, text)

    def _name(self, part: str) -> str:
        return f"{self._network.adapter.id}: {part} of {len(self.streams)} order books"

    def _spawn(self, stream: BookStream, job: Job) -> None:
        """Run a job of a book in the background, unless one is running already."""
        busy = self._jobs.get(stream.symbol)
        if self._tasks is not None and (busy is None or busy.done()):
            self._jobs[stream.symbol] = self._tasks.create_task(self._guarded(stream, job))

    def _end_job(self, symbol: str) -> None:
        if (job := self._jobs.pop(symbol, None)) is not None:
            job.cancel()

    async def _guarded(self, stream: BookStream, job: Job) -> None:
        """Await a job of a book; restart the book if it fails."""
        try:
            await job()
        except Exception as error:  # noqa: BLE001  # other books continue
            self._broke(stream, error)
            await self._recovered(stream)

    def _restart(self, stream: BookStream, error: Exception) -> None:
        """Restart a book after an internal error, and cancel its job."""
        self._broke(stream, error)
        self._end_job(stream.symbol)
        self._spawn(stream, partial(self._recovered, stream))

    def _broke(self, stream: BookStream, error: Exception) -> None:
        log.error("%s %s: %s", self._network.adapter.id, stream.symbol, described(error), exc_info=error)
        self._follows.pop(stream.symbol, None)
        stream.broke(error)
        stream.note_delay(error)

    async def _recovered(self, stream: BookStream) -> None:
        """Restart a book, with exponential backoff."""
        waits = self._waits.setdefault(stream.symbol, Waits(self._pace, self._random))
        while True:
            await self._sleep(waits.next_s(asyncio.get_running_loop().time()))
            self._take_again(stream)
            try:
                await self._mended(stream, subscribed=False)
            except Exception as error:  # noqa: BLE001  # other books continue
                self._broke(stream, error)
            else:
                return

    def _take_again(self, stream: BookStream) -> None:
        stream.resting = False
        self._follows[stream.symbol] = stream.sync.follow

    def _mend(self, stream: BookStream, *, subscribed: bool) -> None:
        """Request a snapshot in the background; ``subscribed`` tells that a new subscription requested it already."""
        self._spawn(stream, partial(self._mended, stream, subscribed=subscribed))

    async def _join(self, stream: BookStream) -> None:
        await self._notify(self.connection.join, [stream.symbol])
        await self._mended(stream, subscribed=True)

    async def _mended(self, stream: BookStream, *, subscribed: bool) -> None:
        for wait_s in delays(self._random, first_s=_FIRST_DELAY_S):
            if self.connection.is_aside(stream.symbol):
                return
            try:
                await self._snapshot(stream, subscribed=subscribed)
            except ChandleryError as error:
                self._note(stream, f"no snapshot: {error}; retrying in {wait_s:.1f} s")
                stream.say(Rejected(f"no snapshot: {error}", stream.symbol))
                stream.note_delay(error)
                if stream.failure is not None:
                    return
            if stream.held is not None:
                return
            subscribed = False
            await self._sleep(wait_s)

    async def _snapshot(self, stream: BookStream, *, subscribed: bool) -> None:
        """Request a snapshot once, by the exchange's method."""
        source = stream.rule.snapshot
        if source is SnapshotSource.REST:
            with delays_to(partial(self._note_delay, stream)):
                snapshot = await self._network.book(stream.symbol, stream.depth)
            stream.take_snapshot(snapshot)
            return
        if source is SnapshotSource.MESSAGE:
            await self.connection.send([self._network.adapter.book_message(stream.symbol, stream.depth)])
        elif not subscribed:
            await self.connection.leave([stream.symbol])
            await self.connection.join([stream.symbol])
        until = asyncio.get_running_loop().time() + SNAPSHOT_TIMEOUT_S
        while stream.held is None and asyncio.get_running_loop().time() < until:
            await self._sleep(_LOOK_EVERY_S)

    def on_silent(self, stream: BookStream) -> None:
        """Check the book by other means."""
        self._spawn(stream, partial(self._look_into, stream))

    def on_shallow(self, stream: BookStream) -> None:
        """Renew it in the background."""
        self._spawn(stream, partial(self._renewed, stream))

    def on_outdated(self, stream: BookStream) -> None:
        """Process its messages by the general path, until one makes it valid."""
        self._follows.pop(stream.symbol, None)

    def on_look_failed(self, stream: BookStream, error: Exception) -> None:
        """Restart it."""
        self._restart(stream, error)

    async def _renewed(self, stream: BookStream) -> None:
        self._follows.pop(stream.symbol, None)  # during this, two books process each message
        try:
            await stream.renew()
        except ChandleryError as error:
            stream.say(Rejected(f"no snapshot: {error}", stream.symbol))
        finally:
            if self.streams.get(stream.symbol) is stream and not (stream.resting or stream.outdated):
                self._follows[stream.symbol] = stream.sync.follow

    async def _look_into(self, stream: BookStream) -> None:
        """Check a silent book by REST; if REST has no book, request a snapshot by the socket."""
        heard = stream.heard
        try:
            newest = await self._network.book(stream.symbol, stream.depth)
        except UnsupportedRequest:
            if heard == stream.heard:
                stream.lost(AuditKind.SILENT, "silent for too long")
                await self._mended(stream, subscribed=False)
            return
        except ChandleryError as error:
            stream.say(Rejected(f"silent, and the REST check failed: {error}", stream.symbol))
            return
        if heard == stream.heard and stream.differs(newest):
            self.connection.kick(f"no data of {stream.symbol} although REST has updates")
