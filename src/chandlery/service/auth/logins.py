"""How often a login may fail: per client, and per address."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

from msgspec import Struct

from chandlery.core.errors import TooManyLogins
from chandlery.core.time import MINUTE, SECOND, Clock, Micros

FREE_FAILURES = 5
"""So many may fail in a row before there are pauses."""
_FIRST_PAUSE: Micros = 2 * SECOND
_LONGEST_PAUSE: Micros = 15 * MINUTE
_MOST_DOUBLINGS = 10
_REMEMBERED = 10_000


class _Failures(Struct):
    count: int
    until: Micros
    """When the next try is let through."""


class FailedLogins:
    """
    Makes those wait who fail again and again, each pause twice as long as the one before.

    Of each table the latest ``remembered`` are known, so that nobody can fill the memory.
    """

    def __init__(self, clock: Clock, remembered: int = _REMEMBERED) -> None:
        self._clock = clock
        self._remembered = remembered
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def check(self, client: str, address: str) -> None:
        """
        Pass where a try is let through.

        Raises:
            TooManyLogins: It is not; says for how long.
        """
        now = self._clock()
        for key in (("client", client), ("address", address)):
            failures = self._failures.get(key)
            if failures is not None and failures.until > now:
                wait_s = ceil((failures.until - now) / SECOND)
                raise TooManyLogins(f"too many failed logins; try again in {wait_s} s", retry_after_s=wait_s)

    def failed(self, client: str, address: str) -> None:
        """Count a try that has failed."""
        now = self._clock()
        for key in (("client", client), ("address", address)):
            failures = self._failures.pop(key, _Failures(0, now))
            if now - failures.until > _LONGEST_PAUSE:
                failures.count = 0
            failures.count += 1
            doublings = min(failures.count - FREE_FAILURES, _MOST_DOUBLINGS)
            pause = min(_FIRST_PAUSE << doublings, _LONGEST_PAUSE) if doublings >= 0 else 0
            failures.until = now + pause
            self._failures[key] = failures
            while len(self._failures) > 2 * self._remembered:
                self._failures.popitem(last=False)

    def succeeded(self, client: str) -> None:
        """Forget what a client has failed; its address has to wait all the same."""
        self._failures.pop(("client", client), None)
