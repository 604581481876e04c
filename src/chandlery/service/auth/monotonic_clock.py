"""Clock that never goes back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from chandlery.core.time import SECOND, Clock, Micros

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_LOGGED_STEP: Micros = 5 * SECOND


class MonotonicClock:
    """
    Wall clock that never goes back; after the wall clock is set back, it follows the monotonic clock until both agree.

    Expired tokens therefore stay expired as long as the process lives, and no pause takes longer. ``ticks`` is a
    monotonic clock in seconds.
    """

    def __init__(self, clock: Clock, ticks: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ticks = ticks
        self._base = clock()
        self._base_ticks = ticks()
        self._logged = False

    def __call__(self) -> Micros:
        """Return the time."""
        now, ticks = self._clock(), self._ticks()
        steady = self._base + int((ticks - self._base_ticks) * SECOND)
        if now >= steady:
            self._base, self._base_ticks = now, ticks
            self._logged = False
            return now
        if steady - now > _LOGGED_STEP and not self._logged:
            self._logged = True
            behind_s = (steady - now) / SECOND
            log.warning("the clock was set back by %.0f s; tokens expire by elapsed time while this process runs", behind_s)  # fmt: skip
        return steady
