"""How much heavy work is done at once, for one account and for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from chandlery.core.errors import TooMuchAtOnce
from chandlery.service.auth.interfaces import Subject

WAIT_S = 10.0
"""How long work waits for its turn before it is refused."""
_ACCOUNTS = 4
"""How many accounts can have all of theirs at once."""
_WAITING = 8
"""How many times as much may wait as is done."""


class Workload:
    """
    Lets so much heavy work be done at once ``for_account``, and four times as much for all: whole ranges, pages, summaries.

    What comes besides waits, for ``wait_s`` at most.
    """

    def __init__(self, for_account: int, *, wait_s: float = WAIT_S) -> None:
        self.under_way = 0
        """How much is done now."""
        self.waiting = 0
        """How much waits for its turn."""
        self.refused = 0
        """How much was refused."""
        self._for_account = for_account
        self._wait_s = wait_s
        self._all = asyncio.Semaphore(for_account * _ACCOUNTS)
        # One is there as long as somebody holds it or waits for it.
        self._accounts: WeakValueDictionary[tuple[str, str], _Turns] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, subject: Subject) -> AsyncIterator[None]:
        """
        Do something heavy for a caller, when it is its turn.

        Raises:
            TooMuchAtOnce: That is not soon.
        """
        turns = self._accounts.setdefault((subject.issuer, subject.id), _Turns(self._for_account))
        if turns.waiting >= self._for_account * _WAITING:
            raise self._refusal(f"{turns.waiting} wait already")
        try:
            async with asyncio.timeout(self._wait_s):
                await self._wait(turns)
        except TimeoutError:
            raise self._refusal(f"none was over within {self._wait_s:g} s") from None
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
            f"an account may have {most} heavy requests under way: {reason}; wait for some, or leave them",
            retry_after_s=self._wait_s,
        )


class _Turns(asyncio.Semaphore):
    """Those of one account."""

    waiting = 0
