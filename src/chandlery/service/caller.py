"""Who waits for the answer to a request, and what is held for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.types import Scope

from chandlery.core.errors import Closed

_KEY = "chandlery.caller"


class Caller:
    """
    The client of one request. Once it has left, what is ``served`` to it is cancelled.

    ``held`` is closed when the request is over, however it ends.
    """

    def __init__(self, scope: Scope) -> None:
        self._gone = asyncio.Event()
        self.held = AsyncExitStack()
        self._serving: list[asyncio.Task[object]] = []
        scope[_KEY] = self

    @property
    def left(self) -> bool:
        """Whether it has left."""
        return self._gone.is_set()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """
        Work for the caller.

        Raises:
            Closed: It has left, and the block was cancelled.
        """
        if self.left:
            raise Closed("the client has left")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # this runs in one
        self._serving.append(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._gone.is_set() or task.uncancel() > 0:
                raise
            raise Closed("the client has left") from None
        finally:
            self._serving.remove(task)

    def leave(self) -> None:
        """It has left; again is nothing."""
        if not self.left:
            self._gone.set()
            for task in set(self._serving):
                task.cancel()


def caller_of(scope: Scope) -> Caller:
    """The caller of a request."""
    caller: Caller = scope[_KEY]
    return caller
