"""Closed candles that the exchange has not confirmed, and which of them are due for a second read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, KeysView, Sequence

from chandlery.core.candle import CandleData
from chandlery.core.http import RateLimit
from chandlery.core.interval import Grid
from chandlery.core.time import MINUTE, SECOND, Micros

SHARE = 3
"""Second reads use at most the limit of an exchange divided by this."""
MOST = 1000
"""Number of candles of a series that may await a second read; beyond it the oldest are given up."""
_EVERY: Micros = MINUTE
"""A series is read again at most once in each such period; one request covers all its candles that are due."""
_SPREAD: Micros = 5 * SECOND
"""Time by which the last update of a candle may follow the first update of the next one."""
_ANSWERS = 16
_GROWTH = 4


class Provisional:
    """
    The closed candles of a series that only a clock, or the next candle, has closed.

    Each is read again once, ``settle`` and a little after its end. A read is too early until REST has
    passed the candle: an answer has a candle that opens some seconds after its end, or answers have had a
    later one for that long. All times are the exchange's; nothing here reads a clock.
    """

    def __init__(self, grid: Grid, settle: Micros = MINUTE, *, most: int = MOST) -> None:
        self.restated = 0
        """Number of candles that were replaced by a newer state."""
        self.proved = 0
        """Number of candles that became final, restated or not."""
        self.repeated = 0
        """Number of reads of a candle that were too early, or failed."""
        self.dropped = 0
        """Number of candles given up because ``most`` others waited."""
        self._grid = grid
        self._settle = settle
        self._spread = min(_SPREAD, settle)
        self._most = most
        self._candles: dict[Micros, CandleData] = {}
        self._due_at: dict[Micros, Micros] = {}
        self._not_before: Micros = 0
        self._answers: deque[tuple[Micros, Micros]] = deque(maxlen=_ANSWERS)
        """Latest open times in answers, each with the time of the first such request; both ascend."""

    def __contains__(self, opened: Micros) -> bool:
        """Return whether the candle with this open time is provisional."""
        return opened in self._candles

    def __len__(self) -> int:
        return len(self._candles)

    @property
    def opens(self) -> KeysView[Micros]:
        """Open times of the provisional candles."""
        return self._candles.keys()

    def get(self, opened: Micros) -> CandleData | None:
        """Return the provisional candle with this open time; ``None`` if there is none."""
        return self._candles.get(opened)

    def put(self, candle: CandleData) -> None:
        """Add a closed candle that needs a second read; it replaces one with the same open time."""
        opened = candle.open_time
        self._due_at.setdefault(opened, self._grid.step(opened) + self._settle + self._spread)
        self._candles[opened] = candle
        if len(self._candles) > self._most:
            oldest = min(self._candles)
            del self._candles[oldest], self._due_at[oldest]
            self.dropped += 1

    def prove(self, opened: Micros) -> None:
        """Mark a candle as final; no effect if it is not provisional."""
        if self._candles.pop(opened, None) is not None:
            del self._due_at[opened]
            self.proved += 1

    def saw(self, latest: Micros, now: Micros) -> None:
        """Record the open time of the latest candle in an answer requested at ``now``."""
        if not self._answers or latest > self._answers[-1][0]:
            self._answers.append((latest, now))

    def is_final(self, opened: Micros, latest: Micros, now: Micros) -> bool:
        """Return whether a candle of an answer requested at ``now`` is final; ``latest`` is the answer's latest open time."""
        end = self._grid.step(opened)
        if now < end + self._settle or latest < end:
            return False
        passed = next((at for seen, at in self._answers if seen >= end), now)
        return latest >= end + self._spread or now >= passed + self._spread

    def count_final(self, candles: Sequence[CandleData], latest: Micros, now: Micros) -> int:
        """Return how many of ``candles``, oldest first, are final; ``latest`` and ``now`` are those of ``is_final``."""
        count = len(candles)
        while count and not self.is_final(candles[count - 1].open_time, latest, now):
            count -= 1
        return count

    def due(self, now: Micros, most: int) -> list[Micros]:
        """Return the open times of the candles due at ``now``, at most ``most`` candles from the oldest, ascending."""
        opens = sorted(opened for opened, at in self._due_at.items() if at <= now)
        return [each for each in opens if each < self._grid.step(opens[0], most)]

    def due_since(self, now: Micros) -> Micros | None:
        """Return when the oldest candle became due; ``None`` if none is due, or the series was read in the same minute."""
        oldest = min(self._due_at.values(), default=None)
        return None if oldest is None or oldest > now or self._not_before > now else oldest

    def begin(self, now: Micros) -> None:
        """Record that the series is read at ``now``."""
        self._not_before = (now // _EVERY + 1) * _EVERY

    def repeat(self, opens: Iterable[Micros], now: Micros) -> None:
        """Schedule another read of those still provisional after a read at ``now``; the older, the later."""
        for opened in opens:
            if opened in self._candles:
                age = now - self._grid.step(opened)
                self._due_at[opened] = now + max(self._settle, age // _GROWTH)
                self.repeated += 1

    def behind(self, now: Micros) -> tuple[int, Micros]:
        """Return the number of candles that are due, and how long the oldest has been."""
        ages = [now - at for at in self._due_at.values() if at <= now]
        return len(ages), max(ages, default=0)


def longest_due(series: Iterable[Provisional], now: Micros) -> int | None:
    """Return the index of the series whose oldest candle has been due longest; ``None`` if none is due."""
    since = ((at, place) for place, each in enumerate(series) if (at := each.due_since(now)) is not None)
    return min(since, default=(0, None))[1]


def share_of(limits: Iterable[RateLimit], weight: int) -> tuple[RateLimit, ...]:
    """Return the limits of second reads of this ``weight``: a third of each, over a longer time if a third is less than one read."""
    return tuple(
        RateLimit(limit.weight // SHARE, limit.seconds)
        if limit.weight // SHARE >= weight
        else RateLimit(weight, limit.seconds * SHARE * weight / limit.weight)
        for limit in limits
    )
