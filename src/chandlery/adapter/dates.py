"""Dates in lists of instruments."""

from __future__ import annotations

from datetime import date

from chandlery.core.time import DAY, Micros, Unit

_NEVER: Micros = 4_102_444_800_000_000
"""2100-01-01; exchanges write dates from then on for contracts that do not expire."""


def stated(value: int | str | None, unit: Unit = Unit.MILLIS) -> Micros | None:
    """Return the time that a list states; ``None`` if it is missing, 0, empty text or after 2099."""
    number = value if isinstance(value, int) else int(value) if value and value.isdecimal() else 0
    moment = unit.micros(number)
    return moment if 0 < moment < _NEVER else None


def day_stated(digits: str | None) -> Micros | None:
    """Return 00:00 UTC of the day that a list states as ``20211112``; ``None`` if it is missing or anything else."""
    try:
        day = date.fromisoformat(digits or "")
    except ValueError:
        return None
    return (day - date(1970, 1, 1)).days * DAY


def lasting(value: int | None, unit: Micros) -> Micros | None:
    """Return the length that a list states in ``unit``; ``None`` if it is missing or not positive."""
    return None if value is None or value <= 0 else value * unit
