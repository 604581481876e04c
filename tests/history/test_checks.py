"""Rows are looked at before they are believed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.gaps import Span, merge
from chandlery.core.interval import Interval
from chandlery.core.provenance import EventKind
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND
from chandlery.history.checks import check, flawless, holes, holes_of

START = 19_800 * DAY


def rows(*minutes, **changed):
    """A candle for each minute; ``changed`` replaces whole columns."""
    size = len(minutes)
    columns = {
        "open_time": START + np.array(minutes, np.int64) * MINUTE,
        "open": np.full(size, 2.0),
        "high": np.full(size, 3.0),
        "low": np.full(size, 1.0),
        "close": np.full(size, 2.5),
        "volume": np.full(size, 10.0),
        "count": np.full(size, 4, np.int64),
    }
    return columns | {name: np.array(values, columns[name].dtype) for name, values in changed.items()}


def checked(columns, minutes=5):
    return check(columns, Interval.MINUTE_1, Span(START, START + minutes * MINUTE), "rows")


def opens(times):
    return pa.table({"open_time": pa.array(np.array(times, np.int64) * 1000).cast(pa.timestamp("ns", "UTC"))})


def kinds(result):
    return [event.kind for event in result.events]


def test_good_rows_pass_as_they_are():
    """The same arrays, no events, nothing to ask again."""
    columns = rows(0, 1, 2)

    result = checked(columns)

    assert columns is result.columns
    assert [] == result.events
    assert [] == result.doubtful


def test_rows_out_of_order_are_sorted_and_reported():
    """The values move with their times."""
    result = checked(rows(2, 0, 1, volume=[12, 10, 11]))

    assert [10, 11, 12] == result.columns["volume"].tolist()
    assert [EventKind.UNORDERED_ROWS] == kinds(result)


def test_a_row_that_stands_there_twice_alike_counts_once():
    """The double is dropped and reported; there is nothing to doubt."""
    result = checked(rows(0, 1, 1, 2))

    assert [0, 1, 2] == ((result.columns["open_time"] - START) // MINUTE).tolist()
    assert [EventKind.DOUBLED_ROWS] == kinds(result)
    assert [] == result.doubtful


@pytest.mark.parametrize("volumes", [[10, 11, 99, 12], [10, 99, 11, 12]])
def test_rows_that_contradict_each_other_are_all_set_aside(volumes):
    """Neither is believed; the candle is asked for again."""
    result = checked(rows(0, 1, 1, 2, volume=volumes))

    assert [0, 2] == ((result.columns["open_time"] - START) // MINUTE).tolist()
    assert [EventKind.CONFLICTING_ROWS] == kinds(result)
    assert [Span(START + MINUTE, START + 2 * MINUTE)] == result.doubtful


@pytest.mark.parametrize(
    "changed",
    [
        {"high": [3, np.nan, 3]},
        {"high": [3, 2.4, 3]},
        {"low": [1, 2.1, 1]},
        {"high": [3, np.inf, 3]},
        {"low": [1, -np.inf, 1]},
        {"open": [2, np.nan, 2]},
        {"volume": [1, -1, 1]},
        {"volume": [1, np.nan, 1]},
        {"count": [1, -1, 1]},
    ],
)
def test_values_that_no_candle_can_have_are_set_aside(changed):
    """Not a number, infinite, a high below the close, a negative volume: asked for again, never passed on."""
    result = checked(rows(0, 1, 2, **changed))

    assert [0, 2] == ((result.columns["open_time"] - START) // MINUTE).tolist()
    assert [EventKind.INVALID_ROWS] == kinds(result)
    assert [Span(START + MINUTE, START + 2 * MINUTE)] == result.doubtful


def test_rows_outside_of_the_span_are_left_out_and_reported():
    """A file of one day has no say about another."""
    result = checked(rows(-1, 0, 1, 5))

    assert [0, 1] == ((result.columns["open_time"] - START) // MINUTE).tolist()
    assert [EventKind.INVALID_ROWS] == kinds(result)


def test_rows_off_the_grid_are_kept_as_they_are_and_flagged():
    """Never snapped: the open stays where the exchange put it."""
    columns = rows(0, 1, 2)
    columns["open_time"] = columns["open_time"] + np.array([0, 14 * SECOND, 0])

    result = checked(columns)

    assert START + MINUTE + 14 * SECOND == result.columns["open_time"][1]
    assert [EventKind.OFF_GRID] == kinds(result)
    assert [] == holes(result.columns["open_time"], Interval.MINUTE_1, Span(START, START + 3 * MINUTE))


_MINUTES = st.one_of(st.just([0, 1, 2]), st.lists(st.integers(-1, 3), max_size=4))


@given(
    minutes=st.tuples(_MINUTES, _MINUTES), late=st.sampled_from([0, 0, SECOND]), low=st.sampled_from([1.0, 1.0, 9.0])
)
def test_many_spans_are_flawless_where_none_of_them_gives_reason_for_a_word(minutes, late, low):
    """One look at two spans says what looking at each by itself says, down to a row that stands at the other's end."""
    spans = [Span(START + 3 * number * MINUTE, START + 3 * (number + 1) * MINUTE) for number in range(2)]
    parts = [rows(*(3 * number + minute for minute in each)) for number, each in enumerate(minutes)]
    parts[1]["open_time"] += late
    parts[1]["low"][:] = low
    quiet = all(
        not (result := check(part, Interval.MINUTE_1, span, "rows")).events
        and not holes(result.columns["open_time"], Interval.MINUTE_1, span)
        for part, span in zip(parts, spans, strict=True)
    )

    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    firsts = [int(part["open_time"][0]) if len(part["open_time"]) else None for part in parts]
    assert quiet == flawless(whole, firsts, Interval.MINUTE_1, spans)


