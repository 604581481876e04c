"""The offline Bybit: its bounds, its order, its refusals, heard by aiohttp's client."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND, Unit
from chandlery.sim import Fault, FaultKind, SimServer

SPOT, LINEAR, INVERSE = "bybit_spot", "bybit_perpetual", "bybit_inverse"
CATEGORY = {SPOT: "spot", LINEAR: "linear", INVERSE: "inverse"}


@pytest.fixture
async def sim(market, clock):
    """All three markets at a clock that stands."""
    async with SimServer(market, clock=clock, tick_s=None, exchanges=list(CATEGORY)) as server:
        yield server


async def said(http, sim, exchange, path, **query):
    """The body of an answer."""
    query = {"category": CATEGORY[exchange], **query}
    async with http.get(f"{sim.endpoints[exchange]['rest']}/v5/market/{path}", params=query) as response:
        return await response.json()


async def opens(http, sim, exchange=SPOT, symbol="BTCUSDT", **query):
    """The opens of a page of minutes, in minutes before the running one."""
    body = await said(http, sim, exchange, "kline", symbol=symbol, interval="1", **query)
    running = Interval.MINUTE_1.floor(sim.clock())
    return [(running - int(row[0]) * 1000) // MINUTE for row in body["result"]["list"]]


async def test_pages_begin_with_the_latest(http, sim, clock):
    """Without bounds the latest 200; both bounds are inclusive, and a start within a candle takes it in."""
    now = Interval.MINUTE_1.floor(clock.now)
    start, end = Unit.MILLIS.of(now - 5 * MINUTE), Unit.MILLIS.of(now - 2 * MINUTE)

    assert list(range(200)) == await opens(http, sim)
    assert [2, 3, 4, 5] == await opens(http, sim, start=start, end=end)
    assert [3, 4, 5] == await opens(http, sim, start=start + 59_999, end=end - 1)
    assert [2, 3] == await opens(http, sim, start=start, end=end, limit=2)
    assert [4, 5] == await opens(http, sim, start=start, limit=2)


@pytest.mark.parametrize(
    "query",
    [
        {"symbol": "NOSUCHCOIN"},
        {"symbol": "BTCUSDT", "limit": 1001},
        {"symbol": "BTCUSDT", "limit": "x"},
        {"symbol": "BTCUSDT", "interval": "1m"},
        {"symbol": "BTCUSDT", "start": 2000, "end": 1000},
        {"symbol": "BTCUSDT", "start": "x"},
        {"symbol": "BTCUSDT", "category": "spot"},
    ],
)
async def test_refusals_have_status_200(http, sim, query):
    """And a code that is not 0."""
    body = await said(http, sim, LINEAR, "kline", **{"interval": "1", **query})

    assert (10001, {}) == (body["retCode"], body["result"])


async def test_inverse_sizes_are_in_dollars(http, sim):
    """The volume of candles and the sizes of books are whole contracts of their value, the turnover is in coins."""
    candles = await said(http, sim, INVERSE, "kline", symbol="BTCUSD", interval="1", limit=2)
    book = await said(http, sim, INVERSE, "orderbook", symbol="BTCUSD")
    _, _, high, low, _, volume, turnover = candles["result"]["list"][-1]

    assert int(volume) % 100 == 0
    assert Decimal(low) <= int(volume) / Decimal(turnover) <= Decimal(high)
    assert 25 == len(book["result"]["b"])
    assert all(int(size) % 100 == 0 for _, size in book["result"]["a"])


async def test_funding_needs_an_end_with_its_start(http, sim, clock):
    """The latest come first, at most 200; a start alone is refused, and spot has none."""
    ask = {"symbol": "BTCPERP"}
    whole = (await said(http, sim, LINEAR, "funding/history", **ask))["result"]["list"]
    last = int(whole[0]["fundingRateTimestamp"])
    few = await said(http, sim, LINEAR, "funding/history", **ask, startTime=last, endTime=Unit.MILLIS.of(clock.now))

    assert 200 == len(whole)
    assert [last] == [int(each["fundingRateTimestamp"]) for each in few["result"]["list"]]
    for exchange, query in ((LINEAR, {"symbol": "BTCUSDT", "startTime": last}), (SPOT, {"symbol": "BTCUSDT"})):
        assert 10001 == (await said(http, sim, exchange, "funding/history", **query))["retCode"]


async def test_instruments_come_in_pages(http, sim):
    """Contracts have cursors; what has not been launched has to be asked for by name."""
    found, cursor = [], ""
    while not found or cursor:
        result = (await said(http, sim, LINEAR, "instruments-info", limit=40, cursor=cursor))["result"]
        found += [each["symbol"] for each in result["list"]]
        cursor = result["nextPageCursor"]
    waiting = await said(http, sim, LINEAR, "instruments-info", status="PreLaunch")

    contracts = [each for each in sim.view(LINEAR).symbols() if each.endswith(("USDT", "USDC"))]
    assert len(contracts) == len(set(found)) == len(found) > 80
    assert [] == waiting["result"]["list"]


async def test_limits_and_failures(http, market, clock):
    """Too many visits are a code, too many from one address a 403; a failure of its own has its status."""
    faults = [Fault(FaultKind.TOO_MANY_REQUESTS), Fault(FaultKind.BANNED), Fault(FaultKind.SERVER_ERROR)]
    async with SimServer(market, clock=clock, tick_s=None, exchanges=[SPOT], faults=faults) as sim:
        url = f"{sim.endpoints[SPOT]['rest']}/v5/market/time"
        answers = []
        for address in (url, url, url, url + "s", url):
            async with http.get(address) as response:
                answers.append((response.status, await response.text()))

    assert [200, 403, 503, 404, 200] == [status for status, _ in answers]
    assert '"retCode":10006' in answers[0][1]
    assert "too frequent" in answers[1][1]
    assert '"retCode":0' in answers[4][1]


async def test_a_flood_is_banned(http, market, clock):
    """More than the limit within five seconds is answered 403."""
    async with SimServer(market, clock=clock, tick_s=None, exchanges=[SPOT], weight_limit=3) as sim:
        statuses = []
        for _ in range(4):
            async with http.get(f"{sim.endpoints[SPOT]['rest']}/v5/market/time") as response:
                statuses.append(response.status)

    assert [200, 200, 200, 403] == statuses


async def test_a_socket_speaks_of_its_topics(http, sim, clock):
    """A snapshot, then changes whose ids follow; a candle that closes comes together with the next; a ping is answered."""
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/v5/public/spot") as socket:
        await socket.send_json({"op": "subscribe", "args": ["orderbook.50.BTCUSDT", "kline.1.BTCUSDT"], "req_id": "7"})
        heard = [await socket.receive_json(timeout=5)]
        for step in (SECOND // 10, SECOND // 10, MINUTE // 2):
            clock.now += step
            await sim.tick()
            heard += [await socket.receive_json(timeout=5)]
        await socket.send_json({"op": "ping"})
        while heard[-1].get("op") != "ping":
            heard.append(await socket.receive_json(timeout=5))
    books = [each for each in heard if each.get("topic") == "orderbook.50.BTCUSDT"]
    candles = [[row["confirm"] for row in each["data"]] for each in heard if each.get("topic") == "kline.1.BTCUSDT"]

    assert (True, "7", "subscribe") == (heard[0]["success"], heard[0]["req_id"], heard[0]["op"])
    assert "pong" == heard[-1]["ret_msg"]
    assert ["snapshot", "delta"] == [each["type"] for each in books[:2]]
    assert {1} == {after["data"]["u"] - before["data"]["u"] for before, after in pairwise(books)}
    assert [[False], [False], [True, False]] == candles


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"op": "subscribe", "args": ["kline.1.BTCUSDT"] * 11}, "args size >10"),
        ({"op": "subscribe", "args": ["kline.1m.BTCUSDT"]}, "handler not found"),
        ({"op": "subscribe", "args": ["kline.1.BTCUSDT", "orderbook.2.BTCUSDT"]}, "handler not found"),
        ({"op": "auth"}, "invalid op"),
        ([], "parsing failed"),
    ],
)
async def test_refused_commands(http, sim, message, said):
    """Spot takes ten topics a message; one that is none refuses all of them."""
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/v5/public/spot") as socket:
        await socket.send_json(message)
        answer = await socket.receive_json(timeout=5)

    assert answer["success"] is False
    assert said in answer["ret_msg"]
    assert [] == sim.subscriptions[SPOT]


async def test_each_market_has_a_path_of_its_own(http, sim):
    """A socket elsewhere is not opened."""
    async with http.get(f"{sim.endpoints[LINEAR]['ws'].replace('ws', 'http', 1)}/v5/public/spot") as response:
        assert response.status in {400, 404}
