"""
Protection against guessing of secrets: each try is counted before it is checked.

Failures are counted per account and address, so that guessing cannot lock others out of their account. They are also
counted per address. During the pause of an address, unknown names are refused at once and wrong secrets after the
check, so that responses do not reveal which names exist. The correct secret is accepted despite that pause.
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
"""Failures in a row allowed before pauses begin."""
_FIRST_PAUSE: Micros = 2 * SECOND
_LONGEST_PAUSE: Micros = 15 * MINUTE
_MOST_DOUBLINGS = 10
_LONGEST_REFUSAL_S = 0.9
"""Maximum delay of a refusal. It takes as long as the last check of a secret, so that both look the same."""
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
    """Failures in a row of one key, and its running tries."""

    count: int = 0
    until: Micros = 0
    """Time from which the next try is accepted."""
    pending: int = 0
    users: int = 0
    settled: asyncio.Event | None = None

    @property
    def is_full(self) -> bool:
        """True while the running tries use up the failures allowed before the next pause."""
        return self.pending >= max(FREE_FAILURES - self.count, 1)

    def failed(self, now: Micros) -> None:
        """Count a failure; the count restarts after 15 minutes without one."""
        if now - self.until > _LONGEST_PAUSE:
            self.count = 0
        self.count += 1
        doublings = min(self.count - FREE_FAILURES, _MOST_DOUBLINGS)
        self.until = now + (min(_FIRST_PAUSE << doublings, _LONGEST_PAUSE) if doublings >= 0 else 0)

    def hold(self) -> None:
        """Begin a try."""
        self.pending += 1

    def release(self) -> None:
        """End a try, and wake a waiter."""
        self.pending -= 1
        if self.settled is not None:
            self.settled.set()
            self.settled = None

    async def wait(self) -> None:
        """Wait until a running try ends."""
        self.settled = self.settled or asyncio.Event()
        await self.settled.wait()


class LoginGuard:
    """
    Limiter of logins: repeated failures cause pauses, each twice as long as the one before.

    The ``remembered`` most recent counters are stored; one in its pause is evicted last. A pause costs an attacker one
    checked secret, so that the table cannot be filled with pauses faster than they end. ``sleep`` waits for seconds.
    ``timeout_s`` is the maximum wait for other tries.
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
        self._hashing_s = 0.0
        self._counters: OrderedDict[_Key, _Counter] = OrderedDict()
        # Addresses from which an account has logged in; only account owners can add to it.
        self._proven: OrderedDict[_Key, None] = OrderedDict()
        # Keyed by a hash of the name: unknown callers could fill a table of the names themselves.
        self._heats: list[tuple[float, Micros]] = [(0.0, 0)] * _HEATS

    @asynccontextmanager
    async def one_try(self, account: str | None, name: str, address: str) -> AsyncIterator[bool]:
        """
        Admit one try to log in as ``name`` of ``account``, or ``None`` if unknown; yield whether it has used this
        address before.

        The try succeeds if the block ends, and fails if it raises, also by a cancellation. Only ``Overloaded`` is not
        counted, since the secret was not checked.

        Raises:
            TooManyLogins: The try is refused, or failed while its address has a pause; the error holds the delay.
            Overloaded: Too many tries are running.
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
                    self._hashing_s = asyncio.get_running_loop().time() - began
                    self._heat_up(name)
                    if pause > 0:
                        raise _refusal(pause) from None
                    raise
                self._remember((account or "", address))

    @asynccontextmanager
    async def _admitted(self, own: _Counter | None, all_of_address: _Counter) -> AsyncIterator[Micros]:
        """Hold a slot in the counters; yield the remaining pause of the address for wrong secrets."""
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
                        await self._sleep(min(self._hashing_s, _LONGEST_REFUSAL_S))
                        raise _refusal(refused)
                    held = [each for each in (own, None if pause else all_of_address) if each is not None]
                    full = next((each for each in held if each.is_full), None)
                    if full is None:
                        for each in held:
                            each.hold()
                        return held, pause
                    await full.wait()
        except TimeoutError:
            raise Overloaded("too many concurrent logins; try again in 1 s", retry_after_s=1) from None

    @contextmanager
    def _used(self, key: _Key) -> Iterator[_Counter]:
        """Return the counter of a key, protected from eviction while in use."""
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
        """Evict one unused counter: among the least recently used, the one whose pause ends first."""
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
        """Delay a little if many logins by that name have failed lately, from any address."""
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
