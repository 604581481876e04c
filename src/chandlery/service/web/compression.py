"""Compression of responses: zstd if the client accepts it, else gzip."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pyarrow as pa
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALLEST = 1_000
"""Minimum size in bytes; smaller responses are not worth it."""
_WORTH_IT = ("application/json", "application/problem+json", "text/")
_EVENTS = "text/event-stream"
"""
Event streams are not compressed: each event is small and wanted at once, and so is the head, which may come long
before.
"""
_GZIP_LEVEL = 1
_LARGE = 1 << 14
_WITH_GZIP_HEAD = 31
_KNOWN = 64
"""Maximum number of cached texts of ``Accept-Encoding``, of which clients may send any number."""


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _WITH_GZIP_HEAD)

    def __call__(self, content: bytes, *, last: bool) -> bytes:
        packed = self._stream.compress(content)
        return packed + self._stream.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


class _Zstd:
    """Compressor that makes one frame per part; consecutive frames form one content."""

    def __init__(self) -> None:
        self._codec = pa.Codec("zstd")

    def __call__(self, content: bytes, *, last: bool) -> bytes:
        return bytes(self._codec.compress(content, asbytes=True)) if content else b""


_ENCODINGS: dict[str, Callable[[], Any]] = {"zstd": _Zstd, "gzip": _Gzip}


class Compression:
    """ASGI middleware that compresses text; binary formats are compressed already, or must be fast."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, compressing the response if the client accepts it."""
        taken = Headers(scope=scope).get("Accept-Encoding", "") if scope["type"] == "http" else ""
        encoding = _encoding(taken)
        if encoding is None:
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, _Smaller(send, encoding))


@lru_cache(_KNOWN)
def _encoding(taken: str) -> str | None:
    """Return the encoding for the text of ``Accept-Encoding``; ``None`` if it accepts none of ours."""
    offers = [_offer(part) for part in taken.lower().split(",")]
    return next((name for name in _ENCODINGS if name in offers), None)


def _offer(part: str) -> str:
    """Return the encoding that a part of ``Accept-Encoding`` accepts; empty if it refuses one."""
    name, _, quality = part.replace(" ", "").partition(";q=")
    return "" if quality and not quality.strip("0.") else name


class _Smaller:
    """Response sender that compresses if it is worth it."""

    def __init__(self, send: Send, encoding: str) -> None:
        self._send = send
        self._encoding = encoding
        self._start: Message | None = None
        self._compress: Any = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if Headers(raw=message["headers"]).get("Content-Type", "").startswith(_EVENTS):
                await self._send(message)
            else:
                self._start = message
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._start is not None:
            start, self._start = self._start, None
            self._begin(start, len(body), whole=not more)
            await self._send(start)
        if self._compress is not None:
            message = {**message, "body": await self._compressed(body, last=not more)}
        await self._send(message)

    async def _compressed(self, content: bytes, *, last: bool) -> bytes:
        """Compress the content, in a thread if that is faster."""
        if len(content) < _LARGE:
            packed: bytes = self._compress(content, last=last)
        else:
            packed = await asyncio.to_thread(self._compress, content, last=last)
        return packed

    def _begin(self, start: Message, size: int, *, whole: bool) -> None:
        headers = MutableHeaders(raw=start["headers"])
        headers.add_vary_header("Accept-Encoding")
        text = headers.get("Content-Type", "").startswith(_WORTH_IT)
        if not text or "Content-Encoding" in headers or (whole and size < SMALLEST):
            return
        self._compress = _ENCODINGS[self._encoding]()
        headers["Content-Encoding"] = self._encoding
        if "Content-Length" in headers:
            del headers["Content-Length"]
        tag = headers.get("ETag")
        if tag is not None and not tag.startswith("W/"):
            headers["ETag"] = f"W/{tag}"
        start["headers"] = headers.raw
