"""Candles by column."""

from __future__ import annotations

import numpy as np

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, MINUTE
from chandlery.history.columns import closed, inside, merged

OPENS = np.arange(0, 10 * MINUTE, MINUTE)


def columns(opens, **more):
    """Candles that open then."""
    return {"open_time": np.array(opens, np.int64), "close": np.arange(len(opens), dtype=float)} | more


def test_the_rows_of_several_spans():
    """Spans are half-open."""
    kept = inside(columns(OPENS), [Span(0, 2 * MINUTE), Span(5 * MINUTE, 6 * MINUTE)])

    assert [0, MINUTE, 5 * MINUTE] == kept["open_time"].tolist()


def test_of_two_readings_the_second_counts():
    """Where both have a candle."""
    again = {"open_time": np.array([MINUTE]), "close": np.array([7.0])}
    both = merged(columns([0, MINUTE]), again)

    assert ([0, MINUTE], [0.0, 7.0]) == (both["open_time"].tolist(), both["close"].tolist())


def test_a_candle_is_closed_by_its_own_length_and_by_the_close_that_the_exchange_sends():
    """A clock that runs ahead does not close it; nor does a grid that is wrong."""
    now = 5 * MINUTE + 1
    sent = {"close_time": OPENS + 3 * MINUTE - 1}

    assert [n * MINUTE for n in range(5)] == closed(columns(OPENS), Interval.MINUTE_1, now)["open_time"].tolist()
    assert [0, MINUTE, 2 * MINUTE] == closed(columns(OPENS, **sent), Interval.MINUTE_1, now)["open_time"].tolist()
    assert [0] == closed(columns([0, 31 * DAY]), Interval.MONTH_1, 32 * DAY)["open_time"].tolist()
