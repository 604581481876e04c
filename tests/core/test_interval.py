"""Intervals are anchored where exchanges anchor them, and their arithmetic agrees with itself."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import UnknownInterval, UnsupportedRequest
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY, to_datetime
from fixtures.support import micros

MOMENTS = st.integers(to_micros(datetime(2001, 1, 1, tzinfo=UTC)), to_micros(datetime(2099, 1, 1, tzinfo=UTC)))
INTERVALS = st.sampled_from(Interval)


@given(INTERVALS, MOMENTS)
def test_floor_is_the_candle_that_holds_the_moment(interval, moment):
    """The candle opens at or before the moment, and the next one after it."""
    opened = interval.floor(moment)

    assert opened <= moment < interval.step(opened)
    assert opened == interval.floor(opened)
    assert interval.step(opened) - opened <= interval.longest


@given(INTERVALS, MOMENTS)
def test_ceil_is_the_first_open_at_or_after(interval, moment):
    """An open is its own ceiling; any other moment's ceiling is the next open."""
    ceiling = interval.ceil(moment)

    assert ceiling == interval.floor(ceiling)
    assert interval.step(ceiling, -1) < moment <= ceiling


@given(INTERVALS, MOMENTS, st.integers(-500, 500), st.integers(-500, 500))
def test_steps_add_up(interval, moment, first, second):
    """Two strides are as long as their sum, and a stride back undoes one forth."""
    opened = interval.floor(moment)

    assert interval.step(opened, first + second) == interval.step(interval.step(opened, first), second)
    assert interval.floor(interval.step(opened, first)) == interval.step(opened, first)


@given(INTERVALS, MOMENTS, st.integers(0, 400), st.integers(0, DAY), st.integers(0, DAY))
def test_count_is_the_number_of_opens_in_the_range(interval, moment, steps, before, after):
    """``count`` agrees with walking from open to open, whatever the ends of the range."""
    start = moment - before
    end = interval.step(interval.floor(moment), steps) + after
    walked, opened = 0, interval.ceil(start)
    while opened < end and walked <= 1000:
        walked, opened = walked + 1, interval.step(opened)

    assert walked == min(interval.count(start, end), 1001)


@given(INTERVALS, MOMENTS, MOMENTS)
def test_an_empty_or_reversed_range_holds_no_candle(interval, one, other):
    """No candle opens at or after the later moment and before the earlier one."""
    assert 0 == interval.count(max(one, other), min(one, other))


@given(MOMENTS)
def test_weeks_open_on_monday(moment):
    """1w opens on Mondays, 00:00 UTC."""
    opened = to_datetime(Interval.WEEK_1.floor(moment))

    assert (0, 0, 0) == (opened.weekday(), opened.hour, opened.minute)


@given(MOMENTS)
def test_months_open_on_the_first(moment):
    """1M opens on the first of the calendar month, however long that is."""
    opened, ended = Interval.MONTH_1.floor(moment), Interval.MONTH_1.step(Interval.MONTH_1.floor(moment))
    date = to_datetime(moment)

    assert datetime(date.year, date.month, 1, tzinfo=UTC) == to_datetime(opened)
    assert (ended - opened) // DAY in {28, 29, 30, 31}


@pytest.mark.parametrize(
    ("interval", "moment", "opened"),
    [
        (Interval.WEEK_1, micros(2024, 1, 7, 23, 59), micros(2024, 1, 1)),
        (Interval.WEEK_1, micros(2024, 1, 8), micros(2024, 1, 8)),
        (Interval.MONTH_1, micros(2024, 2, 29, 23), micros(2024, 2, 1)),
        (Interval.HOUR_8, micros(2024, 1, 1, 15, 59), micros(2024, 1, 1, 8)),
        (Interval.DAY_3, micros(1970, 1, 6), micros(1970, 1, 4)),
        (Interval.SECOND_1, micros(2024, 1, 1, 0, 0, 1, 999_999), micros(2024, 1, 1, 0, 0, 1)),
    ],
)
def test_known_opens(interval, moment, opened):
    """Opens that can be looked up in a calendar."""
    assert opened == interval.floor(moment)


def test_an_interval_equals_its_spelling():
    """``feed.interval == "1m"`` holds; a minute is no month."""
    assert Interval.MINUTE_1 == "1m"
    assert Interval.MINUTE_1 != "1M"
    assert Interval.MINUTE_1 != Interval.MONTH_1
    assert {"1m": 1} == {Interval.MINUTE_1: 1}
    assert Interval.MINUTE_1 is pickle.loads(pickle.dumps(Interval.MINUTE_1))  # made here


def test_the_length_in_seconds():
    """A month has none."""
    assert [1, 60, 604_800] == [Interval(each).to_seconds() for each in ("1s", "1m", "1w")]
    with pytest.raises(UnsupportedRequest, match="a month has no fixed length"):
        Interval.MONTH_1.to_seconds()


def test_a_leap_february_and_a_year_of_months():
    """Months are counted by calendar, not as thirty days."""
    assert 12 == Interval.MONTH_1.count(micros(2024, 1, 1), micros(2025, 1, 1))
    assert 29 == Interval.DAY_1.count(micros(2024, 2, 1), micros(2024, 3, 1))
    assert micros(2023, 12, 1) == Interval.MONTH_1.step(micros(2024, 2, 1), -2)


def test_a_minute_is_not_a_month():
    """``1m`` and ``1M`` are different intervals, also on a disk that does not tell cases apart."""
    assert Interval("1m") is Interval.MINUTE_1
    assert Interval("1M") is Interval.MONTH_1
    assert "1mo" == Interval.MONTH_1.slug
    assert len(Interval) == len({interval.slug.lower() for interval in Interval})


@pytest.mark.parametrize("text", ["2m", "1D", "1mo", "", None, 60, "1 m"])
def test_an_unknown_interval_names_the_known_ones(text):
    """Nothing is guessed; the message lists what there is."""
    with pytest.raises(UnknownInterval, match=r"1s 1m 3m .* 1w 1M"):
        Interval(text)


@given(INTERVALS, st.lists(MOMENTS))
def test_the_places_of_many_are_those_of_each(interval, moments):
    """Months too, whose places are not a division."""
    assert [interval.place(each) for each in moments] == interval.places(moments)
    assert [interval.floor(each) for each in moments] == [interval.moment(place) for place in interval.places(moments)]
