"""A small proxy on loopback: HTTP forwarding, CONNECT and SOCKS5, with or without credentials."""

from __future__ import annotations

import asyncio
import base64
import gc
import re
import struct
import threading
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class ProxyServer:
    """
    An async context manager. ``account`` is user and password that it asks for.

    Every host whose name ends in ``.invalid``, which no name server knows, is this machine. ``seen`` is how it was
    asked, and for what.
    """

    def __init__(self, account=None, *, status=None) -> None:
        self.account = account
        self.status = status
        self.seen: list[tuple[str, str]] = []
        self.port = 0
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self):
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if "socks" in self.ways:
            gc.collect()  # the clients of SOCKS leave their refused connections to it

    def url(self, scheme="http", account=None):
        """Its address, with an account where one is given."""
        user = f"{account[0]}:{account[1]}@" if account else ""
        return f"{scheme}://{user}127.0.0.1:{self.port}"

    @property
    def ways(self):
        """In which ways it was asked."""
        return {way for way, _ in self.seen}

    def _accept(self, reader, writer):
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader, writer):
        try:
            with suppress(asyncio.IncompleteReadError, OSError):
                first = await reader.readexactly(1)
                await (self._socks(reader, writer) if first == b"\5" else self._http(first, reader, writer))
        finally:
            await _closed(writer)

    async def _http(self, first, reader, writer):
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
        if self._refuses(head, writer):
            return
        method, target, _ = head.split(" ", 2)
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            far = await self._dial(host, int(port))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await self._pump(reader, writer, far)
            return
        far = await self._dial(urlsplit(target).hostname, urlsplit(target).port)
        await _forward(head, reader, far[1])
        await self._pump(reader, writer, far, self._requests)

    def _refuses(self, head, writer):
        method, target, _ = head.split(" ", 2)
        self.seen.append(("CONNECT" if method == "CONNECT" else "forward", target))
        said = re.search(r"proxy-authorization: basic (\S+)", head, re.IGNORECASE)
        status = self.status
        if self.account and (said is None or base64.b64decode(said[1]).decode() != ":".join(self.account)):
            status = 407
        if status:
            writer.write(f"HTTP/1.1 {status} No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n".encode())
        return bool(status)

    async def _requests(self, reader, sink):
        """Further requests of the same connection."""
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.seen.append(("forward", head.split(" ", 2)[1]))
            await _forward(head, reader, sink)

    async def _socks(self, reader, writer):
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        wanted = 2 if self.account else 0
        writer.write(bytes([5, wanted if wanted in methods else 255]))
        if wanted not in methods:
            self.seen.append(("socks", "refused"))
            return
        if self.account:
            await reader.readexactly(1)
            said = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
            writer.write(bytes([1, said != list(self.account)]))
            if said != list(self.account):
                self.seen.append(("socks", "refused"))
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = ".".join(map(str, await reader.readexactly(4)))
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        self.seen.append(("socks", f"{host}:{port}"))
        far = await self._dial(host, port)
        writer.write(b"\5\0\0\1\0\0\0\0\0\0")
        await self._pump(reader, writer, far)

    async def _dial(self, host, port):
        return await asyncio.open_connection("127.0.0.1" if host.endswith(".invalid") else host, port)

    async def _pump(self, reader, writer, far, there=None):
        async def through(source, sink):
            while piece := await source.read(1 << 16):
                sink.write(piece)
                await sink.drain()

        ways = [
            asyncio.ensure_future((there or through)(reader, far[1])),
            asyncio.ensure_future(through(far[0], writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _closed(far[1])


async def _forward(head, reader, sink):
    """Send a request as its server expects it."""
    length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
    body = await reader.readexactly(int(length[1])) if length else b""
    target = urlsplit(head.split(" ", 2)[1])
    head = head.replace(target.geturl(), f"{target.path}?{target.query}" if target.query else target.path, 1)
    sink.write(re.sub(r"(?im)^proxy-.*\r\n", "", head).encode() + body)


async def _closed(writer):
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@contextmanager
def proxying(account=None, **options):
    """A proxy that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = ProxyServer(account, **options)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def beyond(endpoints):
    """The same endpoints by a name that only the proxy resolves."""
    return {
        exchange: {kind: url.replace("127.0.0.1", "exchange.invalid") for kind, url in urls.items() if kind != "proxy"}
        for exchange, urls in endpoints.items()
    }
