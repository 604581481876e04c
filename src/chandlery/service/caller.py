"""Caller of a request, and the resources held until the request ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.types import Scope

from chandlery.core.errors import Closed

_KEY = "chandlery.caller"


class Caller:
    """
    Client of one request; work inside ``served`` is cancelled when the client disconnects.

    ``held`` is closed when the request ends, however it ends.
    """

    def __init__(self, scope: Scope) -> None:
        self._gone = asyncio.Event()
        self.held = AsyncExitStack()
        self._serving: list[asyncio.Task[object]] = []
        scope[_KEY] = self

    @property
    def left(self) -> bool:
        """True once the client has disconnected."""
        return self._gone.is_set()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """
        Run a block for the caller, and cancel it if the caller disconnects.

        Raises:
            Closed: The client disconnected, and the block was cancelled.
        """
        if self.left:
            raise Closed("the client has disconnected")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # this runs in one
        self._serving.append(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._gone.is_set() or task.uncancel() > 0:
                raise
            raise Closed("the client has disconnected") from None
        finally:
            self._serving.remove(task)

    def leave(self) -> None:
        """Record the disconnect and cancel the running blocks; idempotent."""
        if not self.left:
            self._gone.set()
            for task in set(self._serving):
                task.cancel()


def caller_of(scope: Scope) -> Caller:
    """Return the caller of a request."""
    caller: Caller = scope[_KEY]
    return caller
