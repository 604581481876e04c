"""The order books of the synthetic market."""

import re
import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.core.errors import InvalidSymbol, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import HOUR, MINUTE, SECOND
from chandlery.sim import RecordedMarket, SyntheticMarket
from chandlery.sim.book import TICK, BookState, SyntheticBook, tick_of
from fixtures.support import INVERSE, LINEAR, SPOT, SYMBOLS, moment

START = tick_of(moment("2025-01-31T23:00:00"))
DIGITS = {
    (SPOT, "BTCUSDT"): (2, 5),
    (SPOT, "DOGEUSDT"): (4, 1),
    (LINEAR, "ETHUSDT"): (2, 3),
    (INVERSE, "BTCUSD_PERP"): (2, 0),
    (INVERSE, "ADAUSD_PERP"): (4, 0),
}
"""Of the price and of the size."""

books = st.sampled_from(SYMBOLS)
ticks = st.integers(START, START + 20_000)
steps = st.integers(0, 40) | st.integers(0, 20_000)


def book(of=(SPOT, "BTCUSDT"), *, seed=7, levels=50, **rest):
    return SyntheticBook(SyntheticMarket(seed, **rest), *of, levels=levels)


def applied(state, changes):
    """A book with changes, done by hand."""
    sides = []
    for levels, changed, falling in zip((state.bids, state.asks), changes, (True, False), strict=True):
        side = dict(levels)
        for price, size in changed:
            if Decimal(size):
                side[price] = size
            else:
                del side[price]
        sides.append(sorted(side.items(), key=lambda level: Decimal(level[0]), reverse=falling))
    return BookState(*sides)


@settings(max_examples=150, deadline=None)
@given(books, ticks, steps, st.sampled_from([1, 5, 50, 200]))
def test_changes_turn_one_book_into_the_other(of, tick, later, levels):
    """Forwards and backwards, for one tick and for many; what is deleted was there."""
    made = book(of, levels=levels)

    assert applied(made.at(tick), made.changes(tick, tick + later)) == made.at(tick + later)
    assert applied(made.at(tick + later), made.changes(tick + later, tick)) == made.at(tick)


@settings(max_examples=100, deadline=None)
@given(books, ticks, steps)
def test_changes_hold_nothing_that_stayed(of, tick, later):
    """Each change names another size than before, each price once, the best first."""
    made = book(of)
    before = made.at(tick)
    for levels, changed, falling in zip(
        (before.bids, before.asks), made.changes(tick, tick + later), (True, False), strict=True
    ):
        assert not set(levels) & set(changed)
        prices = [Decimal(price) for price, _ in changed]
        assert prices == sorted(set(prices), reverse=falling)
    assert made.changes(tick, tick) == ([], [])


@settings(max_examples=150, deadline=None)
@given(books, ticks, st.sampled_from([1, 50, 200]))
def test_a_book_is_sound(of, tick, levels):
    """Sorted, not crossed, as many levels as were asked for, positive, always the same digits."""
    state = book(of, levels=levels).at(tick)
    bids, asks = ([Decimal(price) for price, _ in side] for side in (state.bids, state.asks))
    shapes = [r"\d+" + (rf"\.\d{{{digits}}}" if digits else "") for digits in DIGITS[of]]

    assert len(bids) == len(asks) == levels
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    assert 0 < bids[-1] <= bids[0] < asks[0]
    for level in state.bids + state.asks:
        assert all(re.fullmatch(shape, text) for shape, text in zip(shapes, level, strict=True))
        assert Decimal(level[1]) > 0


@settings(max_examples=100, deadline=None)
@given(books, ticks)
def test_the_book_lies_around_the_candles(of, tick):
    """Between bid and ask lies the price, on its even way from the open of the second to its close."""
    opened = tick * TICK - tick * TICK % SECOND
    columns = SyntheticMarket().candles(*of, Interval.SECOND_1, Span(opened, opened + SECOND))
    start, end, low, high = (float(columns[name][0]) for name in ("open", "close", "low", "high"))
    price = start + (end - start) * (tick * TICK - opened) / SECOND
    rounding = 1.01 * 10 ** -DIGITS[of][0]
    state = book(of).at(tick)
    bid, ask = float(state.bids[0][0]), float(state.asks[0][0])

    assert bid < price + rounding
    assert ask > price - rounding
    assert bid <= high
    assert ask >= low
    assert ask - bid < 0.0005 * start


@settings(max_examples=60, deadline=None)
@given(books, ticks, steps)
def test_everybody_sees_the_same_book(of, tick, later):
    """It does not depend on the object, nor on what was asked for before."""
    made = book(of)
    for each in (tick + later, tick - 3, tick + 1):
        made.at(each)

    assert made.at(tick) == book(of).at(tick)
    assert made.changes(tick, tick + later) == book(of).changes(tick, tick + later)


