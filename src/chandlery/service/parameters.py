"""Times and ranges as callers write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from chandlery.core.errors import InvalidRange
from chandlery.core.gaps import Span
from chandlery.core.time import Micros, Unit, iso, micros_of

MOMENT_HELP = "2024-01-01, 2024-01-01T12:00:00Z, or milliseconds since 1970."
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_MILLIS = re.compile(r"\d{1,14}", re.ASCII)


_LAST: Micros = micros_of(datetime(9999, 12, 1, tzinfo=UTC))
"""Latest time accepted; a candle that contains a later one may end beyond the last formattable date."""


def moment_of(value: str | int, name: str) -> Micros:
    """
    Parse a time: a text, UTC if it names no time zone, or a number of milliseconds.

    Raises:
        InvalidRange: The value is not a time.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and _MILLIS.fullmatch(value):
        return Unit.MILLIS.micros(int(value))
    try:
        if not isinstance(value, str) or not _ISO.fullmatch(value):
            raise ValueError  # noqa: TRY301  # the same complaint as for what only looks like a moment
        at = datetime.fromisoformat(value)
        # Years outside 1 to 9999 UTC, possible with another time zone, cannot be formatted.
        return micros_of(at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise InvalidRange(f"{name} {value!r} is not a moment; write {MOMENT_HELP}") from None


def span_of(start: str | int, end: str | int | None, now: Micros) -> Span:
    """
    Return the range from ``start`` to ``end``, which defaults to now; the latest time is in December 9999.

    Raises:
        InvalidRange: A value is not a time, or the range is not ascending, or starts before 1970 or in the future.
    """
    span = Span(moment_of(start, "start"), now if end is None else min(moment_of(end, "end"), _LAST))
    if not span:
        raise InvalidRange(f"the range ends at {iso(span.end)}, not after its start at {iso(span.start)}")
    if span.start < 0 or span.start > now:
        raise InvalidRange(f"the range starts at {iso(span.start)}; it may from 1970 to now, {iso(now)}")
    return span
