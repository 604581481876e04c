"""The queue of updates that a reader has not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Self

from chandlery.core.candle import CandleData
from chandlery.feed.events import CandleUpdate, Dropped


class ConflatingQueue:
    """
    Updates in order, at most ``size``.

    A running candle replaces an unread older state of the same candle;
    closed candles and events are never conflated. When the queue is full, the oldest update is dropped
    and the reader gets ``Dropped``. Iterating reads updates until it is closed.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[CandleUpdate] = deque()
        self._unsaid = 0
        self._filled = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CandleUpdate:
        update = await self.get()
        if update is None:
            raise StopAsyncIteration
        return update

    def put(self, update: CandleUpdate) -> bool:
        """Add an update. Return whether there was room, so that no other was dropped."""
        if self._closed:
            return True
        items = self._items
        if isinstance(update, CandleData) and items:
            last = items[-1]
            if isinstance(last, CandleData) and not last.closed and last.open_time == update.open_time:
                items[-1] = update
                return True
        full = len(items) >= self._size
        if full:
            items.popleft()
            self._unsaid += 1
        items.append(update)
        self._filled.set()
        return not full

    def put_all(self, updates: Sequence[CandleUpdate]) -> int:
        """Add closed candles and events. Return how many updates were dropped."""
        if self._closed:
            return 0
        self._items.extend(updates)
        dropped = max(len(self._items) - self._size, 0)
        for _ in range(dropped):
            self._items.popleft()
        self._unsaid += dropped
        self._filled.set()
        return dropped

    def close(self) -> None:
        """Close the queue to new updates. Queued ones can still be read."""
        self._closed = True
        self._filled.set()

    async def get(self) -> CandleUpdate | None:
        """Wait for the next update and return it; ``None`` after the last."""
        while not self._items and not self._unsaid:
            if self._closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        if self._unsaid:
            count, self._unsaid = self._unsaid, 0
            return Dropped(count)
        return self._items.popleft()

    async def get_all(self) -> list[CandleUpdate]:
        """Wait for updates and return all that are there; empty after the last."""
        while not self._items and not self._unsaid and not self._closed:
            self._filled.clear()
            await self._filled.wait()
        return self.drain()

    def drain(self) -> list[CandleUpdate]:
        """Return all updates that are there."""
        updates = list(self._items)
        self._items.clear()
        if self._unsaid:
            updates.insert(0, Dropped(self._unsaid))
            self._unsaid = 0
        return updates
