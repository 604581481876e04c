"""Throttle of calls to an exchange, with a pause between their starts."""

from __future__ import annotations

import asyncio
import math
import os
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from chandlery.ccxt_bridge.errors import is_ccxt_error, translated
from chandlery.core.errors import InvalidInput, RateLimited
from chandlery.core.http import RateLimit
from chandlery.net.limiter import RateLimiter
from chandlery.net.portal import shared_portal

LONGEST_WAIT_S = 3600.0
"""Maximum time in seconds that a call waits for earlier ones."""

_T = TypeVar("_T")


class Throttle:
    """
    Starts calls to the same exchange and host at least ``request_pause`` seconds apart, in order.

    This holds across all processes that use the same ``limiter``. ``None`` means the pause that ccxt declares for each
    exchange, 0 means none.

    Raises:
        InvalidInput: The pause is not a number of seconds.
    """

    def __init__(self, limiter: RateLimiter, request_pause: float | None) -> None:
        self._limiter = limiter
        self._pause: float | None = None
        self._lanes: defaultdict[tuple[int, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        """Locks by exchange, host and process, since a forked child has an event loop of its own."""
        self.request_pause = request_pause

    @property
    def request_pause(self) -> float | None:
        """Seconds between the starts of calls."""
        return self._pause

    @request_pause.setter
    def request_pause(self, seconds: float | None) -> None:
        if seconds is not None and not 0 <= seconds < math.inf:
            raise InvalidInput(
                f"request_pause is {seconds}; use 0 or more seconds (0: no pause), or None for the pause that ccxt declares"
            )
        self._pause = seconds

    def throttled_call(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> _T:
        """
        Call ``fn`` in its turn, and return its result.

        Errors of ccxt are translated to ours, and are still ccxt's; other errors are unchanged.

        Raises:
            RateLimited: The turn would not come within an hour.
        """
        if self._pause != 0:
            self._wait_turn(fn)
        try:
            return fn(*args, **kwargs)
        except Exception as error:
            if not is_ccxt_error(error):
                raise
            failure = translated(error, exchange_of(fn))
        raise failure

    def _wait_turn(self, fn: Callable[..., Any]) -> None:
        exchange = exchange_of(fn)
        if exchange is None:
            lane, pause = f"calls-{id(self)}", self._pause
        else:
            lane, pause = f"{exchange.chandlery_host}/{exchange.id}", self._pause
            if pause is None:
                pause = exchange.rateLimit / 1000
        if pause:
            shared_portal().run(self._turn(lane, pause))

    async def _turn(self, lane: str, pause: float) -> None:
        """Wait in a queue whose head alone asks the limiter, since a late waiter there would have to queue again."""
        try:
            async with asyncio.timeout(LONGEST_WAIT_S), self._lanes[os.getpid(), lane]:
                await self._limiter.acquire(lane, (RateLimit(1, pause),), max_wait_s=LONGEST_WAIT_S)
        except TimeoutError:
            raise RateLimited(f"{lane}: the call waited {LONGEST_WAIT_S:g} s for others and was not sent") from None


def exchange_of(fn: Callable[..., Any]) -> Any:
    """Return the ccxt exchange that a method belongs to; ``None`` for any other function."""
    while isinstance(fn, partial):
        fn = fn.func
    owner = getattr(fn, "__self__", None)
    return owner if hasattr(owner, "chandlery_host") else None
