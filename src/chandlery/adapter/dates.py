"""Dates in lists of instruments."""

from __future__ import annotations

from chandlery.core.time import Micros, Unit

_NEVER: Micros = 4_102_444_800_000_000
"""2100-01-01; exchanges write dates from then on for contracts that do not expire."""


def stated(value: int | str | None, unit: Unit = Unit.MILLIS) -> Micros | None:
    """Return the time that a list states; ``None`` if it is missing, 0, empty text or after 2099."""
    number = value if isinstance(value, int) else int(value) if value and value.isdigit() else 0
    moment = unit.micros(number)
    return moment if 0 < moment < _NEVER else None
