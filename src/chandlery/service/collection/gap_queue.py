"""Queue of one stream's gaps, from detection until they are stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import Struct, structs

from chandlery.core.gaps import Gap
from chandlery.core.time import Micros

_GROWN = 2
"""Growth factor of an outage after which it is published again while it lasts."""

Store: TypeAlias = Callable[[Gap, Micros | None], Awaitable[None]]
"""Callback that stores a gap, with the exchange's time of its proof, and replaces the gaps within it."""


class _Waiting(Struct):
    gap: Gap
    proved_at: Micros | None = None


class GapQueue:
    """
    Queue that publishes gaps at once, and stores them in order.

    Adjacent gaps of one outage merge into one growing gap, with the evidence of its first part. It is published when it
    begins, whenever its length has doubled, and when it ends. ``count`` is the number of gaps.
    """

    def __init__(self, publish: Callable[[Gap], object]) -> None:
        self.count = 0
        self._publish = publish
        self._waiting: deque[_Waiting] = deque()
        self._outage: _Waiting | None = None
        self._published: Gap | None = None
        """Gap of the outage as last published."""

    def __bool__(self) -> bool:
        """Return whether any gap waits to be stored."""
        return bool(self._waiting)

    def add(self, gap: Gap, proved_at: Micros | None = None) -> None:
        """Add a complete gap; ignore an empty one, as after the clock was set back."""
        if gap.span:
            self.count += 1
            self._waiting.append(_Waiting(gap, proved_at))
            self._publish(gap)

    def extend(self, gap: Gap) -> None:
        """Add a part of an outage; it extends the current gap if it is adjacent."""
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
        """Publish the outage if it has changed since it was last published."""
        if self._outage is not None and self._outage.gap != self._published:
            self._published = self._outage.gap
            self._publish(self._outage.gap)

    def over(self) -> None:
        """End the outage and publish its full extent; the next part starts another gap."""
        self.tell()
        self._outage = self._published = None

    async def store(self, store: Store) -> None:
        """Store the queued gaps; those that cannot be stored stay queued for the next call."""
        while self._waiting:
            waiting = self._waiting[0]
            gap = waiting.gap
            await store(gap, waiting.proved_at)
            if waiting.gap == gap:  # it has not grown in the meantime
                self._waiting.popleft()


def _length(gap: Gap) -> Micros:
    return gap.end - gap.start
