"""A stream that runs in the background and calls back."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

from chandlery.clients.rows import Row
from chandlery.core.errors import RequestTimeout

log = logging.getLogger("chandlery.connect")  # its documented name
log.addHandler(logging.NullHandler())


_T = TypeVar("_T")

Callback: TypeAlias = Callable[[str, Row], Awaitable[object] | object]
"""Called with the coin as it was asked for and one entry; awaited where it returns something to await."""

START_TIMEOUT_S = 60.0
"""How long the first entry may take."""


class BookAges(Struct, frozen=True):
    """The age of an order book; infinite where it is unknown, as after the local clock was set back."""

    message_s: float
    """Seconds since its last message came."""
    proof_s: float | None = None
    """Seconds since an update or a heartbeat last proved it; ``None`` where no heartbeats are noticed."""


class RealtimeStream:
    """
    One stream of one coin: ``wait`` for its end, or ``stop`` it.

    ``run`` calls back until it is cancelled. ``dropped`` counts entries that a callback was too slow for. ``book``
    gives the order book of now, for streams that hold it whole, and ``ages`` how old it is.
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
        """Whether it still calls back."""
        return not self._task.done()

    @property
    def failure(self) -> BaseException | None:
        """What ended it; ``None`` while it runs and where it was stopped."""
        if self.running or self._task.cancelled():
            return None
        return self._task.exception()

    @property
    def dropped(self) -> int:
        """How many entries the callback was too slow for."""
        return self._dropped()

    @property
    def holds_book(self) -> bool:
        """Whether ``book`` gives the order book of now; where not, the latest entry is all that is known of it."""
        return self._book is not None

    def book(self, levels: int | None = None) -> Row | None:
        """
        The order book as it is now, so many levels a side or all that there are, as an entry.

        ``None`` where there is no valid one, and where the stream does not hold it; see ``holds_book``.
        """
        return None if self._book is None else self._book(levels)

    @property
    def ages(self) -> BookAges | None:
        """The age of the book that ``book`` gives; ``None`` where there is none."""
        return self._ages()

    async def started(self, begun: asyncio.Event, timeout_s: float = START_TIMEOUT_S) -> None:
        """
        Until ``begun`` is set; raises what has ended it before.

        Raises:
            RequestTimeout: It was not within ``timeout_s``; the stream is ended.
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
            raise RequestTimeout(f"{self.name}: nothing came within {timeout_s:g} s")

    async def wait(self) -> None:
        """Until it ends; raises what ended it, nothing where it was stopped."""
        await asyncio.wait({self._task})
        if self.failure is not None:
            raise self.failure

    async def stop(self) -> None:
        """End it, and raise what had ended it before; again is nothing."""
        await self.end()
        if self.failure is not None:
            raise self.failure

    async def end(self) -> None:
        """End it; what had ended it before is still its ``failure``."""
        self._task.cancel()
        await asyncio.wait({self._task})

    def _over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: the stream ends: %r", self.name, error)


async def deliver(callback: Callable[[str, _T], object], coin: str, entry: _T) -> None:
    """Call back, and await where there is something to await."""
    answer = callback(coin, entry)
    if inspect.isawaitable(answer):
        await answer
