"""What sockets say besides data and refusals: greetings, announced closes, answers that change nothing."""

from __future__ import annotations

import json

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import RateLimited, RequestRejected
from chandlery.feed.book_feed import BookGroup, OrderBookFeed
from chandlery.feed.candles_feed import FeedGroup
from chandlery.feed.events import Connected, Reconnecting, Rejected
from chandlery.sim import SimServer, SyntheticMarket
from fixtures.candle_feed import FAST, Heard
from fixtures.waiting import until

# As documented, or seen on the wire.
CLOSING = [
    ("binance_spot", '{"e":"serverShutdown","E":1770123456789}'),
    ("binance_perpetual", '{"e":"serverShutdown","E":1770123456789}'),
    ("binance_inverse", '{"e": "serverShutdown", "E": 1770123456789}'),
    (
        "okx_spot",
        '{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect."}',
    ),
    ("okx_perpetual", '{"event":"notice","code":"64008","msg":"x","connId":"a4d3ae55"}'),
    ("gate_spot", '{"time":1,"time_ms":1,"channel":"spot.service_upgrade","event":"update","result":{"type":"upgrade"}}'),
    ("gate_perpetual", '{"type":"upgrade","msg":"The connection will soon be closed for a service upgrade."}'),
    ("gate_perpetual", '{"time":1,"channel":"futures.service_upgrade","event":"update","result":{"type":"upgrade"}}'),
]  # fmt: skip
NOTHING = [
    ("hyperliquid_perpetual", "Websocket connection established."),
    ("hyperliquid_spot", "Websocket connection established."),
    ("kucoin_spot", '{"id":"hQvf8jkno","type":"welcome"}'),
    ("kucoin_perpetual", '{"id":"hQvf8jkno","type":"welcome"}'),
    ("kraken_spot", '{"error":"Already subscribed","method":"subscribe","success":false,"symbol":"BTC/USD"}'),
    ("kraken_spot", '{"error":"Subscription Not Found","method":"unsubscribe","success":false,"symbol":"BTC/USD"}'),
    ("bybit_spot", '{"success":false,"ret_msg":"error:already subscribed,topic:kline.1.BTCUSDT","op":"subscribe"}'),
    ("mexc_spot", '{"id":0,"code":0,"msg":"PONG"}'),
    ("mexc_spot", '{"id":0,"code":0,"msg":"spot@public.kline.v3.api.pb@BTCUSDT@Min1"}'),
    ("okx_spot", '{"event":"channel-conn-count","channel":"books","connCount":"3","connId":"abcd1234"}'),
    ("gate_perpetual", '{"time":1545404023,"channel":"futures.pong","event":"","error":null,"result":null}'),
    ("binance_spot", '{"result":null,"id":1}'),
]
REFUSALS = [
    ("mexc_spot", '{"msg":"no subscription success","code":0}', RequestRejected),
    ("mexc_spot", '{"id":0,"code":0,"msg":"msg length invalid"}', RequestRejected),
    ("kucoin_spot", '{"id":"1","type":"error","code":509,"data":"exceed max permits per second"}', RateLimited),
]
READ = pytest.mark.parametrize("read", ["live_rows", "book_updates"])


@READ
@pytest.mark.parametrize(("exchange", "message"), CLOSING)
def test_a_close_that_is_announced(exchange, message, read):
    """It is no error, and found by the exchange's words."""
    adapter = ExchangeRegistry.create(exchange)
    assert [] == list(getattr(adapter, read)(message.encode()))
    assert adapter.socket.closing.search(message.encode())


@pytest.mark.parametrize("kind", [FeedGroup, BookGroup])
@pytest.mark.parametrize(("exchange", "message"), [each for each in CLOSING if "spot" in each[0]])
async def test_a_feed_outlives_an_announced_close(exchange, message, kind):
    """Its connection is replaced at once, and it has no moment without one."""
    async with SimServer(SyntheticMarket(), exchanges=[exchange], tick_s=0.02) as sim:
        group = kind(exchange, endpoints=sim.endpoints, pace=FAST)
        feed = group.add("BTC-USDT", on_update=(heard := Heard()))
        await group.start()
        connections = sim._streams[exchange]._connections
        await until(lambda: feed.stream.heard)
        (old,) = connections
        await old.send(message)
        await until(lambda: old not in connections and len(connections) == 1)
        before = feed.stream.heard
        await until(lambda: feed.stream.heard > before + 3)
        await group.stop()

    assert [] == heard.of(Reconnecting) + heard.of(Rejected)
    assert 2 == len(heard.of(Connected))


@READ
@pytest.mark.parametrize(("exchange", "message"), NOTHING)
def test_what_means_nothing(exchange, message, read):
    """Neither data, nor an error, nor an announcement."""
    adapter = ExchangeRegistry.create(exchange)
    assert [] == list(getattr(adapter, read)(message.encode()))
    assert adapter.socket.closing is None or not adapter.socket.closing.search(message.encode())
    welcome = adapter.socket.welcome
    assert (welcome is not None and bool(welcome.search(message.encode()))) == ("welcome" in message)


@READ
@pytest.mark.parametrize(("exchange", "message", "kind"), REFUSALS)
def test_refusals_in_other_words(exchange, message, kind, read):
    """Also those whose code says that all is well; too many commands are no refusal of what they are about."""
    with pytest.raises(kind):
        getattr(ExchangeRegistry.create(exchange), read)(message.encode())


@pytest.mark.parametrize("leave", [False, True])
def test_the_fast_book_of_hyperliquid(leave):
    """Five levels are asked for as such, twenty as before."""
    adapter = ExchangeRegistry.create("hyperliquid_perpetual")
    asked = {depth: json.loads(*adapter.subscribe_book(["BTC"], depth, leave=leave)) for depth in adapter.book_depths}

    assert {"type": "l2Book", "coin": "BTC", "fast": True} == asked[5]["subscription"]
    assert {"type": "l2Book", "coin": "BTC"} == asked[20]["subscription"]


async def test_a_feed_of_the_fast_book():
    """Beside that of the slow one."""
    async with SimServer(SyntheticMarket(), exchanges=["hyperliquid_perpetual"], tick_s=0.02) as sim:
        for depth, levels in ((5, 5), (None, 20)):
            async with OrderBookFeed("hyperliquid_perpetual", "BTC", depth, endpoints=sim.endpoints) as feed:
                assert (levels, levels) == (len(feed.book.bids(50)), len(feed.book.asks(50)))
