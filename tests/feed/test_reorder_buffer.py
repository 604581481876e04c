"""Closed candles that have to wait for those before them."""

from __future__ import annotations

from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.time import MINUTE
from chandlery.feed.events import Restated
from chandlery.feed.reorder_buffer import ReorderBuffer


def candle(minute):
    return CandleData(minute * MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0, closed=True)


def test_what_waits_is_published_in_order():
    """Whatever order it comes in, as far as it is released; a change takes the place of what waits, and of nothing else."""
    told = []
    waiting = ReorderBuffer(10, told.extend)
    for minute in (5, 3, 4):
        waiting.put([candle(minute)])
    better = structs.replace(candle(4), volume=2.0)
    assert waiting.restate(Restated(candle(4), better))
    assert not waiting.restate(Restated(candle(2), candle(2)))
    assert [] == told
    waiting.release(5 * MINUTE)
    assert [candle(3), better] == told
    waiting.release()
    waiting.release()
    assert [candle(3), better, candle(5)] == told


def test_what_waits_is_bounded():
    """What does not fit is published, the oldest first."""
    told = []
    waiting = ReorderBuffer(2, told.extend)
    for minute in (2, 1, 4, 3):
        waiting.put([candle(minute)])

    assert [candle(1), candle(2)] == told
