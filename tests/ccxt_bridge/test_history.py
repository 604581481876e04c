"""Paging through an exchange of ccxt, whatever it does with what is requested."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chandlery.ccxt_bridge.history import Market, MarketFacts, fetch
from chandlery.core.errors import ExchangeUnavailable, MalformedResponse, RequestRejected
from chandlery.core.gaps import GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, MINUTE
from chandlery.net.clock import ExchangeClock
from chandlery.tables.frame import open_times

NOW = 50_000 * MINUTE
M = Interval.MINUTE_1
ALL = frozenset({M, Interval.DAY_1})


class Exchange:
    """An exchange that has some minutes, sends at most ``most`` of them at once, and has a way of its own."""

    def __init__(self, minutes, *, most=50, way="since", remembers=None):
        self.minutes, self.most, self.way, self.remembers = sorted(minutes), most, way, remembers
        self.asked = []

    async def __call__(self, interval, span, counts):
        self.asked.append((interval, span, counts))
        length = interval.longest
        opens = sorted({each * MINUTE // length for each in self.minutes})
        if self.remembers and interval is M:
            opens = opens[-self.remembers :]
        start, end = -(-span.start // length), -(-span.end // length)
        if self.way == "newest" or (self.way == "newest with a count" and counts):
            found = [each for each in opens if each >= start][-self.most :]
        elif self.way == "window":
            found = [each for each in opens if start <= each < min(end, start + self.most)]
        else:
            found = [each for each in opens if each >= start][: self.most]
        return [[each * length // 1000, 1.0, 2.0, 0.5, 1.5, float(each)] for each in found]


async def run(ask, span, *, page=50, interval=M, intervals=ALL, listed=True, now=NOW):
    async def time():
        return now

    async def is_listed():
        return listed

    facts = MarketFacts(intervals, page, launched=0)
    market = Market(facts, ask, ExchangeClock(time, clock=lambda: now), is_listed=is_listed)
    return await fetch(market, "acme X/Y", interval, span)


def got_of(exchange, first, last, **options):
    """The minutes that came, and the gaps."""
    result, failure = asyncio.run(run(exchange, Span(first * MINUTE, last * MINUTE), **options))
    assert failure is None
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
    """Whatever holes there are, however much an answer holds and however much is requested: every minute, once, in order."""
    assume(way == "since" or page <= most)  # who answers for a window must say how long it is
    last = first + count
    got, gaps = got_of(Exchange(minutes, most=most, way=way), first, last, page=page)
    missing = {each for start, end, _ in gaps for each in range(start, end)}

    assert sorted(each for each in minutes if first <= each < last) == got
    assert set(range(first, last)) - set(got) == missing


def test_an_answer_that_holds_less_than_it_should_is_read_on():
    """Where ccxt believes in longer answers than the exchange sends, the rest is requested."""
    assert (list(range(500)), []) == got_of(Exchange(range(1000), most=30), 0, 500, page=500)


def test_a_hole_is_proved_by_the_rows_around_it():
    """Two answers with rows before and after it, and no more requests than that."""
    exchange = Exchange(set(range(1000)) - {30, 31})

    assert (
        [each for each in range(20, 60) if each not in {30, 31}],
        [(30, 32, GapKind.NO_TRADES)],
    ) == got_of(exchange, 20, 60)
    assert 2 == len(exchange.asked)


def test_counting_is_given_up_where_it_does_harm():
    """An exchange that answers a count with the latest is asked without one; and only once to learn it."""
    exchange = Exchange(range(49_000, 50_000), most=60, way="newest with a count")
    got, gaps = got_of(exchange, 49_100, 49_300, page=50)

    assert (list(range(49_100, 49_300)), []) == (got, gaps)
    assert 1 == sum(counts for _, _, counts in exchange.asked)


def test_an_exchange_that_forgets_is_no_silent_hole():
    """Older days show that the minutes before the oldest are forgotten; without older days there were none."""
    forgetful = Exchange(range(40_000, 50_000), most=200, way="newest", remembers=100)
    young = Exchange(range(49_900, 50_000), most=200, way="newest")

    expected = list(range(49_900, 50_000)), [(49_800, 49_900, GapKind.NO_LONGER_SERVED)]
    assert expected == got_of(forgetful, 49_800, 50_000, page=200)
    assert [(49_800, 49_900, GapKind.NOT_LISTED)] == got_of(young, 49_800, 50_000, page=200)[1]


async def test_longer_candles_that_are_declared_and_refused_are_left_out():
    """What ccxt lists as an interval may be refused; the days, which are served, show that the minutes are forgotten."""
    exchange = Exchange(range(40_000, 50_000), most=200, way="newest", remembers=100)

    async def ask(interval, span, counts):
        if interval is Interval.WEEK_1:
            raise RequestRejected("acme: invalid interval")
        return await exchange(interval, span, counts)

    span = Span(49_800 * MINUTE, 50_000 * MINUTE)
    result, failure = await run(ask, span, page=200, intervals=ALL | {Interval.WEEK_1})

    assert failure is None
    assert [GapKind.NO_LONGER_SERVED] == [gap.kind for gap in result.gaps]


def test_before_the_listing_there_is_nothing():
    """What lies before the first candle, further back than one answer, is a gap with its reason."""
    assert [(0, 500, GapKind.NOT_LISTED)] == got_of(Exchange(range(500, 5000)), 0, 600)[1]


def test_a_market_that_ended_costs_few_requests():
    """Months after the last candle are not read page by page; the list of ccxt tells whether it ended or sleeps."""
    for listed, kind in ((False, GapKind.DELISTED), (True, GapKind.NO_TRADES)):
        exchange = Exchange(range(100, 5000), most=100)
        got, gaps = got_of(exchange, 4900, 45_000, page=100, listed=listed)

        assert (list(range(4900, 5000)), [(5000, 45_000, kind)]) == (got, gaps)
        assert len(exchange.asked) < 100, "page by page it would be more than 800"


def test_the_running_candle_is_left_out():
    """What has not closed by now never enters."""
    assert (list(range(49_995, 50_000)), []) == got_of(Exchange(range(49_900, 50_002)), 49_995, 50_010)


def test_three_days_open_where_the_rows_do():
    """An exchange whose long candles open on other days than usual is read on the grid of its rows."""
    shift = DAY
    opens = [shift + 3 * DAY * place for place in range(11)]

    async def ask(interval, span, counts):
        return [[each // 1000, 1.0, 2.0, 0.5, 1.5, 1.0] for each in opens if each >= span.start]

    interval = Interval.DAY_3
    result, failure = asyncio.run(
        run(ask, Span(0, 40 * DAY), interval=interval, intervals=frozenset({interval}), now=opens[-1] + 2 * DAY)
    )

    assert failure is None
    assert opens[:-1] == open_times(result.table).tolist(), "the last one is running"


async def test_a_request_that_fails_costs_no_row_of_the_others():
    """The first failure is an answer beside the rows that came."""
    exchange = Exchange(range(50_000))

    async def ask(interval, span, counts):
        if span.start >= 49_200 * MINUTE:
            raise ExchangeUnavailable("acme: gone")
        return await exchange(interval, span, counts)

    result, failure = await run(ask, Span(49_000 * MINUTE, 49_300 * MINUTE))

    assert isinstance(failure, ExchangeUnavailable)
    assert 150 < result.table.num_rows < 300
    assert GapKind.FETCH_FAILED in {gap.kind for gap in result.gaps}


@pytest.mark.parametrize(
    "rows", [[[0, 1.0]], [["x", 1, 1, 1, 1, 1]], [None], [{"a": 1}], [[-1, 1, 1, 1, 1, 1]], [[0, "x", 1, 1, 1, 1]]]
)
async def test_rows_that_are_none(rows):
    """What is no row of a candle is a malformed answer."""

    async def ask(interval, span, counts):
        return rows

    _, failure = await run(ask, Span(0, 10 * MINUTE))

    assert isinstance(failure, MalformedResponse)
    assert "rows that are not candles" in str(failure)


def test_rows_that_cannot_be_are_not_believed():
    """Prices that contradict each other are left out, reported, and a failure."""

    async def ask(interval, span, counts):
        return [[each * 60_000, 1.0, 2.0, 9.0 if each == 5 else 0.5, 1.5, float(each)] for each in range(10)]

    got, gaps = got_of(ask, 0, 10)

    assert [each for each in range(10) if each != 5] == got
    assert [(5, 6, GapKind.FETCH_FAILED)] == gaps
