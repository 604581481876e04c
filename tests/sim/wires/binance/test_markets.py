"""The offline Binance: which socket says what, and how books are numbered, heard by aiohttp's client."""

from __future__ import annotations

from itertools import pairwise

import pytest

from chandlery.core.time import MINUTE, SECOND
from chandlery.sim import SimServer

SPOT, LINEAR, INVERSE = "binance_spot", "binance_perpetual", "binance_inverse"
PREFIX = {SPOT: "/api/v3", LINEAR: "/fapi/v1", INVERSE: "/dapi/v1"}
SYMBOL = {SPOT: "BTCUSDT", LINEAR: "BTCUSDT", INVERSE: "BTCUSD_PERP"}
BOOKS = {SPOT: "/ws", LINEAR: "/public/ws", INVERSE: "/ws"}


@pytest.fixture
async def sim(market, clock):
    """All three markets at a clock that stands."""
    async with SimServer(market, clock=clock, tick_s=None, exchanges=list(PREFIX)) as server:
        yield server


async def asked(socket, method, *params):
    """The answer to a command."""
    await socket.send_json({"method": method, "params": params, "id": 7})
    return await socket.receive_json(timeout=5)


@pytest.mark.parametrize("exchange", list(PREFIX))
async def test_changes_follow_the_snapshot(http, sim, clock, exchange):
    """Each begins where the last ended; the futures name in ``pu`` the one before, COIN-M the pair besides."""
    symbol = SYMBOL[exchange]
    async with http.ws_connect(f"{sim.endpoints[exchange]['ws']}{BOOKS[exchange]}") as socket:
        await asked(socket, "SUBSCRIBE", f"{symbol.lower()}@depth@100ms")
        url = f"{sim.endpoints[exchange]['rest']}{PREFIX[exchange]}/depth"
        async with http.get(url, params={"symbol": symbol, "limit": 20}) as response:
            snapshot = await response.json()
        clock.now += SECOND // 2
        await sim.tick()
        events = [await socket.receive_json(timeout=5) for _ in range(5)]

    assert (20, 20) == (len(snapshot["bids"]), len(snapshot["asks"]))
    assert snapshot["lastUpdateId"] + 1 == events[0]["U"]
    for before, after in pairwise(events):
        assert before["u"] + 1 == after["U"]
        assert exchange == SPOT or before["u"] == after["pu"]
    assert [None if exchange != INVERSE else "BTCUSD"] * 5 == [each.get("ps") for each in events]


@pytest.mark.parametrize(("path", "kinds"), [("/market/ws", ["kline"]), ("/public/ws", ["depthUpdate"]), ("/ws", [])])
async def test_usd_m_has_a_socket_for_candles_and_one_for_books(http, sim, clock, path, kinds):
    """The other one acknowledges and says nothing of it, and the former path says nothing at all."""
    async with http.ws_connect(f"{sim.endpoints[LINEAR]['ws']}{path}") as socket:
        answer = await asked(socket, "SUBSCRIBE", "btcusdt@kline_1m", "btcusdt@depth")
        clock.now += SECOND // 10
        await sim.tick()
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 8})
        heard = []
        while (event := await socket.receive_json(timeout=5)).get("id") != 8:
            heard.append(event["e"])

    assert {"result": None, "id": 7} == answer
    assert kinds == heard


async def test_a_candle_that_closes_is_said_to_be(http, sim, clock):
    """Once, and the next one after it; on a combined stream each is wrapped with the stream's name."""
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/stream?streams=btcusdt@kline_1m") as socket:
        assert ["btcusdt@kline_1m"] == (await asked(socket, "LIST_SUBSCRIPTIONS"))["result"]
        clock.now += MINUTE // 2
        await sim.tick()
        events = [await socket.receive_json(timeout=5) for _ in range(2)]

    assert ["btcusdt@kline_1m"] * 2 == [each["stream"] for each in events]
    assert [True, False] == [each["data"]["k"]["x"] for each in events]
    assert events[0]["data"]["k"]["T"] + 1 == events[1]["data"]["k"]["t"]


async def test_commands(http, sim):
    """Whatever is asked for is acknowledged and listed; a method that is none is refused, as is what is no JSON."""
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/ws") as socket:
        await asked(socket, "SUBSCRIBE", "btcusdt@kline_1m", "BTCUSDT@kline_1m", "nonsense")
        listed = await asked(socket, "LIST_SUBSCRIPTIONS")
        await asked(socket, "UNSUBSCRIBE", "nonsense")
        left = await asked(socket, "LIST_SUBSCRIPTIONS")
        unknown = await asked(socket, "SHOUT")
        await socket.send_str("[")
        broken = await socket.receive_json(timeout=5)

    assert ["btcusdt@kline_1m", "BTCUSDT@kline_1m", "nonsense"] == listed["result"]
    assert ["btcusdt@kline_1m", "BTCUSDT@kline_1m"] == left["result"]
    assert [2, 2] == [unknown["error"]["code"], broken["error"]["code"]]
