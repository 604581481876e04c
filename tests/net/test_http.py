"""The HTTP client against a server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from textwrap import dedent

import pytest

from chandlery.core.errors import (
    AddressBanned,
    Closed,
    ExchangeUnavailable,
    InvalidInput,
    InvalidSymbol,
    MalformedResponse,
    NotFound,
    RateLimited,
    RequestRejected,
    RequestTimeout,
    ResponseTooLarge,
)
from chandlery.core.http import RateLimit, Request
from chandlery.net.http import HttpClient
from chandlery.testing import no_waiting


async def test_an_answer_comes_back_whole(server, client):
    """Status, lower-case headers and body are returned; query, headers and body were sent as given."""
    server.script = [server.reply(body=b"hello", headers="X-Some: Thing\r\n")]

    response = await client.send(
        server.request(
            "/a/b", params={"symbol": "BTC/USDT", "limit": 5}, headers={"X-Key": "k"}, method="POST", body=b"{}"
        )
    )

    assert (200, b"hello", "Thing") == (response.status, response.body, response.headers["x-some"])
    assert server.heads[0].startswith("POST /a/b?symbol=BTC/USDT&limit=5 HTTP/1.1\r\n")
    assert "X-Key: k\r\n" in server.heads[0]
    assert "User-Agent: chandlery/" in server.heads[0]
    assert server.heads[0].endswith("\r\n\r\n{}")
    assert (1, 0, 5) == (client.requests, client.retries, client.bytes_received)


async def test_connections_are_used_again(server, client):
    """Requests one after the other share one connection, and cookies are not kept."""
    server.otherwise = server.reply(headers="Set-Cookie: a=b\r\n")

    for _ in range(10):
        await client.send(server.request())

    assert 1 == server.connections
    assert not any("Cookie" in head for head in server.heads)


async def test_a_long_body_is_decoded_by_a_thread(server, client):
    """A short one is not, which would cost more than it saves; one that is malformed is requested again."""

    def decode(body):
        if not body:
            raise MalformedResponse("empty")
        return len(body), threading.current_thread() is threading.main_thread()

    server.script = [server.reply(body=b""), server.reply(body=b"[]"), server.reply(body=bytes(1 << 20))]

    assert (2, True) == await client.fetch(server.request(), decode)
    assert (1 << 20, False) == await client.fetch(server.request(), decode)


async def test_an_idle_connection_has_no_time_out(server, client_of):
    """One that waits in the pool for longer than an answer may be silent is as good as before."""
    client = client_of(read_timeout_s=0.1, retry_count=0)
    for _ in range(2):
        assert b"[]" == (await client.send(server.request())).body
        await asyncio.sleep(0.2)  # the time that is meant

    assert 1 == server.connections


async def test_no_more_connections_than_allowed(server, client_of):
    """At most ``max_concurrent`` requests are under way, and all get their turn."""
    client = client_of(max_concurrent=4)
    server.script = [server.stall() for _ in range(4)]

    sending = asyncio.gather(*(client.send(server.request()) for _ in range(40)))
    await server.arrived(4)
    server.held.set()
    await sending

    assert 4 == server.most_active
    assert 40 == len(server.heads)
    assert server.connections <= 4


async def test_compressed_bodies_are_inflated_within_the_cap(server, client_of):
    """Compression is undone; a small body that inflates beyond ``max_bytes`` is refused all the same."""
    client = client_of(max_bytes=10_000)
    zipped = "Content-Encoding: gzip\r\n"
    server.script = [
        server.reply(body=gzip.compress(b"x" * 10_000), headers=zipped),
        server.reply(body=gzip.compress(b"x" * 10_000_000), headers=zipped),
    ]

    assert b"x" * 10_000 == (await client.send(server.request())).body
    with pytest.raises(ResponseTooLarge):
        await client.send(server.request())
    assert 2 == len(server.heads)


async def test_large_bodies_arrive(server, client):
    """Megabytes come whole."""
    body = os.urandom(6_000_000)
    server.script = [server.reply(body=body)]

    assert body == (await client.send(server.request())).body


@pytest.mark.parametrize("declared", [True, False])
async def test_too_large_a_body_is_refused_and_not_asked_for_again(server, client_of, declared):
    """The cap holds for a declared length before reading, and for a body of unknown length while reading."""
    client = client_of(max_bytes=1000)
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n"
    server.otherwise = server.reply(body=b"x" * 1001) if declared else server.stall(endless)

    with pytest.raises(ResponseTooLarge, match="1000"):
        await client.send(server.request())

    assert 1 == len(server.heads)


async def test_what_may_pass_is_tried_again(server, client):
    """5xx, a reset, a cut body, garbage: each is retried after a pause, and the answer comes in the end."""
    server.script = [
        server.reply(503),
        server.reset,
        server.reply(body=b"half", declare=8),
        server.raw(b"garbage\r\n\r\n"),
        server.reply(body=b"at last"),
    ]

    with no_waiting():
        response = await client.send(server.request())

    assert b"at last" == response.body
    assert 5 == len(server.heads)
    # A kept connection that was closed meanwhile is replaced by aiohttp, without a retry of ours.
    assert client.retries in {3, 4}


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (lambda server: server.reply(500), ExchangeUnavailable),
        (lambda server: server.reset, ExchangeUnavailable),
        (lambda server: server.reply(body=b"half", declare=8), ExchangeUnavailable),
        (lambda server: server.raw(b"garbage\r\n\r\n"), MalformedResponse),
        (lambda server: server.raw(b""), ExchangeUnavailable),
        (lambda server: server.reply(429), RateLimited),
    ],
)
async def test_retries_end(server, client_of, step, error):
    """After ``retry_count`` retries the last error is raised; its message names the request but not the query."""
    client = client_of(retry_count=2)
    server.otherwise = step(server)

    with no_waiting(), pytest.raises(error, match=r"GET 127\.0\.0\.1/data") as raised:
        await client.send(server.request(params={"signature": "secret"}))

    assert error is type(raised.value)
    assert "secret" not in str(raised.value)
    assert 2 == client.retries
    assert client.requests >= 3


@pytest.mark.parametrize(("status", "error"), [(400, RequestRejected), (403, RequestRejected), (404, NotFound)])
async def test_what_was_refused_is_not_asked_again(server, client, status, error):
    """A 4xx is raised at once, with its status."""
    server.otherwise = server.reply(status, body=b"because")

    with pytest.raises(error, match=str(status)) as raised:
        await client.send(server.request())

    assert error is type(raised.value)
    assert status == raised.value.status
    assert 1 == len(server.heads)


@pytest.mark.parametrize("status", [400, 404])
async def test_the_exchanges_own_words_come_first(server, client, status):
    """What ``error_of`` makes of a 4xx is raised; where it makes nothing of it, the status decides."""
    server.otherwise = server.reply(status, body=b"-1121")

    with pytest.raises(InvalidSymbol):
        await client.send(server.request(), error_of=lambda response: InvalidSymbol(response.body.decode()))
    with pytest.raises(RequestRejected):
        await client.send(server.request(), error_of=lambda _: None)


async def test_a_refusal_with_status_200(server, client):
    """Some exchanges say no with 200; ``error_of`` is asked of those answers too, and what it raises is not retried."""
    server.otherwise = server.reply(body=b'{"retCode": 10001}')

    with pytest.raises(InvalidSymbol):
        await client.send(server.request(), error_of=lambda response: InvalidSymbol(response.body.decode()))
    assert 1 == len(server.heads)


async def test_a_pause_that_only_the_adapter_understands(server, client_of):
    """A pause in the exchange's own words holds for all to that host, as one in a header does."""
    server.script = [server.reply(body=b"10006")]

    def error_of(response):
        return RateLimited("10006", retry_after_s=1.0) if response.body == b"10006" else None

    await asyncio.gather(client_of().send(server.request(), error_of=error_of), client_of().send(server.request()))
    await client_of().send(server.request())

    assert sum(at - server.times[0] >= 1 for at in server.times) >= 2


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_obeyed_to_the_second(server, client_of, form):
    """The next request leaves when the exchange said: not earlier, and at most a second later."""
    named = time.time() + 2
    until = float(int(named)) if form == "date" else None
    server.script = [server.reply(429, headers=f"Retry-After: {formatdate(named, usegmt=True) if until else 1}\r\n")]

    await client_of().send(server.request(limits=(RateLimit(1000, 60),)))

    if until:
        assert until <= time.time() <= until + 1
    else:
        assert 1 <= server.times[1] - server.times[0] <= 2


