"""Subscriptions that are refused, or at which connections close: each fails alone, whatever it was sent with."""

from __future__ import annotations

from functools import cache

import pytest

from chandlery.adapter.books import SnapshotSource
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.candle import CandleData
from chandlery.core.errors import InvalidSymbol, RequestRejected
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.feed.book_feed import BookGroup, LiveBook
from chandlery.feed.candles_feed import FeedGroup
from chandlery.feed.events import Reconnecting, Rejected
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import SimServer
from chandlery.sim.wires import wires
from fixtures.candle_feed import FAST, Heard, tasks_left
from fixtures.offline_adapter import OfflineAdapter, listed
from fixtures.support import micros
from fixtures.waiting import until

_COINS = ("BTC", "ETH", "SOL")
_LINEAR = [f"{base}{quote}" for base in _COINS for quote in ("USDT", "USDC", "USD")]
MARKET = SyntheticMarket(
    symbols={
        MarketType.SPOT: _LINEAR,
        MarketType.FUTURES_USDT: _LINEAR,
        MarketType.FUTURES_COIN: [f"{base}USD_PERP" for base in _COINS],
    }
)
NOW = micros(2025, 3, 12, 10, 20)


@cache
def pairs(exchange):
    """Three pairs of one quote currency, and the symbol of the market of the last one; fewer where there are not as many."""
    facing = OfflineAdapter(exchange, NOW, MARKET)
    quotes = {each.symbol: each.instrument.quote for each in listed(facing)}
    others = [each for each in quotes if quotes[each] == quotes[facing.native] and each != facing.native]
    found = [facing.native, *others[:2]]
    return found, facing.wire.symbol(found[-1])


EXCHANGES = [each for each in wires() if ExchangeRegistry.get(each).socket.streams > 2 and len(pairs(each)[0]) == 3]
"""Those that have three contracts, and as many subscriptions a connection."""
REFUSING = [each for each in EXCHANGES if not wires()[each].takes_unknown]


def live_interval(exchange):
    adapter = ExchangeRegistry.get(exchange)
    return Interval.MINUTE_1 if Interval.MINUTE_1 in adapter.live_intervals else Interval.MINUTE_5


async def check_candles(sim, exchange, refused):
    """The others have live candles; the refused one has those of REST, knows the reason, and disturbs nobody."""
    names, _ = pairs(exchange)
    group = FeedGroup(exchange, endpoints=sim.endpoints, clock=sim.clock, pace=FAST)
    heard = [Heard() for _ in names]
    feeds = [
        group.add(name, live_interval(exchange), 5, on_update=receiver)
        for name, receiver in zip(names, heard, strict=True)
    ]
    await group.start()
    await until(lambda: all(feed.stream.heard > 3 for feed in feeds[:2]))
    await until(lambda: any("refused: " in each.reason for each in heard[2].of(Rejected)))
    bundle, *_ = group.sockets.bundles
    attempts, before = bundle.connection.attempts, [feed.stream.heard for feed in feeds]
    await until(lambda: all(feed.stream.heard > count + 5 for feed, count in zip(feeds[:2], before, strict=False)))
    try:
        assert [] == [each for receiver in heard[:2] for each in receiver.of(Rejected)]
        assert 0 == feeds[2].stream.heard
        assert heard[2].of(CandleData)
        assert attempts == bundle.connection.attempts <= 3
        assert len(heard[0].of(Reconnecting)) < 3
    finally:
        await group.stop()


async def check_books(sim, exchange, refused):
    """The others have books; the refused one fails with its reason."""
    names, _ = pairs(exchange)
    group = BookGroup(exchange, endpoints=sim.endpoints, clock=sim.clock, pace=FAST)
    await group.start()
    feeds = [group.add(name) for name in names]
    if feeds[2].stream.rule.snapshot is SnapshotSource.REST:
        heard = Heard()
        group.remove(feeds.pop())
        feeds.append(group.add(names[2], on_update=heard))
        await until(lambda: feeds[2].book is None and any(exchange in each.reason for each in heard.of(Rejected)))
        group.remove(feeds[2])
    else:
        with pytest.raises((RequestRejected, InvalidSymbol), match=exchange):
            await feeds[2].start(timeout_s=15)
    for feed in feeds[:2]:
        await feed.start(timeout_s=15)
    (bundle,) = group._bundles
    attempts, before = bundle.connection.attempts, [feed.stream.heard for feed in feeds]
    await until(lambda: all(feed.stream.heard > count + 5 for feed, count in zip(feeds[:2], before, strict=False)))
    try:
        assert isinstance(feeds[0].book, LiveBook)
        assert feeds[:2] == group.feeds
        assert attempts == bundle.connection.attempts <= 3
    finally:
        await group.stop()


