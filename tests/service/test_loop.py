"""No request, however heavy, keeps the event loop of the service from the others."""

from __future__ import annotations

import asyncio
import re
import time

import aiohttp
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from yarl import URL

from fixtures.monitored_service import monitored_service

LONGEST_CALLBACK_S = 0.005
HEALTH_P99_S, HEALTH_MAX_S = 0.050, 0.250
FULL = {"exchange": "binance", "symbol": "BTC/USDT", "interval": "1m"}
THIN = {"exchange": "kucoin", "symbol": "THIN/USDT", "interval": "1m"}
YEAR = {"start": "2024-01-01", "end": "2025-01-01"}
WEEKS = {"start": "2025-04-01", "end": "2025-04-17"}
_NEXT = re.compile(rb'"next": ?"([^"]+)"')


async def download(session, **query):
    """Read a whole answer."""
    async with session.get("/v1/candles", params=query) as answer:
        assert 200 == answer.status, await answer.text()
        return sum([len(part) async for part in answer.content.iter_any()])


async def pages(session, count, **query):
    """Read so many pages; nothing is decoded, which would take the client's loop."""
    for _ in range(count):
        async with session.get("/v1/candles", params=query) as answer:
            assert 200 == answer.status, await answer.text()
            following = _NEXT.search((await answer.read())[-200:])
        if following is None:
            break
        query["cursor"] = following[1].decode()


async def over_the_socket(session, form, **query):
    """Read a range over the socket; nothing but its end is decoded."""
    async with session.ws_connect("/v1/ws", max_msg_size=0) as socket:
        await socket.send_json({"type": "request_historical", "format": form} | query)
        async for message in socket:
            head = message.data[:60]
            if isinstance(head, str) and '"historical_data_complete"' in head:
                return
            assert "error" not in str(head), message.data
            await asyncio.sleep(0)


async def by_tool(session, name, **arguments):
    """Call a tool as a language model does."""
    async with httpx2.AsyncClient(timeout=120, verify=False) as http:  # to load certificates holds up this loop
        transport = streamable_http_client(str(session._base_url.join(URL("/mcp"))), http_client=http)
        async with Client(transport) as client:
            answer = await client.call_tool(name, arguments)
            assert not answer.is_error, answer


HEAVY = {
    "a page of 1,000": lambda session: pages(session, 5, **FULL, **YEAR, limit=1_000),
    "a page of 50,000": lambda session: pages(session, 3, **FULL, **YEAR, limit=50_000),
    "csv": lambda session: download(session, **FULL, **YEAR, format="csv"),
    "arrow": lambda session: download(session, **FULL, **YEAR, format="arrow"),
    "parquet": lambda session: download(session, **FULL, **YEAR, format="parquet"),
    "json over the socket": lambda session: over_the_socket(session, "json", **FULL, **YEAR),
    "arrow over the socket": lambda session: over_the_socket(session, "arrow", **FULL, **YEAR),
    "a download by a tool": lambda session: by_tool(session, "download_historical_data", **FULL, **YEAR),
    "a summary by a tool": lambda session: by_tool(session, "summarize_candles", **FULL, **YEAR, buckets=50),
    "thin pages": lambda session: pages(session, 5, **THIN, **WEEKS, limit=1_000),
    "a large thin page": lambda session: pages(session, 1, **THIN, **WEEKS, limit=50_000),
    "thin over the socket": lambda session: over_the_socket(session, "json", **THIN, **WEEKS),
    "a thin summary by a tool": lambda session: by_tool(session, "summarize_candles", **THIN, **WEEKS),
}
"""A heavy request of each interface."""


async def waits_for_health(session, request):
    """How long ``/healthz`` took while a request was answered, in order of length."""
    waits = []
    task = asyncio.create_task(request(session))
    while not task.done() or len(waits) < 20:
        began = time.perf_counter()
        async with session.get("/healthz") as answer:
            await answer.read()
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
    await task
    return sorted(waits)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_no_heavy_request_keeps_others_waiting(tmp_path, capsys):
    """
    One of each interface at a time, cold and warm: no callback takes over 5 ms, and ``/healthz`` is answered meanwhile.

    The 99th percentile is that of all answers, since most requests are over before there are a hundred.
    """
    table, answered = {}, []
    async with monitored_service(tmp_path) as service, aiohttp.ClientSession(service.url) as session:
        await waits_for_health(session, lambda session: pages(session, 1, **FULL, start="2023-01-01", end="2023-01-02"))
        await service.slowest()  # what is loaded once
        for warmth in ("cold", "warm"):
            for kind, request in HEAVY.items():
                waits = await waits_for_health(session, request)
                (worst, longest_s), *_ = await service.slowest()
                most = waits[-1]
                answered += waits
                table[f"{kind}, {warmth}"] = (longest_s, most)
                with capsys.disabled():
                    print(  # noqa: T201
                        f"{kind + ', ' + warmth:34} callback {longest_s * 1e3:7.1f} ms ({worst[:110]}), "
                        f"/healthz of {len(waits):4}: max {most * 1e3:6.1f} ms",
                        flush=True,
                    )
    p99 = sorted(answered)[int(len(answered) * 0.99)]
    with capsys.disabled():
        print(f"/healthz of {len(answered)}: p99 {p99 * 1e3:.1f} ms")  # noqa: T201
    assert {} == {name: each for name, each in table.items() if each[0] > LONGEST_CALLBACK_S}
    assert {} == {name: each for name, each in table.items() if each[1] > HEALTH_MAX_S}
    assert p99 <= HEALTH_P99_S
