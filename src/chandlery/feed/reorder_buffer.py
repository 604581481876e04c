"""Closed candles that have to wait for those before them."""

from __future__ import annotations

from collections.abc import Callable

from chandlery.core.candle import CandleData
from chandlery.core.time import Micros
from chandlery.feed.events import CandleUpdate, Restated


class ReorderBuffer:
    """The closed candles of a series that are not published yet; of more than ``most`` the oldest is."""

    def __init__(self, most: int, publish: Callable[[CandleUpdate], object]) -> None:
        self._most = most
        self._publish = publish
        self._candles: dict[Micros, CandleData] = {}
        self.expected: Micros = -1
        """The open of a candle that those after it wait for; -1 where there is none."""
        self._until: Micros = 0

    def __repr__(self) -> str:
        return f"Waiting({self._candles})"

    def put(self, candle: CandleData) -> None:
        """Have a candle wait."""
        self._candles[candle.open_time] = candle
        if len(self._candles) > self._most:
            self._publish(self._candles.pop(min(self._candles)))

    def restate(self, change: Restated) -> bool:
        """Change a candle that waits, so that it is published once, as it is then; whether there was one."""
        opened = change.after.open_time
        if opened not in self._candles:
            return False
        self._candles[opened] = change.after
        return True

    def release(self, before: Micros | None = None) -> None:
        """Publish those that open ``before`` then, or all of them, oldest first."""
        for opened in sorted(self._candles):
            if before is None or opened < before:
                self._publish(self._candles.pop(opened))

    def expect(self, opened: Micros, until: Micros) -> None:
        """Have candles after the one that opens then wait for it, ``until`` then at the longest."""
        self.expected, self._until = opened, until

    def is_early(self, opened: Micros, now: Micros) -> bool:
        """True if a candle has to wait for the expected one; publish those that wait where that is late."""
        if self.expected < 0 or opened <= self.expected:
            return False
        if now >= self._until:
            self.came(self.expected)
        return self.expected >= 0

    def came(self, opened: Micros) -> None:
        """Publish those that wait, if this is the candle that was expected."""
        if opened == self.expected:
            self.expected = -1
            self.release()
