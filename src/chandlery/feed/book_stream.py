"""One live order book: what comes by socket and what is fetched, proved to be one."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from chandlery.adapter.books import BookRule, BookSync, Fault, Outcome, SnapshotSource
from chandlery.core.book import BookUpdate, OrderBook
from chandlery.core.time import SECOND, Micros
from chandlery.feed.audit import AuditKind, BookAudit
from chandlery.feed.events import Event, Failed, Outdated, Resynced, Resyncing
from chandlery.feed.network import NetworkClient
from chandlery.feed.recovery import described
from chandlery.feed.startup import Startup
from chandlery.net.clock import nanoseconds

_RENEW_BELOW = 4
"""Which part of the levels, as a divisor, must lie within the reach of the last snapshot."""
_COMPARED = 10
"""How many levels a side tell whether a silent book is behind."""


class LiveBook(OrderBook):
    """The order book that a feed keeps; ``clock`` gives nanoseconds, and is the one by which ``received_ns`` is noted."""

    def __init__(self, symbol: str, *, depth: int | None = None, clock: Callable[[], int] = time.time_ns) -> None:
        super().__init__(symbol, depth=depth)
        self._clock = clock

    @property
    def received_at(self) -> Micros | None:
        """When its last message came, by the local clock; ``at`` is the exchange's time. ``None`` where no feed keeps it."""
        return self.received_ns // 1000 or None

    @property
    def age_ms(self) -> float:
        """
        How many milliseconds ago its last message came, by the local clock.

        Infinite where that cannot be told: no feed keeps it, or the clock was set back meanwhile.
        """
        age = self._clock() - self.received_ns
        return age / 1_000_000 if age >= 0 and self.received_ns else inf

    def to_arrow(self, count: int) -> Any:
        """
        The ``count`` best levels of each side as a ``pyarrow.Table``: ``side``, ``level``, ``price``, ``size``.

        ``level`` 0 is the best; the schema's metadata hold ``symbol``, ``last``, ``at`` and ``received_at`` (microseconds).
        """
        import pyarrow as pa  # noqa: PLC0415  # loaded where it is used

        schema = pa.schema(
            [("side", pa.string()), ("level", pa.int32()), ("price", pa.float64()), ("size", pa.float64())],
            {
                "symbol": self.symbol,
                "last": str(self.last),
                "at": str(self.at),
                "received_at": str(self.received_at),
            },
        )
        return pa.table(self.columns(count), schema=schema)


