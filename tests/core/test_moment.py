"""Nothing about a time zone is guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import InvalidRange
from chandlery.core.moment import to_micros
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
