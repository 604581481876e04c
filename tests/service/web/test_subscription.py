"""One wish for one series."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.series_id import SeriesId
from chandlery.core.time import Unit
from chandlery.service.collection.broadcaster import Update
from chandlery.service.metrics import Metrics
from chandlery.service.web.send_queue import Pump, SendQueue
from chandlery.service.web.subscription import Subscription

SERIES = SeriesId.parse("binance", "BTC/USDT", "candles:1s")


class Socket:
    """Takes everything."""

    is_open, unsent = True, 0

    def __init__(self):
        self.written = b""

    def write_frames(self, frames):
        """Remember them."""
        self.written += frames

    def write_parts(self, parts):
        """Remember them."""
        self.written += b"".join(parts)


def made(*, held):
    """A subscription, and what says which candles its client was told of."""
    socket, metrics = Socket(), Metrics()
    send_queue = SendQueue(socket, Pump(60, metrics), grace_s=1, on_slow=lambda: None, metrics=metrics)

    def told():
        send_queue.flush(0.0)
        found = re.findall(rb'"data":(\{.*?\})', socket.written)
        return [(row["timestamp"] // 1000, row["closed"]) for row in map(json.loads, found)]

    return Subscription(SERIES, send_queue, held=held), told


def candle(second, *, closed=True):
    """An update."""
    return Update(SERIES, "closed" if closed else "running", {"timestamp": second * 1000, "closed": closed})


async def test_a_closed_candle_takes_the_place_of_the_running_one():
    """Which says less than it."""
    subscription, told = made(held=False)
    for update in (candle(1, closed=False), candle(1), candle(2, closed=False), candle(2, closed=False)):
        subscription.take(update)

    assert [(1, True), (2, False)] == told()


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 8))
async def test_what_is_held_follows_what_was_read(first, read_until, more):
    """Closed candles come once each, from where the past ended; what it held already is let go."""
    subscription, told = made(held=True)
    for second in range(first, first + more):
        subscription.take(candle(second))
    subscription.expect(Unit.SECONDS.micros(read_until))
    held = subscription.first_held()
    subscription.release()
    subscription.take(candle(first + more))
    expected = [second for second in range(first, first + more) if second >= read_until]

    assert held == (Unit.SECONDS.micros(expected[0]) if expected else None)
    assert [*expected, first + more] == [second for second, _ in told()]


async def test_running_candles_pass_while_the_first_is_waited_for():
    """Those of the one that comes next; no others."""
    subscription, told = made(held=True)
    subscription.take(candle(5, closed=False))
    subscription.expect(Unit.SECONDS.micros(6))
    subscription.take(candle(6, closed=False))
    subscription.take(candle(7, closed=False))

    assert [(6, False)] == told()
    assert not subscription.closed.is_set()
    subscription.take(candle(6))
    assert subscription.closed.is_set()
