"""Channel numbers: which subscription a message is about, where only an earlier answer of its connection says so."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.adapter.live import CandleStream, SocketRules
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.feed.book_feed import BookGroup, LiveBook
from chandlery.feed.candles_feed import FeedGroup
from chandlery.feed.channels import AssignedChannels
from chandlery.feed.events import Reconnecting, Rejected
from chandlery.sim import Fault, FaultKind, SimServer, SyntheticMarket
from chandlery.sim.book import tick_of
from chandlery.sim.view import MarketView
from fixtures.candle_feed import FAST, QUICK, Heard, Quick, truth
from fixtures.numbered_exchange import NumberedSpot, NumberedWire
from fixtures.waiting import until

NAME = "numbered_spot"
PAIRS = ["BTC-USDT", "ETH-USDT", "SOL-USDT"]
"""Two of three share a connection; the numbers of both connections begin at 1."""
MARKET = SyntheticMarket()


@pytest.fixture(autouse=True)
def _registered():
    ExchangeRegistry.register(NAME)(NumberedSpot)
    yield
    del ExchangeRegistry._adapters[NAME]


def offline(*faults, **options):
    """The exchange, offline."""
    return SimServer(MARKET, exchanges=[NAME], wires=[NumberedWire], tick_s=0.02, faults=faults, **options)


def answer(number, key="x"):
    return b'{"event":"subscribed",\n"key":"%s","chanId":%d}' % (key.encode(), number)


def test_a_message_comes_after_the_answer_that_assigned_its_channel():
    """The answer on one line, the latest one of the number; other messages stay as they are."""
    channels = AssignedChannels(NumberedSpot.socket)
    for text in (b"[7,1]", b'{"event":"pong"}', answer(7).replace(b"\n", b""), answer(7, "y").replace(b"\n", b"")):
        assert text == channels.completed(text)

    assert b'{"event":"subscribed","key":"y","chanId":7}\n[7,1]' == channels.completed(b"[7,1]")
    assert b"[8,1]" == channels.completed(b"[8,1]")
    assert b"[7,1]" == AssignedChannels(SocketRules()).completed(b"[7,1]")


def test_no_more_answers_are_held_than_streams_can_need():
    """Twice as many as streams are allowed: the least recently used one goes, whichever came first."""
    channels = AssignedChannels(NumberedSpot.socket)
    for number in range(2 * NumberedSpot.socket.streams):
        channels.completed(answer(number).replace(b"\n", b""))
    channels.completed(b"[0,1]")
    channels.completed(answer(99).replace(b"\n", b""))

    assert b"[1,1]" == channels.completed(b"[1,1]")
    assert channels.completed(b"[0,1]").endswith(b"\n[0,1]")
    assert 2 * NumberedSpot.socket.streams == len(channels.answers)


def test_a_message_that_leaves_has_its_number():
    """That of its own subscription; where none was assigned nothing is sent."""
    adapter = NumberedSpot()
    (message,) = adapter.subscribe([CandleStream("BTCUSDT", Interval.MINUTE_1)], leave=True)
    answers = [answer(3, "1m:ETHUSDT"), answer(5, "1m:BTCUSDT")]

    assert '{"event":"unsubscribe","chanId":5}' == adapter.leaving(message, answers)
    assert None is adapter.leaving(message, answers[:1])


def values(candle):
    """What the exchange sends of a candle."""
    return (candle.open_time, candle.open, candle.high, candle.low, candle.close, candle.volume)


async def test_candles_of_numbered_channels():
    """Each series is its symbol's: on two connections with the same numbers, through a cut, and after one has left."""
    clock = Quick()
    async with offline(Fault(FaultKind.DROP, path="BTC", after=20, times=1), clock=clock) as sim:
        group = FeedGroup(NAME, endpoints=sim.endpoints, clock=clock, sleep=clock.sleep, pace=QUICK)
        heard = [Heard() for _ in PAIRS]
        feeds = [group.add(pair, "1s", 20, on_update=each) for pair, each in zip(PAIRS, heard, strict=True)]
        async with group:
            assert 3 == len(sim.subscriptions[NAME])
            await heard[0].until_event(Reconnecting, within_s=20)
            for each in heard:
                await each.until_closed(2, within_s=20)
            group.remove(feeds[1])
            await until(lambda: sim.subscriptions[NAME] == ["1s:BTCUSDT", "1s:SOLUSDT"])
            await heard[0].until_closed(1, within_s=20)
        for feed in feeds:
            closed = [values(each) for each in feed.get_candles() if each.closed]
            span = Span(closed[0][0], closed[-1][0] + 1)
            assert [values(each) for each in truth(MARKET, feed.symbol, Interval.SECOND_1, span)] == closed

    assert [] == [event for each in heard for event in each.of(Rejected)]


async def test_books_of_numbered_channels():
    """Each book is its symbol's, on two connections with the same numbers."""
    view = MarketView(MARKET, MarketType.SPOT, lambda: 0)
    async with offline() as sim, BookGroup(NAME, endpoints=sim.endpoints, pace=FAST) as group:
        feeds = [group.add(pair) for pair in PAIRS]
        await group.start()
        for feed in feeds:
            async with asyncio.timeout(20):
                seen = [update.best_bid async for update in _books(feed, 3)]
            now = tick_of(sim.clock())
            had = {float(view.book(feed.symbol, 1, tick).bids[0][0]) for tick in range(now - 100, now + 1)}
            assert set(seen) <= had


async def _books(feed, count):
    async for update in feed:
        if isinstance(update, LiveBook):
            yield update
            count -= 1
            if not count:
                return
