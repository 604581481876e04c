"""One live order book, assembled from socket messages and REST snapshots, and validated."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from html import escape
from itertools import zip_longest
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
"""Divisor of the depth: this part of the levels must lie within the reach of the last snapshot."""
_SHOWN = 10
"""Number of levels a side that a notebook shows."""
_COMPARED = 10
"""Number of levels a side that are compared to see whether a silent book is stale."""


class LiveBook(OrderBook):
    """The order book of a feed. ``clock`` returns nanoseconds; ``received_ns`` is by the same clock."""

    def __init__(self, symbol: str, *, depth: int | None = None, clock: Callable[[], int] = time.time_ns) -> None:
        super().__init__(symbol, depth=depth)
        self._clock = clock

    @property
    def received_at(self) -> Micros | None:
        """Local time at which its last message was received; ``at`` is the exchange's time. ``None`` without a feed."""
        return self.received_ns // 1000 or None

    @property
    def age_ms(self) -> float:
        """
        Milliseconds since its last message was received, by the local clock.

        Infinite if unknown: no feed updates the book, or the clock was set back since.
        """
        age = self._clock() - self.received_ns
        return age / 1_000_000 if age >= 0 and self.received_ns else inf

    def __repr__(self) -> str:
        """Show the best prices and the age."""
        age = f"{self.age_ms:.0f} ms old" if self.age_ms < inf else "of unknown age"
        return f"<LiveBook {self.symbol} bid {self.best_bid} ask {self.best_ask}, {age}>"

    def _repr_html_(self) -> str:
        """Show the best levels as a table in a notebook."""
        rows = "".join(
            f"<tr><td>{bid[1]}</td><td>{bid[0]}</td><td>{ask[0]}</td><td>{ask[1]}</td></tr>"
            for bid, ask in zip_longest(self.bids(_SHOWN), self.asks(_SHOWN), fillvalue=("", ""))
        )
        head = "<tr><th>size</th><th>bid</th><th>ask</th><th>size</th></tr>"
        return f"<p>{escape(repr(self))}</p><table>{head}{rows}</table>"

    def to_arrow(self, count: int) -> Any:
        """
        Return the ``count`` best levels of each side as a ``pyarrow.Table``: ``side``, ``level``, ``price``, ``size``.

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
    ``on_begun`` when the first book is valid, or has failed for good. Each cause of an invalid book is
    recorded in ``audit``, by the local clock.
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
        """True once the book is older than ``max_age_s``, which was published."""
        self.heartbeat_at: Micros | None = None
        """Local time of the latest frame of its connection while the book itself was no quieter than usual."""
        self._clock = nanoseconds(network.clock)
        self.rule: BookRule = rule
        self._publish: Callable[[Any], object] = publish
        self.sync = self._made()
        self.sync.on_followed = publish
        self.audit = BookAudit(network.clock())
        self.resting = False
        """True while it is paused after a failure and ignores messages."""
        self._taken = 0
        self._valid = False
        self._cut_off = False
        """True if the snapshot holds only the best levels."""
        self._next: BookSync | None = None
        """The book that replaces this one once it is complete."""

    @property
    def book(self) -> LiveBook | None:
        """The book; ``None`` while it is invalid or older than ``max_age_s``."""
        book = self.held
        return None if book is None or self.left_s <= 0 else book

    @property
    def held(self) -> LiveBook | None:
        """The book as built from its messages, whatever its age."""
        book = self.sync.book
        return book if isinstance(book, LiveBook) else None

    @property
    def left_s(self) -> float:
        """Seconds until it is too old without another message; 0 or less if it is."""
        book = self.held
        if self.max_age_s is None or book is None:
            return inf
        return 0.0 if self.outdated else self.max_age_s - book.age_ms / 1000

    @property
    def silent_s(self) -> float | None:
        """Seconds since an update or a heartbeat of its connection last confirmed the book; ``None`` without a book."""
        book = self.held
        if book is None:
            return None
        beat = inf if self.heartbeat_at is None else (self.network.clock() - self.heartbeat_at) / SECOND
        return min(book.age_ms / 1000, beat if beat >= 0 else inf)

    @property
    def heard(self) -> int:
        """Number of unrequested messages for the book."""
        return self._taken + self.sync.followed

    @property
    def is_shallow(self) -> bool:
        """True if prices have moved so far that levels outside the snapshot may be missing."""
        book = self.sync.book
        return self._cut_off and book is not None and not book.covers(max(self.depth // _RENEW_BELOW, 1))

    def take(self, update: BookUpdate) -> bool:
        """Apply a socket message. Return whether the book needs a snapshot."""
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
        """Publish, once, that the book is too old."""
        if self._valid and self.max_age_s is not None and self.left_s <= 0:
            self._valid, self.outdated = False, True
            self.audit.lost(AuditKind.OUTDATED, f"no message within {self.max_age_s:g} s", self.network.clock())
            self._publish(Outdated(self.max_age_s))

    def take_snapshot(self, update: BookUpdate) -> bool:
        """Apply a fetched snapshot. Return whether another one is needed."""
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
        """Build a second book from a new snapshot, and switch to it once it has caught up with this one."""
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
        """Return whether its best levels differ from those of a newly fetched snapshot. False without a book."""
        book = self.held
        if book is None:
            return False
        ours, theirs = (book.bids(_COMPARED), book.asks(_COMPARED)), (newest.bids, newest.asks)
        count = min(map(len, (*ours, *theirs)))
        return any(list(mine[:count]) != [*side[:count]] for mine, side in zip(ours, theirs, strict=True))

    def lost(self, kind: AuditKind, reason: str) -> None:
        """Invalidate the book because updates have stopped."""
        self.sync.reset()
        self._valid = self.outdated = False
        self.heartbeat_at = None
        self.audit.lost(kind, reason, self.network.clock())

    def broke(self, error: Exception) -> None:
        """Invalidate the book after an internal error, and pause it."""
        self.resting = True
        self._next = None
        self.lost(AuditKind.FAILED, described(error))
        self._publish(Failed(described(error), self.audit.failures))

    def fault(self, fault: Fault) -> None:
        """Invalidate the book for a reason outside its own messages."""
        self._needs(self.sync.fail(fault))

    def notify_directly(self, to: Callable[[LiveBook], object], on_failed: Callable[[Exception], object]) -> None:
        """Call ``to``, not ``publish``, with the book when ``BookSync.follow`` changes it, and ``on_failed`` with what that raises."""
        self.sync.on_followed, self.sync.on_failed = to, on_failed

    def say(self, event: Event) -> None:
        """Publish an event."""
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
    """Return whether the exchange may have more levels than this snapshot of ``depth``."""
    return max(len(snapshot.bids), len(snapshot.asks)) >= depth
