"""The offline Hyperliquid: its questions, its limits, its retention, heard by aiohttp's client."""

from __future__ import annotations

import aiohttp
import pytest

from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, Unit
from chandlery.sim import Fault, FaultKind, SimServer
from fixtures.support import listing

SPOT, PERPETUAL = "hyperliquid_spot", "hyperliquid_perpetual"


@pytest.fixture
def market():
    return listing("PURRUSDC", "HYPEUSDC")


@pytest.fixture
async def sim(market, clock):
    """Both markets at a clock that stands."""
    async with SimServer(market, clock=clock, tick_s=None, exchanges=[SPOT, PERPETUAL]) as server:
        yield server


async def said(http, sim, exchange, **question):
    """Status and content of an answer."""
    async with http.post(f"{sim.endpoints[exchange]['rest']}/info", json=question) as response:
        return response.status, await (response.json() if response.status == 200 else response.text())


async def opens(http, sim, coin="BTC", interval="1m", **bounds):
    """The opens of an answer, in candles before the running one."""
    asked = {"coin": coin, "interval": interval, **bounds}
    _, rows = await said(http, sim, PERPETUAL, type="candleSnapshot", req=asked)
    found = Interval(interval)
    running = found.floor(sim.clock())
    return [(running - row["t"] * 1000) // found.micros for row in rows]


async def test_bounds_are_inclusive_and_the_oldest_comes_first(http, sim, clock):
    """Without an end up to now."""
    now = Interval.MINUTE_1.floor(clock.now)
    start, end = Unit.MILLIS.of(now - 5 * MINUTE), Unit.MILLIS.of(now - 2 * MINUTE)

    assert [5, 4, 3, 2] == await opens(http, sim, startTime=start, endTime=end)
    assert [4, 3] == await opens(http, sim, startTime=start + 1, endTime=end - 1)
    assert [5, 4, 3, 2, 1, 0] == await opens(http, sim, startTime=start)


async def test_only_the_latest_five_thousand_exist(http, sim, clock):
    """What is older is not there, however it is asked for."""
    then = Unit.MILLIS.of(clock.now - 10 * DAY)
    known = await opens(http, sim, startTime=0)

    assert (5000, 4999, 0) == (len(known), known[0], known[-1])
    assert [] == await opens(http, sim, startTime=then, endTime=then + 60_000)


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ({"type": "l2Book", "coin": "no coin"}, 200),
        ({"type": "candleSnapshot", "req": {"coin": "no coin", "interval": "1m", "startTime": 0}}, 200),
        ({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1w", "startTime": 0}}, 422),
        ({"type": "candleSnapshot", "coin": "BTC", "interval": "1m", "startTime": 0}, 422),
        ({"type": "fundingHistory", "coin": "BTC"}, 422),
        ({"type": "somethingElse"}, 422),
        ({"type": 7}, 422),
    ],
)
async def test_refusals(http, sim, question, status):
    """``null`` for an unknown coin; weeks begin on Thursday there and are none of this market's."""
    answer = await said(http, sim, PERPETUAL, **question)

    assert status == answer[0]
    assert answer[1] is None or "Failed to deserialize" in answer[1]


async def test_spot_pairs_are_called_by_index(http, sim):
    """But for PURR/USDC; a bridged token has a name of its own."""
    _, meta = await said(http, sim, SPOT, type="spotMeta")
    names = {each["index"]: each["name"] for each in meta["tokens"]}
    pairs = {each["name"]: [names[token] for token in each["tokens"]] for each in meta["universe"]}
    by_index = await said(http, sim, SPOT, type="l2Book", coin="@142")
    by_name = await said(http, sim, SPOT, type="l2Book", coin="BTC/USDC")

    assert {"PURR/USDC", "@107", "@142", "@151", "@156"} == set(pairs)
    assert ["UBTC", "USDC"] == pairs["@142"]
    assert [20, 20] == [len(side) for side in by_index[1]["levels"]]
    assert by_name[1] is None


async def test_funding_begins_with_the_oldest(http, sim, clock):
    """Five hundred at most, from the start on."""
    start = Unit.MILLIS.of(clock.now - 400 * DAY)
    _, rates = await said(http, sim, PERPETUAL, type="fundingHistory", coin="BTC", startTime=start)
    _, few = await said(
        http, sim, PERPETUAL, type="fundingHistory", coin="BTC", startTime=rates[1]["time"], endTime=rates[2]["time"]
    )

    assert 500 == len(rates)
    assert 0 <= rates[0]["time"] - start < Unit.MILLIS.of(9 * HOUR)
    assert rates[1:3] == few


async def test_what_an_answer_holds_weighs_too(http, market, clock):
    """Twenty a question, one more for each sixty candles, two for a book."""
    async with SimServer(market, clock=clock, tick_s=None, exchanges=[PERPETUAL], weight_limit=124) as sim:
        page = {"coin": "BTC", "interval": "1m", "startTime": 0}
        statuses = [
            (await said(http, sim, PERPETUAL, **question))[0]
            for question in (
                {"type": "candleSnapshot", "req": page},
                {"type": "meta"},
                {"type": "l2Book", "coin": "BTC"},
            )
        ]

    assert [200, 200, 429] == statuses


async def test_failures(http, sim):
    """A failure of its own has its status; other paths and methods there are none."""
    sim.faults += [Fault(FaultKind.TOO_MANY_REQUESTS), Fault(FaultKind.SERVER_ERROR)]
    statuses = [(await said(http, sim, PERPETUAL, type="exchangeStatus"))[0] for _ in range(3)]
    async with http.get(f"{sim.endpoints[SPOT]['rest']}/info") as response:
        statuses.append(response.status)

    assert [429, 503, 200, 404] == statuses


async def test_a_socket_speaks_of_what_it_is_asked(http, sim, clock):
    """Whole books, candles that never say that they have closed, and pongs."""
    candle = {"type": "candle", "coin": "BTC", "interval": "1m"}
    async with http.ws_connect(f"{sim.endpoints[PERPETUAL]['ws']}/ws") as socket:
        for subscription in ({"type": "l2Book", "coin": "BTC"}, candle, candle):
            await socket.send_json({"method": "subscribe", "subscription": subscription})
        answers = [await socket.receive_json(timeout=5) for _ in range(3)]
        clock.now += SECOND // 10
        await sim.tick()
        heard = [await socket.receive_json(timeout=5) for _ in range(3)]
        await socket.send_json({"method": "unsubscribe", "subscription": {"type": "l2Book", "coin": "BTC"}})
        answers.append(await socket.receive_json(timeout=5))
        clock.now += MINUTE // 2
        await sim.tick()
        heard += [await socket.receive_json(timeout=5) for _ in range(2)]
        await socket.send_json({"method": "ping"})
        answers.append(await socket.receive_json(timeout=5))
    times = [each["data"]["t"] for each in heard if each["channel"] == "candle"]

    assert ["subscriptionResponse"] * 2 + ["error", "subscriptionResponse", "pong"] == [
        each["channel"] for each in answers
    ]
    assert {"method": "subscribe", "subscription": candle} == answers[1]["data"]
    assert answers[2]["data"].startswith("Already subscribed")
    assert ["l2Book", "l2Book", "candle", "candle", "candle"] == [each["channel"] for each in heard]
    assert [20, 20] == [len(side) for side in heard[1]["data"]["levels"]]
    assert [0, 0, 60_000] == [each - times[0] for each in times]


@pytest.mark.parametrize(
    "message",
    [
        {"method": "subscribe", "subscription": {"type": "candle", "coin": "BTC", "interval": "7m"}},
        {"method": "subscribe"},
        {"method": "post"},
        {"method": "unsubscribe", "subscription": {"type": "l2Book", "coin": "BTC"}},
        [],
    ],
)
async def test_refused_commands(http, sim, message):
    """An error in words."""
    async with http.ws_connect(f"{sim.endpoints[PERPETUAL]['ws']}/ws") as socket:
        await socket.send_json(message)
        answer = await socket.receive_json(timeout=5)

    assert "error" == answer["channel"]
    assert [] == sim.subscriptions[PERPETUAL]


@pytest.mark.parametrize("kind", [{"type": "l2Book"}, {"type": "candle", "interval": "1m"}])
async def test_an_unknown_coin_closes_the_connection(http, sim, kind):
    """Without a word, whatever else was subscribed to on it."""
    async with http.ws_connect(f"{sim.endpoints[PERPETUAL]['ws']}/ws") as socket:
        for coin in ("BTC", "NOPE"):
            await socket.send_json({"method": "subscribe", "subscription": {"coin": coin, **kind}})
        kinds = [(await socket.receive(timeout=5)).type for _ in range(2)]

    assert aiohttp.WSMsgType.TEXT is kinds[0]
    assert kinds[1] in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE}


async def test_the_fast_book(http, sim):
    """Five levels a side."""
    async with http.ws_connect(f"{sim.endpoints[PERPETUAL]['ws']}/ws") as socket:
        await socket.send_json({"method": "subscribe", "subscription": {"type": "l2Book", "coin": "BTC", "fast": True}})
        answer = await socket.receive_json(timeout=5)
        await sim.tick()
        book = await socket.receive_json(timeout=5)

    assert answer["data"]["subscription"]["fast"]
    assert [5, 5] == [len(side) for side in book["data"]["levels"]]


async def test_there_is_one_path_for_sockets(http, sim):
    """A socket elsewhere is not opened."""
    async with http.get(f"{sim.endpoints[SPOT]['ws'].replace('ws', 'http', 1)}/stream") as response:
        assert response.status in {400, 404}
