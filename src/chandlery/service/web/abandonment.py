"""Cancellation of requests whose client has disconnected."""

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
    ASGI middleware that cancels a request whose client disconnects before the response is complete.

    A server reports a disconnect only to an application that is receiving. Of the paths in ``apart``, whose sessions
    outlive a request, only work in ``served`` is cancelled. Once ``stopping`` is set, a request that the server cancels
    is answered with 503, or its response is aborted; that is not an error.
    """

    def __init__(
        self, app: ASGIApp, stopping: asyncio.Event, metadata_url: str, apart: Collection[str] = frozenset()
    ) -> None:
        self._app = app
        self._apart = apart
        self._stopping = stopping
        self._metadata_url = metadata_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and watch for the disconnect."""
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
            log.warning("%s %s: the service stops before the response is complete", scope["method"], scope["path"])
            if not answer.begun:
                await answer_to(Closed("the service stops"), self._metadata_url)(scope, receive, send)
        finally:
            watching.cancel()


class _Answer:
    """Response passed on, with its progress."""

    def __init__(self, send: Send) -> None:
        self.begun = self.whole = False
        self._send = send

    async def send(self, message: Message) -> None:
        self.begun = True
        self.whole = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)


class _Body:
    """Request body passed on, with a look-ahead of one message, so that unread data stays with the server."""

    def __init__(self, receive: Receive, on_gone: Callable[[], object]) -> None:
        self._receive = receive
        self._on_gone = on_gone
        self._ahead: asyncio.Queue[Message | Exception] = asyncio.Queue(1)
        self._last: Message | Exception | None = None

    async def watch(self) -> None:
        """Wait until the client disconnects, the response is complete, or the body cannot be read."""
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
        """Return the next message."""
        done = self._last is not None and self._ahead.empty()
        message = self._last if done else await self._ahead.get()
        if isinstance(message, Exception):
            raise message
        assert message is not None  # noqa: S101  # it is one of those that came
        return message
