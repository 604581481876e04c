"""Which requests read a page, and which of its holes their answers prove."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.adapter.paging import Paging, candles_of_a_page, places_of
from chandlery.core.gaps import Span, merge, subtract
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE

GRID = Interval.MINUTE_1
START = 10_000 * MINUTE


def minutes(first, last):
    """The span from minute ``first`` to ``last``."""
    return Span(START + first * MINUTE, START + last * MINUTE)


def read(paging, there, *, limit=10**6, newest=False, empty=(), late=()):
    """Let an exchange answer that has the minutes ``there``, at most ``limit`` a time; the requests that it took."""
    requests = []
    while (asked := paging.next()) is not None:
        number = len(requests)
        requests.append(asked)
        rows = [START + n * MINUTE for n in sorted(there) if asked.holds(START + n * MINUTE)]
        rows = [] if number in empty else rows[-limit:] if newest else rows[:limit]
        paging.add(asked, places_of(GRID, rows))
        assert len(requests) < 200
    return requests


def test_a_page_without_holes_takes_one_request_one_candle_wider():
    """The neighbours cost nothing as long as they fit."""
    paging = Paging(GRID, minutes(0, 98), 100)

    assert [minutes(-1, 99)] == read(paging, range(-5, 200))
    assert ([], []) == (paging.proved, paging.open)


@pytest.mark.parametrize(
    ("count", "page_size", "wide", "candles"),
    [
        (5_000, 1_000, False, 1_000),  # 5 requests instead of 6
        (4_990, 1_000, False, 998),  # 5 requests in both ways
        (5_000, 1_000, True, 998),
        (500_000, 1_000, False, 998),  # 501 instead of 500
        (1, 1, False, 1),
        (3, 2, False, 2),
    ],
)
def test_a_short_reading_takes_full_pages_if_that_saves_a_request(count, page_size, wide, candles):
    """Such a page has no room for candles beside it."""
    assert candles == candles_of_a_page(GRID, [minutes(0, 1), minutes(1, count)], page_size, wide=wide)


def test_a_page_and_one_repeat_prove_every_hole_inside():
    """However many they are: two answers each hold a row before and a row after."""
    there = {n for n in range(-1, 100) if n % 3}
    paging = Paging(GRID, minutes(0, 98), 100)

    assert 2 == len(read(paging, there))
    assert [minutes(n, n + 1) for n in range(0, 98, 3)] == paging.proved
    assert [] == paging.open


@pytest.mark.parametrize("newest", [False, True])
def test_a_short_answer_is_a_page_limit_until_the_opposite_is_proved(newest):
    """The reading goes on from the last row received, whichever end the exchange begins with."""
    paging = Paging(GRID, minutes(0, 298), 300)

    requests = read(paging, range(-1, 299), limit=100, newest=newest)

    assert ([], [], 100) == (paging.proved, paging.open, paging.page_size)
    assert len(requests) <= 5


def test_one_row_that_came_late_is_no_page_limit():
    """A candle that was published between two answers says nothing about pages."""
    paging = Paging(GRID, minutes(0, 50), 100)
    paging.add(paging.next(), places_of(GRID, [START + n * MINUTE for n in range(-1, 49)]))
    paging.add(paging.next(), places_of(GRID, [START + n * MINUTE for n in range(48, 50)]))

    assert (None, [], 100) == (paging.next(), paging.open, paging.page_size)


def test_an_answer_without_rows_proves_nothing():
    """It is requested again; where that brings rows, all is there."""
    paging = Paging(GRID, minutes(0, 98), 100)

    assert 2 == len(read(paging, range(-1, 100), empty=[0]))
    assert ([], []) == (paging.proved, paging.open)


def test_what_no_answer_brackets_is_open():
    """Nothing at all, and nothing at the end: neither is proved here."""
    nothing = Paging(GRID, minutes(0, 98), 100)
    read(nothing, [])
    end = Paging(GRID, minutes(0, 98), 100)
    read(end, range(-1, 60))

    assert ([], [minutes(0, 98)]) == (nothing.proved, nothing.open)
    assert ([], [minutes(60, 98)]) == (end.proved, end.open)


def test_a_thorough_reading_requests_what_is_open_twice_by_itself():
    """By requests with one known row at most, which no page limit can cut."""
    paging = Paging(GRID, minutes(0, 98), 100, thorough=True)

    requests = read(paging, range(-1, 60))

    assert [minutes(60, 98)] == paging.bare == paging.open
    assert [minutes(59, 99)] * 2 == requests[-2:]


def test_requests_stay_within_the_bounds():
    """Nothing is asked of the time before an exchange's memory, nor after now."""
    paging = Paging(GRID, minutes(0, 50), 100, minutes(0, 50))

    assert minutes(0, 50) == paging.next()


@settings(max_examples=300)
@given(
    there=st.sets(st.integers(-1, 40)),
    limit=st.integers(2, 45),
    newest=st.booleans(),
    empty=st.sets(st.integers(0, 3), max_size=1),
    thorough=st.booleans(),
)
def test_no_row_is_ever_proved_to_be_absent(there, limit, newest, empty, thorough):
    """Whatever the page limit (two rows at least), the order, and an answer that comes empty: rows are read, or open."""
    paging = Paging(GRID, minutes(0, 40), 42, thorough=thorough)
    got = set()
    while (asked := paging.next()) is not None:
        rows = [n for n in sorted(there) if asked.holds(START + n * MINUTE)]
        number = len(paging._asked)
        rows = [] if number in empty else rows[-limit:] if newest else rows[:limit]
        got |= set(rows)
        paging.add(asked, places_of(GRID, [START + n * MINUTE for n in rows]))

    for n in there & set(range(40)) - got:
        assert not any(hole.holds(START + n * MINUTE) for hole in [*paging.proved, *paging.bare])
    rows = [minutes(n, n + 1) for n in sorted(got)]
    assert subtract(minutes(0, 40), rows) == merge([*paging.proved, *paging.open])
