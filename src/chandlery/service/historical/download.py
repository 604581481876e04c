"""An answer in parts that ends with its client."""

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
"""How long a client may take nothing of what is sent to it."""


class Download(StreamingResponse):
    """
    Sends ``parts``, and closes them however that ends: a client that takes nothing for a minute, or an exchange that fails, cuts it.

    Starlette leaves them as they are where a client has gone, with all that they hold, until the garbage collector comes by.
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
        """Answer."""

        async def sent(message: Message) -> None:
            try:
                async with asyncio.timeout(self._stalled_s):
                    await send(message)
            except TimeoutError:
                raise Closed(f"the client has taken nothing for {self._stalled_s:g} s") from None

        try:
            async with aclosing(self._parts):
                await super().__call__(scope, receive, sent)
        except ChandleryError as error:
            # Nothing can be said in an answer that has begun: the server closes the connection of one that is not whole.
            log.warning("the download of %s is cut: %s", scope["path"], error)
