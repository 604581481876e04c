"""A book is served only while its messages follow each other, whatever happens to them on the way."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chandlery.adapter.books import (
    BookRule,
    BookSync,
    ConnectionSequence,
    Fault,
    Link,
    Outcome,
    SnapshotSource,
    WireLevels,
)
from chandlery.core.book import BookUpdate

BY_FIRST = BookRule(Link.FIRST, SnapshotSource.REST)
BY_PREVIOUS = BookRule(Link.PREVIOUS, SnapshotSource.REST)
BY_STREAM = BookRule(Link.FIRST, SnapshotSource.STREAM)
UNLINKED = BookRule(Link.NONE, SnapshotSource.STREAM)


def change(first: int, last: int | None = None, *, bids=(), asks=(), previous: int | None = None, **more) -> BookUpdate:
    """An update that holds the changes from ``first`` to ``last``."""
    return BookUpdate("X", bids, asks, first=first, last=first if last is None else last, previous=previous, **more)


def snapshot(last: int | None, *, bids=(), asks=(), **more) -> BookUpdate:
    """A snapshot after the change ``last``."""
    return BookUpdate("X", bids, asks, is_snapshot=True, last=last, **more)


def synced(rule: BookRule = BY_FIRST, last: int = 10, **more) -> BookSync:
    """A book of which only the id is known."""
    sync = BookSync("X", rule, **more)
    assert Outcome.APPLIED is sync.snapshot(snapshot(last))
    return sync


def follow(sync: BookSync, update: BookUpdate) -> bool:
    """Offer an update the fast way."""
    return sync.follow(update.bids, update.asks, update.first, update.last, update.previous, update.at)


class Wire(RuleBasedStateMachine):
    """
    An exchange, a wire that loses, repeats and swaps messages, and a book at its end.

    ``truth`` is the book after each change.
    """

    @initialize(linked=st.sampled_from([BY_FIRST, BY_PREVIOUS]))
    def begin(self, linked):
        """Either kind of link."""
        self.rule = linked
        self.sync, self.short = BookSync("X", linked, keep=20), BookSync("X", linked, keep=20)
        self.id = 100
        self.truth = {100: ({}, {})}
        self.sent = [100]
        self.queue: list[BookUpdate] = []
        self.delivered: list[BookUpdate] = []

    @rule(
        batch=st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=4),
        skip=st.integers(0, 3),
    )
    def trade(self, batch, skip):
        """Some changes, sent as one message; futures skip ids between two messages."""
        previous = self.id
        if self.rule.link is Link.PREVIOUS:
            self.id += skip
        first, levels = self.id + 1, ([], [])
        for is_bid, price, size in batch:
            level = (float(price if is_bid else 10 + price), float(size))
            levels[not is_bid].append(level)
            sides = tuple(dict(side) for side in self.truth[previous if self.id + 1 == first else self.id])
            side = sides[not is_bid]
            side.pop(level[0], None)
            if level[1]:
                side[level[0]] = level[1]
            self.id += 1
            self.truth[self.id] = sides
        self.sent.append(self.id)
        self.queue.append(
            BookUpdate("X", *levels, first=first, last=self.id, previous=self.sent[-2]),
        )

    @rule()
    def deliver(self):
        """The next message arrives."""
        if self.queue:
            self.delivered.append(self.queue.pop(0))
            self.feed(self.delivered[-1])

    @rule()
    def lose(self):
        """The next message does not arrive."""
        if self.queue:
            self.queue.pop(0)

    @rule()
    def swap(self):
        """The next message overtakes the one before it."""
        self.queue[:2] = self.queue[1::-1]

    @rule(back=st.integers(1, 5))
    def repeat(self, back):
        """An old message arrives again."""
        if self.delivered:
            self.feed(self.delivered[-min(back, len(self.delivered))])

    def feed(self, update):
        """One of the two is offered it the fast way first."""
        outcome, applied = self.sync.feed(update), self.short.applied
        if follow(self.short, update):
            assert (Outcome.APPLIED, applied + 1) == (outcome, self.short.applied)
        else:
            assert outcome is self.short.feed(update)

    @rule(data=st.data())
    def fetch(self, data):
        """A snapshot of some moment arrives."""
        known = sorted(self.truth)
        at = known[-data.draw(st.integers(1, min(12, len(known))))]
        assert self.sync.snapshot(self.whole(at)) is self.short.snapshot(self.whole(at))

    @rule()
    def lose_connection(self):
        """Everything under way is gone."""
        self.queue.clear()
        self.sync.reset()
        self.short.reset()

    def whole(self, at: int) -> BookUpdate:
        """The true book after a change."""
        bids, asks = self.truth[at]
        return snapshot(at, bids=list(bids.items()), asks=list(asks.items()))

    @invariant()
    def what_is_served_is_true(self):
        """The book that is served is the true one after the change that it names."""
        book = self.sync.book
        if book is not None:
            bids, asks = self.truth[book.last]
            assert sorted(bids.items(), reverse=True) == book.bids(10)
            assert sorted(asks.items()) == book.asks(10)

    @invariant()
    def to_follow_is_to_feed(self):
        """Whichever way messages are taken, the same becomes of the book."""
        one, other = self.sync, self.short
        assert (one.book is None) == (other.book is None)
        assert (one.fault, one.counts, one.applied) == (other.fault, other.counts, other.applied)
        if one.book is not None:
            assert (one.book.last, one.book.bids(10), one.book.asks(10)) == (
                other.book.last,
                other.book.bids(10),
                other.book.asks(10),
            )

    @invariant()
    def what_waits_is_bounded(self):
        """However long no snapshot comes."""
        assert 20 >= len(self.sync._buffered)

    def teardown(self):
        """Once the wire is good, one snapshot is enough."""
        while self.queue:
            self.deliver()
        self.sync.snapshot(self.whole(self.id))

        assert self.sync.book is not None
        assert self.id == self.sync.book.last
        assert self.sync.fault is None


TestWire = Wire.TestCase
TestWire.settings = settings(max_examples=150, stateful_step_count=30)


@pytest.mark.parametrize(
    ("first", "last", "outcome"),
    [
        (8, 9, Outcome.STALE),
        (9, 10, Outcome.STALE),
        (9, 11, Outcome.APPLIED),
        (11, 12, Outcome.APPLIED),
        (12, 13, Outcome.GAP),
    ],
)
def test_the_first_update_holds_the_change_after_the_snapshot(first, last, outcome):
    """Older ones are dropped; a later one says that the snapshot was too old."""
    assert outcome is synced().feed(change(first, last))


@pytest.mark.parametrize(
    ("previous", "last", "outcome"),
    [
        (8, 9, Outcome.STALE),
        (8, 10, Outcome.STALE),
        (8, 11, Outcome.APPLIED),
        (10, 13, Outcome.APPLIED),
        (11, 13, Outcome.GAP),
    ],
)
def test_the_first_update_follows_what_the_snapshot_holds(previous, last, outcome):
    """The same where updates name the one before."""
    assert outcome is synced(BY_PREVIOUS).feed(change(9, last, previous=previous))


def test_after_the_first_each_update_must_name_the_one_before():
    """An overlap is no link."""
    sync = synced(BY_PREVIOUS)
    sync.feed(change(11, 14, previous=10))

    assert Outcome.GAP is sync.feed(change(13, 17, previous=12))
    assert Fault(Outcome.GAP, expected=14, came=12) == sync.fault


def test_updates_by_first_may_overlap():
    """Sizes are absolute, so what is said twice is true twice."""
    sync = synced()
    sync.feed(change(11, 14))

    assert Outcome.APPLIED is sync.feed(change(13, 17))


def test_an_update_without_ids_is_a_gap_where_ids_are_the_rule():
    """It cannot be told what it follows."""
    assert Outcome.GAP is synced().feed(BookUpdate("X", (), ()))
    assert Outcome.GAP is synced(BY_PREVIOUS).feed(BookUpdate("X", (), (), last=11))


def test_a_gap_takes_the_book_away_and_the_next_snapshot_brings_it_back():
    """The update after the gap is kept and joined to the snapshot."""
    sync = synced()
    sync.feed(change(11))

    assert Outcome.GAP is sync.feed(change(13, bids=[(1.0, 13.0)]))
    assert sync.book is None
    assert Fault(Outcome.GAP, expected=11, came=12) == sync.fault
    assert Outcome.WAITING is sync.feed(change(14, bids=[(2.0, 14.0)]))
    assert Outcome.GAP is sync.snapshot(snapshot(11))
    assert Outcome.APPLIED is sync.snapshot(snapshot(12))
    assert [(2.0, 14.0), (1.0, 13.0)] == sync.book.bids(5)
    assert sync.fault is None


def test_keep_alives_and_ids_that_go_down_follow_what_they_name():
    """An empty update that names itself, then one of a counter that was set back."""
    sync = synced(BY_PREVIOUS)

    assert Outcome.APPLIED is sync.feed(change(10, 10, previous=10))
    assert Outcome.APPLIED is sync.feed(change(3, 3, previous=10))
    assert Outcome.APPLIED is sync.feed(change(4, 4, previous=3))


def test_a_repeated_message_is_a_duplicate():
    """One from further back is stale; neither harms the book."""
    sync = synced()
    for message in (change(11), change(12)):
        sync.feed(message)

    assert Outcome.DUPLICATE is sync.feed(change(12))
    assert Outcome.STALE is sync.feed(change(11))
    assert sync.book is not None
    assert {Outcome.DUPLICATE: 1, Outcome.STALE: 1} == sync.counts


@pytest.mark.parametrize("joined", [False, True])
def test_three_older_updates_without_time_that_follow_each_other_count_anew(joined):
    """Fewer, or ones between which the book goes on, are an echo."""
    sync = synced(last=1000)
    if joined:
        sync.feed(change(1001))
    assert [Outcome.STALE] * 4 == [sync.feed(change(number)) for number in (1, 2, 7, 8)]
    assert sync.book is not None
    assert Outcome.GAP is sync.feed(change(9))
    assert Fault(Outcome.GAP, expected=1000 + joined, came=8) == sync.fault
    assert Outcome.APPLIED is sync.snapshot(snapshot(9))


def test_older_updates_between_others_are_an_echo():
    """However many there are."""
    sync = synced(last=1000)
    outcomes = [sync.feed(change(each)) for number in range(1, 10) for each in (number, 1000 + number)]

    assert {Outcome.STALE, Outcome.APPLIED} == set(outcomes)


@pytest.mark.parametrize("rule", [BY_FIRST, BY_PREVIOUS])
def test_an_older_update_of_a_later_time_counts_anew(rule):
    """At once; one that is repeated or late has an earlier time, or the same."""
    sync = BookSync("X", rule)
    sync.snapshot(snapshot(1000, at=50))
    assert Outcome.STALE is sync.feed(change(998, previous=997, at=50))
    assert Outcome.APPLIED is sync.feed(change(1001, previous=1000, at=60))
    assert Outcome.STALE is sync.feed(change(1000, previous=999, at=60))
    assert Outcome.DUPLICATE is sync.feed(change(1001, previous=1000, at=70))
    assert Outcome.GAP is sync.feed(change(4, previous=3, at=61))
    assert sync.book is None


@pytest.mark.parametrize("at", [None, 1])
def test_updates_from_before_a_snapshot_may_come_late(at):
    """They have the time of their sending, and ids near to that of the snapshot; those of a new count lie far below it."""
    sync = BookSync("X", BY_FIRST)
    sync.snapshot(snapshot(1000, at=1))
    sync.feed(change(1001, at=2))
    sync.snapshot(snapshot(2000, at=at))
    outcomes = [sync.feed(change(1002 + each, at=100 + each)) for each in range(20)]

    assert {Outcome.STALE} == set(outcomes)
    assert Outcome.GAP is sync.feed(change(7, at=200))


@pytest.mark.parametrize("count", [999, 1000, 1001, 1500, 2000])
@pytest.mark.parametrize("rule", [BY_FIRST, BY_PREVIOUS])
def test_a_snapshot_that_is_newer_than_all_that_waits_is_used(rule, count):
    """However much there is of it."""
    sync = BookSync("X", rule)
    for number in range(1, count + 1):
        sync.feed(change(number, previous=number - 1, bids=[(9.0, 1.0)]))

    assert Outcome.APPLIED is sync.snapshot(snapshot(count + 5, bids=[(8.0, 1.0)]))
    assert [(8.0, 1.0)] == sync.book.bids(5)
    assert count == sync.counts[Outcome.STALE]


@pytest.mark.parametrize(("last", "end"), [(1005, 6), (1010, 6), (3, 6), (4, 6), (6, 6), (9, 9)])
def test_ids_that_are_set_back_while_updates_wait_are_no_gap(last, end):
    """Whether the snapshot is from before that or from after it."""
    sync = BookSync("X", BY_PREVIOUS)
    for previous, number in ((1000, 1010), (1010, 3), (3, 5), (5, 6)):
        sync.feed(change(number, previous=previous))

    assert Outcome.APPLIED is sync.snapshot(snapshot(last))
    assert end == sync.book.last


def test_ids_that_begin_anew_while_updates_wait():
    """A snapshot from after that is joined by what followed it; one from before is not enough."""
    waiting = [*range(1001, 1004), *range(1, 8)]
    for last, outcome in ((5, Outcome.APPLIED), (9, Outcome.APPLIED), (1002, Outcome.GAP)):
        sync = BookSync("X", BY_FIRST)
        for number in waiting:
            sync.feed(change(number))
        assert outcome is sync.snapshot(snapshot(last))
    assert Outcome.APPLIED is sync.snapshot(snapshot(6))
    assert 7 == sync.book.last


def test_updates_wait_for_the_snapshot_up_to_a_bound():
    """The oldest go first, and are counted; then a snapshot must be newer than what went."""
    sync = BookSync("X", BY_FIRST, keep=3)
    outcomes = [sync.feed(change(number)) for number in range(1, 6)]

    assert [Outcome.WAITING] * 5 == outcomes
    assert 2 == sync.dropped
    assert Outcome.GAP is sync.snapshot(snapshot(1))
    assert Outcome.APPLIED is sync.snapshot(snapshot(2))
    assert 5 == sync.book.last


def test_a_snapshot_that_is_older_than_the_book_changes_nothing():
    """As when two were asked for."""
    sync = synced()
    sync.feed(change(11, bids=[(1.0, 1.0)]))

    assert Outcome.STALE is sync.snapshot(snapshot(10))
    assert [(1.0, 1.0)] == sync.book.bids(1)


def test_a_snapshot_in_the_stream_replaces_the_book():
    """Whatever its id: after a restart the exchange counts from 1."""
    sync = synced(BY_STREAM, last=500)

    assert Outcome.APPLIED is sync.feed(snapshot(1, bids=[(1.0, 1.0)]))
    assert Outcome.APPLIED is sync.feed(change(2, bids=[(2.0, 2.0)]))
    assert [(2.0, 2.0), (1.0, 1.0)] == sync.book.bids(5)


def test_before_a_snapshot_that_comes_by_the_stream_nothing_is_kept():
    """It belongs to an older subscription."""
    sync = BookSync("X", BY_STREAM)

    assert Outcome.WAITING is sync.feed(change(6, bids=[(9.0, 9.0)]))
    assert Outcome.APPLIED is sync.feed(snapshot(5))
    assert [] == sync.book.bids(1)


def test_after_a_gap_in_such_a_stream_only_the_next_snapshot_counts():
    """What came before it is not applied to it."""
    sync = synced(BY_STREAM)

    assert Outcome.GAP is sync.feed(change(13, bids=[(9.0, 9.0)]))
    assert Outcome.APPLIED is sync.feed(snapshot(12, bids=[(1.0, 1.0)]))
    assert [(1.0, 1.0)] == sync.book.bids(5)


def test_a_crossed_book_is_never_served():
    """Neither after an update nor from a snapshot."""
    sync = BookSync("X", BY_FIRST)
    sync.snapshot(snapshot(1, bids=[(1.0, 1.0)], asks=[(2.0, 1.0)]))

    assert Outcome.CROSSED is sync.feed(change(2, bids=[(2.0, 1.0)]))
    assert sync.book is None
    assert Outcome.CROSSED is sync.snapshot(snapshot(3, bids=[(3.0, 1.0)], asks=[(2.0, 1.0)]))
    assert sync.book is None
    assert Outcome.CROSSED.needs_snapshot


def test_a_book_that_is_crossed_on_the_fast_way_is_not_served():
    """It ends there, nobody is told of it, and ``feed`` keeps the update for the next snapshot."""
    told = []
    sync = synced()
    sync.on_followed = told.append
    first = change(11, bids=[(1.0, 1.0)], asks=[(2.0, 1.0)])
    assert not follow(sync, first)  # whether it follows the snapshot, feed proves
    assert Outcome.APPLIED is sync.feed(first)
    assert follow(sync, change(12, bids=[(1.5, 1.0)]))
    assert [sync.book] == told
    crossing = change(13, bids=[(2.0, 1.0)])
    assert not follow(sync, crossing)
    assert (None, Outcome.CROSSED) == (sync.book, sync.fault.outcome)
    assert Outcome.WAITING is sync.feed(crossing)
    assert Outcome.APPLIED is sync.snapshot(snapshot(13, bids=[(2.0, 1.0)]))
    assert 1 == len(told)


@pytest.mark.parametrize(
    "rule",
    [
        UNLINKED,
        BookRule(Link.FIRST, SnapshotSource.REST, truncates=True),
        BookRule(Link.FIRST, SnapshotSource.REST, checksum=lambda _: 7),
    ],
)
def test_books_that_need_more_than_levels_are_not_followed(rule):
    """Those without ids, with checksums, or of limited depth."""
    sync = synced(rule)
    assert Outcome.APPLIED is sync.feed(change(11, bids=[(1.0, 1.0)]))
    assert not follow(sync, change(12, bids=[(1.5, 1.0)]))
    assert 1.0 == sync.book.best_bid


def test_what_the_hearer_of_a_followed_book_raises_is_told():
    """The book goes on."""
    errors = []
    sync = synced()
    sync.feed(change(11, bids=[(1.0, 1.0)]))
    sync.on_followed, sync.on_failed = lambda _: 1 / 0, errors.append
    assert follow(sync, change(12, bids=[(1.5, 1.0)]))
    assert [ZeroDivisionError] == [type(each) for each in errors]
    assert 1.5 == sync.book.best_bid


def test_a_book_with_a_wrong_checksum_is_not_served():
    """A checksum of 0, or none, says nothing."""
    sync = BookSync("X", BookRule(Link.NONE, SnapshotSource.STREAM, checksum=lambda _: 7))
    sync.feed(snapshot(None, checksum=7))

    assert Outcome.APPLIED is sync.feed(BookUpdate("X", (), (), checksum=0))
    assert Outcome.APPLIED is sync.feed(BookUpdate("X", (), ()))
    assert Outcome.BAD_CHECKSUM is sync.feed(BookUpdate("X", (), (), checksum=8))
    assert Fault(Outcome.BAD_CHECKSUM, expected=8, came=7) == sync.fault
    assert sync.book is None


def test_only_rules_that_say_so_drop_what_lies_deeper_than_the_subscription():
    """Others delete such levels themselves."""
    levels = [(3.0, 1.0), (2.0, 1.0), (1.0, 1.0)]
    kept = []
    for truncates in (True, False):
        sync = BookSync("X", BookRule(Link.NONE, SnapshotSource.STREAM, truncates=truncates), depth=2)
        sync.feed(snapshot(None, bids=levels))
        kept.append(sync.book.bids(5))

    assert [levels[:2], levels] == kept


def test_reset_forgets_the_book_and_what_waited():
    """After a lost connection both are of the past."""
    sync = synced()
    sync.feed(change(13))
    sync.reset()

    assert sync.book is None
    assert sync.fault is None
    assert Outcome.APPLIED is sync.snapshot(snapshot(11))


def test_a_connection_whose_numbers_jump_gives_up_its_books():
    """Parts of one message share a number; the first may be any."""
    sequence = ConnectionSequence()
    sync = synced(UNLINKED)
    follows = [sequence.follows(number) for number in (41, 41, 42, 44, 45)]

    assert [True, True, True, False, True] == follows
    assert Outcome.GAP is sync.fail(Fault(Outcome.GAP, expected=42, came=44))
    assert sync.book is None


@pytest.mark.parametrize("damage", ["nan", "inf", "-1", "-inf", "1e999", None, "", [], True])
def test_wire_levels_are_finite_numbers(damage):
    """Neither price nor size can be anything else; a price can be no 0 either."""
    decoder = msgspec.json.Decoder(WireLevels, strict=False)
    assert [(1.0, 0.0)] == decoder.decode(b'[["1.0","0.00"]]')
    for row in ([damage, "1"], ["1", damage], ["0", "1"], ["1"], ["1", "1", "1"]):
        with pytest.raises(msgspec.MsgspecError):
            decoder.decode(msgspec.json.encode([row]))


def test_the_time_of_each_message_that_is_applied_is_noted():
    """By the given clock, whichever way it was applied; what is dropped leaves it as it was."""
    now = iter(range(1, 100))
    sync = BookSync("X", BY_FIRST, clock=lambda: next(now))
    noted = []
    sync.snapshot(BookUpdate("X", [(1.0, 1.0)], [(2.0, 1.0)], is_snapshot=True, last=10))
    noted.append(sync.book.received_ns)
    for number in (11, 12):
        sync.feed(BookUpdate("X", [(1.0, 2.0)], [], first=number, last=number))
        noted.append(sync.book.received_ns)
    sync.feed(BookUpdate("X", [(1.0, 2.0)], [], first=12, last=12))
    noted.append(sync.book.received_ns)
    assert sync.follow([(1.0, 3.0)], [], 13, 13, None, None)
    noted.append(sync.book.received_ns)

    assert [1, 2, 3, 3, 4] == noted
