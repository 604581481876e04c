"""Live candles as a data frame."""

import math

import pandas as pd
from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType
from chandlery.core.time import HOUR
from chandlery.feed.frame import candles_frame
from chandlery.sim import SyntheticMarket
from fixtures.candle_feed import truth
from fixtures.support import micros

START = micros(2025, 3, 12)


def test_columns_and_types():
    """Those of the history, and whether each candle is closed."""
    candles = truth(SyntheticMarket(), "BTCUSDT", Interval.HOUR_1, Span(START, START + 3 * HOUR))
    candles[-1] = structs.replace(candles[-1], closed=False)
    frame = candles_frame(candles, Interval.HOUR_1)

    assert [*ChartType.KLINES.dtypes, "closed"] == list(frame.columns)
    assert [True, True, False] == frame["closed"].tolist()
    assert pd.Timestamp("2025-03-12T02:00:00Z") == frame.index[-1]
    assert pd.Timestamp("2025-03-12T02:59:59.999999Z") == frame["close_time"].iloc[-1]
    assert [each.taker_buy_volume for each in candles] == frame["taker_buy_volume"].tolist()
    assert [each.count for each in candles] == frame["count"].tolist()


def test_what_is_not_sent():
    """Not a number; and no trades are counted."""
    frame = candles_frame([CandleData(START, 1.0, 2.0, 1.0, 2.0, 3.0)], Interval.MONTH_1)

    assert math.isnan(frame["quote_asset_volume"].iloc[0])
    assert 0 == frame["count"].iloc[0]


def test_none():
    """No candles make an empty frame of the same columns."""
    assert [*ChartType.KLINES.dtypes, "closed"] == list(candles_frame([], Interval.MINUTE_1).columns)
