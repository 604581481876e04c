"""Moments are whole microseconds UTC; nothing about a time zone is guessed."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.moment import to_micros
from chandlery.core.time import Unit, add_months, date_text, day_of, iso, month_of, to_datetime

MOMENTS = st.integers(0, to_micros(datetime(2200, 1, 1, tzinfo=UTC)))


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
