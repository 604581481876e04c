"""Closed candles that no word of the exchange has closed, and which of them are to be read again now."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from chandlery.core.candle import CandleData
from chandlery.core.http import RateLimit
from chandlery.core.interval import Grid
from chandlery.core.time import MINUTE, SECOND, Micros

SHARE = 3
"""Second reads together use at most one part in so many of what an exchange allows."""
MOST = 1000
"""How many candles of a series wait for a second read before the oldest are given up."""
_EVERY: Micros = MINUTE
"""A series is read again once in each: one request covers all its candles that are due."""
_SPREAD: Micros = 5 * SECOND
"""How much later than the first update of the next candle the last one of a candle may come."""
_ANSWERS = 16
_GROWTH = 4


class Provisional:
    """
    The closed candles of a series that only a clock, or the next candle, has closed.

    Each is to be read again once, ``settle`` and a little after its end. A read comes too early as long as REST has
    not passed the candle: until an answer has a candle that opens some seconds after its end, or answers have had a
    later one for that long. All moments are those of the exchange; nothing here reads a clock.
    """

    def __init__(self, grid: Grid, settle: Micros = MINUTE, *, most: int = MOST) -> None:
        self.restated = 0
        """How many candles were replaced by a better one."""
        self.proved = 0
        """How many candles became final, restated or not."""
        self.repeated = 0
        """How many reads of a candle came too early, or failed."""
        self.dropped = 0
        """How many candles were given up, since ``most`` others waited."""
        self._grid = grid
        self._settle = settle
        self._spread = min(_SPREAD, settle)
        self._most = most
        self._candles: dict[Micros, CandleData] = {}
        self._due_at: dict[Micros, Micros] = {}
        self._not_before: Micros = 0
        self._answers: deque[tuple[Micros, Micros]] = deque(maxlen=_ANSWERS)
        """The open of the latest candle that answers had, and when the first of them was requested; both ascend."""

    def __contains__(self, opened: Micros) -> bool:
        """Whether the candle that opens then is provisional."""
        return opened in self._candles

    def __len__(self) -> int:
        return len(self._candles)

    def get(self, opened: Micros) -> CandleData | None:
        """The provisional candle that opens then; ``None`` where there is none."""
        return self._candles.get(opened)

    def put(self, candle: CandleData) -> None:
        """Note a closed candle that is to be read again, in place of the one that opens at the same time."""
        opened = candle.open_time
        self._due_at.setdefault(opened, self._grid.step(opened) + self._settle + self._spread)
        self._candles[opened] = candle
        if len(self._candles) > self._most:
            oldest = min(self._candles)
            del self._candles[oldest], self._due_at[oldest]
            self.dropped += 1

    def prove(self, opened: Micros) -> None:
        """Note that the candle that opens then is final; nothing where it was not provisional."""
        if self._candles.pop(opened, None) is not None:
            del self._due_at[opened]
            self.proved += 1

    def saw(self, latest: Micros, now: Micros) -> None:
        """Note the open of the latest candle of an answer, which was requested at ``now``."""
        if not self._answers or latest > self._answers[-1][0]:
            self._answers.append((latest, now))

    def is_final(self, opened: Micros, latest: Micros, now: Micros) -> bool:
        """Whether what an answer says of a candle is final: ``latest`` is its latest open, ``now`` when it was requested."""
        end = self._grid.step(opened)
        if now < end + self._settle or latest < end:
            return False
        passed = next((at for seen, at in self._answers if seen >= end), now)
        return latest >= end + self._spread or now >= passed + self._spread

    def due(self, now: Micros, most: int) -> list[Micros]:
        """The opens of the candles that are due at ``now`` and lie within ``most`` candles from the oldest, ascending."""
        opens = sorted(opened for opened, at in self._due_at.items() if at <= now)
        return [each for each in opens if each < self._grid.step(opens[0], most)]

    def due_since(self, now: Micros) -> Micros | None:
        """Since when the oldest candle has been due; ``None`` where none is, or the series was read in the same minute."""
        oldest = min(self._due_at.values(), default=None)
        return None if oldest is None or oldest > now or self._not_before > now else oldest

    def begin(self, now: Micros) -> None:
        """Note that the series is read at ``now``."""
        self._not_before = (now // _EVERY + 1) * _EVERY

    def repeat(self, opens: Iterable[Micros], now: Micros) -> None:
        """Have those that are still provisional after a read at ``now`` read again later, the older the later."""
        for opened in opens:
            if opened in self._candles:
                age = now - self._grid.step(opened)
                self._due_at[opened] = now + max(self._settle, age // _GROWTH)
                self.repeated += 1

    def behind(self, now: Micros) -> tuple[int, Micros]:
        """How many candles are due, and how long the oldest of them has been."""
        ages = [now - at for at in self._due_at.values() if at <= now]
        return len(ages), max(ages, default=0)


def longest_due(series: Iterable[Provisional], now: Micros) -> int | None:
    """The place of the series whose turn it is: the one whose oldest candle has been due longest; ``None`` where none is."""
    since = ((at, place) for place, each in enumerate(series) if (at := each.due_since(now)) is not None)
    return min(since, default=(0, None))[1]


def share_of(limits: Iterable[RateLimit], weight: int) -> tuple[RateLimit, ...]:
    """The limits of second reads of that ``weight``: a third of each, over a longer time where a third is less than one."""
    return tuple(
        RateLimit(limit.weight // SHARE, limit.seconds)
        if limit.weight // SHARE >= weight
        else RateLimit(weight, limit.seconds * SHARE * weight / limit.weight)
        for limit in limits
    )
