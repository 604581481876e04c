"""Moments are whole microseconds UTC; nothing about a time zone is guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import InvalidRange
from chandlery.core.time import Unit, add_months, date_text, day_of, iso, month_of, to_datetime, to_micros

MOMENTS = st.integers(0, to_micros(datetime(2200, 1, 1, tzinfo=UTC)))


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


@given(st.sampled_from(Unit), MOMENTS)
def test_units_round_trip_downwards(unit, moment):
    """The last whole unit at or before a moment is less than one unit away."""
    assert 0 <= moment - unit.micros(unit.of(moment)) < unit.value


@given(MOMENTS)
def test_days_and_months_agree_with_the_calendar(moment):
    """``day_of``, ``month_of`` and ``date_text`` give what the calendar gives."""
    moment_date = to_datetime(moment)

    assert moment_date.date().isoformat() == date_text(moment)
    assert moment_date.replace(hour=0, minute=0, second=0, microsecond=0) == to_datetime(day_of(moment))
    assert datetime(moment_date.year, moment_date.month, 1, tzinfo=UTC) == to_datetime(month_of(moment))


@given(MOMENTS, st.integers(-600, 600))
def test_months_add_up(moment, months):
    """Going forth and back by months comes to the month's first day."""
    assert month_of(moment) == add_months(add_months(moment, months), -months)


def test_text_has_a_fraction_only_where_there_is_one():
    """Moments print as RFC 3339."""
    assert "2024-01-01T00:00:00Z" == iso(to_micros(datetime(2024, 1, 1, tzinfo=UTC)))
    assert "1970-01-01T00:00:00.000001Z" == iso(1)
