"""The local clock and an exchange's; everything else is given a clock as an argument."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from chandlery.core.time import HOUR, SECOND, Clock, Micros

_SYNCHRONISE_EVERY = HOUR
_STEPPED = 2 * SECOND
"""A difference between wall clock and monotonic clock that means that the wall clock was set."""


def system_clock() -> Micros:
    """The time of the machine's wall clock."""
    return time.time_ns() // 1000


def nanoseconds(clock: Clock) -> Callable[[], int]:
    """The same clock in nanoseconds, for notes that are made with every message: that of the machine takes a third of the time."""
    return time.time_ns if clock is system_clock else lambda: clock() * 1000


class ExchangeClock:
    """
    The time at an exchange: the local clock, corrected by the exchange's answer.

    ``ask`` requests the exchange's time. ``clock`` is the local wall clock. ``ticks`` is a monotonic clock in seconds,
    which shows when the wall clock was set in between.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[Micros]],
        *,
        clock: Clock = system_clock,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._ticks = ticks
        self._offset: Micros = 0
        self._asked_at: Micros | None = None
        self._asked_ticks = 0.0
        self._asking = asyncio.Lock()

    @property
    def synchronised(self) -> bool:
        """Whether ``guess`` rests on the exchange's clock, asked within the hour and before any step of the local one."""
        return self._asked_at is not None and not self._is_in_doubt(self._clock() - self._asked_at)

    async def now(self) -> Micros:
        """
        The exchange's time; requested every hour, and anew when the local clock was set.

        Raises:
            ExchangeError: The exchange does not tell; ``guess`` then rests on the local clock.
        """
        async with self._asking:
            if not self.synchronised:
                self._asked_at, self._offset = None, 0
                answered = await self._ask()
                ended = self._clock()
                # It was that late at the latest when the answer was sent: a clock that is behind closes no candle early.
                self._offset, self._asked_at = answered - ended, ended
                self._asked_ticks = self._ticks()
        return self.guess()

    def guess(self) -> Micros:
        """The exchange's time by its last answer; the local clock before the first."""
        return self._clock() + self._offset

    def _is_in_doubt(self, passed: Micros) -> bool:
        """Whether too much time has passed, or other time than the monotonic clock shows."""
        really = round((self._ticks() - self._asked_ticks) * SECOND)
        return abs(passed) > _SYNCHRONISE_EVERY or abs(passed - really) > _STEPPED
