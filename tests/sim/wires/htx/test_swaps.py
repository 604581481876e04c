"""The offline HTX, swaps: their spans, their contracts, their books, heard by aiohttp's client."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal

import pytest

from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, MINUTE, SECOND
from chandlery.sim import SimServer, SyntheticMarket

LINEAR, INVERSE = "htx_perpetual", "htx_inverse"
KLINE = {LINEAR: "/linear-swap-ex/market/history/kline", INVERSE: "/swap-ex/market/history/kline"}


@pytest.fixture
async def sim(market, clock):
    """Both markets at a clock that stands."""
    async with SimServer(market, clock=clock, tick_s=None, exchanges=[LINEAR, INVERSE]) as server:
        yield server


async def said(http, sim, exchange, path, **query):
    """The body of an answer, which has status 200."""
    async with http.get(f"{sim.endpoints[exchange]['rest']}{path}", params=query) as response:
        assert response.status == 200
        return await response.json()


async def opens(http, sim, **query):
    """The opens of a page of minutes, in minutes before the running one."""
    body = await said(http, sim, LINEAR, KLINE[LINEAR], contract_code="BTC-USDT", period="1min", **query)
    running = Interval.MINUTE_1.floor(sim.clock()) // SECOND
    return [(running - row["id"]) // 60 for row in body["data"]]


async def heard(socket):
    """The next message, unpacked."""
    return json.loads(gzip.decompress((await socket.receive(timeout=5)).data))


async def test_swaps_answer_for_a_size_or_a_span(http, sim, clock):
    """Oldest first; a size makes the span be ignored, neither is an error, and nothing is older than two years."""
    now = Interval.MINUTE_1.floor(clock.now)
    span = {"from": (now - 5 * MINUTE) // SECOND, "to": (now - 2 * MINUTE) // SECOND}

    assert [5, 4, 3, 2] == await opens(http, sim, **span)
    assert [1, 0] == await opens(http, sim, size=2, **span)
    old = (clock.now - 731 * DAY) // SECOND
    assert [] == await opens(http, sim, **{"from": old, "to": old + 600})


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"contract_code": "BTC-USD"}, "invalid symbol"),
        ({"contract_code": "BTC-USDT", "period": "1m"}, "invalid period"),
        ({"contract_code": "BTC-USDT", "size": 2001}, "invalid size,valid range: [1, 2000]"),
        ({"contract_code": "BTC-USDT", "size": "x"}, "invalid size"),
        ({"contract_code": "BTC-USDT"}, "invalid size"),
        ({"contract_code": "BTC-USDT", "from": 1}, "invalid size"),
        ({"contract_code": "BTC-USDT", "from": 1740000000, "to": 1741000000}, "invalid size,valid range: [1, 2000]"),
    ],
)
async def test_refusals_have_status_200(http, sim, query, words):
    """And a code and words."""
    body = await said(http, sim, LINEAR, KLINE[LINEAR], **{"period": "1min", **query})

    assert ("error", "invalid-parameter", words) == (body["status"], body["err-code"], body["err-msg"])


async def test_swaps_count_both_sides_of_a_trade(http, sim):
    """Contracts, coins and turnover are twice the market's."""
    query = {"period": "1min", "size": 2}
    linear = await said(http, sim, LINEAR, KLINE[LINEAR], contract_code="BTC-USDT", **query)
    inverse = await said(http, sim, INVERSE, KLINE[INVERSE], contract_code="BTC-USD", **query)
    infos = await said(http, sim, LINEAR, "/linear-swap-api/v1/swap_contract_info", business_type="all")
    size = next(each["contract_size"] for each in infos["data"] if each["contract_code"] == "BTC-USDT")

    for row in linear["data"]:
        assert row["vol"] % 2 == 0
        assert row["vol"] * Decimal(str(size)) == Decimal(str(row["amount"]))
        assert row["trade_turnover"] / row["amount"] == pytest.approx(row["close"], rel=0.01)
    for row in inverse["data"]:
        assert row["vol"] % 2 == 0
        assert row["vol"] * 100 / row["amount"] == pytest.approx(row["close"], rel=0.01)


