"""What groups of feeds have in common: how they start, wait, fail and stop."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from chandlery.core.errors import ChandleryError, Closed, RequestTimeout
from chandlery.feed.network import NetworkClient

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


class Stream(Protocol):
    """What a feed waits for."""

    began: bool
    """Whether it is there, or never will be."""
    failure: ChandleryError | None
    """Why it never will be."""


class Feed(Protocol):
    """A member of a group."""

    @property
    def stream(self) -> Stream:
        """What it shows."""
        ...

    def end(self) -> None:
        """End its iterations."""
        ...


_Feed = TypeVar("_Feed", bound=Feed)


class Group(ABC, Generic[_Feed]):
    """Feeds of one exchange that share their connections, and one life."""

    waits_for: str
    """What the start waits for, in words."""

    def __init__(self, network: NetworkClient) -> None:
        self.network = network
        self.feeds: list[_Feed] = []
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._stopped = False
        self._stopping = asyncio.Lock()
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @abstractmethod
    async def start(self) -> None:
        """Start all feeds."""

    @abstractmethod
    def remove(self, feed: _Feed) -> None:
        """End one feed of the group; the others go on."""

    async def stop(self) -> None:
        """Stop all feeds; raises what an ``on_update`` has raised."""
        await self._shut()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def fail(self, error: BaseException) -> None:
        """End all feeds with an error, which ``stop`` raises."""
        if self._failure is None:
            self._failure = error
            log.error("%s: the feeds end: %r", self.network.adapter.id, error)
        if self._task is not None:
            self._task.cancel()
        for feed in self.feeds:
            feed.end()
        self.look()

    def look(self) -> None:
        """Have those who wait look whether what they wait for is there."""
        self._news.set()

    async def _started(
        self, run: Callable[[], Coroutine[Any, Any, None]], timeout_s: float, only: _Feed | None
    ) -> None:
        """Run, unless it runs already, and wait for all feeds, or for ``only`` one, which alone is removed if it fails."""
        if self._stopped or (only is not None and only not in self.feeds):
            raise Closed("this feed was stopped; make a new one")
        first = self._task is None
        if first:
            self._task = asyncio.create_task(run())
            self._task.add_done_callback(self._over)
        try:
            await self._begun(self.feeds if first or only is None else [only], timeout_s)
        except BaseException:
            if first or only is None:
                await self._shut()
            else:
                self.remove(only)
            raise

    async def _begun(self, feeds: Sequence[_Feed], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    self._news.clear()
                    for feed in feeds:
                        if feed.stream.failure is not None:
                            raise feed.stream.failure
                    if self._stopped or self._failure is not None:
                        raise self._failure or Closed("the feed was stopped meanwhile")
                    if all(feed.stream.began for feed in feeds):
                        return
                    await self._news.wait()
        except TimeoutError:
            raise RequestTimeout(f"{self.network.adapter.id}: no {self.waits_for} within {timeout_s:g} s") from None

    async def _shut(self) -> None:
        """Stop everything; returns when nothing runs any more."""
        self._stopped = True
        self.look()
        for feed in self.feeds:
            feed.end()
        async with self._stopping:
            if self._task is not None and not self._task.done():
                self._task.cancel()
                await asyncio.wait({self._task})
            await self.network.close()

    def _over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)
