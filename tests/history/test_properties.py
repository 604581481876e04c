"""Whatever the range, the interval, the state of the cache and of the sources: the market itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chandlery.core.errors import IncompleteData
from chandlery.core.gaps import Span, merge, subtract
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.query import DataSource
from chandlery.core.time import DAY, HOUR, MINUTE, to_datetime
from chandlery.sim.faults import Fault, FaultKind
from fixtures.support import grid_of

NOW = to_micros(datetime(2025, 3, 20, 12, 0, 30, tzinfo=UTC))
SYMBOLS = {MarketType.SPOT: "BTCUSDT", MarketType.FUTURES_USDT: "BTCUSDT", MarketType.FUTURES_COIN: "BTCUSD_PERP"}
LENGTHS = {
    Interval.SECOND_1: 3 * HOUR,
    Interval.MINUTE_1: 4 * DAY,
    Interval.MINUTE_15: 40 * DAY,
    Interval.HOUR_1: 70 * DAY,
    Interval.HOUR_12: 200 * DAY,
    Interval.DAY_1: 200 * DAY,
    Interval.DAY_3: 400 * DAY,
    Interval.WEEK_1: 400 * DAY,
    Interval.MONTH_1: 900 * DAY,
}
"""As much as makes a few files and pages."""

FILE_FAULTS = [
    FaultKind.MISSING_DAY,
    FaultKind.BAD_CHECKSUM,
    FaultKind.CORRUPT_ZIP,
    FaultKind.MISSING_ROW,
    FaultKind.DOUBLED_ROW,
    FaultKind.CONFLICTING_ROW,
    FaultKind.WRONG_ORDER,
]
PASSING_FAULTS = [
    FaultKind.TOO_MANY_REQUESTS,
    FaultKind.SERVER_ERROR,
    FaultKind.RESET,
    FaultKind.CUT_BODY,
    FaultKind.BAD_JSON,
]


@st.composite
def questions(draw):
    """A market, an interval, and a few ranges of it, the last of which is the one that counts."""
    market_type = draw(st.sampled_from(MarketType))
    intervals = [each for each in LENGTHS if each is not Interval.SECOND_1 or market_type is MarketType.SPOT]
    interval = draw(st.sampled_from(intervals))
    latest = NOW - draw(st.sampled_from([0, 0, DAY, 40 * DAY, 130 * DAY, 400 * DAY]))
    ranges = []
    for _ in range(draw(st.integers(1, 3))):
        end = latest - draw(st.integers(0, LENGTHS[interval] // MINUTE)) * MINUTE
        ranges.append(Span(end - draw(st.integers(1, LENGTHS[interval] // MINUTE)) * MINUTE, end))
    return market_type, interval, ranges


@st.composite
def faults(draw):
    """Some files bad for good, some requests bad for a while."""
    chosen = [
        Fault(
            draw(st.sampled_from(FILE_FAULTS)),
            path=r"vision",
            times=None,
            probability=draw(st.sampled_from([0.2, 1.0])),
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    if draw(st.booleans()):
        chosen.append(Fault(draw(st.sampled_from(PASSING_FAULTS)), path="api/v", times=2, retry_after=0))
    return chosen


def closed(span, interval):
    """The part of a range that has closed."""
    return Span(span.start, min(span.end, grid_of(interval).floor(NOW)))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions(), wrong=faults())
def test_the_result_is_the_market_on_the_range(exchange, question, wrong):
    """After any earlier calls have left any cache, with any faults that can be survived."""
    market_type, interval, ranges = question
    exchange.forget()
    exchange.faults.extend(wrong)
    with TemporaryDirectory() as folder:
        manager = exchange.manager(Path(folder), market_type)
        for span in ranges:
            frame = manager.get_data(SYMBOLS[market_type], to_datetime(span.start), to_datetime(span.end), interval)

            part = closed(span, interval)
            exchange.assert_same(
                frame,
                interval,
                to_datetime(part.start),
                to_datetime(max(part.start, part.end)),
                symbol=SYMBOLS[market_type],
                market_type=market_type,
            )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions(), chance=st.sampled_from([0.3, 0.7]), source=st.sampled_from(DataSource))
def test_what_is_missing_is_said_and_the_rest_is_right(exchange, question, chance, source):
    """With requests that fail for good: every row that comes is the market's, every other is in a gap."""
    market_type, interval, ranges = question
    if source is DataSource.VISION and interval.longest > DAY:
        interval = Interval.DAY_1
    exchange.forget()
    exchange.faults.append(Fault(FaultKind.SERVER_ERROR, path="klines", times=None, probability=chance))
    manager = exchange.manager(None, market_type, retry_count=0)
    span = ranges[-1]
    symbol = SYMBOLS[market_type]

    try:
        frame = manager.get_data(
            symbol, to_datetime(span.start), to_datetime(span.end), interval, enforce_source=source
        )
        missing = ()
    except IncompleteData as error:
        frame, missing = error.data, error.missing

    exchange.forget()
    part = closed(span, interval)
    whole = exchange.market.candles(market_type, symbol, interval, Span(part.start, max(part.start, part.end)))
    lost = np.zeros(len(whole["open_time"]), bool)
    for gap in missing:
        lost |= (whole["open_time"] >= gap.start) & (whole["open_time"] < gap.end)
    np.testing.assert_array_equal(whole["open_time"][~lost] * 1000, frame.index.asi8)
    np.testing.assert_array_equal(whole["close"][~lost], frame["close"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions())
def test_provenance_accounts_for_every_moment_of_the_range(exchange, question):
    """Sources and gaps together cover the closed part of the range, and sources do not overlap."""
    market_type, interval, ranges = question
    exchange.forget()
    span = ranges[-1]
    frame = exchange.manager(None, market_type).get_data(
        SYMBOLS[market_type], to_datetime(span.start), to_datetime(span.end), interval
    )

    account = frame.attrs["chandlery"]
    grid = grid_of(interval)
    part = Span(grid.ceil(span.start), min(grid.ceil(span.end), grid.floor(NOW)))
    assert [] == subtract(part, [*(each.span for each in account.spans), *(gap.span for gap in account.gaps)])
    lengths = sum(each.end - each.start for each in account.spans)
    assert lengths == sum(each.end - each.start for each in merge(each.span for each in account.spans))
