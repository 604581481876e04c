"""Moments as callers give them."""

from __future__ import annotations

from datetime import datetime

from chandlery.core.errors import InvalidRange
from chandlery.core.gaps import Span
from chandlery.core.time import HOUR, Micros, iso, micros_of


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


def range_of(start_time: datetime, end_time: datetime, now: Micros) -> Span:
    """
    The span between two aware datetimes.

    Raises:
        InvalidRange: It ends before it starts, or starts before 1970 or in the future.
    """
    start, end = to_micros(start_time, name="start_time"), to_micros(end_time, name="end_time")
    if start >= end:
        raise InvalidRange(f"the range ends at {iso(end)}, not after its start at {iso(start)}; give a later end_time")
    if start < 0:
        raise InvalidRange(f"the range starts at {iso(start)}, before 1970; give a later start_time")
    if start > now + HOUR:
        raise InvalidRange(
            f"the range starts at {iso(start)}, in the future: it is {iso(now)}; give an earlier start_time"
        )
    return Span(start, end)
