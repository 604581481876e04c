"""Coinbase's wire: its bounds, its page, its products, and the numbers of its messages."""

from __future__ import annotations

import json

import pytest

from chandlery.core.time import MINUTE, SECOND
from chandlery.sim import Fault, FaultKind, SimServer

ID = "coinbase_spot"
PREFIX = "/api/v3/brokerage"


@pytest.fixture
async def sim(market, clock):
    async with SimServer(market, clock=clock, tick_s=None, exchanges=[ID]) as server:
        yield server


@pytest.fixture
async def socket(http, sim):
    async with http.ws_connect(sim.endpoints[ID]["ws"]) as opened:
        yield opened


async def get(http, sim, path, **params):
    async with http.get(sim.endpoints[ID]["rest"] + PREFIX + path, params=params) as response:
        return response.status, await response.json()


async def told(socket, **command):
    await socket.send_str(json.dumps(command))
    return await socket.receive_json()


async def test_candles_include_both_bounds_and_begin_with_the_latest(http, sim, clock):
    """Objects of text."""
    now = clock.now // MINUTE * 60
    query = {"granularity": "ONE_MINUTE", "start": now - 120, "end": now}
    status, found = await get(http, sim, "/market/products/BTC-USDT/candles", **query)

    assert (200, [str(now), str(now - 60), str(now - 120)]) == (status, [each["start"] for each in found["candles"]])
    assert {str} == {type(value) for value in found["candles"][0].values()}


@pytest.mark.parametrize(
    ("product", "query", "status", "error"),
    [
        ("BTC-USDT", {"granularity": "ONE_MINUTE", "start": 0, "end": 349 * 60}, 200, None),
        ("BTC-USDT", {"granularity": "ONE_MINUTE", "start": 0, "end": 350 * 60}, 400, "INVALID_ARGUMENT"),
        ("BTC-USDT", {"granularity": "ONE_MINUTE", "start": 0}, 400, "INVALID_ARGUMENT"),
        ("BTC-USDT", {"granularity": "ONE_WEEK", "start": 0, "end": 60}, 400, "INVALID_ARGUMENT"),
        ("BTCUSDT", {"granularity": "ONE_MINUTE", "start": 0, "end": 60}, 404, "NOT_FOUND"),
    ],
)
async def test_a_span_of_350_candles_is_refused_whole(http, sim, product, query, status, error):
    """So are a bound that is missing, a granularity and a product that do not exist."""
    came, found = await get(http, sim, f"/market/products/{product}/candles", **query)

    assert (status, error) == (came, found.get("error"))


async def test_what_else_is_not_there(http, sim):
    """A book of an unknown product, a path of none; futures are an empty list."""
    assert 404 == (await get(http, sim, "/market/product_book", product_id="nope"))[0]
    assert 404 == (await get(http, sim, "/nowhere"))[0]
    assert [] == (await get(http, sim, "/market/products", product_type="FUTURE"))[1]["products"]


async def test_how_a_failure_is_worded(http, sim):
    """With a word."""
    sim.faults += [Fault(FaultKind.TOO_MANY_REQUESTS), Fault(FaultKind.SERVER_ERROR)]
    answers = [await get(http, sim, "/time") for _ in range(3)]

    assert [(429, "RESOURCE_EXHAUSTED"), (503, "INTERNAL")] == [
        (status, found["error"]) for status, found in answers[:2]
    ]
    assert str(sim.clock() // 1000) == answers[2][1]["epochMillis"]


async def test_a_fetched_book(http, sim):
    """Objects of text, as many as were asked for."""
    _, found = await get(http, sim, "/market/product_book", product_id="BTC-USDT", limit=5)
    book = found["pricebook"]

    assert ("BTC-USDT", 5, 5) == (book["product_id"], len(book["bids"]), len(book["asks"]))
    assert float(book["bids"][0]["price"]) < float(book["asks"][0]["price"])


async def test_heartbeats_come_to_those_that_want_them_and_are_counted(sim, socket):
    """Every message of the connection has the next number, whatever its channel."""
    first = await told(socket, type="subscribe", channel="level2", product_ids=["BTC-USDT"])
    second = await told(socket, type="subscribe", channel="heartbeats")
    await sim.tick()
    later = [await socket.receive_json() for _ in range(2)]
    last = await told(socket, type="unsubscribe", channel="heartbeats")

    assert {"level2": ["BTC-USDT"]} == first["events"][0]["subscriptions"]
    assert {"level2": ["BTC-USDT"], "heartbeats": ["heartbeats"]} == second["events"][0]["subscriptions"]
    assert ["heartbeats", "l2_data"] == [each["channel"] for each in later]
    assert [0, 1, 2, 3, 4] == [each["sequence_num"] for each in (first, second, *later, last)]


async def test_a_book_begins_whole_and_a_lost_message_leaves_a_hole_in_the_numbers(sim, socket, clock):
    """A plain 0 deletes."""
    await told(socket, type="subscribe", channel="level2", product_ids=["BTC-USDT"])
    await sim.tick()
    snapshot = await socket.receive_json()
    sim.faults.append(Fault(FaultKind.SKIPPED_UPDATE, after=5))
    clock.now += 3 * SECOND
    await sim.tick()
    updates = [await socket.receive_json() for _ in range(29)]
    sizes = [row["new_quantity"] for each in updates for row in each["events"][0]["updates"]]

    assert ("snapshot", 100) == (snapshot["events"][0]["type"], len(snapshot["events"][0]["updates"]))
    assert [*range(2, 7), *range(8, 32)] == [each["sequence_num"] for each in updates]
    assert "0" in sizes
    assert not any(size != "0" and not size.strip("0.") for size in sizes)


async def test_candles_are_of_five_minutes(sim, socket, clock):
    """Those that have closed since and the running one, in one message."""
    await told(socket, type="subscribe", channel="candles", product_ids=["BTC-USDT"])
    await sim.tick()
    clock.now += 5 * MINUTE
    await socket.receive_json()
    await sim.tick()
    rows = (await socket.receive_json())["events"][0]["candles"]
    running = clock.now // (5 * MINUTE) * 300

    assert [str(running), str(running - 300)] == [each["start"] for each in rows]
    assert {"BTC-USDT"} == {each["product_id"] for each in rows}


@pytest.mark.parametrize(
    "command",
    [
        {"type": "subscribe", "channel": "candles", "product_ids": ["NOPE"]},
        {"type": "subscribe", "channel": "gossip", "product_ids": ["BTC-USDT"]},
        {"type": "shout", "channel": "candles"},
        {"channel": "candles"},
    ],
)
async def test_refused_commands(sim, socket, command):
    """A message of type error, which has no number; nothing is subscribed to."""
    answer = await told(socket, **command)

    assert ("error", None) == (answer["type"], answer.get("sequence_num"))
    assert [] == sim.subscriptions[ID]
