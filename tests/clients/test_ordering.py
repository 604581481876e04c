"""Closed candles in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chandlery.clients.ordering import ClosedInOrder
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.feed.events import Backfilled, Connected, Missing, Restated

M = Interval.MINUTE_1


def candle(minute, *, closed=True):
    """A candle of that minute."""
    return CandleData(minute * MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0, closed=closed)


def minutes(updates):
    """Which closed candles were told."""
    return [each.open_time // MINUTE for each in updates if isinstance(each, CandleData) and each.closed]


@given(st.permutations(range(12)), st.sets(st.integers(1, 10)))
def test_any_order_comes_out_in_order(order, absent):
    """Whatever order candles come in, and whatever is said to be missing, each is told once, in order, and soon."""
    ordering = ClosedInOrder(M, 0, most=100)
    told = []
    for minute in order:
        known = Missing(Gap(minute * MINUTE, (minute + 1) * MINUTE, GapKind.HALT))
        told += ordering.take(known if minute in absent else candle(minute))
        told += ordering.take(candle(minute)) if minute not in absent else []

    assert sorted(set(range(12)) - absent) == minutes(told)


def test_what_is_restated_while_it_waits_is_told_once():
    """As it is then; what was told before is told as restated."""
    ordering = ClosedInOrder(M, 3 * MINUTE, most=10)
    better = structs.replace(candle(4), volume=2.0)
    assert [] == ordering.take(candle(4))
    assert [] == ordering.take(Restated(candle(4), better))
    assert [candle(3), better] == ordering.take(candle(3))
    again = Restated(better, structs.replace(candle(4), volume=3.0))
    assert [again] == ordering.take(again)


def test_without_a_beginning_the_first_to_come_is_the_first():
    """What closed before the first that was told is not told afterwards."""
    ordering = ClosedInOrder(M, None, most=10)

    assert [5] == minutes(ordering.take(candle(5)))
    assert [] == ordering.take(candle(4))


def test_running_candles_wait_for_none_but_follow_all():
    """The running candle is told when all before it are, and kept back while one is missing."""
    ordering = ClosedInOrder(M, 3 * MINUTE, most=10)
    running = candle(3, closed=False)

    assert [running] == ordering.take(running)
    assert [] == ordering.take(candle(4)), "3 is not closed yet"
    assert [] == ordering.take(candle(5, closed=False))
    assert [candle(3), candle(4)] == ordering.take(candle(3))
    assert [candle(5, closed=False)] == ordering.take(candle(5, closed=False))


def test_events_pass():
    """What is no candle is told at once."""
    assert [Connected(2)] == ClosedInOrder(M, 3 * MINUTE, most=10).take(Connected(2))


def test_a_hole_further_back_than_the_feed_keeps_is_said():
    """A refill that begins after the hole does ends the waiting, and the hole is told."""
    ordering = ClosedInOrder(M, 3 * MINUTE, most=10)
    ordering.take(candle(8))
    told = ordering.take(Backfilled(Span(8 * MINUTE, 9 * MINUTE)))

    assert [8] == minutes(told)
    assert [Span(3 * MINUTE, 8 * MINUTE)] == [each.gap.span for each in told if isinstance(each, Missing)]


def test_waiting_has_a_bound():
    """When too many wait the hole is given up, and said."""
    ordering = ClosedInOrder(M, 0, most=3)
    told = [each for minute in range(2, 6) for each in ordering.take(candle(minute))]

    assert [2, 3, 4, 5] == minutes(told)
    assert [Span(0, 2 * MINUTE)] == [each.gap.span for each in told if isinstance(each, Missing)]
