"""Answers that do not change, kept for who asks next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing

from chandlery.service.frames import Part

CACHED_BYTES = 128 << 20
"""How much memory they may take; those that are being gathered, all together, as much again."""


class ResponseCache:
    """The answers that were asked for last, by their tags, as many as fit into ``most_bytes``."""

    def __init__(self, most_bytes: int = CACHED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._answers: OrderedDict[str, bytearray] = OrderedDict()
        self._bytes = self._gathering = 0

    def get(self, tag: str) -> memoryview | None:
        """A kept answer."""
        found = self._answers.get(tag)
        if found is None:
            return None
        self._answers.move_to_end(tag)
        return memoryview(found)

    async def caching(self, tag: str, parts: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
        """The same parts; once all of them have come, they are kept, unless there is no room to gather them. Closes them."""
        gathered: bytearray | None = bytearray()
        size = 0
        try:
            async with aclosing(parts):
                async for part in parts:
                    if gathered is not None and self._gathering + len(part) > self._most_bytes:
                        gathered = None
                        self._gathering -= size
                        size = 0
                    elif gathered is not None:
                        # One piece of memory, of which larger parts can be sent than come; a view would keep all of a larger table.
                        gathered += part
                        size += len(part)
                        self._gathering += len(part)
                    yield part
            if gathered is not None:
                self._keep(tag, gathered)
        finally:
            self._gathering -= size

    def _keep(self, tag: str, answer: bytearray) -> None:
        self._bytes += len(answer) - len(self._answers.pop(tag, b""))
        self._answers[tag] = answer
        while self._bytes > self._most_bytes:
            _, oldest = self._answers.popitem(last=False)
            self._bytes -= len(oldest)
