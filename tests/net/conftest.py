"""A server on loopback that answers as it is told."""

from __future__ import annotations

import asyncio
import re
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from socket import SO_LINGER, SOL_SOCKET

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chandlery.core.http import Request
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter

Step = Callable[[asyncio.StreamWriter], Awaitable[bool]]


class ScriptedServer:
    """Performs one step of ``script`` for each request, then ``otherwise``; remembers what it saw."""

    def __init__(self) -> None:
        self.script: list[Step] = []
        self.otherwise = self.reply(body=b"[]")
        self.connections = 0
        self.heads: list[str] = []
        self.active = 0
        self.most_active = 0
        self.times: list[float] = []
        self.port = 0
        self.held = asyncio.Event()
        self.gone = asyncio.Event()
        self._news = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all connections."""
        self.held.set()
        self.gone.set()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def arrived(self, count) -> None:
        """Wait until ``count`` requests have come."""
        while len(self.heads) < count:
            self._news.clear()
            await self._news.wait()

    def request(self, path="/data", **fields) -> Request:
        """A request for this server."""
        return Request(f"http://127.0.0.1:{self.port}{path}", **fields)

    @staticmethod
    def reply(status=200, *, body=b"", headers="", declare=None) -> Step:
        """A whole answer; ``declare`` is a Content-Length that lies."""

        async def step(writer):
            length = len(body) if declare is None else declare
            writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n{headers}\r\n".encode() + body)
            return declare is None

        return step

    @staticmethod
    def raw(content: bytes) -> Step:
        """Bytes as they are, then the end."""

        async def step(writer):
            writer.write(content)
            return False

        return step

    @staticmethod
    async def reset(writer) -> bool:
        """A connection reset in place of an answer."""
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False

    def stall(self, first=b"") -> Step:
        """``first``, then silence until ``held`` is set or the client leaves."""

        async def step(writer):
            writer.write(first)
            await self.held.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return True

        return step

    async def serve(self, reader, writer) -> None:
        """One connection."""
        self.connections += 1
        self._serving.add(asyncio.current_task())
        try:
            await self._answer(reader, writer)
        finally:
            self.gone.set()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader, writer) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if length := re.search(r"content-length: (\d+)", head, re.IGNORECASE):
                    head += (await reader.readexactly(int(length[1]))).decode()
                self.heads.append(head)
                self.times.append(asyncio.get_running_loop().time())
                self._news.set()
                self.active += 1
                self.most_active = max(self.most_active, self.active)
                keep = await (self.script.pop(0) if self.script else self.otherwise)(writer)
                self.active -= 1
                if not keep:
                    break


@pytest_asyncio.fixture
async def server():
    """The scripted server."""
    scripted = ScriptedServer()
    listening = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.port = listening.sockets[0].getsockname()[1]
    yield scripted
    listening.close()
    await scripted.close()


@pytest_asyncio.fixture
async def client_of(tmp_path):
    """Makes clients whose limiter keeps its state in a folder of the test."""
    made = []

    def make(**options):
        made.append(HttpClient(limiter=RateLimiter(tmp_path / "limits"), **options))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.fixture
def client(client_of):
    """A client as it comes."""
    return client_of()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a key and a certificate for 127.0.0.1 that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return file


async def _hang_up(_, writer) -> None:
    writer.close()


@pytest_asyncio.fixture
async def tls_server(certificate):
    """The port of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listening = await asyncio.start_server(_hang_up, "127.0.0.1", 0, ssl=context)
    yield listening.sockets[0].getsockname()[1]
    listening.close()
