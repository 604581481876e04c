"""Streaming response that ends with its client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from chandlery.core.errors import ChandleryError, Closed
from chandlery.service.frames import Part

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

STALLED_S = 60.0
"""Maximum time in seconds that a client may read nothing."""


class Download(StreamingResponse):
    """
    Response that sends ``parts`` and always closes them; it aborts if the client reads nothing for a minute or an
    exchange fails.

    Starlette would leave the generator, and all it holds, to the garbage collector after a disconnect.
    """

    def __init__(
        self,
        parts: AsyncGenerator[Part, None],
        *,
        media_type: str,
        headers: Mapping[str, str],
        stalled_s: float = STALLED_S,
    ) -> None:
        super().__init__(parts, media_type=media_type, headers=headers)
        self._parts = parts
        self._stalled_s = stalled_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""

        async def sent(message: Message) -> None:
            try:
                async with asyncio.timeout(self._stalled_s):
                    await send(message)
            except TimeoutError:
                raise Closed(f"the client has read nothing for {self._stalled_s:g} s") from None

        try:
            async with aclosing(self._parts):
                await super().__call__(scope, receive, sent)
        except ChandleryError as error:
            # A response that has begun cannot report an error: the server closes the connection of an incomplete one.
            log.warning("download of %s aborted: %s", scope["path"], error)
