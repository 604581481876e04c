"""Streams of lines, heard by aiohttp's client."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from chandlery.core.time import MINUTE
from chandlery.sim import Fault, FaultKind, SimServer, SyntheticMarket
from fixtures.support import SPOT

FORM = {"grant_type": "refresh_token", "client_id": "key", "refresh_token": "long"}
TARGET = "/v3/marketdata/stream/barcharts/MSFT?interval=1&unit=Minute&barsback=1"


@pytest.fixture
async def sim(clock):
    market = SyntheticMarket(symbols={SPOT: ("MSFT",)})
    async with SimServer(market, exchanges=["tradestation"], clock=clock, tick_s=None) as server:
        yield server


async def opened(sim, http):
    """A stream, and the function that gives its next line that is no heartbeat."""
    base = sim.endpoints["tradestation"]
    async with http.post(f"{base['auth']}/oauth/token", data=FORM) as answer:
        token = (await answer.json())["access_token"]
    stream = await http.get(base["rest"] + TARGET, headers={"Authorization": f"Bearer {token}"})

    async def line():
        while True:
            content = json.loads(await asyncio.wait_for(stream.content.readline(), 5))
            if "Heartbeat" not in content:
                return content

    return stream, line


async def test_the_running_bar_each_tick_and_the_closed_one_once(sim, http, clock):
    """As on sockets, in chunks, a line each; the stream counts as a subscription for as long as it is read."""
    stream, line = await opened(sim, http)
    await sim.tick()
    first = await line()
    assert {"tradestation": [TARGET]} == sim.subscriptions
    clock.now += MINUTE
    await sim.tick()
    second, third = await line(), await line()

    assert "application/vnd.tradestation.streams.v2+json" == stream.headers["Content-Type"]
    assert "chunked" == stream.headers["Transfer-Encoding"]
    assert ["Open", "Closed", "Open"] == [each["BarStatus"] for each in (first, second, third)]
    assert first["Epoch"] == second["Epoch"] == third["Epoch"] - 60_000
    stream.close()
    while sim.subscriptions["tradestation"]:
        await sim.tick()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "kind", [FaultKind.DROP, FaultKind.TOKEN_EXPIRED, FaultKind.POLICY_CLOSE], ids=lambda kind: kind.value
)
async def test_a_stream_that_ends(sim, http, kind):
    """Cut off, or with its end; after an expiry of tokens another one is not opened with the same."""
    sim.faults.append(Fault(kind, after=1))
    stream, line = await opened(sim, http)
    await sim.tick()
    await line()
    await sim.tick()
    assert (kind is FaultKind.POLICY_CLOSE) == await whole(stream)
    stream.close()
    again = await http.get(stream.url, headers=stream.request_info.headers)
    assert (401 if kind is FaultKind.TOKEN_EXPIRED else 200) == again.status
    again.close()


async def whole(stream):
    """Whether an answer came to its end, and was not cut off."""
    try:
        await asyncio.wait_for(stream.read(), 5)
    except (aiohttp.ClientError, ConnectionError):
        return False
    return True


async def test_a_line_that_is_damaged(sim, http):
    """Something that is no JSON comes in place of a bar, and then comes again what is right."""
    sim.faults.append(Fault(FaultKind.GARBAGE))
    stream, line = await opened(sim, http)
    await sim.tick()
    with pytest.raises(ValueError, match=r"decode|Expecting"):
        await line()
    await sim.tick()
    assert "Open" == (await line())["BarStatus"]
    stream.close()


async def test_who_has_no_token_gets_no_stream(sim, http):
    """An ordinary answer says so."""
    async with http.get(sim.endpoints["tradestation"]["rest"] + TARGET) as answer:
        assert (401, "Unauthorized") == (answer.status, (await answer.json())["Error"])