async def test_a_pause_holds_for_everybody_who_asks_that_host(server, client_of):
    """A Retry-After that one request met is waited out by all to that host, also of another client."""
    one, other = client_of(retry_count=0), client_of()
    server.script = [server.reply(418, headers="Retry-After: 1\r\n")]

    with pytest.raises(AddressBanned):
        await one.send(server.request())
    await asyncio.gather(*(client.send(server.request()) for client in (one, other, other)))

    assert 4 == len(server.times)
    assert all(1 <= at - server.times[0] <= 2 for at in server.times[1:])


async def test_too_long_a_pause_is_raised_at_once(server, client_of):
    """A ban longer than ``max_wait_s`` is not slept through; the next request does not even leave."""
    client = client_of(max_wait_s=10)
    server.otherwise = server.reply(418, headers="Retry-After: 600\r\n")

    with pytest.raises(AddressBanned) as banned:
        await client.send(server.request())
    with pytest.raises(RateLimited) as limited:
        await client.send(server.request())

    assert 600 == banned.value.retry_after_s
    assert 590 < limited.value.retry_after_s <= 600
    assert 1 == len(server.heads)


async def test_the_weight_limit_is_kept(server, client):
    """Requests beyond the host's limit wait for the next window."""
    limits = (RateLimit(3, 0.6),)

    await asyncio.gather(*(client.send(server.request(limits=limits)) for _ in range(6)))

    assert server.times[3] - server.times[0] >= 0.5


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_silence_is_a_timeout(server, client_of, first):
    """A server that stops talking, before or in the body, costs ``read_timeout_s``."""
    client = client_of(read_timeout_s=0.1, retry_count=1)
    server.otherwise = server.stall(first)

    with no_waiting(), pytest.raises(RequestTimeout):
        await client.send(server.request())

    assert 2 == client.requests