def checks(exchanges):
    """Each exchange with what its sockets send."""
    books = [(each, check_books) for each in exchanges]
    return [(each, check_candles) for each in exchanges if ExchangeRegistry.get(each).live_intervals] + books


@pytest.mark.parametrize(("exchange", "check"), checks(REFUSING))
async def test_one_refused_symbol_fails_alone(exchange, check):
    """Where it is subscribed to together with others, and refuses them with it."""
    _, symbol = pairs(exchange)
    unlike = {exchange: {"refused": [symbol], "refuses_whole": True}}
    async with SimServer(MARKET, exchanges=[exchange], tick_s=0.02, weight_limit=10**9, unlike=unlike) as sim:
        await check(sim, exchange, symbol)
    assert [] == tasks_left()


@pytest.mark.parametrize(("exchange", "check"), checks(EXCHANGES))
async def test_one_symbol_that_closes_connections_fails_alone(exchange, check):
    """The others are disturbed once or twice, not again and again."""
    _, symbol = pairs(exchange)
    unlike = {exchange: {"closes_at": [symbol]}}
    async with SimServer(MARKET, exchanges=[exchange], tick_s=0.02, weight_limit=10**9, unlike=unlike) as sim:
        await check(sim, exchange, symbol)
    assert [] == tasks_left()


@pytest.mark.parametrize("kind", [BookGroup, FeedGroup])
async def test_a_feed_that_is_refused_fails_alone_whichever_is_started_first(kind):
    """Its start raises its reason, and that of another one returns; to start all of them raises it too, and the others run."""
    async with SimServer(MARKET, exchanges=["kraken_spot"], tick_s=0.02) as sim:
        for first in (0, 1):
            group = kind("kraken_spot", endpoints=sim.endpoints, pace=FAST)
            feeds = [group.add("BTC/USD"), group.add("NOPE/USD")]
            for feed in (feeds[first], feeds[1 - first]):
                if feed is feeds[0]:
                    await feed.start(timeout_s=15)
                else:
                    with pytest.raises(InvalidSymbol, match="does not know"):
                        await feed.start(timeout_s=15)
            assert ([feeds[0]], True) == (group.feeds, feeds[0].ready)
            await group.stop()
        group = kind("kraken_spot", endpoints=sim.endpoints, pace=FAST)
        feeds = [group.add(symbol) for symbol in ("NO/USD", "BTC/USD", "NOPE/USD", "ETH/USD")]
        with pytest.raises(InvalidSymbol, match="does not know") as raised:
            await group.start(timeout_s=15)
        assert ["refused permanently: NO/USD, NOPE/USD; the other feeds continue"] == raised.value.__notes__
        assert [feeds[1], feeds[3]] == group.feeds
        before = [feed.stream.heard for feed in group.feeds]
        await until(lambda: all(feed.stream.heard > count for feed, count in zip(group.feeds, before, strict=True)))
        await group.stop()


@pytest.mark.parametrize("kind", [BookGroup, FeedGroup])
async def test_a_group_of_which_all_feeds_are_refused_ends(kind):
    """And so does one that is entered as a block, where one is refused: nobody would stop it."""
    async with SimServer(MARKET, exchanges=["kraken_spot"], tick_s=0.02) as sim:
        group = kind("kraken_spot", endpoints=sim.endpoints, pace=FAST)
        group.add("NOPE/USD")
        with pytest.raises(InvalidSymbol, match="does not know"):
            await group.start(timeout_s=15)
        assert group.ended
        group = kind("kraken_spot", endpoints=sim.endpoints, pace=FAST)
        for symbol in ("BTC/USD", "NOPE/USD"):
            group.add(symbol)
        with pytest.raises(InvalidSymbol, match="does not know"):
            async with group:
                pass
        assert group.ended
    assert [] == tasks_left()
