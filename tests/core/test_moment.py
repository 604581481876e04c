"""Nothing about a time zone is guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import InvalidRange
from chandlery.core.interval import Interval
from chandlery.core.moment import range_of, to_micros
from chandlery.core.time import to_datetime


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=3.5))])))
def test_aware_datetimes_round_trip(moment):
    """Any time zone, to the microsecond, before and after 1970."""
    if not 2 < moment.year < 9998:
        return

    assert moment == to_datetime(to_micros(moment))
    assert UTC == to_datetime(to_micros(moment)).tzinfo


def test_a_naive_datetime_is_refused_with_what_to_write():
    """The message names the parameter and shows the same moment with a time zone."""
    with pytest.raises(InvalidRange, match=r"start_time .* has no time zone; .*2024-01-02 03:04:00\+00:00"):
        to_micros(datetime(2024, 1, 2, 3, 4), name="start_time")  # noqa: DTZ001  # what is to be refused


@pytest.mark.parametrize("value", ["2024-01-01", 1_704_067_200, date(2024, 1, 1), None])
def test_what_is_no_datetime_is_refused(value):
    """Text, numbers and dates could mean several moments."""
    with pytest.raises(InvalidRange, match="give an aware datetime"):
        to_micros(value)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (pd.Timestamp("2024-01-01T00:00:00.000000001", tz="UTC"), 1_704_067_200_000_001),
        (pd.Timestamp("2024-01-01T00:00:00.000001", tz="UTC"), 1_704_067_200_000_001),
        (pd.Timestamp("2024-01-01", tz="UTC").as_unit("s"), 1_704_067_200_000_000),
        (pd.Timestamp("1969-12-31T23:59:59.999999001", tz="UTC"), 0),
    ],
)
def test_nanoseconds_are_rounded_up(moment, expected):
    """So that a candle which opens before the start is never in the range."""
    assert expected == to_micros(moment)


def test_not_a_time_is_refused():
    """By name."""
    with pytest.raises(InvalidRange, match="start_time is NaT"):
        to_micros(pd.NaT, name="start_time")


@pytest.mark.parametrize("interval", list(Interval))
def test_the_ends_of_the_calendar(interval):
    """In any zone they are either served or refused, for every interval."""
    east, west = timezone(timedelta(hours=5)), timezone(timedelta(hours=-5))
    now = 1_704_067_200_000_000
    for last in (
        datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=west),
        datetime(9999, 12, 15, tzinfo=UTC),
    ):
        span = range_of(datetime(2023, 12, 1, tzinfo=UTC), last, now)
        assert interval.step(interval.ceil(span.end)) > now
        assert interval.count(span.start, span.end) > 0
    for first in (datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=east)):
        with pytest.raises(InvalidRange, match="before 1970"):
            range_of(first, datetime(2024, 1, 1, tzinfo=UTC), now)
