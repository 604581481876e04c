"""Candles made of shorter ones equal those of the market."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.feed.resample import Resampler
from chandlery.sim import SyntheticMarket
from fixtures.candle_feed import truth
from fixtures.support import micros

MARKET = SyntheticMarket()
START = micros(2025, 3, 12)
FIVES = truth(MARKET, "BTCUSDT", Interval.MINUTE_5, Span(START, START + 6 * 60 * MINUTE))


@pytest.mark.parametrize(
    ("interval", "finer", "count"),
    [
        (Interval.MINUTE_15, Interval.MINUTE_5, 8),
        (Interval.HOUR_1, Interval.MINUTE_5, 3),
        (Interval.MINUTE_1, Interval.SECOND_1, 3),
        (Interval.DAY_1, Interval.HOUR_6, 2),
        (Interval.WEEK_1, Interval.DAY_1, 2),
        (Interval.MONTH_1, Interval.DAY_1, 2),
    ],
)
@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT"])
def test_equals_the_longer_candle(interval, finer, count, symbol):
    """Given all its parts, in every column and to the last digit, but that it is not closed."""
    start = interval.floor(micros(2025, 3, 10))
    span = Span(start, interval.step(start, count))
    resampler, found = Resampler(interval), {}
    for part in truth(MARKET, symbol, finer, span):
        made = resampler.add(part)
        found[made.open_time] = made

    wanted = truth(MARKET, symbol, interval, span)
    assert [structs.replace(each, closed=False) for each in wanted] == list(found.values())


def made_of(parts, interval=Interval.HOUR_1):
    """The candle of parts that come in order."""
    resampler = Resampler(interval)
    return [resampler.add(part) for part in parts][-1]


@given(st.data())
def test_in_any_order_with_doubles_and_unfinished_parts(data):
    """What comes late, twice, or unfinished after it was finished, changes nothing of the end."""
    parts = FIVES[:12]
    running = [structs.replace(each, volume=each.volume / 2, closed=False) for each in parts]
    shuffled = data.draw(st.permutations(parts + running + data.draw(st.lists(st.sampled_from(parts)))))
    resampler, last = Resampler(Interval.HOUR_1), None
    for part in shuffled:
        last = resampler.add(part) or last

    assert made_of(parts) == last


def test_older_ones_are_over():
    """A part of a candle before the running one is of no use any more."""
    resampler = Resampler(Interval.HOUR_1)
    resampler.add(FIVES[12])

    assert resampler.add(FIVES[3]) is None
    assert made_of(FIVES[12:14]) == resampler.add(FIVES[13])


def test_what_one_part_lacks_the_whole_lacks():
    """It is unknown, not nothing."""
    first = CandleData(0, 1.0, 2.0, 1.0, 2.0, 0.1, 0.3, 1, None, 5.0)
    second = CandleData(SECOND, 2.0, 3.0, 2.0, 3.0, 0.2, None, None, None, 5.0)

    assert CandleData(0, 1.0, 3.0, 1.0, 3.0, 0.3, None, None, None, 10.0, closed=False) == made_of([first, second])


def test_the_times_are_those_of_the_part_that_came_last():
    """Also where that is not the latest part."""
    first, second, late = (
        structs.replace(FIVES[place], at=at, received_at=at + 1, closed=closed)
        for place, at, closed in ((0, 10, False), (1, 20, False), (0, 30, True))
    )

    assert (20, 21) == ((made := made_of([first, second])).at, made.received_at)
    assert (30, 31) == ((made := made_of([first, second, late])).at, made.received_at)
