"""A clock that never goes back."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.time import HOUR, SECOND
from chandlery.service.auth.monotonic_clock import MonotonicClock
from fixtures.service_accounts import SetClock


class Ticks:
    """A monotonic clock that is set."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def moved(clock, ticks, passed_s, stepped_s=0):
    """Time passes, and the wall clock is set by so much besides."""
    clock.later(passed_s + stepped_s)
    ticks.seconds += passed_s


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(-1000, 1000)), max_size=20))
def test_no_less_time_passes_than_really_does(steps):
    """Whichever way the wall clock is set, and it is never behind that."""
    clock, ticks = SetClock(), Ticks()
    steady = MonotonicClock(clock, ticks)
    for passed_s, stepped_s in steps:
        before = steady()
        moved(clock, ticks, passed_s, stepped_s)
        assert steady() - before >= passed_s * SECOND
        assert steady() >= clock()


def test_a_clock_that_is_set_back(caplog):
    """Time goes on as before, which is logged once; when the wall clock has caught up, it leads again."""
    clock, ticks = SetClock(), Ticks()
    steady = MonotonicClock(clock, ticks)
    begun = steady()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            moved(clock, ticks, 10, -3600 if steady() == begun else 0)
            steady()
    assert begun + 30 * SECOND == steady()
    assert 1 == caplog.text.count("set back by 3600 s")
    moved(clock, ticks, 0, 2 * 3600)
    assert clock() == steady() == begun + 30 * SECOND + HOUR
