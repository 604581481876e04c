"""Moments and series as callers write them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import InvalidRange
from chandlery.core.gaps import Span
from chandlery.core.time import DAY, micros_of
from chandlery.service.parameters import moment_of, span_of

NOON = micros_of(datetime(2024, 1, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T12:00",
        "2024-01-01T12:00:00Z",
        "2024-01-01 13:00+01:00",
        str(NOON // 1000),
        NOON // 1000,
        "2024-01-01T12:00:00.000",
    ],
)
def test_spellings_of_a_moment(text):
    """UTC where no zone is named."""
    assert NOON == moment_of(text, "start")


@given(st.text(max_size=20) | st.integers(max_value=-1) | st.integers(min_value=10**15) | st.booleans() | st.none())
def test_anything_else_is_refused(value):
    """With an error of ours, unless it happens to be a moment."""
    with suppress(InvalidRange):
        assert isinstance(moment_of(value, "start"), int)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+23:59", "9999-12-31T23:59-00:01"])
def test_moments_before_the_first_year_and_after_the_last(text):
    """Those that only another zone has are none: they could not be told as text."""
    with pytest.raises(InvalidRange, match="is not a moment"):
        moment_of(text, "start")


def test_ranges():
    """Half-open, from 1970 to now; the end is now where none is named."""
    assert Span(NOON, NOON + DAY) == span_of("2024-01-01T12:00", "2024-01-02T12:00", NOON + 2 * DAY)
    assert Span(NOON, NOON + 5) == span_of("2024-01-01T12:00", None, NOON + 5)
    for start, end in (("2024-01-02", "2024-01-01"), ("2024-01-01", "2024-01-01"), ("2024-01-05", None)):
        with pytest.raises(InvalidRange):
            span_of(start, end, NOON)
