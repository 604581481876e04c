"""Times and ranges as callers write them."""

from __future__ import annotations

from chandlery.core.errors import InvalidRange
from chandlery.core.gaps import Span
from chandlery.core.moment import range_of
from chandlery.core.time import Micros, iso


def span_of(start: str | int, end: str | int | None, now: Micros) -> Span:
    """
    Return the range from ``start`` to ``end``, which defaults to now, in the forms of ``core.moment.TimeLike``.

    Raises:
        InvalidRange: A value is not a time, or the range is not ascending, or starts before 1970 or in the future.
    """
    span = range_of(start, end, now, names=("start", "end"))
    if span.start > now:
        raise InvalidRange(
            f"the range starts at {iso(span.start)}, in the future: it is {iso(now)}; give an earlier start"
        )
    return span
