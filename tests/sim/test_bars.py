"""Candles in whole ticks and lots."""

from datetime import UTC, datetime

import numpy as np
import pytest

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY, HOUR
from chandlery.sim import SyntheticMarket
from fixtures.support import SYMBOLS, body, rows, summed

NEW_YEAR = to_micros(datetime(2024, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize(("market_type", "symbol"), SYMBOLS)
@pytest.mark.parametrize("interval", [each for each in Interval if each is not Interval.SECOND_1])
def test_candles_of_all_lengths_agree(market_type, symbol, interval):
    """A candle is exactly the sum of its minutes, and a minute of its seconds, in every digit."""
    market = SyntheticMarket()
    opened = interval.floor(NEW_YEAR)
    span = Span(opened, interval.step(opened))
    base = Interval.SECOND_1 if interval is Interval.MINUTE_1 else Interval.MINUTE_1
    base = Interval.HOUR_1 if interval.longest > DAY else base

    whole = rows(market.lines(market_type, symbol, interval, span))
    parts = rows(market.lines(market_type, symbol, base, span))

    assert [summed(parts)] == [body(row) for row in whole]


def test_candles_are_sound():
    """High and low hold open and close, a candle opens where the last one closed, takers buy a part."""
    for market_type, symbol in SYMBOLS:
        for interval in (Interval.SECOND_1, Interval.MINUTE_1):
            c = SyntheticMarket(3).candles(market_type, symbol, interval, Span(NEW_YEAR, NEW_YEAR + 6 * HOUR))
            assert (c["low"] > 0).all()
            assert (c["high"] >= np.maximum(c["open"], c["close"])).all()
            assert (c["low"] <= np.minimum(c["open"], c["close"])).all()
            assert c["open"][1:].tolist() == c["close"][:-1].tolist()
            assert (c["taker_buy_volume"] <= c["volume"]).all()
