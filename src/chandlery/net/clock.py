"""The local clock and an exchange's clock; all other code gets a clock as an argument."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from chandlery.core.time import HOUR, SECOND, Clock, Micros

_SYNCHRONISE_EVERY = HOUR
_STEPPED = 2 * SECOND
"""Difference between wall clock and monotonic clock that means that the wall clock was set."""


def system_clock() -> Micros:
    """Return the time of the local wall clock."""
    return time.time_ns() // 1000


def nanoseconds(clock: Clock) -> Callable[[], int]:
    """Return the clock in nanoseconds, for timestamps of every message; reading the system clock directly takes a third of the time."""
    return time.time_ns if clock is system_clock else lambda: clock() * 1000


class ExchangeClock:
    """
    The time at an exchange: the local clock, corrected by the exchange's answer.

    ``request_time`` requests the exchange's time. ``clock`` is the local wall clock. ``ticks`` is a monotonic clock in seconds,
    which detects that the wall clock was set.
    """

    def __init__(
        self,
        request_time: Callable[[], Awaitable[Micros]],
        *,
        clock: Clock = system_clock,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request_time = request_time
        self._clock = clock
        self._ticks = ticks
        self._offset: Micros = 0
        self._measured_at: Micros | None = None
        self._measured_ticks = 0.0
        self._asking = asyncio.Lock()

    @property
    def synchronised(self) -> bool:
        """True while ``guess`` is based on an answer within the last hour and after the last step of the local clock."""
        return self._measured_at is not None and not self._is_in_doubt(self._clock() - self._measured_at)

    async def now(self) -> Micros:
        """
        Return the exchange's time; requested every hour, and again after the local clock was set.

        Raises:
            ExchangeError: The request failed; ``guess`` is then based on the local clock.
        """
        async with self._asking:
            if not self.synchronised:
                self._measured_at, self._offset = None, 0
                answered = await self._request_time()
                ended = self._clock()
                # Assume no latency: the estimate is never ahead, and a clock that is behind closes no candle early.
                self._offset, self._measured_at = answered - ended, ended
                self._measured_ticks = self._ticks()
        return self.guess()

    def guess(self) -> Micros:
        """Return the exchange's time, extrapolated from its last answer; the local clock before the first."""
        return self._clock() + self._offset

    def _is_in_doubt(self, passed: Micros) -> bool:
        """Return whether too much time has passed, or the wall clock deviates from the monotonic clock."""
        really = round((self._ticks() - self._measured_ticks) * SECOND)
        return abs(passed) > _SYNCHRONISE_EVERY or abs(passed - really) > _STEPPED
