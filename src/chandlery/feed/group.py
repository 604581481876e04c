"""Common base of feed groups: start, wait, fail and stop."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from chandlery.core.errors import Closed, InvalidSymbol, RequestTimeout
from chandlery.feed.backoff import Pace, delays
from chandlery.feed.connection import Sleep
from chandlery.feed.network import NetworkClient
from chandlery.feed.recovery import Job, Waits, described, kept_up
from chandlery.feed.startup import Startup

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_FIRST_REPORT_S = 2.0
"""Time after which a waiting start is logged for the first time."""
_NAMED = 5
_REMOVED = "{}: removed from its group meanwhile"


class Feed(Protocol):
    """A member of a group."""

    @property
    def stream(self) -> Startup:
        """Its stream."""
        ...

    @property
    def symbol(self) -> str:
        """The symbol in the exchange's spelling."""
        ...

    def end(self) -> None:
        """End its iterations."""
        ...


_Feed = TypeVar("_Feed", bound=Feed)


class Group(ABC, Generic[_Feed]):
    """Feeds of one exchange that share their connections and their lifetime."""

    waits_for: str
    """Name of what the start waits for."""

    def __init__(self, network: NetworkClient, *, sleep: Sleep, random: Callable[[], float], pace: Pace) -> None:
        self.network = network
        self._sleep = sleep
        self._random = random
        self._pace = pace
        self.feeds: list[_Feed] = []
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop in which it was started."""
        self._stopped = False
        self._stopping = asyncio.Lock()
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self._shut()
            raise
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
        """End one feed of the group; the others continue."""

    @property
    def ended(self) -> bool:
        """True if it was stopped, or its task or its event loop has ended; a new group is needed then."""
        return self._stopped or self._abandoned or (self._task is not None and self._task.done())

    @property
    def _abandoned(self) -> bool:
        """True if its event loop is closed, or does not run while another one does."""
        loop = self._loop
        if loop is None or loop.is_running():
            return False
        return loop.is_closed() or _runs()

    def check_loop(self) -> None:
        """
        Check that its event loop still runs.

        Raises:
            Closed: Its event loop has ended.
        """
        if self._abandoned and not self._stopped:
            raise Closed("the event loop of this feed has ended; create a new one in the running loop")

    async def stop(self) -> None:
        """Stop all feeds."""
        await self._shut()

    def waits(self) -> Waits:
        """Return an exponential backoff at the pace of the group."""
        return Waits(self._pace, self._random)

    def look(self) -> None:
        """Wake waiting starts so that they check again."""
        self._news.set()

    async def _started(self, run: Job, timeout_s: float, only: _Feed | None) -> None:
        """
        Run, unless it runs already, and wait for all feeds, or in a running group for ``only`` one.

        If ``only`` one is refused, it alone is removed; refusals of others do not matter to it. Of a whole
        group, the refused feeds are removed, and the first error is raised once all others have begun.
        """
        self.check_loop()
        if self._stopped or (only is not None and only not in self.feeds):
            raise Closed("this feed was stopped; make a new one")
        first = self._task is None
        if first:
            self._loop = asyncio.get_running_loop()
            name = f"{self.network.adapter.id}: the group of {len(self.feeds)} feeds"
            self._task = asyncio.create_task(
                kept_up(run, name=name, waits=self.waits(), sleep=self._sleep, on_failure=self._failed)
            )
            self._task.add_done_callback(self._over)
        try:
            awaited = self.feeds if first or only is None else [only]
            await self._begun(awaited, [] if only is None else [only], timeout_s)
        except BaseException as error:
            feeds = [*self.feeds]
            alone = only is not None and (not first or (only.stream.failure is not None and feeds != [only]))
            if alone and only is not None:
                self.remove(only)
            try:
                await self._suggest(error, feeds)
            finally:
                if not alone:
                    await self._shut()
            raise
        if only is None:
            await self._end_refused()
        elif only not in self.feeds:
            raise Closed(_REMOVED.format(only.symbol))

    async def _end_refused(self) -> None:
        """Remove the feeds that were refused, or stop if all were; raise the first error."""
        refused = [feed for feed in self.feeds if feed.stream.failure is not None]
        error = next((feed.stream.failure for feed in refused), None)
        if error is None:
            return
        if refused == self.feeds:
            try:
                await self._suggest(error, refused)
            finally:
                await self._shut()
        else:
            for feed in refused:
                self.remove(feed)
            error.add_note(
                f"refused permanently: {', '.join(each.symbol for each in refused)}; the other feeds continue"
            )
            await self._suggest(error, refused)
        raise error

    async def _suggest(self, error: BaseException, feeds: Sequence[_Feed]) -> None:
        """
        Add the nearest listed symbol to the error of an unknown one.

        Feeds that others outlive are removed before: until then, their subscriptions are repeated.
        """
        if isinstance(error, InvalidSymbol):
            for feed in feeds:
                if feed.stream.failure is error:
                    await self.network.suggest(error, feed.symbol)
                    return

    async def _begun(self, feeds: Sequence[_Feed], minded: Sequence[_Feed], timeout_s: float) -> None:
        """Wait until all ``feeds`` have begun or failed; raise the failure of one in ``minded``."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(timeout_s):
                for wait_s in delays(lambda: 1.0, first_s=_FIRST_REPORT_S):
                    if await self._begun_within(feeds, minded, wait_s):
                        return
                    if not all(feed.stream.began for feed in feeds):
                        waited_s = asyncio.get_running_loop().time() - began
                        log.warning("%s", self._lack(f"after {waited_s:.0f} s", feeds))
        except TimeoutError:
            raise RequestTimeout(self._lack(f"within {timeout_s:g} s", feeds)) from _obstacle(feeds)

    async def _begun_within(self, feeds: Sequence[_Feed], minded: Sequence[_Feed], wait_s: float) -> bool:
        """Return whether all begin within ``wait_s``; raise the failure of one in ``minded``."""
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    self._news.clear()
                    if gone := [feed.symbol for feed in feeds if feed not in self.feeds]:
                        raise Closed(_REMOVED.format(", ".join(gone)))
                    for feed in minded:
                        if feed.stream.failure is not None:
                            raise feed.stream.failure
                    if self.ended:
                        raise Closed("the feed was stopped meanwhile")
                    if all(feed.stream.began for feed in feeds):
                        return True
                    await self._news.wait()
        except TimeoutError:
            return False

    def _lack(self, when: str, feeds: Sequence[_Feed]) -> str:
        """Describe the missing feeds, and the error that delays them."""
        lacking = [feed.symbol for feed in feeds if not feed.stream.began]
        named = ", ".join(lacking[:_NAMED]) + (f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else "")
        obstacle = _obstacle(feeds)
        reason = "nothing was refused or has failed so far" if obstacle is None else described(obstacle)
        return f"{self.network.adapter.id}: no {self.waits_for} {when} for {named}: {reason}"

    async def _shut(self) -> None:
        """Stop everything, and wait until nothing runs any more."""
        self._stopped = True
        self.look()
        for feed in self.feeds:
            feed.end()
        async with self._stopping:
            if self._task is not None and not self._task.done() and not self._abandoned:
                self._task.cancel()
                await asyncio.wait({self._task})
            await self.network.close()

    def _failed(self, error: BaseException) -> None:
        for feed in self.feeds:
            if isinstance(error, Exception):
                feed.stream.note_delay(error)

    def _over(self, task: asyncio.Task[None]) -> None:
        """End the iterations of a group that ends without ``stop``, as with its event loop."""
        if self._stopped:
            return
        error = None if task.cancelled() else task.exception()
        log.error("%s: all feeds of the group end: %r", self.network.adapter.id, error or "cancelled")
        for feed in self.feeds:
            feed.end()
        self.look()


def _runs() -> bool:
    """Return whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _obstacle(feeds: Sequence[Feed]) -> Exception | None:
    """Return the error that delays the first feed that has one."""
    lacking = (feed.stream for feed in feeds if not feed.stream.began)
    return next((stream.obstacle for stream in lacking if stream.obstacle is not None), None)
