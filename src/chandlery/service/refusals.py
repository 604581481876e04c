"""Counts of exceeded limits."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from time import monotonic

from chandlery.net.log_limit import LogLimit

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


class Refusals:
    """Counter per limit; logs at most one line a minute for each limit."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._lines = LogLimit(clock)

    def count(self, limit: str) -> None:
        """Count one refusal."""
        self.counts[limit] += 1
        if number := self._lines.count(limit):
            log.warning("refused by the limit %s: %d since the last such line", limit, number)
