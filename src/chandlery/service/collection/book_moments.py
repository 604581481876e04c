"""Which moments of a grid have their order book, and which lie in a gap: pure."""

from __future__ import annotations

from chandlery.core.gaps import Gap, GapKind
from chandlery.core.time import SECOND, Micros
from chandlery.service.collection.book_proof import NO_BOOK
from chandlery.service.collection.gap_queue import GapQueue

_HELD_UP = "the service was held up, or its clock was set"
_ON_ITS_WAY: Micros = SECOND
"""How long an order book may take to be stored."""


class BookMoments:
    """
    The account of one order book, of which one is to be stored ``every`` so often since ``begun``.

    What it lacks goes to ``gaps``, where all of one outage is one gap. ``last`` is the moment of the last one that is stored.
    """

    def __init__(self, gaps: GapQueue, every: Micros, begun: Micros) -> None:
        self.last: Micros | None = None
        self._gaps = gaps
        self._every = every
        self._begun = begun
        self._accounted: Micros | None = None
        """The last moment that has its order book, or lies in a gap."""
        self._invalid_since: Micros | None = None

    @property
    def is_invalid(self) -> bool:
        """Whether there is no valid order book now, as far as the stream has said."""
        return self._invalid_since is not None

    def pass_over(self, at: Micros) -> None:
        """Moments before ``at`` that were passed over are a gap."""
        if (since := self._since(at)) < at - self._every:
            self._lack(since, at, _HELD_UP)

    def skip(self, at: Micros, now: Micros) -> None:
        """It is too late for the moment ``at``: a gap until now."""
        self._lack(self._since(at), now, _HELD_UP)
        self._accounted = at

    def stored(self, at: Micros) -> None:
        """The moment has its order book."""
        self.last = self._accounted = at
        self._gaps.over()

    def lack(self, at: Micros, evidence: str) -> None:
        """The moment has none."""
        self._lack(at - self._every, at, evidence)
        self._accounted = at

    def resume(self, last: Micros, now: Micros) -> None:
        """Nothing was collected since the ``last`` one that is stored, which may be by a run before this one."""
        self._invalid_since = None
        self._accounted = now
        self._lack(last, now, "the service did not collect it")

    def lose(self, now: Micros) -> None:
        """There is no valid order book from now on; again is nothing."""
        if self._invalid_since is None:
            self._invalid_since = now

    def find(self, now: Micros) -> None:
        """There is a valid one again."""
        if self._invalid_since is not None:
            self._lack(self._invalid_since, now, NO_BOOK)
            self._gaps.tell()
            self._invalid_since = None

    def overdue(self, now: Micros) -> Micros | None:
        """Since when none was stored, where two could have been; ``None`` where it is in order."""
        since = max(self._begun, self.last or 0)
        return since if now - since > 2 * self._every + _ON_ITS_WAY else None

    def _since(self, at: Micros) -> Micros:
        """From when on it is to be accounted for until ``at``; a clock that was set back passes the same moments again."""
        return at - self._every if self._accounted is None or self._accounted > at else self._accounted

    def _lack(self, start: Micros, end: Micros, evidence: str) -> None:
        self._gaps.extend(Gap(start, end, GapKind.NOT_COLLECTED, evidence))
