"""The server under the application."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from fastapi import FastAPI, WebSocket

from chandlery.core.errors import Closed, InvalidInput, StorageFull
from chandlery.service.web.server import listening, serving

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
CLOSE = b"\x88\x82" + bytes(4) + b"\x03\xe8"
"""The close frame of a client."""
STOPS = b"\x03\xe9the service stops"
"""The end of the close frame of a server that stops."""


def test_an_address_that_is_taken():
    """Is named."""
    first = listening("127.0.0.1", 0)
    with pytest.raises(InvalidInput, match="cannot listen on 127"):
        listening("127.0.0.1", first.getsockname()[1])
    first.close()


async def test_an_application_that_cannot_start():
    """Raises what is wrong, and nothing is served."""

    @asynccontextmanager
    async def lifespan(_):
        raise StorageFull("no room")
        yield

    bound = listening("127.0.0.1", 0)
    with pytest.raises(StorageFull, match="no room"):
        async with serving(FastAPI(lifespan=lifespan), bound):
            pass
    bound.close()


def greeter(size):
    """An application that sends so many bytes over a socket, and then waits for the end."""
    app = FastAPI()

    @app.websocket("/")
    async def greet(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_bytes(bytes(size))
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass

    return app


async def opened(bound, receive_buffer=None):
    """The streams of a client whose connection is open."""
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, bound.getsockname())
    reader, writer = await asyncio.open_connection(sock=client, limit=1 << 12)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_server_that_stops_waits_for_the_close_frame():
    """To end the connection before would answer the frame with a reset, which discards what is still on its way."""

    async def answer_late():
        await reader.readuntil(STOPS)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        writer.write(CLOSE)
        assert b"" == await reader.read()
        writer.close()

    bound = listening("127.0.0.1", 0)
    begun = time.monotonic()
    async with serving(greeter(1), bound):
        reader, writer = await opened(bound)
        answering = asyncio.create_task(answer_late())
    await answering

    assert time.monotonic() - begun < 2


async def test_a_server_that_stops_does_not_wait_for_ever():
    """A client that never answers is disconnected."""
    bound = listening("127.0.0.1", 0)
    begun = time.monotonic()
    async with serving(greeter(1), bound):
        reader, writer = await opened(bound)
        reading = asyncio.create_task(reader.read())

    assert (await reading).endswith(STOPS)
    assert time.monotonic() - begun < 6
    writer.close()


async def test_a_server_that_stops_while_a_client_leaves():
    """One that has closed, and has not taken all that was sent before, keeps no other from being told."""

    async def stay():
        received = b""
        while not received.endswith(STOPS):
            received = received[-len(STOPS) :] + await reader.read(1 << 16)
        writer.write(CLOSE)
        writer.close()
        leaving.transport.abort()

    bound = listening("127.0.0.1", 0)
    async with serving(greeter(8 << 20), bound):
        _, leaving = await opened(bound, receive_buffer=1 << 12)
        leaving.transport.pause_reading()
        leaving.write(CLOSE)
        reader, writer = await opened(bound)
        staying = asyncio.create_task(stay())
    await staying


async def test_a_small_answer_is_sent_at_once():
    """Its head does not wait until the client has acknowledged what came before, which takes 40 ms."""
    app = FastAPI()
    app.get("/")(lambda: "here")
    waits = []
    with listening("127.0.0.1", 0) as bound:
        async with serving(app, bound), aiohttp.ClientSession() as session:
            for _ in range(30):
                began = time.perf_counter()
                async with session.get("http://{}:{}/".format(*bound.getsockname())) as answer:
                    assert "here" == await answer.json()
                waits.append(time.perf_counter() - began)

    assert sorted(waits)[len(waits) // 2] < 0.03, waits


async def test_collections_pass_over_what_was_there_before():
    """Only while it is served."""
    with listening("127.0.0.1", 0) as bound:
        async with serving(FastAPI(), bound):
            while_served = gc.get_freeze_count()

    assert while_served > 10_000
    assert 0 == gc.get_freeze_count()


@pytest.mark.parametrize("how", ["cancelled", "returned"])
async def test_a_server_that_ends_by_itself_ends_its_block(how):
    """Nobody waits for ever for a service that nobody can reach."""

    async def serve():
        async with asyncio.timeout(10), serving(FastAPI(), bound) as server:
            if how == "cancelled":
                (task,) = (each for each in asyncio.all_tasks() if each.get_name() == "chandlery server")
                task.cancel()
            else:
                server.should_exit = True
            await asyncio.Event().wait()

    bound = listening("127.0.0.1", 0)
    with bound, pytest.raises(Closed, match="the server stopped unexpectedly"):
        await serve()
    assert 0 == asyncio.current_task().cancelling()


async def test_a_block_that_is_cancelled_stays_so():
    """By others than its server."""

    async def serve():
        async with serving(FastAPI(), bound):
            begun.set()
            await asyncio.Event().wait()

    begun, bound = asyncio.Event(), listening("127.0.0.1", 0)
    task = asyncio.create_task(serve())
    await begun.wait()
    task.cancel()
    await asyncio.wait({task})
    bound.close()

    assert task.cancelled()
