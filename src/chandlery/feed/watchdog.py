"""Tells a silence from a quiet market."""

from __future__ import annotations

QUIET_S = 30.0
"""How long the shortest silence is that is looked into."""
_SPARSE = 20
"""Of how many ordinary pauses a silence consists that is looked into."""
_MOST_DOUBLINGS = 5


class Watchdog:
    """
    How often a series is heard of, so that a silence can be told from a quiet market.

    ``now`` is in seconds, of any clock that does not jump; ``heard`` how often it was heard so far, and
    ``quiet_s`` the shortest silence that counts.
    """

    __slots__ = ("_before", "_began", "_heard", "_heard_at", "_looked_at", "_looks", "_quiet_s")

    def __init__(self, now: float, heard: int = 0, *, quiet_s: float = QUIET_S) -> None:
        self._began = self._heard_at = self._looked_at = now
        self._before = self._heard = heard
        self._looks = 0
        self._quiet_s = quiet_s

    def is_usual(self, now: float) -> bool:
        """Whether the silence until ``now`` is no longer than a quiet market explains; of what was never heard, everything is."""
        return now - self._heard_at <= _SPARSE * self._usual_s() or self._heard == self._before

    def is_silent(self, heard: int, now: float) -> bool:
        """
        Whether it has been quiet for much longer than is usual; ``heard`` is how often it was heard so far.

        Each time that this is so, the silence until the next time is twice as long.
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
