"""How the messages about an order book follow each other: the exchanges' rules as data, and the machine that keeps them."""

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
"""A price for a msgspec decoder: neither NaN nor infinity passes."""
Size: TypeAlias = Annotated[float, Meta(ge=0, lt=_LARGEST)]
"""A size for a msgspec decoder; 0 deletes."""
WireLevels: TypeAlias = list[tuple[Price, Size]]
"""Rows of price and size."""


class Link(Enum):
    """By what an update says which one it follows."""

    NONE = "none"
    """By nothing: every message is applied."""
    FIRST = "first"
    """``first`` is one more than the ``last`` before; it may overlap what was applied."""
    PREVIOUS = "previous"
    """``previous`` is the ``last`` before."""


class SnapshotSource(Enum):
    """Where the snapshot comes from that the updates are applied to."""

    REST = "rest"
    """It is fetched; the updates that come meanwhile are kept for it."""
    MESSAGE = "message"
    """It is asked for on the socket; the updates that come meanwhile are kept for it."""
    STREAM = "stream"
    """It is the first message after subscribing; what comes before it belongs to an older subscription."""


class BookRule(Struct, frozen=True):
    """
    What an exchange says about its order book messages.

    ``checksum`` computes what ``BookUpdate.checksum`` must be equal to. ``truncates`` says that
    levels beyond the subscribed depth are not deleted by the exchange and must be dropped.
    ``per_connection`` says that ``last`` counts all messages of the connection, whatever their
    symbol: then ``link`` is ``NONE``, and a ``ConnectionSequence`` watches each connection.
    """

    link: Link
    snapshot: SnapshotSource
    checksum: Callable[[OrderBook], int] | None = None
    truncates: bool = False
    per_connection: bool = False


class Outcome(Enum):
    """What became of a message."""

    APPLIED = "applied"
    WAITING = "waiting"
    """No snapshot yet: kept for it, or dropped where the snapshot comes by the stream."""
    DUPLICATE = "duplicate"
    """The same as the last one applied; dropped."""
    STALE = "stale"
    """Older than the book; dropped."""
    GAP = "gap"
    """Messages are missing before it, or the snapshot is older than what was kept for it."""
    BAD_CHECKSUM = "bad_checksum"
    CROSSED = "crossed"

    @property
    def needs_snapshot(self) -> bool:
        """Whether there is no valid book any more, until a new snapshot comes."""
        return self in {Outcome.GAP, Outcome.BAD_CHECKSUM, Outcome.CROSSED}


_APPLIED = Outcome.APPLIED


class Fault(Struct, frozen=True):
    """
    Why a book stopped being valid.

    Of a gap, ``expected`` is the id that the message should have followed and ``came`` the one
    that it follows; of a bad checksum, the one of the message and the one of the book.
    """

    outcome: Outcome
    expected: int | None = None
    came: int | None = None


def _unheard(book: OrderBook) -> None:
    """Nothing."""


def _untimed() -> int:
    """No time."""
    return 0


def _raised(error: Exception) -> None:
    raise error


