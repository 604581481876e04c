"""Statements of document 003, the candles feed; ``statements.toml`` has those that other tests prove."""

from __future__ import annotations

import math
from inspect import isabstract

import pytest
from msgspec import structs

from chandlery import (
    BaseAdapter,
    BinanceBaseAdapter,
    BinanceSpotAdapter,
    CandleData,
    CandlesFeed,
    ExchangeRegistry,
    NetworkClient,
    NetworkStrategy,
    RESTPollingStrategy,
    WebSocketStrategy,
)
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from fixtures.waiting import until


def test_3_01_a_feed_by_place():
    """Exchange, pair, interval and number of candles."""
    feed = CandlesFeed("binance_spot", "BTC-USDT", "5m", 100)

    assert ("BTCUSDT", Interval.MINUTE_5, 100) == (feed.symbol, feed.interval, feed.stream.processor.max_records)
    assert [] == feed.get_candles()


def test_3_02_a_feed_by_keywords():
    """The same by the documented names."""
    feed = CandlesFeed(exchange="okx_spot", trading_pair="BTC-USDT", interval="5m", max_records=100)

    assert ("BTC-USDT", Interval.MINUTE_5, 100) == (feed.symbol, feed.interval, feed.stream.processor.max_records)


def test_3_12_the_strategies():
    """One interface, and one class for each way."""
    assert isabstract(NetworkStrategy)
    assert all(issubclass(each, NetworkStrategy) for each in (WebSocketStrategy, RESTPollingStrategy))


def test_3_13_both_strategies_use_the_network_client():
    """That of their feed's group."""
    group = CandlesFeed("binance_spot", "BTC-USDT").group

    assert isinstance(group.network, NetworkClient)
    for kind in (WebSocketStrategy, RESTPollingStrategy):
        assert group.network is kind(group.network).network


def test_3_18_adapters_on_demand():
    """By their id: a new instance each time, and the class."""
    one, other = (ExchangeRegistry.create("binance_spot") for _ in range(2))

    assert one is not other
    assert type(one) is type(other) is ExchangeRegistry.get("binance_spot")
    assert isinstance(one, BaseAdapter)
    with pytest.raises(UnknownName):
        ExchangeRegistry.create("nowhere")


def test_3_23_the_adapters_of_binance():
    """As the document's block has it: a class over the base, which is registered."""
    assert issubclass(BinanceSpotAdapter, BinanceBaseAdapter)
    assert issubclass(BinanceBaseAdapter, BaseAdapter)
    assert BinanceSpotAdapter is ExchangeRegistry.register("binance_spot")(BinanceSpotAdapter)
    assert BinanceSpotAdapter is ExchangeRegistry.get("binance_spot")


def test_3_24_the_named_exchanges():
    """Binance, Bybit, Coinbase and Kraken, each with an adapter of its own."""
    adapters = [ExchangeRegistry.get(f"{name}_spot") for name in ("binance", "bybit", "coinbase", "kraken")]

    assert 4 == len(set(adapters))
    assert all(issubclass(each, BaseAdapter) for each in adapters)


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [
        ("binance_spot", "BTCUSDT"), ("okx_spot", "BTC-USDT"), ("gate_spot", "BTC_USDT"), ("htx_spot", "btcusdt"),
        ("kraken_spot", "BTC/USDT"), ("ascendex_spot", "BTC/USDT"), ("bitstamp_spot", "btcusdt"),
    ],
)  # fmt: skip
def test_3_26_pairs_are_formatted_for_their_exchange(exchange, symbol):
    """One pair, as each spells it."""
    assert symbol == ExchangeRegistry.create(exchange).symbol("BTC-USDT")


class Pushed(NetworkStrategy):
    """Five closed candles after the history, whose last one is ``last``."""

    async def feed(self, stream):
        await self.fill(stream)
        self.last = stream.processor.candles[-1]
        for place in range(1, 6):
            stream.take(structs.replace(self.last, open_time=self.last.open_time + place * MINUTE, closed=True))


async def test_3_11_the_number_of_candles_is_bounded(exchange):
    """A feed has the latest ``max_records``, however many come live."""
    feed = CandlesFeed("binance_spot", "BTC-USDT", "1m", 3, endpoints=exchange.endpoints)
    strategy = Pushed(feed.group.network)
    await feed.start(strategy)
    await until(lambda: feed.last_timestamp == strategy.last.timestamp + 5 * 60)
    candles = feed.get_candles()
    await feed.stop()

    assert [strategy.last.timestamp + place * 60 for place in (3, 4, 5)] == [candle.timestamp for candle in candles]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"high": 1.5}, "impossible"),
        ({"low": 2.5}, "impossible"),
        ({"close": math.nan}, "not finite"),
        ({"high": math.inf}, "not finite"),
        ({"volume": -1.0}, "not finite"),
    ],
)
def test_3_29_a_candle_validates_itself(change, text):
    """An error says what is wrong with which candle; a feed rejects the same candles."""
    right = CandleData(MINUTE, open=2.0, high=3.0, low=1.0, close=2.0, volume=0.0)
    wrong = structs.replace(right, **change)
    processor = CandlesFeed("binance_spot", "BTC-USDT", "1m").stream.processor

    assert right is right.validate()
    assert not processor.verdict(right, fetched=True).is_reject
    with pytest.raises(InvalidInput, match=rf"the candle of 1970-01-01T00:01:00Z is {text}: CandleData\("):
        wrong.validate()
    assert processor.verdict(wrong, fetched=True).is_reject
