"""
Grids of the offline exchange: open times of the candles of each interval.

Derived from the exchanges' documentation and from recordings, deliberately independent of the adapters' declarations: a
wrong declaration must meet an exchange that contradicts it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, Micros, add_months, month_of, to_datetime
from chandlery.sim.noise import Integers


class Grid(Struct, frozen=True):
    """
    Open times of one interval: ``length`` apart, one of them at ``anchor``.

    Without a ``length`` they lie ``anchor`` after the first of each calendar month.
    """

    length: Micros | None
    anchor: Micros = 0

    def floor(self, moment: Micros) -> Micros:
        """Return the open time of the candle that contains ``moment``."""
        if self.length is None:
            return month_of(moment - self.anchor) + self.anchor
        return moment - (moment - self.anchor) % self.length

    def ceil(self, moment: Micros) -> Micros:
        """Return the first open time at or after ``moment``."""
        opened = self.floor(moment)
        return opened if opened == moment else self.step(opened)

    def step(self, opened: Micros, count: int = 1) -> Micros:
        """Return the open time ``count`` candles after ``opened``; negative goes back."""
        if self.length is None:
            return add_months(opened - self.anchor, count) + self.anchor
        return opened + count * self.length

    def count(self, start: Micros, end: Micros) -> int:
        """Return the number of candles that open at or after ``start`` and before ``end``."""
        first, last = self.ceil(start), self.ceil(end)
        if last <= first:
            return 0
        if self.length is not None:
            return (last - first) // self.length
        a, b = to_datetime(first - self.anchor), to_datetime(last - self.anchor)
        return (b.year - a.year) * 12 + b.month - a.month

    def floors(self, moments: Integers) -> Integers:
        """Return the open time of the candle that contains each time."""
        if self.length is None:
            return _months(moments - self.anchor, 0) + self.anchor
        return moments - (moments - self.anchor) % self.length

    def ends(self, opens: Integers) -> Integers:
        """Return the open time that follows each of these."""
        return opens + self.length if self.length is not None else _months(opens - self.anchor, 1) + self.anchor

    def shifted(self, by: Micros) -> Grid:
        """Return the grid shifted later by ``by``."""
        return Grid(self.length, self.anchor + by)

    def holds(self, period: Micros) -> bool:
        """Return true if each open time is a multiple of ``period`` since 1970."""
        return (self.length or DAY) % period == 0 and self.anchor % period == 0


_MONDAY: Micros = 4 * DAY
"""1970-01-05."""

GRIDS: Mapping[Interval, Grid] = {
    Interval.SECOND_1: Grid(SECOND),
    Interval.MINUTE_1: Grid(MINUTE),
    Interval.MINUTE_3: Grid(3 * MINUTE),
    Interval.MINUTE_5: Grid(5 * MINUTE),
    Interval.MINUTE_15: Grid(15 * MINUTE),
    Interval.MINUTE_30: Grid(30 * MINUTE),
    Interval.HOUR_1: Grid(HOUR),
    Interval.HOUR_2: Grid(2 * HOUR),
    Interval.HOUR_4: Grid(4 * HOUR),
    Interval.HOUR_6: Grid(6 * HOUR),
    Interval.HOUR_8: Grid(8 * HOUR),
    Interval.HOUR_12: Grid(12 * HOUR),
    Interval.DAY_1: Grid(DAY),
    Interval.DAY_3: Grid(3 * DAY),
    Interval.WEEK_1: Grid(7 * DAY, _MONDAY),
    Interval.MONTH_1: Grid(None),
}
"""Default grids by interval, if an exchange's documentation does not differ."""


def _months(moments: Integers, later: int) -> Integers:
    months = moments.astype("datetime64[us]").astype("datetime64[M]") + np.timedelta64(later, "M")
    return months.astype("datetime64[us]").astype(np.int64)
