"""Times in every accepted form; a time zone is never guessed for a naive datetime."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import InvalidInput, InvalidRange
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import range_of, to_micros
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, iso, micros_of, to_datetime

NOON = micros_of(datetime(2024, 1, 1, 12, tzinfo=UTC))


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=3.5))])))
def test_aware_datetimes_round_trip(moment):
    """Any time zone, to the microsecond, before and after 1970."""
    if not 2 < moment.year < 9998:
        return

    assert moment == to_datetime(to_micros(moment))
    assert UTC == to_datetime(to_micros(moment)).tzinfo


@pytest.mark.parametrize(
    "value",
    [
        "2024-01-01T12:00",
        "2024-01-01T12:00:00Z",
        "2024-01-01t12:00:00z",
        " 2024-01-01 13:00+01:00 ",
        "2024-01-01 13:00+0100",
        "2024-01-01T12:00:00.000",
        "2024-01-01T12:00:00.000000000Z",
        str(NOON // 1000),
        NOON // 1000,
        np.int64(NOON // 1000),
        np.datetime64("2024-01-01T12:00"),
        np.datetime64("2024-01-01T12:00:00.000000000"),
        pd.Timestamp("2024-01-01T12:00"),
        pd.Timestamp("2024-01-01T13:00+01:00"),
        datetime(2024, 1, 1, 12, tzinfo=UTC),
    ],
)
def test_forms_of_a_time(value):
    """UTC where no zone is named."""
    assert NOON == to_micros(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-01", NOON - 12 * HOUR),
        (date(2024, 1, 1), NOON - 12 * HOUR),
        (np.datetime64("2024-01"), NOON - 12 * HOUR),
        ("0", 0),
        (0, 0),
    ],
)
def test_days_begin_at_midnight_in_utc(value, expected):
    """Also a month of numpy, and the first moment of all."""
    assert expected == to_micros(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOON),
        ("NOW", NOON),
        ("30s", NOON - 30 * SECOND),
        ("15m", NOON - 15 * MINUTE),
        ("12h", NOON - 12 * HOUR),
        ("7d", NOON - 7 * DAY),
        ("2w", NOON - 14 * DAY),
    ],
)
def test_times_before_now(text, expected):
    """By the clock that is given; without one they are refused."""
    assert expected == to_micros(text, now=NOON)
    with pytest.raises(InvalidRange, match="is not a time"):
        to_micros(text)


@pytest.mark.parametrize(
    ("now", "text", "expected"),
    [
        ("2024-03-31T12:00", "1M", "2024-02-29T12:00:00Z"),
        ("2024-01-31T12:00", "2M", "2023-11-30T12:00:00Z"),
        ("2024-02-29T12:00", "1y", "2023-02-28T12:00:00Z"),
        ("2024-12-31T12:00", "12M", "2023-12-31T12:00:00Z"),
    ],
)
def test_months_and_years_before_now_are_those_of_the_calendar(now, text, expected):
    """``1m`` is a minute, ``1M`` a month; the day is the last of the month where it has fewer."""
    assert expected == iso(to_micros(text, now=to_micros(now)))


def test_a_naive_datetime_is_refused_with_what_to_write():
    """The message names the parameter and shows the same moment with a time zone."""
    with pytest.raises(InvalidRange, match=r"start_time .* has no time zone; .*2024-01-02 03:04:00\+00:00"):
        to_micros(datetime(2024, 1, 2, 3, 4), name="start_time")  # noqa: DTZ001  # what is to be refused


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        np.bool_(True),  # what is refused
        np.timedelta64(1, "s"),
        np.array([1_704_067_200_000]),
        1.5,
        b"2024-01-01",
        "2024-W01",
        "20240101",
        "2024-1-1",
        "yesterday",
        "7D",
        "-7d",
        "2024-13-01",
        "",
        "\uff11d",
    ],
)
def test_what_is_no_time_is_refused(value):
    """With what to write."""
    with pytest.raises(InvalidRange, match="2024-01-01"):
        to_micros(value, now=NOON)


@pytest.mark.parametrize("value", [1_704_067_200, "1704067200", 1_704_067_200_000_000, 20_240_101, -1])
def test_seconds_and_microseconds_are_not_taken_for_milliseconds(value):
    """They would be times in 1970 or far in the future, without an error."""
    with pytest.raises(InvalidRange, match="not in milliseconds since 1970"):
        to_micros(value)


def test_the_unit_of_integers():
    """Seconds and microseconds by name."""
    assert NOON == to_micros(NOON // SECOND, unit="s")
    assert NOON == to_micros(NOON, unit="us")
    with pytest.raises(InvalidInput, match="unit is 'sec'; use one of s, ms, us"):
        to_micros(NOON, unit="sec")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (pd.Timestamp("2024-01-01T00:00:00.000000001", tz="UTC"), 1_704_067_200_000_001),
        (pd.Timestamp("2024-01-01T00:00:00.000001", tz="UTC"), 1_704_067_200_000_001),
        (pd.Timestamp("2024-01-01", tz="UTC").as_unit("s"), 1_704_067_200_000_000),
        (pd.Timestamp("1969-12-31T23:59:59.999999001", tz="UTC"), 0),
        (np.datetime64("2024-01-01T00:00:00.000000001"), 1_704_067_200_000_001),
        (np.datetime64("1969-12-31T23:59:59.999999001"), 0),
        ("2024-01-01T00:00:00.000000001Z", 1_704_067_200_000_001),
        ("2024-01-01T00:00:00.000001000Z", 1_704_067_200_000_001),
    ],
)
def test_nanoseconds_are_rounded_up(moment, expected):
    """So that a candle which opens before the start is never in the range."""
    assert expected == to_micros(moment)


@pytest.mark.parametrize("value", [pd.NaT, np.datetime64("NaT")])
def test_not_a_time_is_refused(value):
    """By name."""
    with pytest.raises(InvalidRange, match=r"start_time is .*NaT"):
        to_micros(value, name="start_time")


@given(st.text(max_size=20) | st.integers() | st.floats() | st.booleans() | st.none())
def test_anything_is_a_time_or_an_error_of_ours(value):
    """Whatever it is."""
    with suppress(InvalidRange):
        assert isinstance(to_micros(value, now=NOON), int)


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@given(number=st.integers())
def test_times_lie_between_the_first_and_the_last_year(unit, number):
    """Clamped, so that they can be formatted."""
    with suppress(InvalidRange):
        assert iso(to_micros(number, unit=unit))


def test_ranges_end_now_by_default():
    """An empty range says which argument to change."""
    assert Span(NOON, NOON + DAY) == range_of("2024-01-01T12:00", None, NOON + DAY)
    with pytest.raises(InvalidRange, match=r"ends now, .*; give an earlier start_time"):
        range_of("2024-01-01T12:00", None, NOON)
    with pytest.raises(InvalidRange, match="give a later --end"):
        range_of("1d", "2d", NOON, names=("--start", "--end"))


@pytest.mark.parametrize("interval", list(Interval))
def test_the_ends_of_the_calendar(interval):
    """In any zone they are either served or refused, for every interval."""
    east, west = timezone(timedelta(hours=5)), timezone(timedelta(hours=-5))
    now = 1_704_067_200_000_000
    for last in (
        datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=west),
        datetime(9999, 12, 15, tzinfo=UTC),
        "9999-12-31T23:59:59Z",
    ):
        span = range_of(datetime(2023, 12, 1, tzinfo=UTC), last, now)
        assert interval.step(interval.ceil(span.end)) > now
        assert interval.count(span.start, span.end) > 0
    for first in (datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=east), "0001-01-01", "9999y"):
        with pytest.raises(InvalidRange, match=r"before 1970|not a time"):
            range_of(first, datetime(2024, 1, 1, tzinfo=UTC), now)
