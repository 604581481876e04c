"""Secrets and their deliberately expensive hashes."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from chandlery.core.errors import Overloaded

_T = TypeVar("_T")

_AT_ONCE = 2
"""Hashes computed at once; each takes about 64 MB of memory."""
_MOST_WAITING = 32
_TIMEOUT_S = 10.0


class Secrets:
    """
    Secrets and their argon2 hashes, computed on two dedicated threads.

    At most ``most_waiting`` requests of unknown callers wait, and as many of known ones. Known callers go first, so
    that unknown ones cannot lock them out.
    """

    def __init__(self, hasher: Argon2Hasher | None = None, *, most_waiting: int = _MOST_WAITING) -> None:
        self._hash = PasswordHash((hasher or Argon2Hasher(),))
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="chandlery-hash")
        self._free = _AT_ONCE
        self._most_waiting = most_waiting
        self._known: deque[asyncio.Future[None]] = deque()
        self._strangers: deque[asyncio.Future[None]] = deque()
        # An unknown name must take as long as a known one.
        self._nobody = self._hash.hash(secrets.token_urlsafe())

    async def hash(self, secret: str) -> str:
        """
        Return the hash to store for a secret.

        Raises:
            Overloaded: The queue is full.
        """
        return await self._in_turn(lambda: self._hash.hash(secret), known=True)

    async def match(self, secret: str, hashed: str | None, *, known: bool = False) -> bool:
        """
        Return whether a secret matches a hash; takes as long without a hash.

        Raises:
            Overloaded: The queue is full.
        """
        verified = await self._in_turn(lambda: self._hash.verify(secret, hashed or self._nobody), known=known)
        return verified and hashed is not None

    async def _in_turn(self, work: Callable[[], _T], *, known: bool) -> _T:
        await self._turn(self._known if known else self._strangers)
        loop = asyncio.get_running_loop()

        def ended(_: Future[_T]) -> None:
            try:
                loop.call_soon_threadsafe(self._release)
            except RuntimeError:  # the loop is closed, so nothing waits
                self._free += 1

        # The slot is released when the thread finishes, not when the caller stops waiting: a cancelled caller leaves it
        # running.
        job = self._threads.submit(work)
        job.add_done_callback(ended)
        return await asyncio.wrap_future(job)

    async def _turn(self, lane: deque[asyncio.Future[None]]) -> None:
        if self._free > 0:
            self._free -= 1
            return
        if len(lane) >= self._most_waiting:
            raise _too_many()
        mine = asyncio.get_running_loop().create_future()
        lane.append(mine)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await mine
        except BaseException as error:
            if mine in lane:
                lane.remove(mine)
            elif not mine.cancelled():
                self._release()  # the slot was assigned to this waiter just now
            if isinstance(error, TimeoutError):
                raise _too_many() from None
            raise

    def _release(self) -> None:
        """Pass the slot to the next waiter."""
        for lane in (self._known, self._strangers):
            while lane:
                following = lane.popleft()
                if not following.done():
                    following.set_result(None)
                    return
        self._free += 1


def _too_many() -> Overloaded:
    return Overloaded("too many concurrent logins; try again in 1 s", retry_after_s=1)
