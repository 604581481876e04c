"""Validation of datetimes and ranges from callers."""

from __future__ import annotations

from datetime import UTC, datetime

from chandlery.core.errors import InvalidRange
from chandlery.core.gaps import Span
from chandlery.core.time import HOUR, Micros, iso, micros_of

_EARLIEST, _LATEST = (micros_of(datetime(year, 1, 1, tzinfo=UTC)) for year in (1, 9999))
"""Candles of any length that open between these end before the last possible datetime."""


def to_micros(moment: datetime, *, name: str = "the datetime") -> Micros:
    """
    Convert an aware datetime to microseconds. Nanoseconds, as in a ``pandas.Timestamp``, are rounded up.

    Times before the year 1 in UTC, or after the beginning of 9999, are clamped to these.

    Raises:
        InvalidRange: For a naive datetime, whose time zone is unknown, and for ``pandas.NaT``.
    """
    if not isinstance(moment, datetime):
        raise InvalidRange(
            f"{name} is a {type(moment).__name__}; give an aware datetime, e.g. datetime(2024, 1, 1, tzinfo=timezone.utc)"
        )
    if moment != moment:  # noqa: PLR0124  # only NaT is not itself
        raise InvalidRange(f"{name} is {moment}, which is not a time; give an aware datetime")
    if moment.utcoffset() is None:
        raise InvalidRange(
            f"{name} {moment} has no time zone; say which, e.g. {moment.isoformat(sep=' ')}+00:00 or .replace(tzinfo=timezone.utc)"
        )
    finer = getattr(moment, "nanosecond", 0) > 0
    return min(max(micros_of(moment) + finer, _EARLIEST), _LATEST)


def range_of(start_time: datetime, end_time: datetime, now: Micros | None = None) -> Span:
    """
    Return the span between two aware datetimes. With ``now``, check that it has begun.

    Raises:
        InvalidRange: It ends before it starts, or starts before 1970 or in the future.
    """
    start, end = to_micros(start_time, name="start_time"), to_micros(end_time, name="end_time")
    if start >= end:
        raise InvalidRange(f"the range ends at {iso(end)}, not after its start at {iso(start)}; give a later end_time")
    if start < 0:
        raise InvalidRange(f"the range starts at {iso(start)}, before 1970; give a later start_time")
    span = Span(start, end)
    if now is not None:
        require_begun(span, now)
    return span


def require_begun(span: Span, now: Micros) -> None:
    """
    Check that a range does not start in the future, with an hour's tolerance for clock differences.

    Raises:
        InvalidRange: It does.
    """
    if span.start > now + HOUR:
        raise InvalidRange(
            f"the range starts at {iso(span.start)}, in the future: it is {iso(now)}; give an earlier start_time"
        )
