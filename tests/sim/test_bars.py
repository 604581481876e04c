"""Candles in whole ticks and lots."""

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, to_micros
from chandlery.sim import SyntheticMarket

SPOT, LINEAR, INVERSE = MarketType.SPOT, MarketType.FUTURES_USDT, MarketType.FUTURES_COIN
SYMBOLS = [
    (SPOT, "BTCUSDT"),
    (SPOT, "DOGEUSDT"),
    (LINEAR, "ETHUSDT"),
    (INVERSE, "BTCUSD_PERP"),
    (INVERSE, "ADAUSD_PERP"),
]
NEW_YEAR = to_micros(datetime(2024, 12, 31, tzinfo=UTC))
COLUMNS = [
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_asset_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
]


def rows(lines):
    """Lines as open_time and decimals."""
    return [[Decimal(field) for field in line.decode().split(",")] for line in lines]


def summed(parts):
    """One candle out of shorter ones, by decimals."""
    sums = [sum(part[place] for part in parts) for place in (5, 7, 8, 9, 10)]
    return [parts[0][1], max(p[2] for p in parts), min(p[3] for p in parts), parts[-1][4], *sums]


def body(row):
    return [row[place] for place in (1, 2, 3, 4, 5, 7, 8, 9, 10)]


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
