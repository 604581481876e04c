"""An HTTP answer without end, line by line, with the face that the streams know of a socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Self

from aiohttp import web

_END = b"\r\n"
_LOOK_EVERY_S = 0.05


class LineSocket:
    """Each frame that is sent is a line of a chunked answer."""

    def __init__(self, response: web.StreamResponse, request: web.BaseRequest) -> None:
        self.response = response
        self._request = request
        self._ended = False

    @classmethod
    async def opened(cls, request: web.BaseRequest, headers: Mapping[str, str]) -> Self:
        """The answer to a request, begun."""
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        return cls(response, request)

    @property
    def closed(self) -> bool:
        """Whether either side has ended it."""
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
        """End the answer; it has no place for a code or a message."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(ConnectionError):
                await self.response.write_eof()

    async def over(self) -> None:
        """Return when it is closed."""
        while not self.closed:  # noqa: ASYNC110  # nothing tells when the peer leaves
            await asyncio.sleep(_LOOK_EVERY_S)
