"""Clients of the benchmark of the service on bare sockets, so that they cost little and all contenders the same."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator

_PING, _PONG, _TEXT = 0x89, 0x8A, 0x81
_TIMEOUT_S = 60.0


def connected(port: int, path: str) -> socket.socket:
    """A socket after the handshake; the server waits for what the client says."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += sock.recv(1)
    if b" 101 " not in answer.partition(b"\r\n")[0]:
        raise SystemExit(f"no WebSocket at {path}: {answer!r}")
    return sock


def say(sock: socket.socket, text: str | dict[str, object]) -> None:
    """Send a text."""
    _send(sock, _TEXT, (text if isinstance(text, str) else json.dumps(text)).encode())


def pong(sock: socket.socket, content: bytes) -> None:
    """Answer a ping."""
    _send(sock, _PONG, content)


def messages(sock: socket.socket) -> Iterator[memoryview]:
    """What the server says, message by message, pings answered."""
    while True:
        first, size = _received(sock, 2)
        if size == 126:
            (size,) = struct.unpack("!H", _received(sock, 2))
        elif size == 127:
            (size,) = struct.unpack("!Q", _received(sock, 8))
        content = _received(sock, size)
        if first == _PING:
            pong(sock, bytes(content))
        elif first & 0x0F in {1, 2}:
            yield content
        else:
            raise SystemExit(f"the server ended the connection: {bytes(content)!r}")


def _received(sock: socket.socket, size: int) -> memoryview:
    content = memoryview(bytearray(size))
    at = 0
    while at < size:
        got = sock.recv_into(content[at:])
        if not got:
            raise SystemExit("the server ended the connection")
        at += got
    return content


def _send(sock: socket.socket, first: int, content: bytes) -> None:
    mask = os.urandom(4)
    head = bytes((first, 0x80 | len(content))) if len(content) < 126 else struct.pack("!BBH", first, 0xFE, len(content))
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(content))
    sock.sendall(head + mask + masked)
