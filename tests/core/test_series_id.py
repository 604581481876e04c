"""The identity of a series."""

from __future__ import annotations

import pytest

from chandlery.core.errors import UnknownInterval, UnknownName
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId


@pytest.mark.parametrize("interval", Interval)
def test_a_channel_goes_to_text_and_back(interval):
    """The month apart from the minute."""
    series = SeriesId.of_candles("x", "A/B", interval)

    assert series == SeriesId.parse("x", "A/B", series.channel_text)
    assert series == SeriesId.parse("x", "A/B", "candles", interval.value)
    assert series == SeriesId.parse("x", "A/B", interval.value)
    assert interval is series.length


def test_channels_without_an_interval():
    """An interval given with the book is ignored; no text names funding rates."""
    assert SeriesId.parse("x", "A/B", "candles") == SeriesId.parse("x", "A/B", "candles:1m")
    book, funding = SeriesId.of_book("x", "A/B"), SeriesId.of_funding("x", "A/B")

    assert book == SeriesId.parse("x", "A/B", book.channel_text) == SeriesId.parse("x", "A/B", "book", "1m")
    assert len({book, funding, SeriesId.of_candles("x", "A/B", Interval.MINUTE_1)}) == 3
    with pytest.raises(UnknownInterval, match="x A/B book has no interval"):
        _ = book.length
    with pytest.raises(UnknownName):
        SeriesId.parse("x", "A/B", funding.channel_text)


@pytest.mark.parametrize("wrong", ["", "candles:", "books", "trades:1m", "1m:candles", "candles:7m"])
def test_other_channels_are_refused(wrong):
    """The message has valid ones."""
    with pytest.raises(UnknownName, match="is not a channel; use book, candles:1m and so on"):
        SeriesId.parse("x", "A/B", wrong)


def test_a_wrong_interval_is_refused_as_such():
    """Where it is given apart from the channel."""
    with pytest.raises(UnknownInterval):
        SeriesId.parse("x", "A/B", "candles", "7m")


def test_plain_values():
    """As messages carry them; only candles have an interval."""
    assert {"channel": "book", "exchange": "x", "symbol": "A/B"} == SeriesId.of_book("x", "A/B").plain()
    assert {"channel": "candles", "exchange": "x", "symbol": "A/B", "interval": "1M"} == SeriesId.of_candles(
        "x", "A/B", Interval.MONTH_1
    ).plain()
