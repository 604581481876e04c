"""KuCoin's wire: its bounds and orders, its tokens, and what its topics say."""

from __future__ import annotations

import json
from itertools import pairwise

import aiohttp
import pytest

from chandlery.core.time import MINUTE, SECOND
from chandlery.sim import Fault, FaultKind, SimServer

EXCHANGES = ("kucoin_spot", "kucoin_perpetual", "kucoin_inverse")


@pytest.fixture
async def sim(market, clock):
    async with SimServer(market, clock=clock, tick_s=None, exchanges=EXCHANGES) as server:
        yield server


async def get(http, sim, exchange, path, **params):
    async with http.get(sim.endpoints[exchange]["rest"] + path, params=params) as response:
        return await response.json()


@pytest.fixture
async def opened(http, sim):
    """Opens a socket with a token of its own, and reads the welcome."""
    sockets = []

    async def open_one(exchange):
        async with http.post(sim.endpoints[exchange]["rest"] + "/api/v1/bullet-public") as response:
            data = (await response.json())["data"]
        url = f"{data['instanceServers'][0]['endpoint']}?token={data['token']}&connectId=me"
        sockets.append(await http.ws_connect(url))
        assert {"id": "me", "type": "welcome"} == await sockets[-1].receive_json()
        return sockets[-1]

    yield open_one
    for socket in sockets:
        await socket.close()


async def told(socket, **command):
    await socket.send_str(json.dumps({"id": "7", **command}))
    return await socket.receive_json()


async def test_spot_candles_include_their_start_and_not_their_end(http, sim, clock):
    """The latest first, at most 1500, up to the running one where no end is named."""
    now = clock.now // MINUTE * 60
    query = {"symbol": "BTC-USDT", "type": "1min"}
    some = await get(http, sim, "kucoin_spot", "/api/v1/market/candles", **query, startAt=now - 180, endAt=now)
    every = await get(http, sim, "kucoin_spot", "/api/v1/market/candles", **query)

    assert [str(now - 60), str(now - 120), str(now - 180)] == [row[0] for row in some["data"]]
    assert (1500, str(now)) == (len(every["data"]), every["data"][0][0])


async def test_futures_candles_include_both_bounds(http, sim, clock):
    """The oldest first, at most 500: those from the start, or without one the latest."""
    now = clock.now // MINUTE * 60_000
    query = {"symbol": "XBTUSDTM", "granularity": 1}
    some = await get(
        http, sim, "kucoin_perpetual", "/api/v1/kline/query", **query, **{"from": now - 120_000, "to": now}
    )
    many = await get(http, sim, "kucoin_perpetual", "/api/v1/kline/query", **query, **{"from": now - 600 * 60_000})
    every = await get(http, sim, "kucoin_perpetual", "/api/v1/kline/query", **query)

    assert [now - 120_000, now - 60_000, now] == [row[0] for row in some["data"]]
    assert (500, now - 600 * 60_000) == (len(many["data"]), many["data"][0][0])
    assert (500, now) == (len(every["data"]), every["data"][-1][0])


async def test_funding_rates_come_latest_first(http, sim, clock):
    """Both bounds inclusive, at most a hundred, and both of them required."""
    now = clock.now // 1000
    path = "/api/v1/contract/funding-rates"
    rates = await get(http, sim, "kucoin_inverse", path, symbol="XBTUSDM", **{"from": 0, "to": now})
    times = [rate["timepoint"] for rate in rates["data"]]
    last = await get(http, sim, "kucoin_inverse", path, symbol="XBTUSDM", **{"from": times[1], "to": times[0]})

    assert (100, sorted(times, reverse=True)) == (len(times), times)
    assert times[:2] == [rate["timepoint"] for rate in last["data"]]
    assert "100001" == (await get(http, sim, "kucoin_inverse", path, symbol="XBTUSDM"))["code"]


@pytest.mark.parametrize(
    ("exchange", "path", "params", "code"),
    [
        ("kucoin_spot", "/api/v1/market/candles", {"symbol": "BTCUSDT", "type": "1min"}, "400100"),
        ("kucoin_spot", "/api/v1/market/candles", {"symbol": "BTC-USDT", "type": "1week"}, "400100"),
        ("kucoin_spot", "/api/v1/market/candles", {"type": "1min"}, "400100"),
        ("kucoin_spot", "/api/v1/kline/query", {}, "404000"),
        ("kucoin_perpetual", "/api/v1/kline/query", {"symbol": "XBTUSDM", "granularity": "1"}, "100003"),
        ("kucoin_perpetual", "/api/v1/kline/query", {"symbol": "BTCUSDTM", "granularity": "1"}, "100003"),
        ("kucoin_perpetual", "/api/v1/kline/query", {"symbol": "XBTUSDTM", "granularity": "3"}, "100001"),
    ],
)
async def test_what_is_refused(http, sim, exchange, path, params, code):
    """With a code, and a status of 200 where the path exists."""
    assert code == (await get(http, sim, exchange, path, **params))["code"]