def test_months_are_looked_at_one_by_one():
    """They are too uneven to be looked at together."""
    assert not flawless(rows(0), [START], Interval.MONTH_1, [Span(START, START + DAY)])


@given(data=st.data(), interval=st.sampled_from(Interval))
def test_holes_are_what_the_plain_definition_says(data, interval):
    """The fast form agrees with the one-by-one form on any grid, with candles off it too."""
    first = interval.floor(START)
    places = sorted(data.draw(st.sets(st.integers(0, 30), max_size=20)))
    times = [interval.step(first, place) + data.draw(st.sampled_from([0, 0, 1, SECOND // 2])) for place in places]
    begin, length = data.draw(st.integers(0, 10)), data.draw(st.integers(0, 25))
    span = Span(interval.step(first, begin), interval.step(first, begin + length))
    inside = [time for time in times if span.holds(interval.floor(time))]

    there = {interval.floor(time) for time in inside}
    wanted = [interval.step(span.start, place) for place in range(length)]
    missing = merge(Span(opened, interval.step(opened)) for opened in wanted if opened not in there)

    assert missing == holes(np.array(inside, np.int64), interval, span)
    assert missing == holes_of(opens(inside), interval, span)


@pytest.mark.parametrize("place", [1, 2, 32_767, 32_768, 32_769, 65_536, 65_998])
def test_a_hole_that_leaves_first_last_and_count_as_they_should_be_is_found(place):
    """One candle is missing, and another stands in two places of the grid: at the edges of the blocks that are compared too."""
    size = 66_000
    times = START + np.arange(size) * MINUTE
    times[place] -= SECOND
    span = Span(START, START + size * MINUTE)
    missing = [Span(START + place * MINUTE, START + (place + 1) * MINUTE)]

    assert missing == holes(times, Interval.MINUTE_1, span)
    assert missing == holes_of(opens(times), Interval.MINUTE_1, span)


def test_a_table_without_holes_has_none():
    """The short way says what the long one does."""
    span = Span(START, START + 70_000 * MINUTE)
    times = np.arange(span.start, span.end, MINUTE)

    assert [] == holes_of(opens(times), Interval.MINUTE_1, span)
    assert [Span(span.end, span.end + MINUTE)] == holes_of(
        opens(times), Interval.MINUTE_1, Span(span.start, span.end + MINUTE)
    )


def test_the_first_and_the_last_candle_of_a_day_can_be_missing():
    """A hole at 00:00 or at 23:00 is a hole like any other."""
    day = Span(START, START + DAY)
    times = np.arange(START + HOUR, START + 23 * HOUR, HOUR)

    assert [Span(START, START + HOUR), Span(START + 23 * HOUR, START + DAY)] == holes(times, Interval.HOUR_1, day)


@pytest.mark.parametrize(
    "odd",
    [
        {"low": [1.0, 0.0, 1.0]},
        {"low": [1.0, -1.0, 1.0], "open": [2.0, -0.5, 2.0]},
        {"taker_buy_volume": [1.0, 10.5, 10.0]},
        {"quote_asset_volume": [20.0] * 3, "taker_buy_quote_volume": [20.0, 21.0, 0.0]},
    ],
)
def test_unlikely_rows_are_noted_and_returned(odd):
    """Prices that are not above 0, and takers who bought more than was traded: an event, and the rows as they are."""
    columns = rows(0, 1, 2) | {name: np.array(values) for name, values in odd.items()}
    found = checked(columns, 3)

    assert [EventKind.UNLIKELY_ROWS] == [event.kind for event in found.events]
    assert [(START + MINUTE, START + 2 * MINUTE)] == [(event.start, event.end) for event in found.events]
    assert (3, []) == (len(found.columns["open_time"]), found.doubtful)
    assert not flawless(columns, [START], Interval.MINUTE_1, [Span(START, START + 3 * MINUTE)])