async def test_the_whole_try_has_a_timeout(server, client_of):
    """A server that talks for ever costs ``timeout_s``."""
    client = client_of(timeout_s=0.2, retry_count=0)

    async def drip(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not server.gone.is_set():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)
        return False

    server.otherwise = drip
    with pytest.raises(RequestTimeout):
        await client.send(server.request())


async def test_nobody_listens(client_of, unused_tcp_port):
    """A refused connection is ``ExchangeUnavailable``."""
    client = client_of(retry_count=1)

    with no_waiting(), pytest.raises(ExchangeUnavailable):
        await client.send(Request(f"http://127.0.0.1:{unused_tcp_port}/"))

    assert 1 == client.retries


@pytest.mark.parametrize("url", ["ftp://example.org/a", "no url", "http://", "http://[::1"])
async def test_what_is_no_http_url_is_refused(client, url):
    """Nothing is sent."""
    with pytest.raises(InvalidInput):
        await client.send(Request(url))

    assert 0 == client.requests


async def test_redirects_end(server, client):
    """A few redirects are followed; a circle is refused, as is one that leads out of HTTP."""
    server.script = [server.reply(302, headers="Location: /there\r\n"), server.reply(body=b"there")]
    assert b"there" == (await client.send(server.request())).body

    server.otherwise = server.reply(302, headers="Location: /data\r\n")
    with pytest.raises(RequestRejected, match="redirects"):
        await client.send(server.request())

    server.otherwise = server.reply(302, headers="Location: ftp://example.org/\r\n")
    with pytest.raises(RequestRejected, match="redirected"):
        await client.send(server.request())


