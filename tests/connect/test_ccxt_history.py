"""Paging through an exchange of ccxt, whatever it does with what it is asked for."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chandlery.connect.ccxt_history import History
from chandlery.core.errors import MalformedResponse
from chandlery.core.gaps import GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.storage.frame import open_times

NOW = 5_000 * MINUTE
M = Interval.MINUTE_1


class Exchange:
    """An exchange that has some minutes, gives at most ``most`` of them at once, and has a way of its own."""

    def __init__(self, minutes, *, most=50, way="since"):
        self.minutes, self.most, self.way = sorted(minutes), most, way
        self.asked = []

    async def __call__(self, span, counts):
        self.asked.append((span, counts))
        start, end = span.start // MINUTE, span.end // MINUTE
        if self.way == "newest" or (self.way == "newest with a count" and counts):
            found = [each for each in self.minutes if each >= start][-self.most :]
        elif self.way == "window":
            found = [each for each in self.minutes if start <= each < min(end, start + self.most)]
        else:
            found = [each for each in self.minutes if each >= start][: self.most]
        return [[each * 60_000, 1.0, 2.0, 0.5, 1.5, float(each)] for each in found]


def fetch(exchange, first, last, *, page=50, listed=None):
    """The minutes that are got, and the gaps."""
    history = History("acme X/Y", M, exchange, page, listed=listed, clock=lambda: NOW)
    result = asyncio.run(history.fetch(Span(first * MINUTE, last * MINUTE), NOW))
    got = [each // MINUTE for each in open_times(result.table).tolist()]
    assert got == [int(each) for each in result.table.column("volume").to_pylist()]
    return got, [(gap.start // MINUTE, gap.end // MINUTE, gap.kind) for gap in result.gaps]


@given(
    st.sets(st.integers(0, 300), min_size=1),
    st.integers(0, 280),
    st.integers(1, 200),
    st.integers(5, 60),
    st.integers(3, 80),
    st.sampled_from(["since", "window"]),
)
def test_all_that_there_is_comes(minutes, first, count, most, page, way):
    """Whatever holes there are, however much an answer holds and however much is asked for: every minute, once, in order."""
    assume(way == "since" or page <= most)  # who answers for a window must say how long it is
    last = first + count
    got, gaps = fetch(Exchange(minutes, most=most, way=way), first, last, page=page)
    missing = {each for start, end, _ in gaps for each in range(start, end)}

    assert sorted(each for each in minutes if first <= each < last) == got
    assert set(range(first, last)) - set(got) == missing


def test_an_answer_that_holds_less_than_it_should_is_asked_on():
    """Where ccxt believes in longer answers than the exchange gives, the rest is asked for."""
    got, gaps = fetch(Exchange(range(1000), most=30), 0, 500, page=500)

    assert (list(range(500)), []) == (got, gaps)


def test_counting_is_given_up_where_it_does_harm():
    """An exchange that answers a count with the latest is asked without one; and only once to learn it."""
    exchange = Exchange(range(4900, 5000), most=60, way="newest with a count")
    exchange.minutes = list(range(4000, 5000))
    got, gaps = fetch(exchange, 4100, 4300, page=50)

    assert (list(range(4100, 4300)), []) == (got, gaps)
    assert 1 == sum(counts for _, counts in exchange.asked)


def test_an_exchange_that_forgets_is_no_silent_hole():
    """Where only the latest can be had the rest is a failure; where a listing explains it, it is none."""
    exchange = Exchange(range(4900, 5000), most=200, way="newest")

    assert (list(range(4900, 5000)), [(4800, 4900, GapKind.FETCH_FAILED)]) == fetch(exchange, 4800, 5000, page=200)
    assert [(4800, 4900, GapKind.NOT_LISTED)] == fetch(exchange, 4800, 5000, page=200, listed=4900 * MINUTE)[1]
    assert ([], [(100, 200, GapKind.FETCH_FAILED)]) == fetch(exchange, 100, 200, page=200)


def test_before_the_listing_there_is_nothing():
    """What lies before the first candle, further back than one answer, is a gap with its reason."""
    assert [(0, 500, GapKind.NOT_LISTED)] == fetch(Exchange(range(500, 5000)), 0, 600)[1]


def test_the_running_candle_is_left_out():
    """What has not closed by now never enters."""
    got, gaps = fetch(Exchange(range(4990, 5002)), 4995, 5010)

    assert (list(range(4995, 5000)), []) == (got, gaps)


@pytest.mark.parametrize("rows", [[[0, 1.0]], [["x", 1, 1, 1, 1, 1]], [None], [{"a": 1}]])
def test_rows_that_are_none(rows):
    """What is no row of a candle is a malformed answer."""

    async def ask(span, counts):
        return rows

    with pytest.raises(MalformedResponse, match="rows that are no candles"):
        fetch(ask, 0, 10)


def test_rows_that_cannot_be_are_not_believed():
    """Prices that contradict each other are left out, said, and a failure."""

    async def ask(span, counts):
        return [[each * 60_000, 1.0, 2.0, 9.0 if each == 5 else 0.5, 1.5, float(each)] for each in range(10)]

    got, gaps = fetch(ask, 0, 10)

    assert [each for each in range(10) if each != 5] == got
    assert [(5, 6, GapKind.FETCH_FAILED)] == gaps
