"""The account of an order book: each moment of the grid is stored, or lies in a gap; one outage is one gap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.time import SECOND
from chandlery.service.collection.book_moments import BookMoments
from chandlery.service.collection.gap_queue import GapQueue

EVERY = 10 * SECOND


@pytest.fixture
def told():
    """The gaps that were published."""
    return []


@pytest.fixture
def moments(told):
    """Of an order book that is stored every ten seconds."""
    return BookMoments(GapQueue(told.append), EVERY, 0)


def spans(gaps):
    """In seconds."""
    return [(each.start / SECOND, each.end / SECOND) for each in gaps]


def test_what_the_stream_lost_and_the_moments_that_lack_a_book_are_one_gap(moments, told):
    """However often the evidence changes."""
    moments.stored(10 * SECOND)
    moments.lose(14 * SECOND)
    moments.lose(15 * SECOND)
    assert moments.is_invalid
    for at in (20, 30, 40):
        moments.lack(at * SECOND, f"at {at}")
    moments.find(44 * SECOND)
    assert not moments.is_invalid
    moments.stored(50 * SECOND)

    assert {10.0} == {start for start, _ in spans(told)}
    assert (10.0, 44.0) == spans(told)[-1]


def test_moments_that_were_passed_over_are_a_gap(moments, told):
    """Those before one that is stored, and those for which it is too late."""
    moments.stored(10 * SECOND)
    moments.pass_over(40 * SECOND)
    moments.stored(40 * SECOND)
    moments.pass_over(50 * SECOND)
    moments.stored(50 * SECOND)
    moments.skip(70 * SECOND, 77 * SECOND)
    moments.pass_over(80 * SECOND)
    moments.stored(80 * SECOND)

    assert [(10, 40), (50, 77)] == spans(told)


def test_it_is_overdue_after_two_intervals(moments):
    """Since it was begun, or since the last one that is stored, by whatever run."""
    assert None is moments.overdue(2 * EVERY)
    assert 0 == moments.overdue(2 * EVERY + 2 * SECOND)
    moments.stored(EVERY)
    assert None is moments.overdue(3 * EVERY)
    assert moments.overdue(4 * EVERY) == moments.last == EVERY


@given(st.lists(st.sampled_from(["stored", "lack", "passed", "lose", "find"])))
def test_no_moment_is_forgotten(events):
    """Whatever happens at each."""
    told, stored = [], set()
    moments = BookMoments(GapQueue(told.append), EVERY, 0)
    moments.stored(0)
    at = 0
    for event in [*events, "stored"]:
        at += EVERY
        if event == "lose":
            moments.lose(at - 1)
        elif event == "find":
            moments.find(at - 1)
        if event == "stored":
            moments.pass_over(at)
            moments.stored(at)
            stored.add(at)
        elif event == "lack":
            moments.pass_over(at)
            moments.lack(at, "x")

    assert [] == [
        each
        for each in range(EVERY, at + 1, EVERY)
        if each not in stored and not any(gap.start < each <= gap.end for gap in told)
    ]
