"""Cancellable reading of lines from stdin."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 20
"""Maximum length of a line; longer ones are truncated, which their parser detects."""
_MOST_WAITING = 100


async def lines_of(descriptor: int) -> AsyncIterator[str]:
    """
    Yield the lines of a file, a pipe or a terminal until it ends.

    A thread reads them, and stays blocked if the reader is cancelled, since nothing can wake it. It reads the raw
    descriptor, because the lock of a buffered file would prevent the process from ending.
    """
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    room = threading.Semaphore(_MOST_WAITING)
    loop = asyncio.get_running_loop()

    def put(line: bytes | None) -> None:
        room.acquire()
        loop.call_soon_threadsafe(queue.put_nowait, line)

    def read() -> None:
        rest = b""
        # The loop may close at any moment.
        with contextlib.suppress(RuntimeError):
            while chunk := os.read(descriptor, _CHUNK):
                *whole, rest = (rest + chunk).split(b"\n")
                if len(rest) > _LONGEST_LINE:
                    whole.append(rest)
                    rest = b""
                for line in whole:
                    put(line)
            put(rest)
            put(None)

    threading.Thread(target=read, name="chandlery stdin", daemon=True).start()
    while (line := await queue.get()) is not None:
        room.release()
        if line.strip():
            yield line.decode(errors="replace")
