"""What a client does that implements only the documented methods."""

from __future__ import annotations

import pandas as pd
import pytest

from chandlery.core.errors import ExchangeUnavailable, InvalidSymbol, UnsupportedRequest
from chandlery.core.gaps import GapKind, Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.query import ChartType, DataProvider
from chandlery.core.time import HOUR
from chandlery.history.interfaces import DataClientInterface, Seen
from chandlery.tables.frame import open_times
from fixtures.support import at

DAY = Span(to_micros(at(2024, 5, 1)), to_micros(at(2024, 5, 2)))


class Hourly(DataClientInterface):
    """Hours of one price; ``failing`` are the errors of requests by their first hour."""

    source = "hourly"
    provider = DataProvider.BINANCE
    market_type = MarketType.SPOT
    chart_type = ChartType.KLINES
    page_size = 5

    def __init__(self, failing=None):
        super().__init__(symbol="GOLD", interval=Interval.HOUR_1)
        self.failing = failing or {}
        self.requested = []

    def fetch(self, start_time, end_time, **kwargs):
        self.requested.append((start_time.hour, (end_time - start_time) // pd.Timedelta("1h")))
        if start_time.hour in self.failing:
            raise self.failing[start_time.hour]
        opens = pd.date_range(start_time, end_time, freq="1h", inclusive="left", unit="ns")
        columns = {
            name: pd.Series(1, opens, dtype) for name, dtype in ChartType.KLINES.dtypes.items() if dtype[0] != "d"
        }
        return pd.DataFrame({**columns, "close_time": opens + pd.Timedelta("1h")}, index=opens)


async def read(client, **options):
    """The delivered parts, oldest first, and the returned failure."""
    parts = []

    async def take(part):
        parts.append(part)

    failure = await client.read_spans([DAY], take, **options)
    return sorted(parts, key=lambda part: (part.spans or part.gaps)[0].start), failure


async def test_spans_are_requested_in_chunks_of_its_page():
    """Or of fewer rows where the caller limits them."""
    client = Hourly()
    parts, failure = await read(client)
    hours = [time for part in parts for time in open_times(part.table).tolist()]

    assert failure is None
    assert [(0, 5), (5, 5), (10, 5), (15, 5), (20, 4)] == sorted(client.requested)
    assert list(range(DAY.start, DAY.end, HOUR)) == hours
    assert {"hourly"} == {each.source for part in parts for each in part.spans}
    client.requested.clear()
    await read(client, most=3)
    assert {3} == {count for _, count in client.requested}


async def test_a_chunk_that_fails_is_a_gap():
    """The others are read; the failure is returned."""
    parts, failure = await read(Hourly({5: ExchangeUnavailable("gone")}), concurrent=3)

    assert 19 == sum(len(part.table) for part in parts)
    assert "gone" == str(failure)
    gaps = [gap for part in parts for gap in part.gaps]
    assert [(GapKind.FETCH_FAILED, DAY.start + 5 * HOUR, DAY.start + 10 * HOUR)] == [
        (gap.kind, gap.start, gap.end) for gap in gaps
    ]


async def test_a_query_that_it_refuses_is_an_error():
    """By itself, not in a group; nothing else would be true of the other chunks."""
    with pytest.raises(InvalidSymbol, match="no GOLD"):
        await read(Hourly({10: InvalidSymbol("no GOLD")}), concurrent=4)


async def test_what_it_does_not_declare():
    """Its grid is that of the interval, the local clock counts, nothing is too old, and there is no running row."""
    client = Hourly()

    assert (Interval.HOUR_1, None, None) == (client.grid, await client.source_time(), client.oldest_served(DAY.end))
    assert [DAY] == await client.trim_spans([DAY], None, Seen())
    with pytest.raises(UnsupportedRequest, match="final rows only"):
        await client.running_row(DAY, DAY.start)
