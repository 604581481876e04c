"""Background streams with callbacks."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

from chandlery.clients.rows import Row
from chandlery.core.errors import RequestTimeout

log = logging.getLogger("chandlery.connect")  # the documented name
log.addHandler(logging.NullHandler())


_T = TypeVar("_T")

Callback: TypeAlias = Callable[[str, Row], Awaitable[object] | object]
"""Callback with the coin as requested and one entry; an awaitable result is awaited."""

START_TIMEOUT_S = 60.0
"""Maximum time in seconds until the first entry."""


class BookAges(Struct, frozen=True):
    """Age of an order book; infinite if unknown, as after the local clock was set back."""

    message_s: float
    """Seconds since its last message."""
    proof_s: float | None = None
    """Seconds since the last update or heartbeat; ``None`` if heartbeats are not reported."""


class RealtimeStream:
    """
    Stream of one coin: ``wait`` for its end, or ``stop`` it.

    ``run`` calls back until it is cancelled. ``dropped`` counts entries dropped because the callback was too slow.
    ``book`` returns the current order book, for streams that hold it, and ``ages`` its age.
    """

    def __init__(
        self,
        name: str,
        run: Coroutine[Any, Any, None],
        *,
        dropped: Callable[[], int] = lambda: 0,
        book: Callable[[int | None], Row | None] | None = None,
        ages: Callable[[], BookAges | None] = lambda: None,
    ) -> None:
        self.name = name
        self._dropped = dropped
        self._book = book
        self._ages = ages
        self._task = asyncio.create_task(run, name=f"chandlery {name}")
        self._task.add_done_callback(self._over)

    @property
    def running(self) -> bool:
        """True while it calls back."""
        return not self._task.done()

    @property
    def failure(self) -> BaseException | None:
        """Error that ended the stream; ``None`` while it runs and after ``stop``."""
        if self.running or self._task.cancelled():
            return None
        return self._task.exception()

    @property
    def dropped(self) -> int:
        """Number of entries dropped because the callback was too slow."""
        return self._dropped()

    @property
    def holds_book(self) -> bool:
        """True if ``book`` returns the current order book; otherwise only the latest entry is known."""
        return self._book is not None

    def book(self, levels: int | None = None) -> Row | None:
        """
        Return the current order book as an entry, with ``levels`` per side, or all.

        ``None`` if there is no valid one, or if the stream does not hold it; see ``holds_book``.
        """
        return None if self._book is None else self._book(levels)

    @property
    def ages(self) -> BookAges | None:
        """Age of the book that ``book`` returns; ``None`` without one."""
        return self._ages()

    async def started(self, begun: asyncio.Event, timeout_s: float = START_TIMEOUT_S) -> None:
        """
        Wait until ``begun`` is set; raise the error that ended the stream before.

        Raises:
            RequestTimeout: It was not set within ``timeout_s``; the stream is stopped.
        """
        waiting = asyncio.create_task(begun.wait())
        try:
            await asyncio.wait({waiting, self._task}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.end()
            raise
        finally:
            waiting.cancel()
        if self.failure is not None:
            raise self.failure
        if not begun.is_set():
            await self.end()
            raise RequestTimeout(f"{self.name}: no data within {timeout_s:g} s")

    async def wait(self) -> None:
        """Wait until the stream ends; raise the error that ended it, unless it was stopped."""
        await asyncio.wait({self._task})
        if self.failure is not None:
            raise self.failure

    async def stop(self) -> None:
        """Stop the stream, and raise an error that ended it before; idempotent."""
        await self.end()
        if self.failure is not None:
            raise self.failure

    async def end(self) -> None:
        """Stop the stream; an error that ended it before remains in ``failure``."""
        self._task.cancel()
        await asyncio.wait({self._task})

    def _over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: the stream ended: %r", self.name, error)


async def deliver(callback: Callable[[str, _T], object], coin: str, entry: _T) -> None:
    """Call back, and await an awaitable result."""
    answer = callback(coin, entry)
    if inspect.isawaitable(answer):
        await answer
