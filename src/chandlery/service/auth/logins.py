"""
Guesses at secrets: each is counted before it is judged.

Failures count by the pair of account and address, so that nobody shuts others out of their account by guessing at it.
They also count by address alone; its pause refuses names that nobody has at once, and wrong secrets once they are
judged, so that the answers do not tell which names there are. The right secret is let in through such a pause.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from math import ceil
from typing import TypeAlias

from msgspec import Struct

from chandlery.core.errors import LoginFailed, Overloaded, TooManyLogins
from chandlery.core.time import MINUTE, SECOND, Clock, Micros

FREE_FAILURES = 5
"""So many may fail in a row before there are pauses."""
_FIRST_PAUSE: Micros = 2 * SECOND
_LONGEST_PAUSE: Micros = 15 * MINUTE
_MOST_DOUBLINGS = 10
_LONGEST_REFUSAL_S = 0.9
"""A refusal takes as long as to judge a secret took the last time, and that at most: both look the same."""
_ADMISSION_TIMEOUT_S = 10.0
_REMEMBERED = 20_000
_PROVEN = 10_000
_LOOKED_AT = 64
_HEATS = 4_096
_FREE_HEAT = 10
_COOLING: Micros = MINUTE
_SLOWED_S, _MOST_SLOWED_S = 0.1, 2.0

_Key: TypeAlias = tuple[str, str]


class _Counter(Struct):
    """Failures in a row of one key, and the tries that are under way."""

    count: int = 0
    until: Micros = 0
    """When the next try is let through."""
    pending: int = 0
    users: int = 0
    settled: asyncio.Event | None = None

    @property
    def is_full(self) -> bool:
        """Whether those under way are all that may fail before the next pause."""
        return self.pending >= max(FREE_FAILURES - self.count, 1)

    def failed(self, now: Micros) -> None:
        """Count a failure; after a quarter of an hour without one it is the first."""
        if now - self.until > _LONGEST_PAUSE:
            self.count = 0
        self.count += 1
        doublings = min(self.count - FREE_FAILURES, _MOST_DOUBLINGS)
        self.until = now + (min(_FIRST_PAUSE << doublings, _LONGEST_PAUSE) if doublings >= 0 else 0)

    def hold(self) -> None:
        """Begin a try."""
        self.pending += 1

    def release(self) -> None:
        """End it, and wake whoever waits for that."""
        self.pending -= 1
        if self.settled is not None:
            self.settled.set()
            self.settled = None

    async def wait(self) -> None:
        """Until one of the tries under way has ended."""
        self.settled = self.settled or asyncio.Event()
        await self.settled.wait()


class LoginGuard:
    """
    Makes those wait who fail again and again, each pause twice as long as the one before.

    Of the counters the latest ``remembered`` are known; one in its pause is dropped last. Each of them has cost a secret that was
    judged, so that nobody fills the table with pauses faster than they end. ``sleep`` waits for seconds,
    ``timeout_s`` is how long a try waits for others at most.
    """

    def __init__(
        self,
        clock: Clock,
        remembered: int = _REMEMBERED,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        timeout_s: float = _ADMISSION_TIMEOUT_S,
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._remembered = remembered
        self._sleep = sleep
        self._judged_s = 0.0
        self._counters: OrderedDict[_Key, _Counter] = OrderedDict()
        # Where an account has logged in from; whoever adds to it has an account.
        self._proven: OrderedDict[_Key, None] = OrderedDict()
        # By a hash of the name: a table of the names themselves could be filled by strangers.
        self._heats: list[tuple[float, Micros]] = [(0.0, 0)] * _HEATS

    @asynccontextmanager
    async def one_try(self, account: str | None, name: str, address: str) -> AsyncIterator[bool]:
        """
        One try to log in by ``name``, which is that of ``account``, or of nobody; whether the account has logged in from there before.

        It has succeeded where the block ends. Where it raises it has failed, also by a cancellation; only what raises
        ``Overloaded`` was not judged, and does not count.

        Raises:
            TooManyLogins: It is not let through, or has failed while its address has a pause; says for how long.
            Overloaded: Too many tries are under way.
        """
        with self._used((account or "", address)) as own, self._used(("", address)) as all_of_address:
            async with self._admitted(None if account is None else own, all_of_address) as pause:
                proven = (account or "", address) in self._proven
                if not proven:
                    await self._slow_down(name)
                began = asyncio.get_running_loop().time()
                try:
                    yield proven
                except LoginFailed:
                    self._judged_s = asyncio.get_running_loop().time() - began
                    self._heat_up(name)
                    if pause > 0:
                        raise _refusal(pause) from None
                    raise
                self._remember((account or "", address))

    @asynccontextmanager
    async def _admitted(self, own: _Counter | None, all_of_address: _Counter) -> AsyncIterator[Micros]:
        """Hold a place in the counters; how long the address has to wait for what is wrong."""
        held, pause = await self._places(own, all_of_address)
        try:
            yield pause
        except Overloaded:
            raise
        except BaseException:
            for each in held:
                each.failed(self._clock())
            raise
        else:
            if own is not None:
                own.count, own.until = 0, 0
        finally:
            for each in held:
                each.release()

    async def _places(self, own: _Counter | None, all_of_address: _Counter) -> tuple[list[_Counter], Micros]:
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    now = self._clock()
                    pause = max(all_of_address.until - now, 0)
                    refused = pause if own is None else own.until - now
                    if refused > 0:
                        await self._sleep(min(self._judged_s, _LONGEST_REFUSAL_S))
                        raise _refusal(refused)
                    held = [each for each in (own, None if pause else all_of_address) if each is not None]
                    full = next((each for each in held if each.is_full), None)
                    if full is None:
                        for each in held:
                            each.hold()
                        return held, pause
                    await full.wait()
        except TimeoutError:
            raise Overloaded("too many log in at once; try again in 1 s", retry_after_s=1) from None

    @contextmanager
    def _used(self, key: _Key) -> Iterator[_Counter]:
        """The counter of a key, which nobody drops meanwhile."""
        counter = self._counters.setdefault(key, _Counter())
        self._counters.move_to_end(key)
        counter.users += 1
        try:
            yield counter
        finally:
            counter.users -= 1
            if counter.users == 0 and counter.count == 0:
                self._counters.pop(key)
            while len(self._counters) > self._remembered and self._drop():
                pass

    def _drop(self) -> bool:
        """Forget one that is not in use, of those that were used longest ago the one whose pause ends first."""
        unused = ((counter.until, key) for key, counter in self._counters.items() if counter.users == 0)
        found = min(islice(unused, _LOOKED_AT), default=None)
        if found is None:
            return False
        del self._counters[found[1]]
        return True

    def _remember(self, key: _Key) -> None:
        self._proven[key] = None
        self._proven.move_to_end(key)
        if len(self._proven) > _PROVEN:
            self._proven.popitem(last=False)

    async def _slow_down(self, name: str) -> None:
        """Wait a little where many have failed by that name lately, from wherever."""
        heat = self._heat(hash(name) % _HEATS)
        if heat > _FREE_HEAT:
            await self._sleep(min((heat - _FREE_HEAT) * _SLOWED_S, _MOST_SLOWED_S))

    def _heat_up(self, name: str) -> None:
        at = hash(name) % _HEATS
        self._heats[at] = (self._heat(at) + 1, self._clock())

    def _heat(self, at: int) -> float:
        heat, since = self._heats[at]
        return max(heat - max(self._clock() - since, 0) / _COOLING, 0.0)


def _refusal(pause: Micros) -> TooManyLogins:
    wait_s = ceil(pause / SECOND)
    return TooManyLogins(f"too many failed logins; try again in {wait_s} s", retry_after_s=wait_s)
