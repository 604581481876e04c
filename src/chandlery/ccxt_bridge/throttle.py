"""Calls to an exchange one after the other, with a pause between their starts."""

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
"""How long a call waits for those before it."""

_T = TypeVar("_T")


class Throttle:
    """
    Lets calls to the same exchange and host begin at least ``request_pause`` seconds apart.

    That holds for every process that uses the same ``limiter``. Calls begin in the order in which they
    were made. ``None`` stands for the pause that ccxt knows of each exchange, 0 for none.

    Raises:
        InvalidInput: A pause that is no number of seconds.
    """

    def __init__(self, limiter: RateLimiter, request_pause: float | None) -> None:
        self._limiter = limiter
        self._pause: float | None = None
        self._lanes: defaultdict[tuple[int, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        """One for each exchange and host, and process, for a fork's child has an event loop of its own."""
        self.request_pause = request_pause

    @property
    def request_pause(self) -> float | None:
        """Seconds between the starts of calls."""
        return self._pause

    @request_pause.setter
    def request_pause(self, seconds: float | None) -> None:
        if seconds is not None and not 0 <= seconds < math.inf:
            raise InvalidInput(f"request_pause is {seconds}; give seconds, 0 for no pause, None for the exchange's own")
        self._pause = seconds

    def throttled_call(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> _T:
        """
        What ``fn`` gives, called when it is its turn.

        Errors of ccxt come out as ours, which remain ccxt's as well; all others as they are.

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
        """Wait in line, whose first alone asks the limiter: who oversleeps there would have to queue again."""
        try:
            async with asyncio.timeout(LONGEST_WAIT_S), self._lanes[os.getpid(), lane]:
                await self._limiter.acquire(lane, (RateLimit(1, pause),), max_wait_s=LONGEST_WAIT_S)
        except TimeoutError:
            raise RateLimited(f"{lane}: no turn within {LONGEST_WAIT_S:g} s") from None


def exchange_of(fn: Callable[..., Any]) -> Any:
    """The exchange of ccxt that a method belongs to; ``None`` for any other function."""
    while isinstance(fn, partial):
        fn = fn.func
    owner = getattr(fn, "__self__", None)
    return owner if hasattr(owner, "chandlery_host") else None
