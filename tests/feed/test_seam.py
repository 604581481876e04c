"""The seam between past and live: each closed candle once, in order, whatever comes when."""

from __future__ import annotations

from time import process_time

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.feed.events import Backfilled, Connected, Missing, Restated
from chandlery.feed.seam import MOST_OTHERS, CandleSeam, Seam

M = Interval.MINUTE_1


def candle(minute, *, closed=True):
    """A candle of that minute."""
    return CandleData(minute * MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0, closed=closed)


def minutes(updates):
    """The closed candles among updates, in minutes."""
    return [each.open_time // MINUTE for each in updates if isinstance(each, CandleData) and each.closed]


@given(st.permutations(range(12)), st.sets(st.integers(1, 10)))
def test_any_order_comes_out_in_order(order, absent):
    """Candles in any order, some of them missing: each is published once, in order, as soon as those before it are."""
    ordering = CandleSeam(M, 0, most=100)
    published = []
    for minute in order:
        known = Missing(Gap(minute * MINUTE, (minute + 1) * MINUTE, GapKind.HALT))
        published += ordering.take([known if minute in absent else candle(minute)])
        published += ordering.take([candle(minute)]) if minute not in absent else []

    assert sorted(set(range(12)) - absent) == minutes(published)


def test_a_candle_restated_while_it_waits_is_published_once():
    """In its latest state; a candle that was published before is published as restated."""
    ordering = CandleSeam(M, 3 * MINUTE, most=10)
    better = structs.replace(candle(4), volume=2.0)
    assert [] == ordering.take([candle(4)])
    assert [] == ordering.take([Restated(candle(4), better)])
    assert [candle(3), better] == ordering.take([candle(3)])
    again = Restated(better, structs.replace(candle(4), volume=3.0))
    assert [again] == ordering.take([again])


def test_without_a_beginning_the_first_to_come_is_the_first():
    """A candle that opens before the first published one is left out."""
    ordering = CandleSeam(M, None, most=10)

    assert [5] == minutes(ordering.take([candle(5)]))
    assert [] == ordering.take([candle(4)])


def test_running_candles_wait_for_none_but_follow_all():
    """The running candle is published once all before it are; while one is missing, its latest state waits."""
    ordering = CandleSeam(M, 3 * MINUTE, most=10)
    running = candle(3, closed=False)

    assert [running] == ordering.take([running])
    assert [] == ordering.take([candle(4)]), "3 is not closed yet"
    later = structs.replace(candle(5, closed=False), volume=2.0)
    assert [] == ordering.take([candle(5, closed=False), later])
    assert [candle(3), candle(4), later] == ordering.take([candle(3)])
    assert [candle(5, closed=False)] == ordering.take([candle(5, closed=False)])
    assert [candle(5)] == ordering.take([candle(5)])


def test_events_pass():
    """Events are published at once."""
    assert [Connected(2)] == CandleSeam(M, 3 * MINUTE, most=10).take([Connected(2)])


def test_a_hole_that_the_feed_does_not_fill():
    """A backfill that begins after the hole does not end it: the owner has to read it."""
    ordering = CandleSeam(M, 3 * MINUTE, most=10)
    ordering.take([candle(8)])
    assert None is ordering.lost
    assert [] == minutes(ordering.take([Backfilled(Span(7 * MINUTE, 9 * MINUTE))]))
    assert Span(3 * MINUTE, 7 * MINUTE) == ordering.lost
    assert [] == ordering.past(7 * MINUTE)
    assert None is ordering.lost
    assert [7, 8] == minutes(ordering.take([candle(7)]))


def test_waiting_has_a_bound():
    """When too many wait the hole has to be read, with those that there was no room for."""
    ordering = CandleSeam(M, 0, most=3)
    assert [] == ordering.take([candle(2), candle(3)])
    assert None is ordering.lost
    assert [] == ordering.take([candle(4), candle(5)])
    assert Span(0, 3 * MINUTE) == ordering.lost
    assert [3, 4, 5] == minutes(ordering.past(3 * MINUTE))


def test_all_that_comes_while_the_past_is_read_waits_behind_it():
    """In its order: what the past has is left out, other items stay between the candles that they came between."""
    seam = Seam(M, most=10, held=True)
    live = [seam.other("a"), seam.closed(3 * MINUTE, "3"), seam.other("b"), seam.closed(4 * MINUTE, "4")]
    live += [seam.other("c"), seam.running(5 * MINUTE, "5?"), seam.running(5 * MINUTE, "5??")]

    assert [[]] * len(live) == [[*each] for each in live]
    assert None is seam.hole
    assert ["a", "b", "4", "c", "5??"] == [*seam.past(4 * MINUTE)]
    assert ["d"] == [*seam.other("d")]
    assert ["5"] == [*seam.closed(5 * MINUTE, "5")]


def test_a_hole_after_the_past_is_named_until_it_is_read():
    """What follows it waits, and what came after that too."""
    seam = Seam(M, most=10, held=True)
    seam.closed(6 * MINUTE, "6")
    assert [] == [*seam.past(4 * MINUTE)]
    assert Span(4 * MINUTE, 6 * MINUTE) == seam.hole
    assert [] == [*seam.other("gap"), *seam.closed(7 * MINUTE, "7")]
    assert ["4?"] == [*seam.running(4 * MINUTE, "4?")], "this one follows the past"
    assert ["6", "gap", "7"] == [*seam.past(6 * MINUTE)]
    assert None is seam.hole


@given(st.integers(1, 8), st.integers(0, 12), st.integers(0, 8))
def test_whatever_was_read_the_live_ones_follow_once(first, read_until, more):
    """Closed candles come once each, from where the past ended; without room the oldest is read with the hole."""
    seam = Seam(M, most=3, held=True)
    for minute in range(first, first + more):
        assert not seam.closed(minute * MINUTE, minute)
    published = [*seam.past(read_until * MINUTE)]
    waiting = list(range(first, first + more))[-3:]
    hole = seam.hole
    if hole is not None:
        assert Span(read_until * MINUTE, next(each for each in waiting if each >= read_until) * MINUTE) == hole
        assert [] == published
        published += seam.past(hole.end)

    assert [minute for minute in waiting if minute >= read_until] == published


def test_other_items_have_a_bound_too():
    """Without room the oldest is let go."""
    seam = Seam(M, most=1, held=True)
    for number in range(MOST_OTHERS + 2):
        seam.other(number)

    assert list(range(2, MOST_OTHERS + 2)) == seam.past(0)
    assert 2 == seam.discarded


def test_many_items_among_many_candles_are_released_in_one_pass():
    """In the order in which they came; a pass for each candle would take minutes."""
    seam = Seam(M, 0, most=2_000)
    sent = []
    for number in range(1, 2_000):
        seam.closed(number * MINUTE, f"candle {number}")
        events = [f"event {number} {each}" for each in range(40)]
        for event in events:
            seam.other(event)
        sent += [f"candle {number}", *events]

    begun = process_time()
    assert ["first", *sent] == list(seam.closed(0, "first"))
    assert process_time() - begun < 1


def test_what_changes_while_it_waits_comes_out_changed():
    """Nothing else is replaced."""
    seam = Seam(M, 3 * MINUTE, most=10)
    seam.closed(4 * MINUTE, "4")

    assert seam.replace(4 * MINUTE, "4+")
    assert not seam.replace(3 * MINUTE, "3+")
    assert ["3", "4+"] == [*seam.closed(3 * MINUTE, "3")]


def test_events_wait_while_the_past_is_read():
    """A candle that the feed calls missing meanwhile is not waited for."""
    seam = CandleSeam(M, most=10, held=True)
    missing = Missing(Gap(4 * MINUTE, 5 * MINUTE, GapKind.HALT))
    assert [] == seam.take([candle(2), Connected(1), candle(3), missing, candle(5), Backfilled(Span(0, 9 * MINUTE))])
    published = seam.past(3 * MINUTE)

    assert [Connected(1), candle(3), missing, candle(5), Backfilled(Span(0, 9 * MINUTE))] == [*published]
