"""Candles as rows and as columns."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.clients.rows import row_of_candle, rows_of_table, table_of_rows
from chandlery.core.candle import CandleData
from chandlery.core.errors import MalformedResponse
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.tables.candle_rows import timed

PRICE = st.floats(min_value=0, max_value=1e12)
CANDLES = st.lists(
    st.builds(
        CandleData,
        st.integers(0, 30_000_000).map(lambda minute: minute * MINUTE),
        PRICE, PRICE, PRICE, PRICE, PRICE,
        st.none() | PRICE,
        st.integers(0, 10**9),
        st.none() | PRICE,
        st.none() | PRICE,
    ),
    unique_by=lambda candle: candle.open_time,
    max_size=20,
)  # fmt: skip


@given(CANDLES)
def test_rows_and_columns_say_the_same(candles):
    """Rows become a table and the same rows again: nothing is lost, and what is not sent stays ``None``."""
    rows = [row_of_candle(each, "acme", "BTC/USDT", Interval.MINUTE_1) for each in candles]
    table = table_of_rows(rows)

    assert rows == rows_of_table(table, "acme", "BTC/USDT", Interval.MINUTE_1, counts=True)


def test_when_a_candle_came():
    """Milliseconds, where it is known; a table has it where it comes from the database."""
    known = CandleData(MINUTE, 1.0, 2.0, 0.5, 1.5, 9.0, at=2_999, received_at=4_000)
    row = row_of_candle(known, "acme", "X/Y", Interval.MINUTE_1)
    table = table_of_rows([row])
    stored = timed(table, {"received_at": [4_000], "at": [None]})

    def times(*rows):
        return [(each["received_at"], each["at"]) for each in rows]

    assert [(4, 2)] == times(row)
    assert [(None, None)] == times(*rows_of_table(table, "acme", "X/Y", Interval.MINUTE_1, counts=True))
    assert [(4, None)] == times(*rows_of_table(stored, "acme", "X/Y", Interval.MINUTE_1, counts=True))


def test_a_table_has_nan_for_what_is_not_sent():
    """Columns cannot hold ``None``: it is NaN there, and the close is the interval's."""
    row = row_of_candle(CandleData(MINUTE, 1.0, 2.0, 0.5, 1.5, 9.0), "acme", "X/Y", Interval.MINUTE_1)
    table = table_of_rows([row])

    assert math.isnan(table.column("quote_asset_volume")[0].as_py())
    assert [2 * MINUTE - 1] == [each.value // 1000 for each in table.column("close_time")]


def test_the_number_of_trades_is_none_where_nobody_tells_it():
    """A count that the exchange does not send is not 0."""
    table = table_of_rows([row_of_candle(CandleData(0, 1.0, 1.0, 1.0, 1.0, 0.0), "a", "X/Y", Interval.MINUTE_1)])

    assert [None] == [row["count"] for row in rows_of_table(table, "a", "X/Y", Interval.MINUTE_1, counts=False)]


@pytest.mark.parametrize("change", [{"open": "much"}, {"timestamp": None}, {"interval": "7m"}, {"volume": None}])
def test_rows_that_are_no_candles_are_refused(change):
    """A third party's row that lacks something, or has it as something else, is a malformed answer."""
    row = row_of_candle(CandleData(0, 1.0, 1.0, 1.0, 1.0, 0.0), "a", "X/Y", Interval.MINUTE_1) | change
    with pytest.raises(MalformedResponse, match="not a candle"):
        table_of_rows([row])
    with pytest.raises(MalformedResponse, match="not a candle"):
        table_of_rows([{key: value for key, value in row.items() if key != "open"}])
