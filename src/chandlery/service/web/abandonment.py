"""Ends what is done for clients that have left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import nullcontext

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chandlery.core.errors import Closed
from chandlery.service.caller import Caller
from chandlery.service.errors import answer_to

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


class Abandonment:
    """
    ASGI middleware that cancels a request whose client has left before its answer was whole.

    A server says that to who asks for it alone, which nobody does who computes. Of ``apart``, paths that have sessions which outlive
    a request, only what is ``served`` to the caller is cancelled. What a server cancels that stops, once ``stopping``
    is set, is refused with 503, or its answer is cut; that is no error.
    """

    def __init__(
        self, app: ASGIApp, stopping: asyncio.Event, metadata_url: str, apart: Collection[str] = frozenset()
    ) -> None:
        self._app = app
        self._apart = apart
        self._stopping = stopping
        self._metadata_url = metadata_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and watch."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller, answer = Caller(scope), _Answer(send)
        body = _Body(receive, lambda: None if answer.whole else caller.leave())
        watching = asyncio.create_task(body.watch())
        try:
            async with caller.held, nullcontext() if scope["path"] in self._apart else caller.served():
                await self._app(scope, body.receive, answer.send)
        except Closed:
            if not caller.left:
                raise
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            log.warning("%s %s: the service stops before its answer is whole", scope["method"], scope["path"])
            if not answer.begun:
                await answer_to(Closed("the service stops"), self._metadata_url)(scope, receive, send)
        finally:
            watching.cancel()


class _Answer:
    """Passes an answer on, and knows how far it is."""

    def __init__(self, send: Send) -> None:
        self.begun = self.whole = False
        self._send = send

    async def send(self, message: Message) -> None:
        self.begun = True
        self.whole = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)


class _Body:
    """Passes a body on, and looks beyond it: one message ahead of who reads it, so that what nobody reads stays with the server."""

    def __init__(self, receive: Receive, on_gone: Callable[[], object]) -> None:
        self._receive = receive
        self._on_gone = on_gone
        self._ahead: asyncio.Queue[Message | Exception] = asyncio.Queue(1)
        self._last: Message | Exception | None = None

    async def watch(self) -> None:
        """Until the client has left, the answer is whole, or the body cannot be read."""
        try:
            while (message := await self._receive())["type"] != "http.disconnect":
                await self._ahead.put(message)
            self._last = message
        except Exception as error:  # noqa: BLE001  # raised to who reads the body
            self._last = error
        if self._ahead.empty():
            self._ahead.put_nowait(self._last)
        if not isinstance(self._last, Exception):
            self._on_gone()

    async def receive(self) -> Message:
        """The next message."""
        done = self._last is not None and self._ahead.empty()
        message = self._last if done else await self._ahead.get()
        if isinstance(message, Exception):
            raise message
        assert message is not None  # noqa: S101  # it is one of those that came
        return message
