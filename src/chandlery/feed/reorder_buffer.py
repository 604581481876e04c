"""Closed candles that wait for earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from chandlery.core.candle import CandleData
from chandlery.core.time import Micros
from chandlery.feed.events import CandleUpdate, Restated


class ReorderBuffer:
    """Closed candles of a series that are not published yet. Beyond ``most``, the oldest are published."""

    def __init__(self, most: int, publish: Callable[[Sequence[CandleUpdate]], object]) -> None:
        self._most = most
        self._publish = publish
        self._candles: dict[Micros, CandleData] = {}
        self.expected: Micros = -1
        """Open time of the candle that later ones wait for; -1 if none."""
        self._until: Micros = 0

    def __repr__(self) -> str:
        return f"ReorderBuffer({self._candles})"

    def put(self, candles: Iterable[CandleData]) -> None:
        """Queue candles."""
        self._candles.update((each.open_time, each) for each in candles)
        if len(self._candles) > self._most:
            self._release(sorted(self._candles)[: -self._most])

    def restate(self, change: Restated) -> bool:
        """Replace a queued candle, so that only its new state is published. Return whether one was queued."""
        opened = change.after.open_time
        if opened not in self._candles:
            return False
        self._candles[opened] = change.after
        return True

    def release(self, before: Micros | None = None) -> None:
        """Publish the queued candles that open before ``before``, or all of them, oldest first."""
        self._release([opened for opened in sorted(self._candles) if before is None or opened < before])

    def expect(self, opened: Micros, until: Micros) -> None:
        """Make candles that open after ``opened`` wait for it, until the time ``until`` at most."""
        self.expected, self._until = opened, until

    def is_early(self, opened: Micros, now: Micros) -> bool:
        """Return whether a candle must wait for the expected one. If that is overdue, publish the queue instead."""
        if self.expected < 0 or opened <= self.expected:
            return False
        if now >= self._until:
            self.came(self.expected)
        return self.expected >= 0

    def came(self, opened: Micros) -> None:
        """Publish the queued candles if this is the expected one."""
        if opened == self.expected:
            self.expected = -1
            self.release()

    def _release(self, opens: Sequence[Micros]) -> None:
        released = [self._candles.pop(opened) for opened in opens]
        if released:
            self._publish(released)
