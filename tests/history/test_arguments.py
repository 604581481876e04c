"""Arguments that managers share."""

from __future__ import annotations

import logging

import pytest

from chandlery.core.errors import InvalidInput
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType
from chandlery.core.time import DAY, HOUR
from chandlery.history.arguments import LEFT_OUT, length_of
from chandlery.history.manager import DataSourceManager


def test_an_interval_that_is_left_out_for_long_is_logged(caplog):
    """With the number of rows, for more than a day of candles; never where it is given."""
    with caplog.at_level(logging.WARNING):
        assert Interval.SECOND_1 is length_of(LEFT_OUT, Span(0, DAY), ChartType.KLINES)
        assert Interval.SECOND_1 is length_of("1s", Span(0, 2 * DAY), ChartType.KLINES)
        assert Interval.SECOND_1 is length_of(LEFT_OUT, Span(0, 2 * DAY), ChartType.FUNDING_RATE)
        assert [] == caplog.messages

        assert Interval.SECOND_1 is length_of(LEFT_OUT, Span(0, DAY + HOUR), ChartType.KLINES)
    (message,) = caplog.messages
    assert "no interval is given" in message
    assert "has 90000 candles of 1s" in message


def test_a_manager_logs_it(caplog):
    """Before anything is fetched: here the exchange has no such candles."""
    manager = DataSourceManager(MarketType.FUTURES_COIN, use_cache=False)
    with manager, caplog.at_level(logging.WARNING), pytest.raises(InvalidInput, match="1s"):
        manager.get_data("BTCUSD_PERP", "2024-01-01", "2024-01-03")
    assert "has 172800 candles of 1s" in caplog.text


def test_it_is_logged_once_for_many_symbols(caplog):
    """Not for each of them."""
    manager = DataSourceManager(MarketType.FUTURES_COIN, use_cache=False)
    with manager, caplog.at_level(logging.WARNING), pytest.raises(InvalidInput, match="1s"):
        manager.get_data(["BTCUSD_PERP", "ETHUSD_PERP"], "2024-01-01", "2024-01-03")
    assert 1 == sum("has 172800 candles of 1s" in message for message in caplog.messages)
