"""The order book is what a dict of sizes, sorted, would be; only faster."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chandlery.core.book import BookUpdate, OrderBook
from chandlery.core.errors import InvalidInput

PRICES = st.integers(1, 1200).map(lambda tick: tick / 8)
SIZES = st.one_of(st.just(0.0), st.floats(0.001, 1e9))
LEVELS = st.lists(st.tuples(PRICES, SIZES), max_size=12)
MANY = st.lists(st.tuples(PRICES, SIZES), max_size=400)


def update(bids=(), asks=(), **more) -> BookUpdate:
    """A message about one symbol."""
    return BookUpdate("BTCUSDT", bids, asks, **more)


def book(bids=(), asks=(), **more) -> OrderBook:
    """A book that begins with a snapshot."""
    made = OrderBook("BTCUSDT", **more)
    made.apply(update(bids, asks, is_snapshot=True))
    return made


def best_first(sizes: dict[float, float], *, reverse: bool) -> list[tuple[float, float]]:
    """The levels of a plain dict."""
    return sorted(sizes.items(), reverse=reverse)


class Model(RuleBasedStateMachine):
    """A book, and the two dicts that it stands for."""

    def __init__(self) -> None:
        super().__init__()
        self.book = OrderBook("BTCUSDT")
        self.sides: tuple[dict[float, float], dict[float, float]] = ({}, {})

    def _set(self, bids, asks) -> None:
        for side, levels in zip(self.sides, (bids, asks), strict=True):
            for price, size in levels:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)

    @rule(bids=MANY, asks=MANY)
    def snapshot(self, bids, asks):
        """Replaces both sides; a size of 0 in it is no level."""
        self.sides = ({}, {})
        for side, levels in zip(self.sides, (bids, asks), strict=True):
            side.update(levels)
            for price in [price for price, size in side.items() if not size]:
                del side[price]
        unique = [list(dict(levels).items()) for levels in (bids, asks)]
        self.book.apply(update(*unique, is_snapshot=True))

    @rule(bids=LEVELS, asks=LEVELS)
    def change(self, bids, asks):
        """Sets and deletes some levels, a price perhaps twice."""
        self._set(bids, asks)
        self.book.apply(update(bids, asks))

    @rule(data=st.data())
    @precondition(lambda self: any(self.sides))
    def delete_from_the_best(self, data):
        """Uses up the best levels, so that deeper ones come to the fore."""
        count = data.draw(st.integers(1, 200))
        bids, asks = (
            [(price, 0.0) for price, _ in best_first(side, reverse=reverse)[:count]]
            for side, reverse in zip(self.sides, (True, False), strict=True)
        )
        self._set(bids, asks)
        self.book.apply(update(bids, asks))

    @rule(count=st.sampled_from([0, 1, 5, 20, 64, 300, 2000]))
    def top(self, count):
        """Any number of the best levels, best first."""
        assert best_first(self.sides[0], reverse=True)[:count] == self.book.bids(count)
        assert best_first(self.sides[1], reverse=False)[:count] == self.book.asks(count)

    @invariant()
    def ends_and_count(self):
        """The best prices, whether they cross, and the number of levels."""
        bid, ask = max(self.sides[0], default=None), min(self.sides[1], default=None)

        assert (bid is not None and ask is not None and bid >= ask) == self.book.is_crossed
        assert (bid, ask) == (self.book.best_bid, self.book.best_ask)
        assert len(self.sides[0]) + len(self.sides[1]) == len(self.book)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=30)


@given(st.lists(st.tuples(LEVELS, LEVELS), max_size=30), st.integers(1, 5))
def test_a_book_of_limited_depth_drops_what_lies_deeper_after_each_message(messages, depth):
    """What was pushed out does not come back when a better level goes."""
    small = OrderBook("BTCUSDT", depth=depth)
    sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
    for bids, asks in messages:
        small.apply(update(bids, asks))
        for side, levels, reverse in zip(sides, (bids, asks), (True, False), strict=True):
            for price, size in levels:
                side[price] = size
            kept = best_first({price: size for price, size in side.items() if size}, reverse=reverse)[:depth]
            side.clear()
            side.update(kept)

        assert best_first(sides[0], reverse=True) == small.bids(10)
        assert best_first(sides[1], reverse=False) == small.asks(10)


def test_what_follows_from_the_best_levels():
    """Mid, spread and microprice, which leans to the side with less behind it."""
    one = book([(99.0, 3.0), (98.0, 1.0)], [(101.0, 1.0), (102.0, 5.0)])

    assert (99.0, 101.0, 100.0, 2.0) == (one.best_bid, one.best_ask, one.mid, one.spread)
    assert 100.5 == one.microprice
    assert not one.is_crossed
    assert 4 == len(one)


@pytest.mark.parametrize(("bids", "asks"), [([], []), ([(1.0, 1.0)], []), ([], [(1.0, 1.0)])])
def test_a_book_with_an_empty_side_has_no_middle(bids, asks):
    """And is not crossed, nor taken for no book."""
    one = book(bids, asks)

    assert [None] * 3 == [one.mid, one.spread, one.microprice]
    assert not one.is_crossed
    assert one


def test_equal_best_prices_are_crossed():
    """Both would have traded."""
    assert book([(100.0, 1.0)], [(100.0, 1.0)]).is_crossed


def test_id_and_time_are_those_of_the_last_message():
    """A message without a time leaves the one before."""
    one = book()
    one.apply(update(last=7, at=1000))
    one.apply(update(last=8))

    assert (8, 1000) == (one.last, one.at)


def test_digits_are_those_that_came_last_for_each_price():
    """Trailing zeros and all, best first; none where the messages had none."""
    one = OrderBook("BTCUSDT", depth=2)
    one.apply(
        update([(1.0, 2.0)], [(3.0, 1.0)], bid_digits=[("1.00", "2.000")], ask_digits=[("3.0", "1.")], is_snapshot=True)
    )
    one.apply(update([(2.0, 5.0), (1.0, 3.0)], bid_digits=[("2.00", "5.0"), ("1.00", "3.000")]))

    assert ([("2.00", "5.0"), ("1.00", "3.000")], [("3.0", "1.")]) == one.top_digits(10)
    one.apply(update([(1.5, 1.0)], bid_digits=[("1.50", "1.0")]))
    assert ([("2.00", "5.0"), ("1.50", "1.0")], [("3.0", "1.")]) == one.top_digits(10)
    assert ([], []) == book([(1.0, 1.0)]).top_digits(1)


def test_digits_of_prices_that_are_gone_do_not_pile_up():
    """However many prices come and go."""
    one = OrderBook("BTCUSDT")
    for price in range(1, 5000):
        one.apply(update([(float(price), 1.0)], bid_digits=[(str(price), "1")]))
        one.apply(update([(float(price), 0.0)], bid_digits=[(str(price), "0")]))

    assert 1100 > len(one._bids.digits)
    assert 0 == len(one)


def test_many_levels_near_the_best_and_then_none_of_them():
    """However many come in front of the others, and go again, the order is right."""
    one = book([(float(price), 1.0) for price in range(1, 500)], [(float(price), 1.0) for price in range(2000, 2500)])
    one.apply(
        update([(500 + tick / 2, 2.0) for tick in range(600)], [(2000 - tick / 2, 2.0) for tick in range(1, 600)])
    )
    assert [(799.5, 2.0), (799.0, 2.0)] == one.bids(2)
    assert [(1700.5, 2.0), (1701.0, 2.0)] == one.asks(2)
    one.apply(
        update([(500 + tick / 2, 0.0) for tick in range(600)], [(2000 - tick / 2, 0.0) for tick in range(1, 600)])
    )
    assert (499.0, 2000.0) == (one.best_bid, one.best_ask)
    assert [(float(price), 1.0) for price in range(499, 0, -1)] == one.bids(1000)
    assert [(float(price), 1.0) for price in range(2000, 2500)] == one.asks(1000)


def test_levels_far_from_the_best_are_there_once_they_are_asked_for():
    """Set, set anew and deleted while nobody looks that deep."""
    bids, asks = ([(float(price), 1.0) for price in prices] for prices in (range(1, 500), range(1000, 1500)))
    one = book(bids, asks)
    one.apply(update([(0.5, 7.0), (1.0, 8.0), (2.0, 0.0)], [(2000.0, 7.0), (1499.0, 8.0), (1498.0, 0.0)]))

    assert [(3.0, 1.0), (1.0, 8.0), (0.5, 7.0)] == one.bids(1000)[-3:]
    assert [(1497.0, 1.0), (1499.0, 8.0), (2000.0, 7.0)] == one.asks(1000)[-3:]


def test_a_book_covers_what_its_snapshot_reached():
    """Beyond that, what has not changed since the snapshot is missing."""
    one = book([(99.0, 1.0), (98.0, 1.0)], [(101.0, 1.0), (102.0, 1.0)])
    assert one.covers(2)
    one.apply(update([(99.5, 1.0)], [(104.0, 1.0)]))
    assert [True, False] == [one.covers(2), one.covers(3)]
    one.apply(update([(98.0, 0.0), (99.0, 0.0), (99.5, 0.0), (97.0, 1.0)]))
    assert not one.covers(1)
    one.apply(update([(97.0, 1.0)], [(104.0, 1.0)], is_snapshot=True))
    assert one.covers(1)
    assert OrderBook("BTCUSDT").covers(1)


def test_columns_are_the_best_levels_of_both_sides():
    """Bids first, level 0 the best of each."""
    one = book([(99.0, 3.0), (98.0, 1.0), (97.0, 1.0)], [(101.0, 2.0)])

    assert {
        "side": ["bid", "bid", "ask"],
        "level": [0, 1, 0],
        "price": [99.0, 98.0, 101.0],
        "size": [3.0, 1.0, 2.0],
    } == one.columns(2)


def test_less_than_no_levels_cannot_be_asked_for():
    """The message says what can."""
    with pytest.raises(InvalidInput, match="0 or more"):
        book().bids(-1)


def test_one_deep_question_does_not_make_the_book_slow():
    """Who asks once for very many levels gets them, and the prices kept in order stay few."""
    levels = [(float(price), 1.0) for price in range(1, 3001)]
    one = book(levels)
    before = len(one._bids.front)

    assert levels[::-1][:2000] == one.bids(2000)
    assert one.covers(2000)
    assert before == len(one._bids.front)
