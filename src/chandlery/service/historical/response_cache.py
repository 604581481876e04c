"""Cache of immutable responses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing

from chandlery.service.frames import Part

CACHED_BYTES = 128 << 20
"""Maximum cache size in bytes; responses being collected may take as much again in total."""


_SENT_AT_ONCE = 1 << 22
"""
Block size in bytes of a response; each block is sent in one turn of the event loop, which takes 1 to 1.5 ms.

Every block wakes the client and the loop once more: blocks of 1 MiB take 1.25 x the processor time.
"""


class ResponseCache:
    """Least recently used cache of responses by their tags, within ``most_bytes``."""

    def __init__(self, most_bytes: int = CACHED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._answers: OrderedDict[str, _Blocks] = OrderedDict()
        self._bytes = self._gathering = 0

    def get(self, tag: str) -> list[memoryview] | None:
        """Return the blocks of a cached response; ``None`` on a miss."""
        found = self._answers.get(tag)
        if found is None:
            return None
        self._answers.move_to_end(tag)
        return [memoryview(block) for block in found.blocks]

    async def caching(self, tag: str, parts: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
        """Yield the same parts, and cache them once complete, unless they exceed the available memory. Closes them."""
        gathered: _Blocks | None = _Blocks()
        size = 0
        try:
            async with aclosing(parts):
                async for part in parts:
                    if gathered is not None and self._gathering + len(part) > self._most_bytes:
                        gathered = None
                        self._gathering -= size
                        size = 0
                    elif gathered is not None:
                        gathered.append(part)
                        size += len(part)
                        self._gathering += len(part)
                    yield part
            if gathered is not None:
                self._keep(tag, gathered)
        finally:
            self._gathering -= size

    def _keep(self, tag: str, answer: _Blocks) -> None:
        known = self._answers.pop(tag, None)
        self._bytes += answer.size - (0 if known is None else known.size)
        self._answers[tag] = answer
        while self._bytes > self._most_bytes:
            _, oldest = self._answers.popitem(last=False)
            self._bytes -= oldest.size


class _Blocks:
    """
    Copies of parts in blocks of one size: a view of a part would hold the memory of a larger table.

    A single buffer would be moved as it grows, which takes longer than a turn of the event loop may.
    """

    def __init__(self) -> None:
        self.blocks: list[bytearray] = []
        self.size = 0

    def append(self, part: Part) -> None:
        """Copy a part."""
        self.size += len(part)
        rest = memoryview(part)
        while rest:
            if not self.blocks or len(self.blocks[-1]) >= _SENT_AT_ONCE:
                self.blocks.append(bytearray())
            block = self.blocks[-1]
            room = _SENT_AT_ONCE - len(block)
            block += rest[:room]
            rest = rest[room:]
