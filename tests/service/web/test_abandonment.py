"""Clients that leave before their answer is whole: what is done for them ends, and holds nothing."""

from __future__ import annotations

import asyncio
import json
import signal

import aiohttp
import pytest

from chandlery.core.errors import Closed
from chandlery.service.caller import caller_of
from chandlery.service.web.abandonment import Abandonment
from fixtures.processes import serving_process
from fixtures.service import served
from fixtures.waiting import until

BTC = {"exchange": "binance", "symbol": "BTC/USDT"}
FOR_AGES = BTC | {"interval": "1s", "start": "1970-01-01", "end": "2017-01-01"}
"""Seconds of times in which there were none, which takes minutes to find out."""


class Server:
    """What a server is to an application: messages of a client, and what was sent to it."""

    def __init__(self, *messages):
        self._messages = asyncio.Queue()
        self.sent = []
        for message in messages:
            self.hear(message)

    def hear(self, message):
        """Something of the client."""
        self._messages.put_nowait(message)

    async def receive(self):
        """The next of its messages; an error is raised."""
        message = await self._messages.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def send(self, message):
        """Remember it."""
        self.sent.append(message)

    async def serve(self, app, stopping=None, apart=()):
        """A request."""
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await Abandonment(app, stopping or asyncio.Event(), "http://x/", apart)(scope, self.receive, self.send)


def body(content, *, more=False):
    """A part of a body."""
    return {"type": "http.request", "body": content, "more_body": more}


GONE = {"type": "http.disconnect"}
START, END = {"type": "http.response.start", "status": 200, "headers": []}, {"type": "http.response.body", "body": b""}


async def test_who_computes_is_cancelled_when_the_client_leaves():
    """Without ever asking for it."""
    server, ends = Server(body(b"")), []

    async def app(scope, receive, send):
        try:
            server.hear(GONE)
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    async with asyncio.timeout(5):
        await server.serve(app)
    assert ["cancelled"] == ends
    assert [] == server.sent
    assert 0 == asyncio.current_task().cancelling()


async def test_where_sessions_outlive_a_request_what_is_served_alone_is_cancelled():
    """As a session that was opened by a client that has read its answer and left."""
    server, ends = Server(body(b"")), []

    async def app(scope, receive, send):
        try:
            async with caller_of(scope).served():
                server.hear(GONE)
                await asyncio.Event().wait()
        except Closed:
            ends.append("goes on")

    await server.serve(app, apart={"/"})
    assert ["goes on"] == ends


async def test_the_end_of_an_answer_is_not_a_client_that_leaves():
    """A server says the same of both; what is done afterwards is done."""
    server, ends = Server(body(b"")), []

    async def app(scope, receive, send):
        await send(START)
        await send(END)
        server.hear(GONE)
        assert "http.request" == (await receive())["type"]
        assert [GONE, GONE] == [await receive(), await receive()]
        ends.append("done")

    await server.serve(app)
    assert ["done"] == ends


async def test_a_body_is_passed_on_as_it_comes():
    """In its order, and no further ahead of who reads it than one part."""
    parts = [body(b"%d" % number, more=number < 9) for number in range(10)]
    server, got = Server(*parts), []

    async def app(scope, receive, send):
        for _ in range(5):
            await asyncio.sleep(0)
        assert 10 - 2 == server._messages.qsize()
        while not got or got[-1]["more_body"]:
            got.append(await receive())
        await send(START)
        await send(END)

    await server.serve(app)
    assert parts == got


async def test_a_body_that_cannot_be_read_is_an_error_of_who_reads_it():
    """As of one that is too large."""
    server = Server(body(b"a", more=True), ValueError("too large"))

    async def app(scope, receive, send):
        await receive()
        for _ in range(2):
            with pytest.raises(ValueError, match="too large"):
                await receive()
        await send(START)
        await send(END)

    await server.serve(app)
    assert [START, END] == server.sent


@pytest.mark.parametrize("begun", [False, True])
async def test_what_a_server_cancels_that_stops_is_refused_or_cut(begun):
    """It is no error; at other times it is one."""

    async def app(scope, receive, send):
        if begun:
            await send(START)
        await asyncio.Event().wait()

    async def outcome(stopping):
        server = Server(body(b""))
        task = asyncio.create_task(server.serve(app, stopping))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled(), [each.get("status") for each in server.sent if "status" in each]

    stopping = asyncio.Event()
    assert (True, [200] if begun else []) == await outcome(stopping)
    stopping.set()
    assert (False, [200] if begun else [503]) == await outcome(stopping)