async def test_a_cancelled_request_leaves_nothing_behind(server, client_of):
    """Its connection is closed and its place is free for the next."""
    client = client_of(max_concurrent=1)
    server.script = [server.stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")]

    sending = asyncio.create_task(client.send(server.request()))
    await server.arrived(1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await client.send(server.request())

    assert 2 == server.connections


async def test_closing_ends_everything(server):
    """Closing twice is once; what is under way, and what comes later, is ``Closed``."""
    async with HttpClient() as client:
        server.otherwise = server.stall()
        sending = asyncio.create_task(client.send(server.request()))
        await server.arrived(1)
    await client.close()

    with pytest.raises(Closed):
        await sending
    with pytest.raises(Closed):
        await client.send(server.request())


async def test_back_off_waits(server, client):
    """Without ``no_waiting`` a retry comes at least 0.1 s after the failure."""
    server.script = [server.reply(500)]

    await client.send(server.request())

    assert 0.1 <= server.times[1] - server.times[0] < 5


def test_a_retry_says_nothing_to_those_who_have_not_asked_for_logs():
    """Nothing on stdout or stderr where logging is not configured; a warning where it is."""
    code = """
        import asyncio, sys
        from chandlery.core.errors import ExchangeUnavailable
        from chandlery.core.http import Request
        from chandlery.net.http import HttpClient
        from chandlery.testing import no_waiting

        async def main():
            async with HttpClient(retry_count=1, connect_timeout_s=1) as http:
                try:
                    await http.send(Request("http://127.0.0.1:9"))
                except ExchangeUnavailable:
                    print(http.retries)

        if sys.argv[1:]:
            import logging
            logging.basicConfig()
        with no_waiting():
            asyncio.run(main())
    """
    quiet, asked = (
        subprocess.run(
            [sys.executable, "-c", dedent(code), *more], capture_output=True, text=True, timeout=60, check=True
        )
        for more in ([], ["logs"])
    )

    assert ("1\n", "") == (quiet.stdout, quiet.stderr)
    assert "attempt 1 of 2" in asked.stderr


def test_names_are_resolved_by_the_system(tmp_path):
    """Whatever aiohttp would take because it is installed."""
    (tmp_path / "aiodns.py").write_text(
        "class DNSResolver:\n"
        "    def __init__(self, *_, **__):\n"
        "        raise ImportError('another resolver')\n"
        "    def getaddrinfo(self): ...\n"
    )
    code = f"""
        import asyncio, sys
        sys.path.insert(0, {str(tmp_path)!r})
        from pathlib import Path
        from chandlery.core.errors import ExchangeUnavailable
        from chandlery.core.http import Request
        from chandlery.net.http import HttpClient
        from chandlery.net.limiter import RateLimiter

        async def main():
            async with HttpClient(limiter=RateLimiter(Path({str(tmp_path)!r}) / "limits"), retry_count=0) as client:
                try:
                    await client.send(Request("http://localhost:1/"))
                except ExchangeUnavailable:
                    print("refused")

        asyncio.run(main())
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=60, check=False)

    assert ("refused\n", "") == (done.stdout, done.stderr)


_UNCLOSED = """
    import asyncio, sys
    from datetime import UTC, datetime
    from chandlery import AsyncDataSourceManager, DataSourceManager
    from chandlery.core.errors import InvalidInput
    from chandlery.sim.server import running
    ask = ("BTCUSDT", datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC), "1h")
    held = running()
    endpoints = held.__enter__().endpoints
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("manager = DataSourceManager(use_cache=False, endpoints=endpoints); print(len(manager.get_data(*ask)))", "24"),
        ("print(len(DataSourceManager(use_cache=False, endpoints=endpoints).get_data(*ask)))", "24"),
        (
            (
                "manager = AsyncDataSourceManager(use_cache=False, endpoints=endpoints)\n"
                "print(len(asyncio.run(manager.get_data(*ask))))\n"
                "try: asyncio.run(manager.get_data(*ask))\n"
                "except InvalidInput as error: print('another event loop' in str(error))"
            ),
            "24 True",
        ),
    ],
)
def test_the_end_without_close_is_silent(body, said):
    """Connections that nobody has closed are closed; a second event loop is refused."""
    code = dedent(_UNCLOSED) + body
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)

    assert (0, said.split(), "") == (done.returncode, done.stdout.split(), done.stderr)
