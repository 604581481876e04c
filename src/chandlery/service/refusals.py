"""Counts of exceeded limits."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from time import monotonic

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_LOG_EVERY_S = 60.0


class Refusals:
    """Counter per limit; logs at most one line a minute for each limit."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._logged: dict[str, tuple[float, int]] = {}

    def count(self, limit: str) -> None:
        """Count one refusal."""
        self.counts[limit] += 1
        now = self._clock()
        when, before = self._logged.get(limit, (-_LOG_EVERY_S, 0))
        if now - when >= _LOG_EVERY_S:
            self._logged[limit] = (now, self.counts[limit])
            log.warning("refused by the limit %s: %d since the last such line", limit, self.counts[limit] - before)