async def test_what_an_application_raises_by_itself_is_raised():
    """Also an error of the same kind."""

    async def app(scope, receive, send):
        raise Closed("the feed is closed")

    with pytest.raises(Closed, match="the feed is closed"):
        await Server(body(b"")).serve(app)


async def over_http(session, url):
    """A page."""
    await session.get("/v1/candles", params=FOR_AGES)


async def by_download(session, url):
    """A file, of which nothing has come yet."""
    await session.get("/v1/candles", params=FOR_AGES | {"format": "csv"})


async def by_tool(session, url):
    """A summary, as the service reads it for minutes."""
    arguments = BTC | {"interval": "1s", "start": "2016-01-01", "end": "2016-02-20"}
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "summarize_candles", "arguments": arguments},
    }
    headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    first = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
    async with session.post("/mcp", data=json.dumps(first), headers=headers) as answer:
        assert 200 == answer.status, await answer.text()
        headers["Mcp-Session-Id"] = answer.headers["Mcp-Session-Id"]
    async with session.post("/mcp", data=json.dumps(call), headers=headers) as answer:
        await answer.read()


async def over_the_socket(session, url):
    """A range."""
    async with session.ws_connect("/v1/ws") as socket:
        await socket.send_json({"type": "request_historical", "channel": "candles"} | FOR_AGES)
        await socket.receive()
        await asyncio.Event().wait()


@pytest.mark.parametrize("request_of", [over_http, by_download, by_tool, over_the_socket])
async def test_a_request_that_its_client_has_left_ends(sim, tmp_path, request_of):
    """By each interface, down to what is read for it; the next has its turn."""
    async with served(sim, tmp_path, heavy_requests=1) as (service, _):
        for _ in range(2):
            session = aiohttp.ClientSession(service.url)
            task = asyncio.create_task(request_of(session, service.url))
            await until(lambda task=task: service.workload.under_way == 1 or task.done())
            assert not task.done(), task.result()
            task.cancel()
            await asyncio.wait({task})
            await session.close()
            await until(lambda: 0 == service.workload.under_way)
        async with aiohttp.ClientSession(service.url) as session, session.get("/metrics") as answer:
            text = await answer.text()
        assert "chandlery_heavy_requests 0.0" in text
        if request_of is over_http:
            assert 'path="/v1/candles",status="499"' in text


async def test_more_than_an_account_may_have_under_way_is_refused(sim, tmp_path):
    """With 429 and when to try again; what is light is not held up."""
    async with served(sim, tmp_path, heavy_requests=1) as (service, session):
        waiting = [asyncio.create_task(session.get("/v1/candles", params=FOR_AGES)) for _ in range(9)]
        await until(lambda: 8 == service.workload.waiting)
        async with session.get("/v1/candles", params=FOR_AGES) as answer:
            assert 429 == answer.status
            assert "10" == answer.headers["Retry-After"]
            assert "too_much_at_once" == (await answer.json(content_type=None))["code"]
        assert 1 == service.workload.under_way
        async with session.get("/v1/coins") as light:
            assert 200 == light.status
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await until(lambda: 0 == service.workload.under_way)


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("form", ["json", "csv"])
async def test_a_process_that_is_told_to_stop_ends(tmp_path, left, form):
    """Within 20 seconds, whatever runs for twenty clients, who have left, or wait and take nothing."""
    long = BTC | {"interval": "1m", "start": "2019-01-01", "end": "2025-01-01", "format": "csv"}
    asked = FOR_AGES if form == "json" else long
    async with serving_process(tmp_path / "data", "--no-auth") as service:
        query = "&".join(f"{name}={value}" for name, value in asked.items())
        host, port = service.url.removeprefix("http://").split(":")
        writers = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection(host, port, limit=1024)
            writer.write(f"GET /v1/candles?{query} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            writers.append((reader, writer))

        async def under_way():
            async with service.session.get("/metrics") as answer:
                return "chandlery_heavy_requests 8.0" in await answer.text()

        await service.until(under_way)
        if left:
            for _, writer in writers:
                writer.transport.abort()
        loop = asyncio.get_running_loop()
        told = loop.time()
        service._child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            code = await service._child.wait()
        took_s = loop.time() - told
        for _, writer in writers:
            writer.transport.abort()
    print(f"\n{form}, {'left' if left else 'waiting'}: ended {took_s:.1f} s after SIGTERM")  # noqa: T201  # the figures of the long run

    assert 0 == code
    assert took_s < (10 if left else 20)  # responses that are waited for have 14 s
