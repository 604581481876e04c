"""What a client may send, how long it may take for that, and what it may leave untaken."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from chandlery.service.auth.guard import vouch
from chandlery.service.errors import install
from chandlery.service.refusals import Refusals
from chandlery.service.web.connections import Connections
from chandlery.service.web.limits import MOST_BODIES, MOST_BODY, MOST_FORM, MOST_HEAD, MOST_PIPELINED, Edge
from chandlery.service.web.server import listening, serving
from fixtures.raw_socket import answer, asked, head, raw, refusal, said
from fixtures.waiting import until

FORM = "application/x-www-form-urlencoded"
MEGABYTE = b"x" * (1 << 20)


def application(edge, seen):
    """Takes bodies, and gives downloads; ``seen`` has the paths that reached it, and how long their bodies were."""
    app = FastAPI()
    app.state.edge = edge
    install(app, "")

    @app.post("/token")
    @app.post("/body")
    async def body(request: Request):
        seen.append(request.url.path)
        seen.append(len(await request.body()))
        return {}

    @app.get("/known")
    async def known(request: Request):
        vouch(request.scope)

    @app.get("/endless")
    async def endless():
        async def parts():
            try:
                while True:
                    yield MEGABYTE
                    await asyncio.sleep(0)
            finally:
                seen.append("ended")

        return StreamingResponse(parts())

    return app


@asynccontextmanager
async def served(most=100, **options):
    """A server's URL, its limits, and what reached its application."""
    refusals, seen = Refusals(), []
    edge = Edge(Connections(most, on_dropped=refusals.count), refusals, forms={"/token"}, **options)
    with listening("127.0.0.1", 0) as bound:
        async with serving(application(edge, seen), bound):
            yield f"http://127.0.0.1:{bound.getsockname()[1]}", edge, seen
        await until(lambda: edge.connections.count == 0)
    assert 0 == edge.connections.strangers == edge.bodies


def chunked(*parts, path="/body", **headers):
    """A request whose body comes in chunks."""
    yield head("POST", path, Transfer_Encoding="chunked", **headers)
    for part in parts:
        yield b"%x\r\n%b\r\n" % (len(part), part)


