"""Distinguish a silent connection from a quiet market."""

from __future__ import annotations

QUIET_S = 30.0
"""Shortest silence that is investigated."""
_SPARSE = 20
"""Number of average intervals between messages after which a silence is investigated."""
_MOST_DOUBLINGS = 5


class Watchdog:
    """
    Track how often a series receives messages, to tell a silent connection from a quiet market.

    ``now`` is in seconds of a monotonic clock, ``heard`` the number of messages so far, and ``quiet_s`` the
    shortest silence that counts.
    """

    __slots__ = ("_before", "_began", "_heard", "_heard_at", "_looked_at", "_looks", "_quiet_s")

    def __init__(self, now: float, heard: int = 0, *, quiet_s: float = QUIET_S) -> None:
        self._began = self._heard_at = self._looked_at = now
        self._before = self._heard = heard
        self._looks = 0
        self._quiet_s = quiet_s

    def is_usual(self, now: float) -> bool:
        """Return whether the silence until ``now`` fits a quiet market. Always true before the first message."""
        return now - self._heard_at <= _SPARSE * self._usual_s() or self._heard == self._before

    def is_silent(self, heard: int, now: float) -> bool:
        """
        Return whether the series has been quiet for much longer than usual; ``heard`` is the message count so far.

        Each time it returns true, the next silence must last twice as long.
        """
        if heard != self._heard:
            self._heard, self._heard_at, self._looked_at, self._looks = heard, now, now, 0
            return False
        quiet_s = max(self._quiet_s, _SPARSE * self._usual_s())
        if now - self._looked_at < quiet_s * 2 ** min(self._looks, _MOST_DOUBLINGS):
            return False
        self._looked_at = now
        self._looks += 1
        return True

    def _usual_s(self) -> float:
        count = self._heard - self._before
        return (self._heard_at - self._began) / count if count else 0.0
