"""The gaps of one stream, from when they are found until they are stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import Struct, structs

from chandlery.core.gaps import Gap
from chandlery.core.time import Micros

_GROWN = 2
"""How many times as long an outage must be to be published again while it lasts."""

Store: TypeAlias = Callable[[Gap, Micros | None], Awaitable[None]]
"""Stores a gap, with the exchange's time when it was proved, in place of those within it."""


class _Waiting(Struct):
    gap: Gap
    proved_at: Micros | None = None


class GapQueue:
    """
    Publishes gaps at once, and has them stored in order.

    Those that touch each other of one outage are one gap that grows, with the evidence of its beginning. It is published
    when it begins, whenever it has become twice as long, and when it is over. ``count`` is how many there were.
    """

    def __init__(self, publish: Callable[[Gap], object]) -> None:
        self.count = 0
        self._publish = publish
        self._waiting: deque[_Waiting] = deque()
        self._outage: _Waiting | None = None
        self._published: Gap | None = None
        """What was published last of the outage."""

    def __bool__(self) -> bool:
        """Whether any waits to be stored."""
        return bool(self._waiting)

    def add(self, gap: Gap, proved_at: Micros | None = None) -> None:
        """Take a gap that is whole; one without any moment, as where the clock was set back meanwhile, is none."""
        if gap.span:
            self.count += 1
            self._waiting.append(_Waiting(gap, proved_at))
            self._publish(gap)

    def extend(self, gap: Gap) -> None:
        """Take a part of an outage, which goes on where it touches what was taken before."""
        if not gap.span:
            return
        outage = self._outage
        if outage is None or gap.start > outage.gap.end or gap.end < outage.gap.start:
            self.over()
            self.count += 1
            self._outage = outage = _Waiting(gap)
        else:
            start, end = min(gap.start, outage.gap.start), max(gap.end, outage.gap.end)
            outage.gap = structs.replace(outage.gap, start=start, end=end)
        if outage not in self._waiting:
            self._waiting.append(outage)
        if self._published is None or _length(outage.gap) >= _GROWN * _length(self._published):
            self.tell()

    def tell(self) -> None:
        """Publish the outage where it has changed since it was published."""
        if self._outage is not None and self._outage.gap != self._published:
            self._published = self._outage.gap
            self._publish(self._outage.gap)

    def over(self) -> None:
        """The outage has ended: publish what it was in all; what comes next is another one."""
        self.tell()
        self._outage = self._published = None

    async def store(self, store: Store) -> None:
        """Have those that wait stored; what cannot be stays, and is tried again with the next call."""
        while self._waiting:
            waiting = self._waiting[0]
            gap = waiting.gap
            await store(gap, waiting.proved_at)
            if waiting.gap == gap:  # it has not grown meanwhile
                self._waiting.popleft()


def _length(gap: Gap) -> Micros:
    return gap.end - gap.start
