"""An answer in parts that ends with its client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from chandlery.service.frames import Part


class Download(StreamingResponse):
    """
    Sends ``parts``, and closes them however that ends.

    Starlette leaves them as they are where a client has gone, with all that they hold, until the garbage collector comes by.
    """

    def __init__(self, parts: AsyncGenerator[Part, None], *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(parts, media_type=media_type, headers=headers)
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        async with aclosing(self._parts):
            await super().__call__(scope, receive, send)
