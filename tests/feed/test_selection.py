"""Strategies and processors of users, through feeds and groups."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from chandlery import CandleData, CandlesFeed, DataProcessor, Interval, NetworkStrategy, RESTPollingStrategy
from chandlery.core.errors import InvalidInput
from chandlery.core.gaps import Span
from fixtures.candle_feed import SPOT, check_whole, truth


class Doubling(DataProcessor):
    """Doubles volumes; it replaces ``process`` alone."""

    def process(self, candle, **options):
        return super().process(structs.replace(candle, volume=2 * candle.volume), **options)


class Counting(DataProcessor):
    """Replaces nothing of what it does, and counts what passes."""

    seen = followed = 0

    def process(self, candle, **options):
        self.seen += 1
        return super().process(candle, **options)

    def follow(self, candle):
        self.followed += 1
        return super().follow(candle)


class OwnPolling(NetworkStrategy):
    """The one method that a strategy needs."""

    async def feed(self, stream):
        await self.fill(stream)
        while True:
            await asyncio.sleep(0.02)
            await self.refresh(stream)


def doubled(market, candles):
    """Twice the volumes that the market has."""
    span = Span(candles[0].open_time, candles[-1].open_time + 1)
    found = {each.open_time: 2 * each.volume for each in truth(market, "BTCUSDT", Interval.SECOND_1, span)}
    return [found[each.open_time] for each in candles]


@pytest.mark.parametrize("strategy", ["websocket", "polling"])
@pytest.mark.parametrize("given", ["a class", "an instance"])
async def test_a_processor_that_replaces_process(sim_of, group_of, market, strategy, given):
    """Every candle passes through it: the history, what the socket sends, and what is published."""
    published = []
    processor = Doubling if given == "a class" else Doubling(Interval.SECOND_1, 20)
    feed = group_of(await sim_of()).add("BTC-USDT", "1s", 20, processor=processor, on_update=published.append)
    await feed.start(strategy)
    before = feed.last_timestamp
    async with asyncio.timeout(20):
        async for update in feed:
            if isinstance(update, CandleData) and update.closed and update.timestamp > before + 3:
                break
    closed = [each for each in feed.get_candles() if each.closed]

    assert isinstance(feed.stream.processor, Doubling)
    assert 15 < len(closed) <= 20
    assert doubled(market, closed) == [each.volume for each in closed]
    shown = [each for each in published if isinstance(each, CandleData) and each.closed]
    assert doubled(market, shown) == [each.volume for each in shown]


async def test_a_processor_may_be_replaced_before_the_start(sim_of, feed_of, market):
    """The new one alone has the candles, also those of the fast path; later it is an error."""
    feed, heard = feed_of(await sim_of(), max_records=20)
    mine = feed.stream.processor = Counting(Interval.SECOND_1, 10)
    async with feed:
        await heard.until_closed(3)
        with pytest.raises(InvalidInput, match="before the start"):
            feed.stream.processor = Counting(Interval.SECOND_1, 10)

    assert mine is feed.stream.processor
    assert 10 == len(feed.get_candles())
    assert mine.seen > 10
    assert mine.followed > 0
    check_whole(feed, market, heard)


def test_processors_that_cannot_work():
    """One of another interval, of another feed, and what is none."""
    used = DataProcessor(Interval.MINUTE_1)
    CandlesFeed(SPOT, "BTC-USDT", processor=used)

    for options, text in [
        ({"processor": used}, "create one for each feed"),
        ({"processor": DataProcessor(Interval.HOUR_1)}, "another interval"),
        ({"processor": 5}, "processor is 5"),
        ({"processor": lambda *_, **__: 5}, "use a DataProcessor"),
        ({"processor": DataProcessor(Interval.MINUTE_1), "history": 5}, "history of its own"),
    ]:
        with pytest.raises(InvalidInput, match=text):
            CandlesFeed(SPOT, "BTC-USDT", **options)


async def test_a_strategy_with_feed_alone(sim_of, group_of, market):
    """It feeds all series of its group, also those that are added later, until they are removed."""
    group = group_of(await sim_of())
    strategy = OwnPolling(group.network)
    first = group.add("BTC-USDT", "1s", 10)
    await group.start(strategy)
    later = group.add("AAA-USDT", "1s", 10)
    await later.start()
    group.remove(first)

    assert (10, 10) == (len(first.get_candles()), len(later.get_candles()))
    assert [later.stream] == strategy.streams
    assert not group.sockets.streams
    assert not group.polling.streams


async def test_a_strategy_that_brings_candles_of_its_own(sim_of, feed_of):
    """What it passes to the stream is published like a candle of the exchange's socket."""
    feed, heard = feed_of(await sim_of(), max_records=10)

    class Pushed(NetworkStrategy):
        async def feed(self, stream):
            await self.fill(stream)
            last = stream.processor.candles[-1]
            for volume in (1e9, 2e9):
                stream.take(structs.replace(last, volume=volume, closed=False))

    await feed.start(Pushed(feed.group.network))
    await heard.until(lambda: any(each.volume == 2e9 for each in heard.of(CandleData)))

    assert [1e9, 2e9] == [each.volume for each in heard.of(CandleData) if each.volume >= 1e9]


async def test_strategies_that_cannot_work(sim_of, feed_of):
    """A name that is none, a class, and one for another exchange."""
    feed, _ = feed_of(await sim_of())
    other = CandlesFeed("kraken_spot", "BTC-USD")

    for wrong in ("rest-polling", RESTPollingStrategy, None):
        with pytest.raises(InvalidInput, match="use auto, websocket, polling"):
            await feed.start(wrong)
    with pytest.raises(InvalidInput, match="is for kraken_spot, not for"):
        await feed.start(RESTPollingStrategy(other.group.network))