class BookStream(Startup):
    """
    The book of one symbol.

    ``publish`` is called with the book after each message that changed it, and with events;
    ``on_begun`` when there is a book for the first time, or never will be. What makes it invalid is
    written into ``audit``, by the local clock.
    """

    def __init__(
        self,
        network: NetworkClient,
        symbol: str,
        depth: int,
        *,
        max_age_s: float | None = None,
        publish: Callable[[LiveBook | Event], object],
        on_begun: Callable[[], object],
    ) -> None:
        super().__init__(on_begun)
        rule = network.adapter.book_rule
        assert rule is not None  # noqa: S101  # the feed has refused exchanges without one
        self.network = network
        self.symbol = symbol
        self.depth = depth
        self.max_age_s = max_age_s
        self.outdated = False
        """True once it is older than ``max_age_s``, and that was published."""
        self.heartbeat_at: Micros | None = None
        """When its connection was last heard of while the book itself was no more silent than usual, by the local clock."""
        self._clock = nanoseconds(network.clock)
        self.rule: BookRule = rule
        self._publish: Callable[[Any], object] = publish
        self.sync = self._made()
        self.sync.on_followed = publish
        self.audit = BookAudit(network.clock())
        self.resting = False
        """Whether it failed and takes no message until it begins anew."""
        self._taken = 0
        self._valid = False
        self._cut_off = False
        """Whether the snapshot was of the best levels only."""
        self._next: BookSync | None = None
        """The book that takes the place of this one as soon as it is whole."""

    @property
    def book(self) -> LiveBook | None:
        """The book; ``None`` while there is no valid one, or none so young."""
        book = self.held
        return None if book is None or self.left_s <= 0 else book

    @property
    def held(self) -> LiveBook | None:
        """The book as its messages make it, however old it is."""
        book = self.sync.book
        return book if isinstance(book, LiveBook) else None

    @property
    def left_s(self) -> float:
        """In how many seconds it will be too old without another message; 0 or less where it is."""
        book = self.held
        if self.max_age_s is None or book is None:
            return inf
        return 0.0 if self.outdated else self.max_age_s - book.age_ms / 1000

    @property
    def silent_s(self) -> float | None:
        """Seconds since an update, or a heartbeat of its connection, last proved the book; ``None`` where there is none."""
        book = self.held
        if book is None:
            return None
        beat = inf if self.heartbeat_at is None else (self.network.clock() - self.heartbeat_at) / SECOND
        return min(book.age_ms / 1000, beat if beat >= 0 else inf)

    @property
    def heard(self) -> int:
        """How many messages about it came that nobody asked for."""
        return self._taken + self.sync.followed

    @property
    def is_shallow(self) -> bool:
        """Whether the prices have moved so far that levels may be missing which no message was about."""
        book = self.sync.book
        return self._cut_off and book is not None and not book.covers(max(self.depth // _RENEW_BELOW, 1))

    def take(self, update: BookUpdate) -> bool:
        """Take a message of the socket; whether the book is in need of a snapshot."""
        self._taken += not (update.is_snapshot and self.rule.snapshot is SnapshotSource.MESSAGE)
        if self._next is not None:
            self._next.feed(update)
        outcome = self.sync.feed(update)
        if outcome is not Outcome.APPLIED:
            return self._needs(outcome)
        self.outdated = False
        if not self._valid:
            self._became_valid()
        self._publish(self.sync.book)
        return False

    def look_at_age(self) -> None:
        """Publish, once, that the book has become too old."""
        if self._valid and self.max_age_s is not None and self.left_s <= 0:
            self._valid, self.outdated = False, True
            self.audit.lost(AuditKind.OUTDATED, f"no message within {self.max_age_s:g} s", self.network.clock())
            self._publish(Outdated(self.max_age_s))

    def take_snapshot(self, update: BookUpdate) -> bool:
        """Take a snapshot that was fetched; whether another is needed."""
        self._cut_off = _is_cut_off(update, self.depth)
        outcome = self.sync.snapshot(update)
        if self.sync.book is None:
            return self._needs(outcome)
        if outcome is Outcome.STALE:
            return False
        self.outdated = False
        if not self._valid:
            self._became_valid()
            self._publish(self.sync.book)
        return False

    async def renew(self) -> None:
        """Begin another book from a new snapshot, and change over when it has caught up with this one."""
        renewed = self._next = self._made()
        try:
            snapshot = await self.network.book(self.symbol, self.depth)
            renewed.snapshot(snapshot)
            book, ours = renewed.book, self.sync.book
            if book is not None and ours is not None and (book.last or 0) >= (ours.last or 0):
                self._taken += self.sync.followed
                renewed.on_followed, renewed.on_failed = self.sync.on_followed, self.sync.on_failed
                self.sync = renewed
                self._cut_off = _is_cut_off(snapshot, self.depth)
                self.audit.renewals += 1
        finally:
            self._next = None

    def differs(self, newest: BookUpdate) -> bool:
        """Whether its best levels are others than those of a snapshot that was just fetched; not where there is no book."""
        book = self.held
        if book is None:
            return False
        ours, theirs = (book.bids(_COMPARED), book.asks(_COMPARED)), (newest.bids, newest.asks)
        count = min(map(len, (*ours, *theirs)))
        return any(list(mine[:count]) != [*side[:count]] for mine, side in zip(ours, theirs, strict=True))

    def lost(self, kind: AuditKind, reason: str) -> None:
        """Nothing comes any more, so what there is cannot be trusted."""
        self.sync.reset()
        self._valid = self.outdated = False
        self.heartbeat_at = None
        self.audit.lost(kind, reason, self.network.clock())

    def broke(self, error: Exception) -> None:
        """Give the book up since handling it raised an error that is none of the exchange's, and rest."""
        self.resting = True
        self._next = None
        self.lost(AuditKind.FAILED, described(error))
        self._publish(Failed(described(error), self.audit.failures))

    def fault(self, fault: Fault) -> None:
        """Something made it invalid that is not in its own messages."""
        self._needs(self.sync.fail(fault))

    def notify_directly(self, to: Callable[[LiveBook], object], on_failed: Callable[[Exception], object]) -> None:
        """Have the book told ``to`` where ``BookSync.follow`` changes it, not ``publish``; ``on_failed`` is told what that raises."""
        self.sync.on_followed, self.sync.on_failed = to, on_failed

    def say(self, event: Event) -> None:
        """Tell an event."""
        self._publish(event)

    def _made(self) -> BookSync:
        make = partial(LiveBook, clock=self._clock)
        return BookSync(self.symbol, self.rule, depth=self.depth, make=make, clock=self._clock)

    def _needs(self, outcome: Outcome) -> bool:
        fault = self.sync.fault
        if (self._valid or self.outdated) and fault is not None:
            self._valid = self.outdated = False
            self.audit.fault(fault, self.network.clock())
            self._publish(Resyncing(fault.outcome.value))
        return outcome.needs_snapshot or outcome is Outcome.WAITING

    def _became_valid(self) -> None:
        self._valid = True
        self.audit.valid(self.network.clock())
        self._publish(Resynced(self.audit.entries[-1].invalid_ms))
        self._begin()


def _is_cut_off(snapshot: BookUpdate, depth: int) -> bool:
    """Whether there may be more levels than a snapshot of ``depth`` holds."""
    return max(len(snapshot.bids), len(snapshot.asks)) >= depth
