"""Candle intervals, anchored: days and shorter on the UTC clock, weeks on Monday, months by calendar."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

from chandlery.core.errors import UnknownInterval, UnsupportedRequest
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, Micros, add_months, month_of, to_datetime

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_MONDAY: Micros = 4 * DAY
"""1970-01-05, the first Monday."""


class Grid:
    """
    The open times of candles of one length.

    ``micros`` is the length, ``None`` for the month, whose length varies; ``anchor`` is the open time of
    any candle. Places number the candles from the anchor (months from January 1970), so that arithmetic on
    them is integer arithmetic.
    """

    micros: Micros | None
    anchor: Micros

    @property
    def longest(self) -> Micros:
        """The greatest length of one of its candles."""
        return 31 * DAY if self.micros is None else self.micros

    def floor(self, moment: Micros) -> Micros:
        """Return the open time of the candle that contains ``moment``."""
        if self.micros is None:
            return month_of(moment)
        return moment - (moment - self.anchor) % self.micros

    def ceil(self, moment: Micros) -> Micros:
        """Return the first open time at or after ``moment``."""
        opened = self.floor(moment)
        return opened if opened == moment else self.step(opened)

    def step(self, opened: Micros, count: int = 1) -> Micros:
        """Return the open time ``count`` candles after the one at ``opened``; negative goes back."""
        if self.micros is None:
            return add_months(opened, count)
        return opened + count * self.micros

    def count(self, start: Micros, end: Micros) -> int:
        """Count the candles that open at or after ``start`` and before ``end``."""
        first, last = self.ceil(start), self.ceil(end)
        if last <= first:
            return 0
        return self.place(last) - self.place(first)

    def place(self, moment: Micros) -> int:
        """Return the number of the candle that contains ``moment``."""
        if self.micros is None:
            at = to_datetime(moment)
            return (at.year - 1970) * 12 + at.month - 1
        return (moment - self.anchor) // self.micros

    def places(self, moments: Iterable[Micros]) -> list[int]:
        """Return the number of the candle that contains each moment."""
        if self.micros is None:
            return [self.place(each) for each in moments]
        anchor, length = self.anchor, self.micros
        return [(each - anchor) // length for each in moments]

    def moment(self, place: int) -> Micros:
        """Return the open time of the candle with that number."""
        return self.step(0 if self.micros is None else self.anchor, place)


class AnchoredGrid(Grid):
    """The grid of an interval with an unusual anchor, e.g. days in Hong Kong time."""

    def __init__(self, interval: Interval, anchor: Micros) -> None:
        """Set the anchor, the open time of any candle."""
        if interval.micros is None:
            raise UnknownInterval("months follow the calendar and have no anchor")
        self.micros = interval.micros
        self.anchor = anchor % interval.micros


class Interval(Grid, Enum):
    """
    The length of a candle.

    ``Interval("1m")`` is a minute and ``Interval("1M")`` a month: case matters here, and
    ``slug`` is a spelling that is unique on a case-insensitive disk too.
    """

    SECOND_1 = "1s"
    MINUTE_1 = "1m"
    MINUTE_3 = "3m"
    MINUTE_5 = "5m"
    MINUTE_15 = "15m"
    MINUTE_30 = "30m"
    HOUR_1 = "1h"
    HOUR_2 = "2h"
    HOUR_4 = "4h"
    HOUR_6 = "6h"
    HOUR_8 = "8h"
    HOUR_12 = "12h"
    DAY_1 = "1d"
    DAY_3 = "3d"
    WEEK_1 = "1w"
    MONTH_1 = "1M"

    def __init__(self, text: str) -> None:
        """Derive length and anchor from the spelling."""
        self.micros = None if text.endswith("M") else int(text[:-1]) * _UNITS[text[-1]]
        self.anchor = _MONDAY if text.endswith("w") else 0

    def __eq__(self, other: object) -> bool:
        """Return whether it is the same interval, or its spelling: ``Interval.MINUTE_1 == "1m"``."""
        return self is other or (isinstance(other, str) and self._value_ == other)

    def __hash__(self) -> int:
        return hash(self._value_)

    @classmethod
    def _missing_(cls, value: object) -> Any:
        known = " ".join(member.value for member in cls)
        raise UnknownInterval(f"{value!r} is not an interval; use one of {known} (1m is a minute, 1M a month)")

    def to_seconds(self) -> int:
        """
        Return the length in seconds.

        Raises:
            UnsupportedRequest: It is a month, whose length varies.
        """
        if self.micros is None:
            raise UnsupportedRequest("a month has no fixed length; use step(opened) for the next open time")
        return self.micros // SECOND

    @property
    def slug(self) -> str:
        """The spelling for file names: ``1mo`` for the month, so that it never collides with ``1m``."""
        return "1mo" if self is Interval.MONTH_1 else self.value