async def test_funding_rates_by_time(http, sim, clock):
    """Ten where nothing is said, a hundred at most, from the end that is asked for; no other market has them."""
    path, ask = "/v5/market/funding_rate_history", {"contract_code": "BTC-USDT"}
    start = (clock.now - 40 * DAY) // 1000
    forward = await said(http, sim, LINEAR, path, **ask, start_time=start, limit=100)
    backward = await said(http, sim, LINEAR, path, **ask, start_time=start, limit=3, direct="prev")
    moments = [int(each["funding_time"]) for each in forward["data"]]

    assert (100, sorted(moments)) == (len(moments), moments)
    assert moments[0] >= start
    assert [3, True] == [len(backward["data"]), int(backward["data"][0]["funding_time"]) > moments[-1]]
    assert 10 == len((await said(http, sim, LINEAR, path, **ask, start_time=start))["data"])
    assert 1067 == (await said(http, sim, LINEAR, path, **ask, limit=101))["code"]
    async with http.get(f"{sim.endpoints[INVERSE]['rest']}{path}") as response:
        assert response.status == 404


async def test_funding_rates_by_page(http, sim, clock):
    """The coin-margined ones alone: the latest first, twenty where nothing is said, fifty at most."""
    path, query = "/swap-api/v1/swap_historical_funding_rate", {"contract_code": "BTC-USD", "page_size": 50}
    pages = [(await said(http, sim, INVERSE, path, **query, page_index=number))["data"] for number in (1, 2)]
    times = [int(each["funding_time"]) for page in pages for each in page["data"]]
    beyond = await said(http, sim, INVERSE, path, **query, page_index=pages[0]["total_page"] + 1)

    assert (100, sorted(set(times), reverse=True)) == (len(times), times)
    assert clock.now // 1000 - 8 * 3_600_000 < times[0] <= clock.now // 1000
    assert [1, 2] == [page["current_page"] for page in pages]
    assert 0 <= 50 * pages[0]["total_page"] - pages[0]["total_size"] < 50
    assert [] == beyond["data"]["data"]
    assert 20 == len((await said(http, sim, INVERSE, path, contract_code="BTC-USD"))["data"]["data"])
    for wrong in ({"page_size": 51}, {"contract_code": "BTC-USDT"}):
        assert 1067 == (await said(http, sim, INVERSE, path, **{**query, **wrong}))["err_code"]


async def test_a_swap_book_begins_with_a_snapshot(http, sim, clock):
    """Then come updates, each with the next version, in whole contracts; leaving ends it."""
    topic = "market.BTC-USDT.depth.size_20.high_freq"
    async with http.ws_connect(f"{sim.endpoints[LINEAR]['ws']}/linear-swap-ws") as socket:
        await socket.send_json({"sub": topic, "data_type": "incremental", "id": "a"})
        await heard(socket)
        clock.now += SECOND // 10
        await sim.tick()
        ticks = [each["tick"] for each in [await heard(socket) for _ in range(3)][1:]]
        await socket.send_json({"unsub": topic, "id": "b"})
        left = await heard(socket)
        await socket.send_json({"unsub": topic, "id": "c"})
        unknown = await heard(socket)

    assert ["snapshot", "update"] == [each["event"] for each in ticks]
    assert 1 == ticks[1]["version"] - ticks[0]["version"]
    assert (20, True) == (len(ticks[0]["bids"]), all(isinstance(size, int) for _, size in ticks[0]["bids"]))
    assert topic == left["unsubbed"]
    assert "unsub with not subbed topic" in unknown["err-msg"]


async def test_coin_margined_contracts_that_expire(http, clock):
    """They have a list and a path of their own, and are unknown below that of the swaps; ccxt wants one listed always."""
    query = {"period": "1min", "size": 2}
    listed = []
    for symbols in (["BTCUSD_PERP"], ["BTCUSD_PERP", "BTCUSD_260327"]):
        market = SyntheticMarket(symbols={MarketType.FUTURES_COIN: symbols})
        async with SimServer(market, clock=clock, tick_s=None, exchanges=[INVERSE]) as sim:
            pages = [
                await said(http, sim, INVERSE, path)
                for path in ("/swap-api/v1/swap_contract_info", "/api/v1/contract_contract_info")
            ]
            listed.append([[(row["contract_code"], row["contract_status"]) for row in page["data"]] for page in pages])
            dated = await said(http, sim, INVERSE, "/market/history/kline", symbol="BTC260327", **query)
            mistaken = [
                await said(http, sim, INVERSE, "/market/history/kline", symbol="BTC-USD", **query),
                await said(http, sim, INVERSE, KLINE[INVERSE], contract_code="BTC260327", **query),
            ]

    assert [[[("BTC-USD", 1)], [("BTC200925", 8)]], [[("BTC-USD", 1)], [("BTC260327", 1)]]] == listed
    assert ("market.BTC260327.kline.1min", 2) == (dated["ch"], len(dated["data"]))
    assert ["invalid symbol"] * 2 == [each["err-msg"] for each in mistaken]
