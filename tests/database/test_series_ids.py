"""The numbers of series."""

from __future__ import annotations

import pytest

from chandlery.core.errors import UnknownInterval
from chandlery.core.interval import Interval
from chandlery.database.series_ids import SeriesIds, SeriesName, candles_channel, interval_of
from chandlery.database.sqlite import SqliteDatabase


async def test_a_series_keeps_its_number(tmp_path):
    """Given at the first question, the same for all who ask; none is given by looking."""
    name, other = SeriesName("x", "A/B", "book"), SeriesName("x", "A/B", "candles:1m")
    async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
        ids, again = SeriesIds(database), SeriesIds(database)

        assert None is await ids.find(name)
        number = await ids.of(name)
        assert number == await again.of(name) == await again.find(name) == await ids.of(name)
        assert number != await ids.of(other)


@pytest.mark.parametrize("interval", Interval)
def test_channels_name_their_interval(interval):
    """And the other way round, the month apart from the minute."""
    assert interval is interval_of(candles_channel(interval))
    assert None is interval_of("book")


@pytest.mark.parametrize("wrong", ["", "candles", "candles:", "books", "trades:1m", "1m:candles"])
def test_other_channels_are_refused(wrong):
    """With an error of ours."""
    with pytest.raises(UnknownInterval):
        interval_of(wrong)