REFUSED = {
    "a URL of 100 MB": ((b"GET /", *[MEGABYTE] * 100), 414),
    "a header of 100 MB": ((b"GET / HTTP/1.1\r\nX: ", *[MEGABYTE] * 100), 431),
    "many headers": ((b"GET / HTTP/1.1\r\n", *[b"X: y\r\n" * 1_000] * 100), 431),
    "nothing but blank lines": ((b"\r\n" * 20_000,), 431),
    "trailers without end": ((*chunked(b"x"), b"0\r\n", *[b"X: y\r\n" * 1_000] * 100), 431),
    "a body of 200 MB": ((head("POST", "/body", Content_Length=200 << 20), *[MEGABYTE] * 20), 413),
    "the body of a GET": ((head("GET", "/known", Content_Length=200 << 20), *[MEGABYTE] * 20), 413),
    "the same in chunks": (tuple(chunked(*[MEGABYTE] * 20)), 413),
    "a body a byte too large": ((head("POST", "/body", Content_Length=MOST_BODY + 1),), 413),
    "a form a byte too large": ((head("POST", "/token", Content_Type=FORM, Content_Length=MOST_FORM + 1),), 413),
    "a form in chunks": (tuple(chunked(MEGABYTE, path="/token", Content_Type=FORM)), 413),
    "another name of a form": ((head("POST", "/%74oken", Content_Type=FORM, Content_Length=MOST_FORM + 1),), 413),
    "a form in parts": (
        (head("POST", "/token", Content_Type="multipart/form-data; boundary=x", Content_Length=9),),
        415,
    ),
    "a form of no type": ((head("POST", "/token", Content_Length=9),), 415),
    "noise": ((b"\x16\x03\x01\x02\x00" * 99,), 400),
    "two lengths": ((b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",), 400),
    "a length that is none": ((b"POST /body HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",), 400),
    "a length and chunks": ((b"POST /body HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",), 400),
    "a URL that is none": ((b"GET \xff HTTP/1.1\r\nHost: a\r\n\r\n",), 400),
    "a tunnel": ((b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",), 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_exceeds_a_limit_is_refused_at_once(name):
    """By a problem document, before the application knows anything of it."""
    parts, status = REFUSED[name]
    began = time.monotonic()
    async with served() as (url, edge, seen):
        found = await refusal(url, *parts)

    assert status == found[0]
    assert time.monotonic() - began < 5
    assert 1 == edge.refusals.counts.total()
    assert 0 == sum(each for each in seen if isinstance(each, int))


async def test_what_reaches_the_limits_is_taken():
    """A head of 16,384 bytes, a body of 1 MiB and a form of 64 kB."""
    async with served() as (url, edge, seen):
        plain = head("POST", "/body", Content_Length=MOST_BODY)
        assert 200 == (await asked(url, plain, MEGABYTE))[0]
        assert 200 == (await asked(url, *chunked(MEGABYTE[:-1], b"x", b"")))[0]
        form = head("POST", "/token", Content_Type=f"{FORM}; charset=utf-8", Content_Length=MOST_FORM)
        assert 200 == (await asked(url, form, MEGABYTE[:MOST_FORM]))[0]
        line = len("/known") + len("hostX127.0.0.1") + 4 + 4 - 1 + len("a")
        assert 200 == (await asked(url, head(path="/known", a="x" * (MOST_HEAD - line))))[0]

    assert ["/body", 1 << 20, "/body", 1 << 20, "/token", 1 << 16] == seen
    assert 0 == edge.refusals.counts.total()


async def test_bodies_are_bounded_together():
    """Large ones wait for nobody and are refused while too many are under way; small ones are always taken."""
    async with served(most=200) as (url, edge, _):
        large = MOST_BODIES // (MOST_BODY - MOST_FORM - 1) + 1
        async with AsyncExitStack() as stack:
            for _ in range(large):
                _, writer = await stack.enter_async_context(raw(url))
                writer.write(head("POST", "/body", Content_Length=MOST_BODY) + MEGABYTE[:-1])
            await until(lambda: edge.refusals.counts["bodies in all"])

            assert 200 == (await asked(url, head("POST", "/body", Content_Length=MOST_FORM), MEGABYTE[:MOST_FORM]))[0]
            assert edge.bodies <= MOST_BODIES
        await until(lambda: edge.bodies == 0)
        assert 200 == (await asked(url, head("POST", "/body", Content_Length=MOST_BODY), MEGABYTE))[0]


async def test_pipelined_requests():
    """A few wait for each other and are answered in order; thousands are no client's."""
    request = head("POST", "/body", Content_Length=1) + b"x"
    async with served() as (url, edge, seen), raw(url) as (reader, writer):
        writer.write(request * MOST_PIPELINED)
        for _ in range(MOST_PIPELINED):
            assert 200 == (await answer(reader))[0]
        assert ["/body", 1] * MOST_PIPELINED == seen
        writer.write(request * 100_000)
        await said(reader)

        assert len(seen) < 100
        assert 1 == edge.refusals.counts["pipelined requests"]


SLOW = {
    "nothing": (b"", None),
    "a part of a head": (b"GET / HTT", 408),
    "blank lines": (b"\r\n", 408),
    "a part of a body": (head("POST", "/body", Content_Length=9) + b"x", 408),
    "a part of the next request": (head("POST", "/body", Content_Length=1) + b"xGET / HTT", 200),
}


@pytest.mark.parametrize("name", SLOW)
async def test_who_takes_too_long_is_let_go(name):
    """However it is that the rest does not come."""
    sent, status = SLOW[name]
    async with served(head_s=0.3, body_s=0.3) as (url, edge, _), raw(url) as (reader, writer):
        began = time.monotonic()
        writer.write(sent)
        found = await answer(reader)
        rest = await said(reader)

        assert status == (found and found[0])
        assert (status == 200) is rest.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 3
        assert {"time for a request": 1} == edge.refusals.counts


async def test_a_byte_now_and_then_gains_no_time():
    """The times are for the whole head and the whole body."""
    for sent in (b"GET /", head("POST", "/body", Content_Length=10_000)):
        async with served(head_s=0.5, body_s=0.5) as (url, _, _), raw(url) as (reader, writer):
            writer.write(sent)
            answering = asyncio.create_task(answer(reader))
            began = time.monotonic()
            while not answering.done():
                writer.write(b"x")
                await asyncio.wait({answering}, timeout=0.05)

            assert 408 == (await answering)[0]
            assert 0.4 < time.monotonic() - began < 3


async def test_an_answer_that_nobody_takes():
    """Is cut, with all that it holds; who takes it slowly keeps it."""
    async with served(unread_s=1) as (url, edge, seen), raw(url) as (slow, slower), raw(url) as (_, writer):
        for each in (slower, writer):
            each.write(head(path="/endless"))
        writer.transport.pause_reading()
        began = time.monotonic()
        while not seen:
            await slow.readexactly(1 << 20)
            await asyncio.sleep(0.05)  # as fast as it wants to

        assert ["ended"] == seen
        assert 0.9 < time.monotonic() - began < 5
        assert {"responses left unread": 1} == edge.refusals.counts
        await slow.readexactly(1 << 24)


async def test_who_has_shown_a_token_stays():
    """While those go that have not, the oldest first; all on one address."""
    async with served(most=40) as (url, edge, _), raw(url) as (known, known_writer), raw(url) as (other, other_writer):
        known_writer.write(head(path="/known"))
        assert 200 == (await answer(known))[0]
        other_writer.write(head(path="/nowhere"))
        assert 404 == (await answer(other))[0]
        crowd = [await asyncio.open_connection(*url.removeprefix("http://").split(":")) for _ in range(60)]
        await until(lambda: edge.refusals.counts.total() >= 51)

        known_writer.write(head(path="/known"))
        assert 200 == (await answer(known))[0]
        assert b"" == await said(other)
        assert 200 == (await asked(url, head(path="/known")))[0]
        for _, writer in crowd:
            writer.transport.abort()


async def test_other_upgrades_are_not_asked_for():
    """The request is answered as if it had not asked."""
    async with served() as (url, _, _), raw(url) as (reader, writer):
        writer.write(head(path="/known", Connection="Upgrade", Upgrade="h2c"))
        status, headers, _ = await answer(reader)

        assert (200, "close") == (status, headers["connection"])


async def test_a_refusal_can_be_read_while_much_is_sent():
    """The rest is thrown away for a moment, since a reset would discard the answer."""
    async with served() as (url, _, _), raw(url) as (reader, writer):
        writer.write(head("POST", "/body", Content_Length=8 << 20) + MEGABYTE * 8)
        status, _, body = await answer(reader)

        assert (413, "body_too_large") == (status, json.loads(body)["code"])