class BookSync:
    """
    The order book of one symbol, as long as its messages follow each other.

    ``book`` is ``None`` from the start, from a fault or from ``reset`` until a snapshot and the
    updates kept for it are applied. Of the recorded books none is ever crossed after a whole
    message, so a crossed one has gone wrong and is given up at once, not waited for.
    """

    MOST_OLDER = 3
    """So many older updates in a row that have no time and follow each other say that the exchange counts anew."""

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
        ``depth`` is the subscribed one; ``keep`` is how many updates wait for a snapshot at most.

        ``make`` makes the book, as its class does. ``clock`` gives nanoseconds; by it ``received_ns`` of the book is noted
        with each message that is applied, which is cheaper than microseconds.
        """
        self.symbol = symbol
        self.rule = rule
        self.fault: Fault | None = None
        """Why there is no book; ``None`` while there is one, and before the first."""
        self.counts: Counter[Outcome] = Counter()
        """How often each outcome but ``APPLIED`` has been."""
        self.applied = 0
        """How many updates were applied."""
        self.followed = 0
        """How many of them by ``follow``."""
        self.dropped = 0
        """How many updates were dropped because too many waited for a snapshot."""
        self.on_followed: Callable[[Any], object] = _unheard
        """Is told of the book whenever ``follow`` has changed it; another may take its place at any time."""
        self.on_failed: Callable[[Exception], object] = _raised
        """Is told what that raises."""
        self._book = make(symbol, depth=depth if rule.truncates else None)
        self._clock = clock
        self._valid = False
        self._joined = False
        self._snapshot_at: Micros | None = None
        """When the last snapshot was, if it said so."""
        self._older_run = self._older_since = 0
        self._older_last: int | None = None
        self._kept: deque[BookUpdate] = deque()
        self._keep = keep
        self._keeps = rule.link is not Link.NONE and rule.snapshot is not SnapshotSource.STREAM
        self._linked = rule.link is not Link.NONE
        self._by_first = rule.link is Link.FIRST
        self._plain = self._linked and rule.checksum is None and not rule.truncates

    @property
    def book(self) -> OrderBook | None:
        """The book, valid now; it changes with the next message."""
        return self._book if self._valid else None

    def feed(self, update: BookUpdate) -> Outcome:
        """What becomes of the next message of the stream, a snapshot that came by it included."""
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
                odd = self._place(update, after)
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
        The same as ``feed`` for an update as nearly all are, without checksum or digits, that is plainly the next, for speed only.

        Whether it was applied; where not, ``feed`` is to look at it. One that crosses the book ends it first.
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
        Begin from a snapshot that was fetched, and catch up with what was kept for it.

        ``APPLIED`` says that there is a book, ``STALE`` that there was a newer one already;
        anything else that the next snapshot must be fetched.
        """
        last = self._book.last
        if self._valid and last is not None and update.last is not None and update.last < last:
            return self._count(Outcome.STALE)
        return self._replace(update)

    def reset(self) -> None:
        """Forget everything, as after a lost connection."""
        self._valid = self._joined = False
        self._kept.clear()
        self.fault = None

    def fail(self, fault: Fault) -> Outcome:
        """Give up the book, for a reason found elsewhere, as in the numbers of the connection."""
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
        kept, self._kept = [*self._kept], deque()
        begin = self._first_after(kept)
        self.counts[Outcome.STALE] += begin
        for each in kept[begin:]:
            self.feed(each)
        return Outcome.APPLIED if self.fault is None else self.fault.outcome

    def _first_after(self, kept: Sequence[BookUpdate]) -> int:
        """
        Return the place of the first update that is newer than the snapshot.

        That is the last one that joins it, for ids may have begun anew between two of them; where none joins, it is the
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
        """Return the id that an update says it follows."""
        if not self._by_first:
            return update.previous
        return None if update.first is None else update.first - 1

    def _wait(self, update: BookUpdate) -> Outcome:
        if self._keeps:
            if len(self._kept) >= self._keep:
                self._kept.popleft()
                self.dropped += 1
            self._kept.append(update)
        return self._count(Outcome.WAITING)

    def _place(self, update: BookUpdate, after: int | None) -> Outcome | None:
        """What becomes of a message that does not plainly follow; ``None`` where it is to be applied."""
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
        if update.last != last and self._counts_anew(update, after, last):
            return self._gap(update, after)
        return self._count(Outcome.DUPLICATE if self._joined and update.last == last else Outcome.STALE)

    def _counts_anew(self, update: BookUpdate, after: int, last: int) -> bool:
        """True where an update with a lower id is newer all the same, by its time or by the number of such updates."""
        if update.at is not None and self._joined:
            return self._book.at is not None and update.at > self._book.at
        if update.at is not None:
            # What came before the snapshot may still be on its way, with the time of its sending; its ids lie near.
            is_far = update.last is not None and update.last <= last // 2
            return is_far and (self._snapshot_at is None or update.at > self._snapshot_at)
        follows = self._older_since == self.applied and self._older_last == after
        self._older_run = self._older_run + 1 if follows else 1
        self._older_since, self._older_last = self.applied, update.last
        return self._older_run >= self.MOST_OLDER

    def _gap(self, update: BookUpdate, after: int | None) -> Outcome:
        outcome = self.fail(Fault(Outcome.GAP, self._book.last, after))
        if self._keeps:
            self._kept.append(update)
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
    """The numbers that an exchange gives to all messages of one connection."""

    def __init__(self) -> None:
        self.last: int | None = None

    def follows(self, number: int) -> bool:
        """Whether a message with this number is the next one, or part of the last one; the first always is."""
        last, self.last = self.last, number
        return last is None or number in {last, last + 1}
