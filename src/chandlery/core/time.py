"""The one time type: ``int`` microseconds since 1970-01-01 UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeAlias

Micros: TypeAlias = int
"""A moment, or a length of time, in microseconds."""

Clock: TypeAlias = Callable[[], Micros]
"""Something that says what time it is."""

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Unit(Enum):
    """How an exchange writes a moment: the value is the microseconds in one unit."""

    SECONDS = SECOND
    MILLIS = 1_000
    MICROS = 1

    def micros(self, value: int) -> Micros:
        """The moment ``value``, written in this unit, in microseconds."""
        return value * self.value

    def of(self, moment: Micros) -> int:
        """The last whole unit at or before ``moment``."""
        return moment // self.value


def micros_of(moment: datetime) -> Micros:
    """The microseconds of a datetime that has a time zone."""
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(moment: Micros) -> datetime:
    """The UTC datetime of a moment."""
    return _EPOCH + timedelta(microseconds=moment)


def iso(moment: Micros) -> str:
    """A moment as text, e.g. ``2024-01-01T00:00:00Z``; a fraction only where there is one."""
    return to_datetime(moment).isoformat().replace("+00:00", "Z")


def day_of(moment: Micros) -> Micros:
    """00:00 UTC of the day that holds ``moment``."""
    return moment - moment % DAY


def date_text(moment: Micros) -> str:
    """The UTC date, ``YYYY-MM-DD``."""
    return to_datetime(moment).strftime("%Y-%m-%d")


def month_of(moment: Micros) -> Micros:
    """00:00 UTC of the first day of the month that holds ``moment``."""
    return add_months(moment, 0)


def add_months(moment: Micros, months: int) -> Micros:
    """00:00 UTC of the first day of the month that lies ``months`` after the one of ``moment``."""
    date = to_datetime(moment)
    index = date.year * 12 + date.month - 1 + months
    return micros_of(datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC))
