"""Resampling by column, and candle by candle: one definition."""

from __future__ import annotations

from functools import reduce

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.query import OUTPUT_DTYPES
from chandlery.core.resampling import RESAMPLING, followed
from chandlery.tables.resample import resampled

CANDLES = st.fixed_dictionaries({name: st.integers(0, 1_000) for name in RESAMPLING})


def test_every_column_of_candles_has_a_rule():
    """But for the time of the close, which follows from the interval."""
    assert {*OUTPUT_DTYPES} - {"close_time"} == {*RESAMPLING}


@given(st.lists(st.lists(CANDLES, min_size=1, max_size=5), min_size=1, max_size=5))
def test_columns_and_single_candles_are_resampled_alike(groups):
    """Each group of rows becomes the candle that they form one after the other."""
    rows = [candle for group in groups for candle in group]
    columns = {name: np.array([candle[name] for candle in rows]) for name in RESAMPLING}
    firsts = np.cumsum([0, *(len(group) for group in groups[:-1])])

    found = resampled(columns, firsts)

    expected = [reduce(followed, group) for group in groups]
    assert expected == [{name: int(found[name][at]) for name in RESAMPLING} for at in range(len(groups))]


def test_a_longer_candle_of_three():
    """First, highest, lowest, last, and the sum; columns that are not there are left out."""
    columns = {
        "open": np.array([2.0, 4.0, 3.0]),
        "high": np.array([5.0, 6.0, 4.0]),
        "low": np.array([2.0, 1.0, 3.0]),
        "close": np.array([4.0, 3.0, 3.5]),
        "volume": np.array([1.0, 2.0, 4.0]),
    }

    found = resampled(columns, np.array([0, 2]))

    assert {
        "open": [2.0, 3.0],
        "high": [6.0, 4.0],
        "low": [1.0, 3.0],
        "close": [3.0, 3.5],
        "volume": [3.0, 4.0],
    } == {name: values.tolist() for name, values in found.items()}


def test_a_sum_with_an_unknown_value_is_unknown():
    """It is not the sum of the others; what is known of both is added."""
    candle = {"open": 1, "high": 1, "low": 1, "close": 1, "volume": 1}

    assert {**candle, "volume": None} == followed({**candle, "volume": None}, candle)
    assert {**candle, "volume": None} == followed(candle, {**candle, "volume": None})
    assert {**candle, "volume": 2} == followed(candle, candle)
