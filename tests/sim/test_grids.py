"""When the candles of the offline exchange open."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE
from chandlery.sim.grids import GRIDS, Grid
from fixtures.support import micros

MOMENTS = st.integers(micros(1971, 1, 1), micros(2100, 1, 1))
SHIFTS = st.integers(0, 5000).map(lambda minutes: minutes * MINUTE)


@given(st.sampled_from(list(Interval)), SHIFTS, MOMENTS, st.integers(-50, 50))
def test_a_grid_is_whole(interval, shift, moment, count):
    """Each moment lies in one candle; steps forth and back meet; columns agree with single moments."""
    grid = GRIDS[interval].shifted(shift)
    opened = grid.floor(moment)

    assert opened <= moment < grid.step(opened)
    assert grid.ceil(moment) == (opened if opened == moment else grid.step(opened))
    assert opened == grid.step(grid.step(opened, count), -count)
    assert max(count, 0) == grid.count(opened, grid.step(opened, count))
    assert opened == grid.floors(np.array([moment]))[0]
    assert grid.step(opened) == grid.ends(np.array([opened]))[0]


@pytest.mark.parametrize(
    ("interval", "opened"),
    [
        (Interval.HOUR_4, micros(2024, 1, 1, 8)),
        (Interval.DAY_1, micros(2024, 1, 1)),
        (Interval.WEEK_1, micros(2024, 1, 1)),
        (Interval.MONTH_1, micros(2024, 2, 1)),
    ],
)
def test_documented_opens(interval, opened):
    """Weeks begin on Monday, months on the first, the rest on the UTC clock."""
    assert opened == GRIDS[interval].floor(opened)


def test_what_it_is_made_of():
    """Hours and days are parts of a candle only where its opens are whole hours and days."""
    assert GRIDS[Interval.MONTH_1].holds(DAY)
    assert not Grid(DAY, 8 * HOUR).holds(DAY)
    assert Grid(DAY, 8 * HOUR).holds(HOUR)
    assert not Grid(4 * HOUR, 30 * MINUTE).holds(HOUR)
