"""Moments as callers give them."""

from __future__ import annotations

from datetime import UTC, datetime

from chandlery.core.errors import InvalidRange
from chandlery.core.gaps import Span
from chandlery.core.time import HOUR, Micros, iso, micros_of

_EARLIEST, _LATEST = (micros_of(datetime(year, 1, 1, tzinfo=UTC)) for year in (1, 9999))
"""Candles of any length that open between these end before datetimes do."""


def to_micros(moment: datetime, *, name: str = "the datetime") -> Micros:
    """
    The microseconds of an aware datetime; what is finer, as in a ``pandas.Timestamp``, is rounded up.

    What is earlier than the year 1 in UTC, or later than the beginning of 9999, counts as these.

    Raises:
        InvalidRange: For a naive datetime, whose time zone would have to be guessed, and for ``pandas.NaT``.
    """
    if not isinstance(moment, datetime):
        raise InvalidRange(
            f"{name} is a {type(moment).__name__}; give an aware datetime, e.g. datetime(2024, 1, 1, tzinfo=timezone.utc)"
        )
    if moment != moment:  # noqa: PLR0124  # only NaT is not itself
        raise InvalidRange(f"{name} is {moment}, which is no moment; give an aware datetime")
    if moment.utcoffset() is None:
        raise InvalidRange(
            f"{name} {moment} has no time zone; say which, e.g. {moment.isoformat(sep=' ')}+00:00 or .replace(tzinfo=timezone.utc)"
        )
    finer = getattr(moment, "nanosecond", 0) > 0
    return min(max(micros_of(moment) + finer, _EARLIEST), _LATEST)


def range_of(start_time: datetime, end_time: datetime, now: Micros | None = None) -> Span:
    """
    The span between two aware datetimes; with ``now``, it must have begun by then.

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
    See that a range does not lie in the future; clocks may differ by an hour.

    Raises:
        InvalidRange: It does.
    """
    if span.start > now + HOUR:
        raise InvalidRange(
            f"the range starts at {iso(span.start)}, in the future: it is {iso(now)}; give an earlier start_time"
        )
