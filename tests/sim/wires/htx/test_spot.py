"""The offline HTX, spot: its bounds, its order, its refusals, its compressed frames, heard by aiohttp's client."""

from __future__ import annotations

import gzip
import json

import aiohttp
import pytest

from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.sim import SimServer

SPOT = "htx_spot"


@pytest.fixture
def passed():
    """The seconds that have really passed, as the test sets them."""
    return [0.0]


@pytest.fixture
async def sim(market, clock, passed):
    """The market at a clock that stands."""
    async with SimServer(market, clock=clock, tick_s=None, exchanges=[SPOT], ticks=lambda: passed[0]) as server:
        yield server


async def said(http, sim, path, **query):
    """The body of an answer, which has status 200."""
    async with http.get(f"{sim.endpoints[SPOT]['rest']}{path}", params=query) as response:
        assert response.status == 200
        return await response.json()


async def opens(http, sim, path, **query):
    """The opens of a page of minutes, in minutes before the running one."""
    body = await said(http, sim, path, **{"symbol": "btcusdt", "period": "1min", **query})
    running = Interval.MINUTE_1.floor(sim.clock()) // SECOND
    return [(running - row["id"]) // 60 for row in body["data"]]


async def heard(socket):
    """The next message, unpacked."""
    frame = await socket.receive(timeout=5)
    assert frame.type is aiohttp.WSMsgType.BINARY
    return json.loads(gzip.decompress(frame.data))


async def test_spot_pages_begin_with_the_latest(http, sim, clock):
    """One endpoint knows no time; the other gives the oldest from there on, and nothing where too much is asked for."""
    now = Interval.MINUTE_1.floor(clock.now)
    start, end = (now - 5 * MINUTE) // SECOND, (now - 2 * MINUTE) // SECOND

    assert list(range(150)) == await opens(http, sim, "/market/history/kline")
    assert [0, 1] == await opens(http, sim, "/market/history/kline", size=2, **{"from": start})
    history = "/market/history/candles"
    assert [2, 3, 4, 5] == await opens(http, sim, history, **{"from": start, "to": end})
    assert [3, 4] == await opens(http, sim, history, **{"from": start + 1, "to": end - 1})
    assert [4, 5] == await opens(http, sim, history, size=2, **{"from": start})
    assert [] == await opens(http, sim, history, size=1001, **{"from": start})


async def test_a_spot_book_has_its_snapshot_on_demand(http, sim, clock):
    """Its messages name the number of the one before; it has a socket of its own, where there are no candles."""
    topic = "market.btcusdt.mbp.150"
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/feed") as socket:
        await socket.send_json({"sub": topic, "id": "a"})
        acknowledged = await heard(socket)
        await socket.send_json({"req": topic, "id": "b"})
        snapshot = await heard(socket)
        clock.now += SECOND // 5
        await sim.tick()
        ping, *changes = [await heard(socket) for _ in range(3)]
        await socket.send_json({"sub": "market.btcusdt.kline.1min", "id": "c"})
        refused = await heard(socket)

    assert ("a", topic) == (acknowledged["id"], acknowledged["subbed"])
    assert ["ping"] == list(ping)
    assert ("b", topic, 50) == (snapshot["id"], snapshot["rep"], len(snapshot["data"]["asks"]))
    numbers = [snapshot["data"]["seqNum"], *(each["tick"]["seqNum"] for each in changes)]
    assert numbers[:2] == [each["tick"]["prevSeqNum"] for each in changes]
    assert ("error", "bad-request") == (refused["status"], refused["err-code"])


async def test_who_answers_no_pings_is_cut_off(http, sim, passed):
    """Every five seconds comes one; an answer to the latest is enough, two without are too many."""
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/ws") as socket:

        async def turn(*, answer):
            passed[0] += 5
            await sim.tick()
            ping = await heard(socket)
            if answer:
                await socket.send_json({"pong": ping["ping"]})
                await socket.send_json({"ping": 7})
                assert {"pong": 7} == await heard(socket)

        for answer in (True, False, True, False, False):
            await turn(answer=answer)
        await sim.tick()
        passed[0] += 5
        await sim.tick()
        closed = await socket.receive(timeout=5)

    assert closed.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"symbol": "BTCUSDT"}, "invalid symbol"),
        ({}, "invalid symbol"),
        ({"symbol": "btcusdt", "period": "1day"}, "invalid period"),
        ({"symbol": "btcusdt", "size": 2001}, "invalid size,valid range: [1, 2000]"),
        ({"symbol": "btcusdt", "size": 0}, "invalid size,valid range: [1, 2000]"),
        ({"symbol": "btcusdt", "from": "x"}, "invalid from"),
    ],
)
async def test_refusals_have_status_200(http, sim, query, words):
    """And a code and words."""
    body = await said(http, sim, "/market/history/candles", **{"period": "1min", **query})

    assert ("error", "invalid-parameter", words) == (body["status"], body["err-code"], body["err-msg"])


async def test_a_book_by_rest(http, sim):
    """All levels that the market has, or the twenty best."""
    for step, levels in (("step0", 50), ("step6", 20)):
        tick = (await said(http, sim, "/market/depth", symbol="btcusdt", type=step))["tick"]
        assert (levels, levels) == (len(tick["bids"]), len(tick["asks"]))
        assert tick["bids"][0][0] < tick["asks"][0][0]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("[", "not json string"),
        ('{"sub":"market.BTCUSDT.kline.1min","id":"1"}', "invalid symbol BTCUSDT"),
        ('{"sub":"market.btcusdt.kline.1m","id":"1"}', "invalid topic market.btcusdt.kline.1m"),
        ('{"sub":"market.btcusdt.mbp.150","id":"1"}', "invalid topic market.btcusdt.mbp.150"),
        ('{"req":"market.btcusdt.mbp.150","id":"1"}', "invalid topic market.btcusdt.mbp.150"),
        ('{"sub":"nonsense","id":"1"}', "invalid topic nonsense"),
    ],
)
async def test_refused_commands(http, sim, message, words):
    """With the words of the exchange, and compressed as everything."""
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/ws") as socket:
        await socket.send_str(message)
        answer = await heard(socket)

    assert ("error", words) == (answer["status"], answer["err-msg"])
    assert [] == sim.subscriptions[SPOT]


async def test_other_paths_are_not_found(http, sim):
    """By REST and for sockets."""
    for path in ("/ws/v2", "/v1/common/timestamps", "/swap-ex/market/history/kline"):
        async with http.get(f"{sim.endpoints[SPOT]['rest']}{path}") as response:
            assert (404, "not-found") == (response.status, (await response.json())["err-code"])
