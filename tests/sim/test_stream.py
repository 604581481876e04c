"""The kline streams, heard by aiohttp's client."""

import asyncio
from datetime import UTC, datetime

import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import MINUTE, SECOND
from chandlery.sim import SimServer

SPOT, LINEAR, INVERSE = "binance_spot", "binance_perpetual", "binance_inverse"


async def subscribe(socket, *names, method="SUBSCRIBE"):
    await socket.send_json({"method": method, "params": list(names), "id": 1})
    return await socket.receive_json(timeout=5)


async def test_the_running_candle_each_tick_and_the_closed_one_once(http, sim, market, clock):
    """While a minute runs its frames grow; when it is over, one frame says so, and the next minute begins."""
    clock.now = to_micros(datetime(2025, 3, 12, 10, 20, 30, tzinfo=UTC))
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/ws/btcusdt@kline_1m") as socket:
        frames = []
        for step, count in ((0, 1), (20 * SECOND, 1), (15 * SECOND, 2), (SECOND, 1)):
            clock.now += step
            await sim.tick()
            frames += [await socket.receive_json(timeout=5) for _ in range(count)]
    opened = clock.now - clock.now % MINUTE - MINUTE
    candles = [frame["k"] for frame in frames]
    line = market.lines(MarketType.SPOT, "BTCUSDT", Interval.MINUTE_1, Span(opened, opened + MINUTE))[0]
    closed = candles[2]

    assert [(each["t"] * 1000, each["x"]) for each in candles] == [
        (opened, False),
        (opened, False),
        (opened, True),
        (opened + MINUTE, False),
        (opened + MINUTE, False),
    ]
    counts = [each["n"] for each in candles[:3]]
    assert counts == sorted(set(counts))
    assert [closed["o"], closed["h"], closed["l"], closed["c"], closed["v"]] == line.decode().split(",")[1:6]
    assert [closed["q"], str(closed["n"]), closed["V"], closed["Q"]] == line.decode().split(",")[7:11]
    assert closed["T"] == closed["t"] + 59_999
    assert (frames[0]["e"], frames[0]["s"], closed["s"], closed["i"]) == ("kline", "BTCUSDT", "BTCUSDT", "1m")


async def test_combined_streams_and_commands(http, sim):
    """SUBSCRIBE, LIST_SUBSCRIPTIONS and UNSUBSCRIBE have results, frames name their stream."""
    async with http.ws_connect(
        f"{sim.endpoints[SPOT]['ws']}/stream?streams=btcusdt@kline_1m/ethusdt@kline_1s"
    ) as socket:
        assert await subscribe(socket, "bnbusdt@kline_1h") == {"result": None, "id": 1}
        assert (await subscribe(socket, method="LIST_SUBSCRIPTIONS"))["result"] == [
            "btcusdt@kline_1m",
            "ethusdt@kline_1s",
            "bnbusdt@kline_1h",
        ]
        assert await subscribe(socket, "ethusdt@kline_1s", method="UNSUBSCRIBE") == {"result": None, "id": 1}
        assert sim.subscriptions[SPOT] == ["bnbusdt@kline_1h", "btcusdt@kline_1m"]
        await sim.tick()
        frames = [await socket.receive_json(timeout=5) for _ in range(2)]

    assert [(frame["stream"], frame["data"]["k"]["i"]) for frame in frames] == [
        ("btcusdt@kline_1m", "1m"),
        ("bnbusdt@kline_1h", "1h"),
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"method": "SING", "id": 1}', '{"params": []}'])
async def test_bad_commands_have_an_error(http, sim, text):
    """Code 2, and the socket stays open."""
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/ws") as socket:
        await socket.send_str(text)
        assert (await socket.receive_json(timeout=5))["error"]["code"] == 2
        assert (await subscribe(socket, "btcusdt@kline_1m"))["result"] is None


@pytest.mark.parametrize(
    ("exchange", "path", "speaks"),
    [
        (SPOT, "/ws", True),
        (INVERSE, "/ws", True),
        (LINEAR, "/market/ws", True),
        (LINEAR, "/ws", False),
        (LINEAR, "/stream", False),
        (LINEAR, "/public/ws", False),
    ],
)
async def test_an_acknowledgement_proves_nothing(http, sim, exchange, path, speaks):
    """The old paths of USD-M acknowledge and send nothing; what answers after a tick is the next command."""
    name = "btcusd_perp@kline_1m" if exchange == INVERSE else "btcusdt@kline_1m"
    async with http.ws_connect(f"{sim.endpoints[exchange]['ws']}{path}") as socket:
        assert await subscribe(socket, name) == {"result": None, "id": 1}
        await sim.tick()
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        frame = await socket.receive_json(timeout=5)

    assert ("k" in frame.get("data", frame)) == speaks


async def test_streams_that_are_none_stay_silent(http, sim):
    """Unknown intervals, capitals, and other kinds are acknowledged and never heard."""
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/ws") as socket:
        await subscribe(
            socket, "btcusdt@kline_7m", "BTCUSDT@kline_1m", "btcusdt@trade", "x@kline_1m", "btcusdt@kline_1m"
        )
        await sim.tick()
        await sim.tick()
        frames = [await socket.receive_json(timeout=5) for _ in range(2)]

    assert [frame["k"]["i"] for frame in frames] == ["1m", "1m"]


async def test_it_ticks_of_its_own_accord(http, market, clock):
    """With ``tick_s``, frames come without being asked for; the sleep is the caller's."""
    turns = asyncio.Semaphore(0)

    async def sleep(seconds):
        assert seconds == 0.25
        await turns.acquire()

    async with (
        SimServer(market, clock=clock, tick_s=0.25, sleep=sleep) as sim,
        http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/ws/btcusdt@kline_1m") as socket,
    ):
        assert (await subscribe(socket, method="LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@kline_1m"]
        turns.release()
        assert (await socket.receive_json(timeout=5))["e"] == "kline"


async def test_closing_the_server_closes_its_sockets(http, market, clock):
    """A client hears of the end."""
    async with SimServer(market, clock=clock, tick_s=None) as sim:
        socket = await http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/ws/btcusdt@kline_1m")
        assert (await subscribe(socket, method="LIST_SUBSCRIPTIONS"))["id"] == 1
        listening = asyncio.create_task(socket.receive(timeout=5))
    message = await listening

    assert message.type.name in {"CLOSE", "CLOSED", "CLOSING"}
    await socket.close()
