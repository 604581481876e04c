"""Candles as the lines of an archive file."""

from datetime import UTC, datetime

import pytest

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY, HOUR
from chandlery.sim import SyntheticMarket
from fixtures.support import COLUMNS, LINEAR, SPOT, SYMBOLS

NEW_YEAR = to_micros(datetime(2024, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize(("market_type", "symbol"), SYMBOLS)
def test_lines_and_numbers_are_the_same(market_type, symbol):
    """What the archive's text says is what the columns hold."""
    market = SyntheticMarket()
    span = Span(NEW_YEAR, NEW_YEAR + HOUR)
    columns = market.candles(market_type, symbol, Interval.MINUTE_1, span)
    lines = [line.split(b",") for line in market.lines(market_type, symbol, Interval.MINUTE_1, span)]

    assert list(columns) == COLUMNS
    for place, name in enumerate(COLUMNS):
        scale = 1000 if name.endswith("_time") else 1
        assert [float(line[place]) * scale for line in lines] == columns[name].tolist()


def test_times_are_as_in_the_archive():
    """Spot writes microseconds for what opens in 2025, milliseconds before; futures always milliseconds."""
    market, interval = SyntheticMarket(), Interval.DAY_1
    span = Span(NEW_YEAR, NEW_YEAR + 2 * DAY)
    spot = [line.split(b",") for line in market.lines(SPOT, "BTCUSDT", interval, span)]
    linear = [line.split(b",") for line in market.lines(LINEAR, "BTCUSDT", interval, span)]

    assert [(line[0], line[6]) for line in spot] == [
        (b"1735603200000", b"1735689599999"),
        (b"1735689600000000", b"1735775999999999"),
    ]
    assert [line[0] for line in linear] == [b"1735603200000", b"1735689600000"]
    assert market.candles(SPOT, "BTCUSDT", interval, span)["close_time"].tolist() == [
        1735689599999000,
        1735775999999999,
    ]
