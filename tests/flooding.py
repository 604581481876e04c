"""
What strangers do to fill a service's memory, and what an honest client sees meanwhile.

As a program, with the name of a flood, a URL and a size, this is the strangers: they have a process of their own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp
import psutil

from raw import head, raw

MEGABYTE = b"x" * (1 << 20)
GONE = (ConnectionError, TimeoutError, OSError, asyncio.IncompleteReadError)
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
FORM = "application/x-www-form-urlencoded"
MULTIPART = b'--x\r\nContent-Disposition: form-data; name="password"; filename="a"\r\n\r\n'


async def pour(url, first, part, megabytes, *, until_s=20.0):
    """Send bytes, as long as they are taken and nothing says that it is over."""
    with suppress(*GONE):
        async with asyncio.timeout(until_s), raw(url) as (_, writer):
            writer.write(first)
            for _ in range(megabytes * (1 << 20) // len(part)):
                writer.write(part)
                await writer.drain()


def bodies(path, kind, first=b""):
    """A flood of 200 MB to one path."""

    async def flood(url, scale):
        size = 200 << 20
        begin = head("POST", path, Content_Type=kind, Content_Length=size) + first
        await asyncio.gather(*(pour(url, begin, MEGABYTE, 200) for _ in range(scale)))

    return flood


async def long_url(url, scale):
    """One of 100 MB."""
    await asyncio.gather(*(pour(url, b"GET /", MEGABYTE, 100) for _ in range(scale)))


async def long_header(url, scale):
    """One of 100 MB, and many small ones."""
    begin = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    await asyncio.gather(*(pour(url, begin + b"X: ", MEGABYTE, 100) for _ in range(scale)))
    await asyncio.gather(*(pour(url, begin, b"X: y\r\n" * 10_000, 100) for _ in range(scale)))


async def pipelined(url, scale):
    """As many requests as fit into a connection, from several."""
    await asyncio.gather(*(pour(url, b"", head(path="/healthz") * 1_000, 20) for _ in range(10 * scale)))


async def large_bodies(url, scale):
    """Of a megabyte each, all but their last byte, from many connections."""
    begin = head("POST", "/v1/coins", Content_Type="application/json", Content_Length=1 << 20)
    part = b"[" + b"[]," * ((1 << 20) // 3 - 1)

    async def one():
        with suppress(*GONE):
            async with asyncio.timeout(10), raw(url) as (reader, writer):
                writer.write(begin + part)
                await reader.read()

    await asyncio.gather(*(one() for _ in range(30 * scale)))


async def stranger_sockets(url, scale):
    """A hundred, which send and do not read."""
    message = b'{"type":"subscribe","channel":"' + b"x" * 200 + b'","exchange":"binance","symbol":"BTC/USDT"}'
    frame = bytes([0x81, 0xFE]) + len(message).to_bytes(2, "big") + bytes(4) + message
    await _send_and_never_read(url, frame * 500, 50 * scale)


async def pings(url, scale):
    """Of sockets that do not read the pongs."""
    frame = bytes([0x89, 0xFD]) + bytes(4) + b"x" * 125
    await _send_and_never_read(url, frame * 1_000, 10 * scale)


async def _send_and_never_read(url, frames, count):
    """So many sockets without a token that send the same again and again."""

    async def one():
        with suppress(*GONE):
            async with asyncio.timeout(10), raw(url) as (reader, writer):
                writer.write(head(path="/v1/ws", **HANDSHAKE))
                await reader.readuntil(b"\r\n\r\n")
                writer.transport.pause_reading()
                while True:
                    writer.write(frames)
                    await writer.drain()

    await asyncio.gather(*(one() for _ in range(count)))


async def slow_heads(url, scale):
    """Connections that send a byte now and then."""

    async def one():
        with suppress(*GONE):
            async with asyncio.timeout(2 + 4 * scale), raw(url) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\nX: ")
                while not reader.at_eof():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.2)  # as slow as it is

    await asyncio.gather(*(one() for _ in range(150 * scale)))


async def many_connections(url, scale):
    """More than the service has descriptors, which do nothing, and come again when they were ended."""

    async def one():
        with suppress(*GONE):
            async with asyncio.timeout(2 + 4 * scale):
                while True:
                    async with raw(url) as (reader, _):
                        await reader.read()

    await asyncio.gather(*(one() for _ in range(400)))


FLOODS = {
    "200 MB to /v1/coins": bodies("/v1/coins", "application/json"),
    "200 MB to /token": bodies("/token", FORM, b"grant_type="),
    "200 MB to /token, in parts": bodies("/token", "multipart/form-data; boundary=x", MULTIPART),
    "200 MB to /mcp": bodies("/mcp", "application/json"),
    "a URL of 100 MB": long_url,
    "headers of 100 MB": long_header,
    "pipelined requests": pipelined,
    "bodies of 1 MiB": large_bodies,
    "sockets that do not read": stranger_sockets,
    "sockets that ping": pings,
    "slow heads": slow_heads,
    "many connections": many_connections,
}


class Memory:
    """The memory of a process: at the beginning, at most, and what it came back to."""

    def __init__(self, pid):
        self._process = psutil.Process(pid)
        self.before = self.peak = self.now()

    def now(self):
        """In MiB."""
        return self._process.memory_info().rss / (1 << 20)

    @property
    def growth(self):
        """At most, since the beginning."""
        return self.peak - self.before

    @asynccontextmanager
    async def watched(self):
        """Have the peak noticed in the block."""

        async def watch():
            while True:
                self.peak = max(self.peak, self.now())
                await asyncio.sleep(0.02)

        task = asyncio.create_task(watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            self.peak = max(self.peak, self.now())


class Honest:
    """A client with a token that connects anew for each request; ``worst`` is the longest that one took, ``failed`` what did not go well."""

    def __init__(self, url, token):
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self.count = 0
        self.worst = 0.0
        self.failed = []

    async def ask(self):
        """For what is collected, and who is there, over the socket."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(20), aiohttp.ClientSession(self._url, headers=self._headers) as session:
                async with session.get("/v1/coins") as answer:
                    assert 200 == answer.status
                    await answer.read()
                async with session.ws_connect("/v1/ws") as socket:
                    await socket.send_json({"type": "ping"})
                    assert "pong" == (await socket.receive_json())["type"]
        except (aiohttp.ClientError, TimeoutError, TypeError, AssertionError) as error:
            self.failed.append(repr(error))
        self.count += 1
        self.worst = max(self.worst, time.monotonic() - began)

    @asynccontextmanager
    async def asking(self):
        """Ask again and again in the block."""

        async def ask():
            while True:
                await self.ask()
                await asyncio.sleep(0.1)  # as often as it wants to

        async with AsyncExitStack() as stack:
            task = asyncio.create_task(ask())
            stack.callback(task.cancel)
            yield
            await self.ask()


async def flood(name, url, scale):
    """Have a process flood a service."""
    child = await asyncio.create_subprocess_exec(sys.executable, __file__, name, url, str(scale))
    try:
        async with asyncio.timeout(120):
            assert 0 == await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


if __name__ == "__main__":
    asyncio.run(FLOODS[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
