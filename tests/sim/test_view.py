"""The market as the wires read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import HOUR, MINUTE
from chandlery.sim.book import tick_of
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.recorded import RecordedMarket
from chandlery.sim.view import BOOK_LEVELS, MarketView
from fixtures.support import INVERSE, LINEAR, SPOT, micros

NOW = micros(2025, 3, 12, 10, 20, 30)
VIEW = MarketView(SyntheticMarket(), SPOT, lambda: NOW)


@given(
    st.sampled_from([Interval.MINUTE_1, Interval.MINUTE_15, Interval.HOUR_1]),
    st.integers(0, 3 * 24 * HOUR),
    st.integers(0, 3 * 24 * HOUR),
    st.integers(1, 100),
    st.booleans(),
)
def test_a_page_is_one_end_of_a_span(interval, before, length, limit, newest):
    """The oldest or the latest of what opens in the span until now, in order."""
    span = Span(NOW - before, NOW - before + length)
    whole = VIEW.candles("BTCUSDT", interval, span, 10_000, newest=False)
    page = VIEW.candles("BTCUSDT", interval, span, limit, newest=newest)

    assert page == (whole[-limit:] if newest else whole[:limit])
    assert all(span.holds(each.open_time) and each.open_time <= NOW for each in whole)
    assert len(whole) == interval.count(span.start, min(span.end, NOW + 1))


def test_only_the_running_candle_is_open():
    """What ends by now is closed."""
    *closed, running = VIEW.candles("BTCUSDT", Interval.MINUTE_1, Span(NOW - 5 * MINUTE, NOW + 1), 10, newest=True)

    assert all(each.closed and each.end == each.open_time + MINUTE for each in closed)
    assert not running.closed
    assert running.open_time <= NOW < running.end


def test_volumes_as_contracts():
    """Linear contracts are lots of the base asset; inverse ones are worth quote units."""
    linear, inverse = MarketView(VIEW.market, LINEAR, VIEW.clock), MarketView(VIEW.market, INVERSE, VIEW.clock)

    assert 1234 == linear.contracts("BTCUSDT", "1.234")
    assert 7 == inverse.contracts("BTCUSD_PERP", "7")
    assert (100, 10) == (inverse.contract_value("BTCUSD_PERP"), inverse.contract_value("ETHUSD_PERP"))


def test_books_have_a_bound_and_a_beginning():
    """As deep as the market's at most; none before it trades."""
    tick = tick_of(NOW)
    state = VIEW.book("BTCUSDT", 5000, tick)

    assert BOOK_LEVELS == len(state.bids) == len(state.asks)
    assert state.bids[:5] == VIEW.book("BTCUSDT", 5, tick).bids
    assert [] == VIEW.book("BTCUSDT", 5, tick_of(micros(2010, 1, 1))).bids
    assert ([], []) == VIEW.changes("BTCUSDT", 5, tick, tick)


def test_funding_until_now():
    """Nothing that has not happened; the same text as on the wire."""
    rates = MarketView(VIEW.market, LINEAR, VIEW.clock).funding("BTCUSDT", Span(NOW - 24 * HOUR, NOW + 24 * HOUR))

    assert 3 == len(rates)
    assert all(moment <= NOW and len(rate.partition(".")[2]) == 8 for moment, rate in rates)


def test_a_recorded_market_has_no_books(tmp_path):
    """It says so."""
    (tmp_path / "BTCUSDT-1h-2024-11.csv").write_text("1730419200000,1,2,1,2,5,1730422799999,5,1,1,1,0\n")

    with pytest.raises(UnsupportedRequest, match="no order books"):
        MarketView(RecordedMarket(tmp_path), SPOT, lambda: NOW).book("BTCUSDT", 5, 0)