@settings(max_examples=60, deadline=None)
@given(books, ticks, st.integers(0, 60))
def test_a_shallow_book_is_the_top_of_a_deep_one(of, tick, levels):
    """The first levels do not depend on how many there are."""
    deep, shallow = book(of, levels=100).at(tick), book(of, levels=levels).at(tick)

    assert shallow == BookState(deep.bids[:levels], deep.asks[:levels])


def test_a_few_levels_change_in_a_tick():
    """Between 2 and 12 as a rule: sizes, prices that come and prices that go, on both sides."""
    for of in SYMBOLS:
        made = book(of)
        kinds = [set(), set()]
        counts = []
        for tick in range(START, START + 1200):
            before, changed = made.at(tick), made.changes(tick, tick + 1)
            counts.append(sum(map(len, changed)))
            for kind, side, levels in zip(kinds, changed, (before.bids, before.asks), strict=True):
                known = dict(levels)
                kind |= {(price in known, Decimal(size) > 0) for price, size in side}
        assert kinds == [{(True, True), (True, False), (False, True)}] * 2
        assert 2 <= sum(counts) / len(counts) <= 12
        assert sum(2 <= count <= 12 for count in counts) > 0.6 * len(counts)


def test_seeds_symbols_and_markets_differ():
    """Anything else has another book."""
    made = [
        book(seed=seed, of=of).at(START)
        for seed, of in (
            (7, (SPOT, "BTCUSDT")),
            (8, (SPOT, "BTCUSDT")),
            (7, (SPOT, "BTCUSDC")),
            (7, (LINEAR, "BTCUSDT")),
        )
    ]

    assert len({(*state.bids, *state.asks) for state in made}) == len(made)


def test_there_is_no_book_before_the_listing():
    """The first tick of the first minute has one; what leads there or away holds every level."""
    first = tick_of(moment("2025-02-01T00:01:00"))
    made = book(listed=moment("2025-02-01T00:00:30"))
    state = made.at(first)

    assert made.at(first - 1) is None
    assert made.changes(first - 2, first - 1) == ([], [])
    assert made.changes(first - 1, first) == (state.bids, state.asks)
    gone = made.changes(first, first - 1)
    assert gone == tuple([(price, "0.00000") for price, _ in side] for side in (state.bids, state.asks))


def test_a_book_stands_still_in_a_halt():
    """From its first to its last tick it is as in the tick before; then it is as if nothing had been."""
    start, end = moment("2025-02-01T10:00:00"), moment("2025-02-01T10:05:00")
    halts = [Span(start + 3 * MINUTE, end), Span(start, start + 3 * MINUTE), Span(end + HOUR, end + 2 * HOUR)]
    made, free = book(halts=halts), book()
    last = made.at(tick_of(start) - 1)

    assert last == free.at(tick_of(start) - 1)
    assert [made.at(tick_of(at)) for at in (start, start + 3 * MINUTE, end - 1)] == [last] * 3
    assert made.changes(tick_of(start) - 1, tick_of(end) - 1) == ([], [])
    assert made.at(tick_of(end)) == free.at(tick_of(end)) != last


def test_a_halt_from_the_listing_on_delays_the_first_book():
    """Where trading has not begun there is nothing that could stand still."""
    listed = moment("2025-02-01T10:00:00")
    made = book(listed=listed, halts=[Span(listed, listed + HOUR)])

    assert made.at(tick_of(listed + HOUR) - 1) is None
    assert made.at(tick_of(listed + HOUR)) is not None


def test_other_markets_and_unknown_symbols_are_refused(tmp_path):
    """The error says what has books; a symbol that is not traded has none."""
    (tmp_path / "BTCUSDT-1h-2024-11.csv").write_text("1730419200000,1,1,1,1,1,1730422799999,1,1,1,1,0\n")
    with pytest.raises(UnsupportedRequest, match="RecordedMarket has candles but no order books"):
        SyntheticBook(RecordedMarket(tmp_path), SPOT, "BTCUSDT")
    with pytest.raises(InvalidSymbol, match="'btc' is not traded on the spot market"):
        SyntheticBook(SyntheticMarket(), SPOT, "btc")


def test_a_tick_is_a_tenth_of_a_second():
    """A moment belongs to the tick that began at or before it."""
    at = moment("2025-02-01T10:00:00")

    assert [tick_of(at + later) - tick_of(at) for later in (0, 99_999, 100_000, SECOND)] == [0, 0, 1, 10]


def test_it_is_fast():
    """The changes of a tick are made in less than 0.3 ms, a book at any moment in less than 2 ms."""
    made = book()
    started = time.process_time()
    for tick in range(START, START + 1000):
        made.changes(tick, tick + 1)
    assert time.process_time() - started < 0.3
    started = time.process_time()
    for far in range(100):
        made.at(START + far * 7919)
    assert time.process_time() - started < 0.2
