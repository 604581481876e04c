"""Tests of an adapter's order books against the wire of the offline exchange."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from chandlery.adapter.books import BookRule, BookSync, Link, Outcome, SnapshotSource
from chandlery.adapter.live import Channel
from chandlery.core.errors import ChandleryError
from chandlery.core.instrument import MarketType
from chandlery.core.time import MINUTE, Micros
from chandlery.sim.book import tick_of
from chandlery.sim.wire import Session, Want
from chandlery.testing.offline import OfflineAdapter
from chandlery.testing.wire_tests import WireTests, damaged_message, drawn

_TICK: Micros = 100_000
_CHECKED_LEVELS = 10
"""The smallest number of levels a side that a checksum covers."""


class _Book:
    """A subscription to a book, and the book that its messages make."""

    def __init__(self, facing: OfflineAdapter, rule: BookRule, depth: int) -> None:
        self._facing = facing
        self._depth = depth
        self._rule = rule
        self.sync = BookSync(facing.native, rule, depth=depth)
        self.session: Session = facing.open(Channel.BOOK)
        self.take(facing.tell(self.session, facing.adapter.subscribe_book([facing.native], depth)))
        self.want: Want
        (self.want,) = self.session.wants.values()
        tick = tick_of(facing.now)
        state = facing.view.book(self.want.symbol, self.want.depth, tick)
        self.take(facing.frames(facing.wire.book(self.session, self.want, state, tick)))

    def take(self, messages: list[bytes]) -> list[Outcome]:
        """Apply messages."""
        updates = (update for message in messages for update in self._facing.adapter.book_updates(message))
        return [self.sync.feed(update) for update in updates]

    def snapshot(self) -> None:
        """Fetch the snapshot, by the method of the rule."""
        adapter, native = self._facing.adapter, self._facing.native
        if self._rule.snapshot is SnapshotSource.REST:
            self.sync.snapshot(
                adapter.book_snapshot(native, self._facing.body(adapter.book_request(native, self._depth)))
            )
        elif self._rule.snapshot is SnapshotSource.MESSAGE:
            self.take(self._facing.tell(self.session, [adapter.book_message(native, self._depth)]))

    def messages(self) -> list[bytes]:
        """Advance by a tick. Return its messages."""
        facing, want = self._facing, self.want
        before = tick_of(facing.now)
        facing.now += _TICK
        bids, asks = facing.view.changes(want.symbol, want.depth, before, before + 1)
        return facing.frames(facing.wire.changes(self.session, want, bids, asks, before, before + 1))

    def levels(self, levels: int, tick: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """Return the best levels of the market at a tick, bids and asks, in the unit of the exchange."""
        state, unit = self._facing.view.book(self.want.symbol, levels, tick), _size_unit(self._facing)
        bids, asks = ([(float(price), unit(size)) for price, size in side] for side in (state.bids, state.asks))
        return bids, asks

    @property
    def tick(self) -> int:
        """The tick of now."""
        return tick_of(self._facing.now)


def _size_unit(facing: OfflineAdapter) -> Callable[[str], float]:
    """Return the conversion of a book's sizes to the unit of the exchange, which is that of its volume."""
    kind, unit = facing.adapter.market_type, facing.adapter.volume_unit
    if kind is MarketType.FUTURES_USDT and unit == "contracts":
        return lambda text: float(facing.view.contracts(facing.symbol, text))
    if kind is MarketType.FUTURES_COIN and unit == "quote":
        return lambda text: float(text) * facing.view.contract_value(facing.symbol)
    return float


class BookTests(WireTests):
    """Order books are the market's, or there is none; without order books these tests are skipped."""

    def _facing_with_rule(self) -> tuple[OfflineAdapter, BookRule]:
        facing = self.facing()
        if facing.adapter.book_rule is None:
            pytest.skip("it has no live order books")
        return facing, facing.adapter.book_rule

    def test_a_book_is_the_market(self) -> None:
        """Snapshot and updates, of every depth, give the market's book after each tick."""
        for depth in self._facing_with_rule()[0].adapter.book_depths:
            facing, rule = self._facing_with_rule()
            book = _Book(facing, rule, depth)
            early = [message for _ in range(3) for message in book.messages()]
            book.take(early[:1])
            book.snapshot()
            book.take(early[1:])
            for _ in range(30):
                outcomes = book.take(book.messages())
                assert set(outcomes) <= {Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE}
                assert book.sync.book is not None
                levels = book.want.depth
                assert (book.sync.book.bids(levels), book.sync.book.asks(levels)) == book.levels(levels, book.tick)
            for message in book.messages():
                updates = facing.adapter.book_updates(message)
                assert all(abs((update.at or facing.now) - facing.now) < MINUTE for update in updates)

    def test_a_damaged_stream_never_gives_a_wrong_book(self) -> None:
        """With messages lost, duplicated, reordered or with a wrong checksum, the book is the market's or there is none."""
        _, rule = self._facing_with_rule()
        if rule.per_connection:
            pytest.skip("its messages are numbered by connection, which the feed watches")
        if rule.link is Link.NONE and rule.checksum is None:
            pytest.skip("every message is a whole book")
        drawn(25, self._check_damaged_stream)

    def _check_damaged_stream(self, data: st.DataObject) -> None:
        facing, rule = self._facing_with_rule()
        book = _Book(facing, rule, data.draw(st.sampled_from(facing.adapter.book_depths)))
        book.take(book.messages())
        book.snapshot()
        sent: list[tuple[int, bytes]] = []
        for _ in range(11):
            facing.wire.skew = int(rule.checksum is not None and data.draw(st.integers(0, 9)) == 0)
            messages = book.messages()
            sent += [(book.tick, message) for message in messages]
            facing.wire.skew = 0
        places = range(len(sent))
        order = data.draw(st.permutations(places)) if data.draw(st.booleans()) else places
        lost = data.draw(st.sets(st.sampled_from(places), max_size=3))
        # A checksum alone proves as many levels as it covers.
        proved = book.want.depth if rule.link is not Link.NONE else min(book.want.depth, _CHECKED_LEVELS)
        for tick, message in (sent[place] for place in order if place not in lost):
            for outcome in book.take([message]):
                if outcome is Outcome.APPLIED and book.sync.book is not None:
                    bids, _ = book.levels(proved, tick)
                    assert [price for price, _ in book.sync.book.bids(proved)] == [price for price, _ in bids]

    def test_damaged_book_messages_are_errors_or_numbers(self) -> None:
        """With one node of a message replaced, levels are finite and prices positive, or there is a ``ChandleryError``."""
        facing, rule = self._facing_with_rule()
        book = _Book(facing, rule, facing.adapter.book_depths[0])
        messages = [message for _ in range(3) for message in book.messages()]

        def check(data: st.DataObject) -> None:
            message = damaged_message(data, facing, data.draw(st.sampled_from(messages)))
            try:
                updates = facing.adapter.book_updates(message)
            except ChandleryError:
                return
            for update in updates:
                for price, size in (*update.bids, *update.asks):
                    assert 0 < price < float("inf")
                    assert 0 <= size < float("inf")

        drawn(60, check)
