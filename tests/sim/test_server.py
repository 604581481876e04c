"""The server: faults on the wire, and its life."""

import asyncio

import aiohttp
import pytest

from chandlery.core.errors import ExchangeUnavailable, UnknownName
from chandlery.sim import Fault, FaultKind, SimServer, SyntheticMarket, running

FILE = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-01-01.zip"


async def time_of(http, sim):
    async with http.get(f"{sim.endpoints['binance_spot']['rest']}/api/v3/time") as response:
        return response.status, await response.read(), response.headers


@pytest.mark.parametrize(
    ("fault", "status", "wait"),
    [
        (Fault(FaultKind.TOO_MANY_REQUESTS, retry_after=3), 429, "3"),
        (Fault(FaultKind.BANNED, retry_after=120), 418, "120"),
        (Fault(FaultKind.SERVER_ERROR), 503, None),
        (Fault(FaultKind.SERVER_ERROR, status=500), 500, None),
    ],
)
async def test_refusing_answers(http, sim, fault, status, wait):
    """The status and the Retry-After that were asked for, once, and counted."""
    sim.faults.append(fault)
    answers = [await time_of(http, sim) for _ in range(2)]

    assert [answer[0] for answer in answers] == [status, 200]
    assert answers[0][2].get("Retry-After") == wait
    assert fault.used == 1
    assert [entry[2] for entry in sim.log] == [status, 200]


async def test_broken_answers(http, sim):
    """A cut body and a reset are errors of the connection, bad JSON is not JSON; the log has status 0 for what was cut."""
    sim.faults += [Fault(FaultKind.CUT_BODY), Fault(FaultKind.RESET), Fault(FaultKind.BAD_JSON)]
    with pytest.raises(aiohttp.ClientPayloadError):
        await time_of(http, sim)
    with pytest.raises(aiohttp.ClientOSError):
        async with http.post(f"{sim.endpoints['binance_spot']['rest']}/api/v3/time"):
            pass
    status, body, _ = await time_of(http, sim)

    assert (status, body) == (200, b'{"serverTime":')
    assert [entry[2] for entry in sim.log] == [0, 0, 200]
    assert (await time_of(http, sim))[0] == 200


async def test_late_and_missing_answers(http, market, clock):
    """A slow answer comes after its seconds, a stalled one never: after its own the connection is cut."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        await asyncio.sleep(0)

    faults = [Fault(FaultKind.SLOW, seconds=3), Fault(FaultKind.STALL, seconds=60)]
    async with SimServer(market, clock=clock, tick_s=None, faults=faults, sleep=sleep) as sim:
        assert (await time_of(http, sim))[0] == 200
        with pytest.raises(aiohttp.ServerDisconnectedError):
            async with http.post(f"{sim.endpoints['binance_spot']['rest']}/api/v3/time"):
                pass

    assert slept == [3, 60]


def test_running_serves_callers_without_an_event_loop():
    """It runs in a thread of its own, is heard there, and is gone afterwards."""
    import requests

    with running(SyntheticMarket(), tick_s=None) as sim:
        url = f"{sim.endpoints['binance_spot']['rest']}/api/v3/ping"
        assert requests.get(url, timeout=10).json() == {}
        assert list(sim.log) == [("GET", "/binance_spot/api/v3/ping", 200)]
        with pytest.raises(ExchangeUnavailable, match="cannot listen"), running(port=sim.port):
            pass
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)


def test_an_unknown_exchange_is_refused():
    """The error names those that there are."""
    with pytest.raises(UnknownName, match="binance_spot"):
        SimServer(SyntheticMarket(), exchanges=["nowhere"])
