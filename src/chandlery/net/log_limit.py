"""Limit of log lines about frequent events."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

_LOG_EVERY_S = 60.0


class LogLimit:
    """Counts events, and allows one log line a minute for each subject; subjects are few."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._logged: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def count(self, subject: str) -> int:
        """Count one event. Return the number of events since the last line, this one included, if a line is due; else 0."""
        now = self._clock()
        number = self._unlogged.get(subject, 0) + 1
        if now - self._logged.get(subject, -_LOG_EVERY_S) < _LOG_EVERY_S:
            self._unlogged[subject] = number
            return 0
        self._logged[subject], self._unlogged[subject] = now, 0
        return number
