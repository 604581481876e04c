"""Moments as callers give them."""

from __future__ import annotations

from datetime import datetime

from chandlery.core.errors import InvalidRange
from chandlery.core.time import Micros, micros_of


def to_micros(moment: datetime, *, name: str = "the datetime") -> Micros:
    """
    The microseconds of an aware datetime.

    Raises:
        InvalidRange: For a naive datetime, whose time zone would have to be guessed.
    """
    if not isinstance(moment, datetime):
        raise InvalidRange(
            f"{name} is a {type(moment).__name__}; give an aware datetime, e.g. datetime(2024, 1, 1, tzinfo=timezone.utc)"
        )
    if moment.utcoffset() is None:
        raise InvalidRange(
            f"{name} {moment} has no time zone; say which, e.g. {moment.isoformat(sep=' ')}+00:00 or .replace(tzinfo=timezone.utc)"
        )
    return micros_of(moment)
