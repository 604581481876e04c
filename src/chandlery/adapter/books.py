"""Sequence rules of order book messages, declared as data, and the state machine that applies them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

from chandlery.core.book import BookUpdate, Level, OrderBook
from chandlery.core.time import Micros

_LARGEST = 1e300
Price: TypeAlias = Annotated[float, Meta(gt=0, lt=_LARGEST)]
"""A price for a msgspec decoder: neither NaN nor infinity is accepted."""
Size: TypeAlias = Annotated[float, Meta(ge=0, lt=_LARGEST)]
"""A size for a msgspec decoder; 0 deletes."""
WireLevels: TypeAlias = list[tuple[Price, Size]]
"""Rows of price and size."""


class Link(Enum):
    """The field by which an update refers to the one before."""

    NONE = "none"
    """No field: every message is applied."""
    FIRST = "first"
    """``first`` is one more than the ``last`` before; it may overlap what was applied."""
    PREVIOUS = "previous"
    """``previous`` is the ``last`` before."""


class SnapshotSource(Enum):
    """The source of the snapshot that updates are applied to."""

    REST = "rest"
    """It is fetched; updates received meanwhile are buffered."""
    MESSAGE = "message"
    """It is requested on the socket; updates received meanwhile are buffered."""
    STREAM = "stream"
    """It is the first message after subscribing; earlier messages belong to an older subscription."""


class BookRule(Struct, frozen=True):
    """
    The rules of an exchange's order book messages.

    ``checksum`` computes the value that ``BookUpdate.checksum`` must equal. ``truncates`` is true if the
    exchange does not delete levels beyond the subscribed depth, so that they must be dropped.
    ``per_connection`` is true if ``last`` counts all messages of the connection, whatever their
    symbol: then ``link`` is ``NONE``, and a ``ConnectionSequence`` checks each connection.
    """

    link: Link
    snapshot: SnapshotSource
    checksum: Callable[[OrderBook], int] | None = None
    truncates: bool = False
    per_connection: bool = False


class Outcome(Enum):
    """The result of processing a message."""

    APPLIED = "applied"
    WAITING = "waiting"
    """There is no snapshot yet: buffered, or dropped if the snapshot is sent by the stream."""
    DUPLICATE = "duplicate"
    """Equal to the last one applied; dropped."""
    STALE = "stale"
    """Older than the book; dropped."""
    GAP = "gap"
    """Messages are missing before it, or the snapshot is older than the buffered updates."""
    BAD_CHECKSUM = "bad_checksum"
    CROSSED = "crossed"

    @property
    def needs_snapshot(self) -> bool:
        """True if the book is invalid until a new snapshot is applied."""
        return self in {Outcome.GAP, Outcome.BAD_CHECKSUM, Outcome.CROSSED}


_APPLIED = Outcome.APPLIED


class Fault(Struct, frozen=True):
    """
    The reason why a book became invalid.

    For a gap, ``expected`` is the id that the message should have followed and ``came`` the one
    that it follows; for a bad checksum, the one of the message and the one of the book.
    """

    outcome: Outcome
    expected: int | None = None
    came: int | None = None


def _ignored(book: OrderBook) -> None:
    """Do nothing."""


def _untimed() -> int:
    """Return 0."""
    return 0


def _raised(error: Exception) -> None:
    raise error


class BookSync:
    """
    The order book of one symbol, valid while its messages are consecutive.

    ``book`` is ``None`` from the start, a fault or ``reset`` until a snapshot and the
    buffered updates are applied. No recorded book is ever crossed after a complete
    message, so a crossed one is invalidated at once.
    """

    MOST_OLDER = 3
    """Number of consecutive older updates without a time after which the exchange's ids count as restarted."""

    def __init__(
        self,
        symbol: str,
        rule: BookRule,
        *,
        depth: int | None = None,
        keep: int = 2000,
        make: Callable[..., OrderBook] = OrderBook,
        clock: Callable[[], int] = _untimed,
    ) -> None:
        """
        ``depth`` is the subscribed one; ``keep`` the size of the buffer for updates without a snapshot.

        ``make`` creates the book. ``clock`` returns nanoseconds, which are stored as ``received_ns`` of the book
        with each applied message; they are cheaper than microseconds.
        """
        self.symbol = symbol
        self.rule = rule
        self.fault: Fault | None = None
        """The reason why there is no book; ``None`` while there is one, and before the first."""
        self.counts: Counter[Outcome] = Counter()
        """Number of messages by outcome, except ``APPLIED``."""
        self.applied = 0
        """Number of applied updates."""
        self.followed = 0
        """Number of updates applied by ``follow``."""
        self.dropped = 0
        """Number of updates dropped because the buffer was full."""
        self.on_followed: Callable[[Any], object] = _ignored
        """Called with the book whenever ``follow`` has changed it; may be replaced at any time."""
        self.on_failed: Callable[[Exception], object] = _raised
        """Called with what that raises."""
        self._book = make(symbol, depth=depth if rule.truncates else None)
        self._clock = clock
        self._valid = False
        self._joined = False
        self._snapshot_at: Micros | None = None
        """The time of the last snapshot, if it had one."""
        self._older_run = self._older_since = 0
        self._older_last: int | None = None
        self._buffered: deque[BookUpdate] = deque()
        self._most_buffered = keep
        self._buffers = rule.link is not Link.NONE and rule.snapshot is not SnapshotSource.STREAM
        self._linked = rule.link is not Link.NONE
        self._by_first = rule.link is Link.FIRST
        self._plain = self._linked and rule.checksum is None and not rule.truncates

    @property
    def book(self) -> OrderBook | None:
        """The book if it is valid; the next message changes it."""
        return self._book if self._valid else None

    def feed(self, update: BookUpdate) -> Outcome:
        """Process the next message of the stream, which may be a snapshot, and return the outcome."""
        if update.is_snapshot:
            return self._replace(update)
        if not self._valid:
            return self._wait(update)
        book = self._book
        if self._linked:
            after = update.previous
            if self._by_first:
                after = None if update.first is None else update.first - 1
            if after != book.last or not self._joined:
                odd = self._out_of_sequence(update, after)
                if odd is not None:
                    return odd
        book.apply(update)
        book.received_ns = self._clock()
        if update.checksum or book.is_crossed:
            return self._checked(update)
        self.applied += 1
        return _APPLIED

    def follow(
        self,
        bids: Sequence[Level],
        asks: Sequence[Level],
        first: int | None,
        last: int | None,
        previous: int | None,
        at: Micros | None,
    ) -> bool:
        """
        Apply an update in the common case, the next one without checksum and digits; a fast path of ``feed``.

        Return whether it was applied; if not, the caller must call ``feed``. An update that crosses the book first invalidates it.
        """
        book, after = self._book, previous
        if self._by_first:
            after = None if first is None else first - 1
        if after != book.last or not (self._joined and self._plain):
            return False
        if not book.change(bids, asks, last, at):
            self.fail(Fault(Outcome.CROSSED))
            return False
        book.received_ns = self._clock()
        self.applied += 1
        self.followed += 1
        try:
            self.on_followed(book)
        except Exception as error:  # noqa: BLE001  # a user's function may raise anything
            self.on_failed(error)
        return True

    def snapshot(self, update: BookUpdate) -> Outcome:
        """
        Start from a fetched snapshot, and apply the buffered updates.

        ``APPLIED`` means that the book is valid, ``STALE`` that it is valid and newer than the snapshot;
        after any other outcome another snapshot must be fetched.
        """
        last = self._book.last
        if self._valid and last is not None and update.last is not None and update.last < last:
            return self._count(Outcome.STALE)
        return self._replace(update)

    def reset(self) -> None:
        """Clear all state, as after a lost connection."""
        self._valid = self._joined = False
        self._buffered.clear()
        self.fault = None

    def fail(self, fault: Fault) -> Outcome:
        """Invalidate the book for an external reason, such as the numbers of the connection."""
        self._valid = self._joined = False
        self.fault = fault
        return self._count(fault.outcome)

    def _replace(self, update: BookUpdate) -> Outcome:
        self._book.apply(update)
        self._book.received_ns = self._clock()
        self._joined = False
        self._valid = True
        self.fault = None
        self._snapshot_at = update.at
        self._older_run = 0
        self._checked(update)
        kept, self._buffered = [*self._buffered], deque()
        begin = self._first_after(kept)
        self.counts[Outcome.STALE] += begin
        for each in kept[begin:]:
            self.feed(each)
        return Outcome.APPLIED if self.fault is None else self.fault.outcome

    def _first_after(self, kept: Sequence[BookUpdate]) -> int:
        """
        Return the index of the first update that is newer than the snapshot.

        That is the last one that joins it, since ids may have restarted between two of them. If none joins, it is the
        first, unless the newest is older than the snapshot.
        """
        last = self._book.last
        if not self._linked or last is None:
            return 0
        for place in reversed(range(len(kept))):
            after, until = self._after(kept[place]), kept[place].last
            if after is not None and until is not None and (after == last or after < last < until):
                return place
        newest = kept[-1].last if kept else None
        return len(kept) if newest is not None and newest <= last else 0

    def _after(self, update: BookUpdate) -> int | None:
        """Return the id of the update that this one follows."""
        if not self._by_first:
            return update.previous
        return None if update.first is None else update.first - 1

    def _wait(self, update: BookUpdate) -> Outcome:
        if self._buffers:
            if len(self._buffered) >= self._most_buffered:
                self._buffered.popleft()
                self.dropped += 1
            self._buffered.append(update)
        return self._count(Outcome.WAITING)

    def _out_of_sequence(self, update: BookUpdate, after: int | None) -> Outcome | None:
        """Classify a message that does not directly follow the last one; ``None`` if it is to be applied."""
        last = self._book.last
        if after is None or last is None or update.last is None:
            return self._gap(update, after)
        if after != last:
            if update.last <= last:
                return self._stale(update, after, last)
            if after > last or (self._joined and not self._by_first):
                return self._gap(update, after)
        self._joined = True
        return None

    def _stale(self, update: BookUpdate, after: int, last: int) -> Outcome:
        """Classify an update that is not newer than the book by its id."""
        if update.last != last and self._has_restarted(update, after, last):
            return self._gap(update, after)
        return self._count(Outcome.DUPLICATE if self._joined and update.last == last else Outcome.STALE)

    def _has_restarted(self, update: BookUpdate, after: int, last: int) -> bool:
        """Return whether an update with a lower id is newer because ids restarted, by its time or by the number of such updates."""
        if update.at is not None and self._joined:
            return self._book.at is not None and update.at > self._book.at
        if update.at is not None:
            # Messages from before the snapshot may arrive late, with the time of their sending; their ids are close.
            is_far = update.last is not None and update.last <= last // 2
            return is_far and (self._snapshot_at is None or update.at > self._snapshot_at)
        follows = self._older_since == self.applied and self._older_last == after
        self._older_run = self._older_run + 1 if follows else 1
        self._older_since, self._older_last = self.applied, update.last
        return self._older_run >= self.MOST_OLDER

    def _gap(self, update: BookUpdate, after: int | None) -> Outcome:
        outcome = self.fail(Fault(Outcome.GAP, self._book.last, after))
        if self._buffers:
            self._buffered.append(update)
        return outcome

    def _checked(self, update: BookUpdate) -> Outcome:
        if update.checksum and self.rule.checksum is not None:
            computed = self.rule.checksum(self._book)
            if computed != update.checksum:
                return self.fail(Fault(Outcome.BAD_CHECKSUM, update.checksum, computed))
        if self._book.is_crossed:
            return self.fail(Fault(Outcome.CROSSED))
        self.applied += 1
        return Outcome.APPLIED

    def _count(self, outcome: Outcome) -> Outcome:
        self.counts[outcome] += 1
        return outcome


class ConnectionSequence:
    """Check the numbers that an exchange gives to all messages of one connection."""

    def __init__(self) -> None:
        self.last: int | None = None

    def follows(self, number: int) -> bool:
        """Return whether this number is the next one, or the last one again; true for the first."""
        last, self.last = self.last, number
        return last is None or number in {last, last + 1}
