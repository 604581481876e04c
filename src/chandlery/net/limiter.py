"""The rate limiter: weighted, per host, shared by all processes of this user on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import re
import stat
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

from chandlery.core.errors import CacheError, RateLimited, UnsupportedRequest
from chandlery.core.http import RateLimit
from chandlery.core.time import SECOND, Clock, Micros
from chandlery.net.budget import SUFFIX, BudgetFile, remove_expired
from chandlery.net.clock import system_clock
from chandlery.net.delays import report_delay

USED_WEIGHT = "x-mbx-used-weight-1m"
"""The header with the weight used in Binance's current minute."""

SHORTEST_BAN_S = 120.0
"""Assumed duration of a ban without a stated end; Binance bans for at least two minutes."""

Sleep = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""

_MINUTE_S = 60
_TOO_MANY = 429
_BANNED = 418


def pause_of(status: int, headers: Mapping[str, str], now: Micros) -> float | None:
    """
    Return the seconds of the pause that an answer requests; ``None`` if it requests none or states no duration.

    ``headers`` are in lower case. Only 429 and 418 request one; ``Retry-After`` may be seconds or a date.
    """
    if status not in {_TOO_MANY, _BANNED}:
        return None
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now / SECOND
        except ValueError:
            seconds = math.nan
    if math.isfinite(seconds):
        return max(seconds, 0.0)
    return SHORTEST_BAN_S if status == _BANNED else None


_TOLD_FROM_S = 1.0
"""Shortest wait that is reported."""


class RateLimiter:
    """
    One budget per host and limit, shared by all processes with the same ``state_dir``.

    The default ``state_dir`` is a folder of this user below the temporary folder, so that all
    processes of a user share it. They must also share the ``clock``.
    """

    def __init__(
        self, state_dir: Path | None = None, *, clock: Clock = system_clock, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._state_dir = state_dir
        self._clock = clock
        self._sleep = sleep
        self._files: dict[str, BudgetFile] = {}
        self._process = os.getpid()
        self.waits = 0
        """Number of requests of this process that had to wait."""
        self.waited_s = 0.0
        """Total of their waits."""

    async def acquire(
        self, host: str, limits: tuple[RateLimit, ...], weight: int = 1, *, max_wait_s: float = 120.0
    ) -> None:
        """
        Wait until ``weight`` may be used of all ``limits`` of ``host``, and book it.

        First come, first served over all processes. Waiting uses no weight, and cancelling
        releases the booking. The longest possible wait is an hour.

        Raises:
            RateLimited: At once, if the wait would be longer than ``max_wait_s``.
            UnsupportedRequest: A limit is smaller than ``weight``.
            CacheError: The shared state cannot be stored.
        """
        for limit in limits:
            if weight > limit.weight:
                raise UnsupportedRequest(
                    f"{host} allows a weight of {limit.weight} per {limit.seconds:g} s; a request of weight {weight} can never be sent"
                )
        if not limits and not self.is_paused(host):
            return
        latest = self._clock() + round(max_wait_s * SECOND)
        while True:
            at = self._book(host, limits, weight, latest)
            try:
                if (wait_s := (at - self._clock()) / SECOND) >= _TOLD_FROM_S:
                    report_delay(RateLimited(f"{host} accepts requests again in {wait_s:.1f} s", retry_after_s=wait_s))
                waited = await self._wait_until(at)
                if not waited or self._may_start(host, limits, at):
                    return
            except BaseException:
                with self._file(host).open() as budget:
                    budget.release(limits, weight, at)
                raise
            with self._file(host).open() as budget:
                budget.release(limits, weight, at)

    def observe(self, host: str, limits: tuple[RateLimit, ...], headers: Mapping[str, str], status: int) -> None:
        """
        Update the budget from an answer: the weight that the exchange counts, and the pause it requests.

        The exchange's count is used if it is greater: then others use the same address.
        ``headers`` are in lower case.
        """
        now = self._clock()
        used = headers.get(USED_WEIGHT, "")
        pause_s = pause_of(status, headers, now)
        if pause_s is None and not used.isdecimal():
            return
        with self._file(host).open() as budget:
            if pause_s is not None:
                budget.paused_until = max(budget.paused_until, now + round(pause_s * SECOND))
            for limit in limits:
                if limit.seconds == _MINUTE_S and used.isdecimal():
                    window = budget.window(limit)
                    window.add(now, max(0, int(used) - window.used_until(now)))

    def is_paused(self, host: str) -> bool:
        """Return whether ``host`` has requested a pause that is not over."""
        return self._file(host).paused_until() > self._clock()

    def pause(self, host: str, seconds: float) -> None:
        """Block requests to ``host`` for so long, as it requested in a form of its own."""
        with self._file(host).open() as budget:
            budget.paused_until = max(budget.paused_until, self._clock() + round(seconds * SECOND))

    def _book(self, host: str, limits: tuple[RateLimit, ...], weight: int, latest: Micros) -> Micros:
        with self._file(host).open() as budget:
            now = self._clock()
            at = budget.book(limits, weight, now=now, latest=latest)
        if at > latest:
            wait_s = (at - now) / SECOND
            raise RateLimited(f"{host} accepts requests again in {wait_s:.1f} s", retry_after_s=wait_s)
        return at

    async def _wait_until(self, at: Micros) -> bool:
        """Wait until ``at``. Return whether there was anything to wait for."""
        began = self._clock()
        if at <= began:
            return False
        self.waits += 1
        try:
            while (left := at - self._clock()) > 0:
                await self._sleep(left / SECOND)
        finally:
            self.waited_s += max(self._clock() - began, 0) / SECOND
        return True

    def _may_start(self, host: str, limits: tuple[RateLimit, ...], at: Micros) -> bool:
        """Return whether a booking at ``at`` is still valid: no pause since, and not much time lost."""
        with self._file(host).open() as budget:
            now = self._clock()
            late = any(now - at > budget.window(limit).slice_length for limit in limits)
            return budget.paused_until <= now and not late

    def _file(self, host: str) -> BudgetFile:
        if self._process != os.getpid():
            # A descriptor inherited by a fork shares its lock with the parent's.
            self._files, self._process = {}, os.getpid()
        file = self._files.get(host)
        if file is None:
            readable = re.sub(r"[^a-z0-9.-]", "_", host.lower())[:80]
            digest = hashlib.blake2s(host.encode(), digest_size=6).hexdigest()
            file = self._files[host] = BudgetFile(self._folder() / f"{readable}-{digest}{SUFFIX}")
        return file

    def _folder(self) -> Path:
        try:
            folder = self._state_dir or Path(tempfile.gettempdir()) / f"chandlery-{os.getuid()}"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
            if self._state_dir is None and (found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode)):
                raise CacheError(f"{folder} is not a folder of this user; pass another state_dir to RateLimiter")
            if not self._files:
                remove_expired(folder, self._clock())
        except OSError as error:
            raise CacheError(
                f"no folder for the shared rate limits: {error}; pass a state_dir to RateLimiter"
            ) from error
        return folder