async def test_how_a_failure_is_worded(http, sim):
    """The code begins with the status."""
    sim.faults += [Fault(FaultKind.TOO_MANY_REQUESTS), Fault(FaultKind.SERVER_ERROR)]
    codes = [(await get(http, sim, "kucoin_spot", "/api/v1/timestamp"))["code"] for _ in range(3)]

    assert ["429000", "503000", "200000"] == codes


async def test_a_fetched_book_of_futures_counts_contracts(http, sim, clock):
    """Whole numbers, and nanoseconds."""
    book = (await get(http, sim, "kucoin_inverse", "/api/v1/level2/snapshot", symbol="XBTUSDM"))["data"]

    assert (50, 50, clock.now * 1000) == (len(book["bids"]), len(book["asks"]), book["ts"])
    assert {int} == {type(size) for _, size in book["bids"]}


async def test_a_socket_needs_a_token_that_is_still_good(http, sim, opened):
    """One that was not granted, or has expired, opens nothing; a new one does."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect(sim.endpoints["kucoin_spot"]["ws"] + "?token=made-up")
    socket = await opened("kucoin_spot")
    await told(socket, type="subscribe", topic="/market/candles:BTC-USDT_1min", response=True)
    sim.faults.append(Fault(FaultKind.TOKEN_EXPIRED))
    await sim.tick()
    gone = await socket.receive()
    again = await opened("kucoin_spot")

    assert 401 == caught.value.status
    assert gone.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR}
    assert {"id": "7", "type": "pong", "timestamp": sim.clock()} == await told(again, type="ping")


async def test_topics(sim, opened):
    """Those that exist are acknowledged, with an unknown symbol too, and end when they are left."""
    socket = await opened("kucoin_spot")
    topics = "/spotMarket/level2Depth5:BTC-USDT,no-such-coin"
    ack = await told(socket, type="subscribe", topic=topics, response=True)
    unknown = await told(socket, type="subscribe", topic="/spotMarket/level2Depth20:BTC-USDT", response=True)
    many = ",".join(f"A{number}-USDT" for number in range(101))
    too_many = await told(socket, type="subscribe", topic=f"/market/level2:{many}", response=True)
    subscribed = sim.subscriptions["kucoin_spot"]
    await told(socket, type="unsubscribe", topic=topics, response=True)

    assert {"id": "7", "type": "ack"} == ack
    assert (404, "topic does not exist") == (unknown["code"], unknown["data"])
    assert 509 == too_many["code"]
    assert 415 == (await told(socket, type="shout"))["code"]
    assert ["/spotMarket/level2Depth5:BTC-USDT", "/spotMarket/level2Depth5:no-such-coin"] == subscribed
    assert [] == sim.subscriptions["kucoin_spot"]
    await socket.send_str("not JSON")
    assert 400 == (await socket.receive_json())["code"]


async def test_live_candles_of_futures_have_their_contracts_in_the_last_place(http, sim, clock, opened):
    """What stands in the place of the volume is wrong, as the documentation says."""
    socket = await opened("kucoin_perpetual")
    await told(socket, type="subscribe", topic="/contractMarket/limitCandle:XBTUSDTM_1min", response=True)
    clock.now += SECOND
    await sim.tick()
    live = (await socket.receive_json())["data"]["candles"]
    path = "/api/v1/kline/query"
    rest = (await get(http, sim, "kucoin_perpetual", path, symbol="XBTUSDTM", granularity=1))["data"][-1]

    assert (rest[0] // 1000, rest[5]) == (int(live[0]), int(live[6]))
    assert live[5] != live[6]


async def test_changes_of_a_spot_book_follow_its_snapshot(http, sim, clock, opened):
    """They are numbered on from the snapshot's number, and a plain 0 deletes."""
    socket = await opened("kucoin_spot")
    await told(socket, type="subscribe", topic="/market/level2:BTC-USDT", response=True)
    book = (await get(http, sim, "kucoin_spot", "/api/v1/market/orderbook/level2_100", symbol="BTC-USDT"))["data"]
    clock.now += 3 * SECOND
    await sim.tick()
    updates = [(await socket.receive_json())["data"] for _ in range(30)]
    rows = [row for update in updates for side in update["changes"].values() for row in side]

    assert int(book["sequence"]) + 1 == updates[0]["sequenceStart"]
    assert all(one["sequenceEnd"] + 1 == other["sequenceStart"] for one, other in pairwise(updates))
    assert any(size == "0" for _, size, _ in rows)
    assert not any(size != "0" and not size.strip("0.") for _, size, _ in rows)
