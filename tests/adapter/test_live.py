"""What is declared of the sockets of each exchange."""

from __future__ import annotations

import pytest

from chandlery.adapter.live import CandleStream, LiveCandle, SocketRules
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.candle import CandleData
from chandlery.core.errors import UnsupportedRequest
from chandlery.core.interval import Interval


@pytest.mark.parametrize("exchange", ExchangeRegistry.names())
def test_an_interval_that_is_not_sent_is_refused(exchange):
    """The error lists what is sent."""
    adapter = ExchangeRegistry.create(exchange)
    for interval in set(Interval) - set(adapter.live_intervals):
        with pytest.raises(UnsupportedRequest, match=f"{exchange} sends no"):
            adapter.subscribe([CandleStream("BTCUSDT", interval)])


def test_values_compare_by_content():
    """Streams are keys, candles of a stream are equal when all of them is."""
    candle = CandleData(0, 1.0, 1.0, 1.0, 1.0, 1.0)

    assert {CandleStream("X", Interval.HOUR_1): 1}[CandleStream("X", Interval.HOUR_1)]
    assert LiveCandle("X", Interval.HOUR_1, candle) == LiveCandle("X", Interval.HOUR_1, candle)
    assert SocketRules() == SocketRules()
