"""Grid times with a stored order book, and those within a gap: pure."""

from __future__ import annotations

from chandlery.core.gaps import Gap, GapKind
from chandlery.core.time import SECOND, Micros
from chandlery.service.collection.book_proof import NO_BOOK
from chandlery.service.collection.gap_queue import GapQueue

_HELD_UP = "the service was delayed, or its clock was changed"
_ON_ITS_WAY: Micros = SECOND
"""Maximum time to store an order book."""


class BookMoments:
    """
    Coverage of one order book that is stored at an interval of ``every``, from ``begun`` on.

    Grid times without a book go to ``gaps``, where each outage is one gap. ``last`` is the time of the last stored
    book.
    """

    def __init__(self, gaps: GapQueue, every: Micros, begun: Micros) -> None:
        self.last: Micros | None = None
        self._gaps = gaps
        self._every = every
        self._begun = begun
        self._accounted: Micros | None = None
        """Last grid time that has its order book, or lies in a gap."""
        self._invalid_since: Micros | None = None

    @property
    def is_invalid(self) -> bool:
        """True while the stream reports no valid order book."""
        return self._invalid_since is not None

    def pass_over(self, at: Micros) -> None:
        """Record a gap for the grid times skipped before ``at``."""
        if (since := self._since(at)) < at - self._every:
            self._lack(since, at, _HELD_UP)

    def skip(self, at: Micros, now: Micros) -> None:
        """Record a gap until now, since it is too late for the grid time ``at``."""
        self._lack(self._since(at), now, _HELD_UP)
        self._accounted = at

    def stored(self, at: Micros) -> None:
        """Record that the order book of a grid time is stored."""
        self.last = self._accounted = at
        self._gaps.over()

    def lack(self, at: Micros, evidence: str) -> None:
        """Record that a grid time has no order book."""
        self._lack(at - self._every, at, evidence)
        self._accounted = at

    def resume(self, last: Micros, now: Micros) -> None:
        """Record a gap since the ``last`` stored book, possibly of an earlier run, until now."""
        self._invalid_since = None
        self._accounted = now
        self._lack(last, now, "the service did not collect it")

    def lose(self, now: Micros) -> None:
        """Record that there is no valid order book from now on; idempotent."""
        if self._invalid_since is None:
            self._invalid_since = now

    def find(self, now: Micros) -> None:
        """Record that there is a valid order book again."""
        if self._invalid_since is not None:
            self._lack(self._invalid_since, now, NO_BOOK)
            self._gaps.tell()
            self._invalid_since = None

    def overdue(self, now: Micros) -> Micros | None:
        """Return the time since which no book was stored, if two are missing; ``None`` if none is overdue."""
        since = max(self._begun, self.last or 0)
        return since if now - since > 2 * self._every + _ON_ITS_WAY else None

    def _since(self, at: Micros) -> Micros:
        """
        Return the start of the unrecorded time before ``at``; after a clock is set back, the same grid times come
        again.
        """
        return at - self._every if self._accounted is None or self._accounted > at else self._accounted

    def _lack(self, start: Micros, end: Micros, evidence: str) -> None:
        self._gaps.extend(Gap(start, end, GapKind.NOT_COLLECTED, evidence))
