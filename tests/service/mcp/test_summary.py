"""Sums of candles, against numpy over all of them at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType
from chandlery.core.time import DAY, MINUTE, iso
from chandlery.service.mcp.summary import RunningSummary, SummaryBuckets
from chandlery.tables.frame import schema_of, table_of

MINUTE_1 = Interval("1m")


def candles(minutes, seed=1):
    """Candles that open at those minutes."""
    random = np.random.default_rng(seed)
    count = len(minutes)
    closes = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    columns = {name: np.zeros(count) for name in schema_of(ChartType.KLINES).names}
    columns |= {
        "open_time": np.array(minutes, dtype=np.int64) * MINUTE,
        "close_time": np.array(minutes, dtype=np.int64) * MINUTE + MINUTE - 1,
        "open": closes * 0.999,
        "close": closes,
        "high": closes * 1.01,
        "low": closes * 0.99,
        "volume": random.random(count),
        "count": np.ones(count, dtype=np.int64),
    }
    return table_of(ChartType.KLINES, columns)


@given(st.sets(st.integers(0, 300), min_size=1), st.lists(st.integers(0, 300), max_size=5), st.integers(1, 50))
def test_pieces_sum_up_to_the_same(minutes, cuts, most):
    """However they are cut, whole and stretch by stretch."""
    table = candles(sorted(minutes))
    sums = SummaryBuckets(Span(0, 301 * MINUTE), MINUTE_1, most)
    bounds = sorted({0, table.num_rows, *(min(cut, table.num_rows) for cut in cuts)})
    for first, end in pairwise(bounds):
        sums.add(table.slice(first, end - first))

    whole, closes = sums.whole.summary(MINUTE_1), table.column("close").to_numpy()
    assert (len(minutes), 301) == (whole.rows, whole.expected_rows)
    assert (iso(min(minutes) * MINUTE), iso(max(minutes) * MINUTE)) == (whole.first, whole.last)
    assert (table.column("high").to_numpy().max(), closes[-1]) == (whole.high, whole.close)
    assert pytest.approx(table.column("volume").to_numpy().sum(), abs=1e-7) == whole.volume
    if len(minutes) > 2:
        assert pytest.approx(np.diff(np.log(closes)).std(ddof=1), abs=1e-7) == whole.volatility
    parts = [part.summary(MINUTE_1) for part in sums.parts]
    assert len(parts) <= most
    assert (whole.rows, whole.expected_rows) == (
        sum(each.rows for each in parts),
        sum(each.expected_rows for each in parts),
    )
    assert whole.low == min(each.low for each in parts if each.low is not None)
    assert [each.end for each in parts[:-1]] == [each.start for each in parts[1:]]


def test_nothing_is_not_a_number():
    """There are no prices then."""
    empty = RunningSummary(Span(0, DAY)).summary(MINUTE_1)

    assert (0, 1440, None, None, None, 0.0) == (
        empty.rows,
        empty.expected_rows,
        empty.open,
        empty.change,
        empty.volatility,
        empty.volume,
    )
