"""One wish for one series."""

from __future__ import annotations

import asyncio
import json
import re

from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.gaps import Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import SECOND, Unit
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
    """A subscription, and a function that returns the candles sent to its client."""
    socket, metrics = Socket(), Metrics()
    send_queue = SendQueue(socket, Pump(60, metrics), grace_s=1, on_slow=lambda: None, metrics=metrics)

    def sent():
        send_queue.flush(0.0)
        found = re.findall(rb'"data":(\{.*?\})', socket.written)
        return [(row["timestamp"] // 1000, row["closed"]) for row in map(json.loads, found)]

    return Subscription(SERIES, send_queue, held=held), sent


def candle(second, *, closed=True):
    """An update."""
    return Update(SERIES, "closed" if closed else "running", {"timestamp": second * 1000, "closed": closed})


async def test_a_closed_candle_takes_the_place_of_the_running_one():
    """A running candle that waits is superseded."""
    subscription, sent = made(held=False)
    for update in (candle(1, closed=False), candle(1), candle(2, closed=False), candle(2, closed=False)):
        subscription.take(update)

    assert [(1, True), (2, False)] == sent()


@given(st.integers(1, 8), st.integers(0, 8), st.integers(1, 8))
async def test_what_is_held_follows_what_was_read(first, read_until, more):
    """Closed candles come once each, from where the past ended; a hole before them is read first."""
    subscription, sent = made(held=True)
    for second in range(first, first + more):
        subscription.take(candle(second))
    assert [] == sent()
    subscription.past(Unit.SECONDS.micros(read_until))
    expected = [second for second in range(first, first + more) if second >= read_until]
    if expected and expected[0] > read_until:
        assert Span(read_until * SECOND, expected[0] * SECOND) == await subscription.hole()
        assert [] == sent()
        subscription.past(expected[0] * SECOND)
    subscription.take(candle(max(first + more, read_until)))

    assert None is await subscription.hole()
    assert [*expected, max(first + more, read_until)] == [second for second, _ in sent()]


async def test_running_candles_pass_while_the_first_is_waited_for():
    """Those of the one that comes next; no others."""
    subscription, sent = made(held=True)
    subscription.take(candle(5, closed=False))
    subscription.past(Unit.SECONDS.micros(6))
    subscription.take(candle(6, closed=False))
    subscription.take(candle(7, closed=False))

    assert [(6, False)] == sent()
    waiting = asyncio.create_task(subscription.hole())
    await asyncio.sleep(0)
    assert not waiting.done()
    subscription.take(candle(6))
    assert None is await waiting
    assert [(6, False), (6, True), (7, False)] == sent()
    subscription.take(candle(9))
    assert (9, True) == sent()[-1], "from then on all pass"


async def test_gaps_and_changes_wait_in_their_order():
    """Behind the candles that they came after; books are left out."""
    subscription, sent = made(held=True)
    later = [Update(SERIES, kind, {"timestamp": 5000, "closed": kind}) for kind in ("restated", "gap", "book")]
    for update in (candle(5), *later, candle(6)):
        subscription.take(update)
    assert [] == sent()
    subscription.past(5 * SECOND)

    assert [(5, True), (5, "restated"), (5, "gap"), (6, True)] == sent()
