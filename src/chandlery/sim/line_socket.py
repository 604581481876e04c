"""Endless HTTP response of lines, with the interface that streams expect of a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Self

from aiohttp import web

_END = b"\r\n"
_LOOK_EVERY_S = 0.05


class LineSocket:
    """Connection that sends each frame as a line of a chunked response."""

    def __init__(self, response: web.StreamResponse, request: web.BaseRequest) -> None:
        self.response = response
        self._request = request
        self._ended = False

    @classmethod
    async def opened(cls, request: web.BaseRequest, headers: Mapping[str, str]) -> Self:
        """Start the response to a request."""
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        return cls(response, request)

    @property
    def closed(self) -> bool:
        """True once either side has closed it."""
        transport = self._request.transport
        return self._ended or transport is None or transport.is_closing()

    async def send_str(self, text: str) -> None:
        """Send a line."""
        await self.send_bytes(text.encode())

    async def send_bytes(self, data: bytes) -> None:
        """Send a line."""
        if not self._ended:
            await self.response.write(data + _END)

    async def close(self, *, code: int = 0, message: bytes = b"") -> None:
        """End the response, which cannot carry a code or a message."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(ConnectionError):
                await self.response.write_eof()

    async def over(self) -> None:
        """Wait until it is closed."""
        while not self.closed:  # noqa: ASYNC110  # nothing tells when the peer leaves
            await asyncio.sleep(_LOOK_EVERY_S)
