"""All doors together."""

from __future__ import annotations

import asyncio
import re

import anyio

from chandlery.core.errors import StorageFull


async def test_health(running):
    """It is alive; it is ready as long as the database takes what is collected."""
    service, session = running
    for path in ("/healthz", "/readyz"):
        async with session.get(path) as answer:
            assert (200, "ok") == (answer.status, (await answer.json())["status"])
    service.database._failure = StorageFull("no room")
    async with session.get("/readyz") as answer:
        content = await answer.json()
    assert (503, "no room") == (answer.status, content["detail"])


async def test_every_answer_says_whose_data_it_serves(running):
    """A header of all of them, that of a socket's handshake too, and a field of ``/healthz``."""
    _, session = running
    for path in ("/healthz", "/v1/coins", "/nowhere/at/all"):
        async with session.get(path) as answer:
            assert "offline-7" == answer.headers["X-Chandlery-Origin"]
    async with session.get("/healthz") as answer:
        assert {"offline-7"} == set((await answer.json())["origins"].values())
    async with session.ws_connect("/v1/ws") as socket:
        assert "offline-7" == socket._response.headers["X-Chandlery-Origin"]


async def test_metrics(running):
    """What passes the doors, how the streams are doing, and no name that a caller makes up."""
    service, session = running
    await service.collection.add_coin("BTC/USDT", "binance", ["book", "candles:1s"])
    async with session.get("/v1/coins"), session.get("/nowhere/at/all"), session.request("PROPFIND", "/"):
        pass
    async with session.get("/metrics") as answer:
        text = await answer.text()

    assert 'chandlery_request_seconds_count{method="GET",path="/v1/coins",status="200"} 1.0' in text
    assert 'method="other"' in text
    assert not re.search("/nowhere|PROPFIND", text)
    labels = 'channel="candles:1s",exchange="binance",symbol="BTC/USDT"'
    assert f"chandlery_stream_running{{{labels}}} 1.0" in text
    assert "chandlery_limiter_waits_total" in text
    query = {"exchange": "binance", "symbol": "BTC/USDT", "start": "2026-11-01", "end": "2026-11-02", "limit": "5000"}
    for _ in range(2):
        async with session.get("/v1/candles", params=query):
            pass
    async with session.get("/metrics") as answer:
        text = await answer.text()
    assert re.search(r'chandlery_history_rows_total\{source="cache \(\w+\)"\} 1440.0', text)


async def test_no_request_needs_a_thread_before_its_work_begins(running):
    """FastAPI calls what is no coroutine in a thread of a pool, which here has none left."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = 1
    query = {"exchange": "binance", "symbol": "BTC/USDT"}
    async with limiter:
        for path in ("/v1/coins", "/v1/exchanges", "/v1/availability", "/v1/candles?start=2026-11-01&end=2026-11-02"):
            params = {} if path in {"/v1/coins", "/v1/exchanges"} else query
            async with asyncio.timeout(10), running[1].get(path, params=params) as answer:
                assert 200 == answer.status


async def test_the_catalogue(running):
    """The capability matrix, and one row of it."""
    _, session = running
    async with session.get("/v1/exchanges") as answer:
        found = (await answer.json())["exchanges"]
    async with session.get("/v1/exchanges/binance_spot") as answer:
        one = await answer.json()

    assert one in found
    assert len(found) >= 29
    async with session.get("/v1/exchanges/nowhere") as answer:
        assert 404 == answer.status


async def test_every_operation_is_described(running):
    """With an example of what it takes, and without a token only what needs none."""
    async with running[1].get("/openapi.json") as answer:
        document = await answer.json()
    public = {path for path, item in document["paths"].items() for each in item.values() if "security" not in each}

    assert {"/healthz", "/readyz", "/metrics", "/token", "/revoke"} | {
        path for path in document["paths"] if path.startswith("/.well-known/")
    } == public
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation.get("summary"), path
            for parameter in operation.get("parameters", ()):
                schema = parameter["schema"]
                told = (
                    "examples" in schema or "default" in schema or not parameter["required"] or "examples" in parameter
                )
                assert told or parameter["in"] == "path", (path, parameter["name"])


async def test_what_can_go_wrong_is_described(running):
    """As problem documents, whose schema is there."""
    async with running[1].get("/openapi.json") as answer:
        document = await answer.json()
    told = document["paths"]["/v1/candles"]["get"]["responses"]

    assert {"200", "304", "401", "403", "404", "422", "429", "502", "503", "504"} == set(told)
    assert {"$ref": "#/components/schemas/Problem"} == told["502"]["content"]["application/problem+json"]["schema"]
    schemas = document["components"]["schemas"]
    assert {"type", "title", "status", "detail", "code"} == set(schemas["Problem"]["required"])
    assert {"$ref": "#/components/schemas/ParameterError"} == schemas["Problem"]["properties"]["errors"]["items"]
    assert {"location", "detail"} == set(schemas["ParameterError"]["required"])


async def test_methods_that_there_are_not(running):
    """405 names all that there are, whichever route was asked first."""
    for path, methods in (("/v1/coins", "GET, POST, DELETE"), ("/v1/exchanges/binance", "GET"), ("/authorize", "GET")):
        async with running[1].put(path) as answer:
            assert (405, methods) == (answer.status, answer.headers["Allow"])
