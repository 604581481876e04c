"""Ranges and series as callers of the service write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chandlery.core.errors import InvalidRange
from chandlery.core.gaps import Span
from chandlery.core.time import DAY, micros_of
from chandlery.service.parameters import span_of

NOON = micros_of(datetime(2024, 1, 1, 12, tzinfo=UTC))


def test_ranges():
    """Half-open, from 1970 to now; the end is now where none is named."""
    assert Span(NOON, NOON + DAY) == span_of("2024-01-01T12:00", "2024-01-02T12:00", NOON + 2 * DAY)
    assert Span(NOON, NOON + 5) == span_of("2024-01-01T12:00", None, NOON + 5)
    assert Span(NOON - 7 * DAY, NOON - DAY) == span_of("7d", "1d", NOON)
    for start, end in (("2024-01-02", "2024-01-01"), ("2024-01-01", "2024-01-01"), ("2024-01-05", None)):
        with pytest.raises(InvalidRange):
            span_of(start, end, NOON)


def test_a_range_of_the_future_is_refused_by_the_names_of_the_parameters():
    """Those of the service, not of the library."""
    with pytest.raises(InvalidRange, match=r"give an earlier start$"):
        span_of("2024-01-05", "2024-01-06", NOON)
    with pytest.raises(InvalidRange, match="end 'x' is not a time"):
        span_of("2024-01-01", "x", NOON)
