"""Limits on concurrent heavy work, per account and in total."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from chandlery.core.errors import TooMuchAtOnce
from chandlery.service.auth.interfaces import Subject

WAIT_S = 10.0
"""Maximum wait for a slot in seconds before the request is refused."""
_ACCOUNTS = 4
"""Number of accounts that can use their full limit at once."""
_WAITING = 8
"""Maximum queue length, as a multiple of the concurrency limit."""


class Workload:
    """
    Limiter of heavy work (whole ranges, pages, summaries): ``for_account`` at once, and four times as much in total.

    Further requests wait for at most ``wait_s``.
    """

    def __init__(self, for_account: int, *, wait_s: float = WAIT_S) -> None:
        self.under_way = 0
        """Requests running now."""
        self.waiting = 0
        """Requests waiting for a slot."""
        self.refused = 0
        """Requests refused."""
        self._for_account = for_account
        self._wait_s = wait_s
        self._all = asyncio.Semaphore(for_account * _ACCOUNTS)
        # An entry exists while a request holds it or waits for it.
        self._accounts: WeakValueDictionary[tuple[str, str], _Turns] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, subject: Subject) -> AsyncIterator[None]:
        """
        Run a block of heavy work for a caller once a slot is free.

        Raises:
            TooMuchAtOnce: No slot is free in time, or too many requests wait already.
        """
        turns = self._accounts.setdefault((subject.issuer, subject.id), _Turns(self._for_account))
        if turns.waiting >= self._for_account * _WAITING:
            raise self._refusal(f"{turns.waiting} are queued already")
        try:
            async with asyncio.timeout(self._wait_s):
                await self._wait(turns)
        except TimeoutError:
            raise self._refusal(f"no slot was free within {self._wait_s:g} s") from None
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
            self._all.release()
            turns.release()

    async def _wait(self, turns: _Turns) -> None:
        turns.waiting += 1
        self.waiting += 1
        try:
            await turns.acquire()
            try:
                await self._all.acquire()
            except BaseException:
                turns.release()
                raise
        finally:
            turns.waiting -= 1
            self.waiting -= 1

    def _refusal(self, reason: str) -> TooMuchAtOnce:
        self.refused += 1
        most = self._for_account
        return TooMuchAtOnce(
            f"an account may run {most} heavy requests at once: {reason}; wait for some to finish, or cancel them",
            retry_after_s=self._wait_s,
        )


class _Turns(asyncio.Semaphore):
    """Slots of one account."""

    waiting = 0
