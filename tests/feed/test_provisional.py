"""Which closed candles are read again, when, and at what cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit
from chandlery.core.interval import Interval
from chandlery.core.time import HOUR, MINUTE, SECOND
from chandlery.feed.provisional import MOST, Provisional, longest_due, share_of
from chandlery.net.budget import Budget
from chandlery.sim.wires import wires
from fixtures.offline_adapter import first_example
from fixtures.support import micros

START = micros(2025, 3, 12)
MINUTES = Interval.MINUTE_1


def candle(place, volume=1.0, interval=MINUTES):
    return CandleData(interval.step(START, place), 1.0, 1.0, 1.0, 1.0, volume)


def at(place):
    """The open of that minute."""
    return START + place * MINUTE


_SLOW = ("ascendex", "hyperliquid", "kraken", "tradestation")
"""What allows so little that a round takes minutes."""


def noted(*places, **options):
    made = Provisional(MINUTES, MINUTE, **options)
    for each in places:
        made.put(candle(each))
    return made


def test_a_candle_is_due_when_it_has_settled():
    """And a little later, so that an answer can show that REST was that far; not twice in a minute."""
    made = noted(0, 1)
    due = at(2) + 5 * SECOND
    assert [] == made.due(due - 1, 10)
    assert [at(0)] == made.due(due, 10)
    assert made.due_since(due - 1) is None
    assert due == made.due_since(due)
    made.begin(due)
    assert made.due_since(at(3) - 1) is None
    assert due == made.due_since(at(3))
    assert (2, MINUTE) == made.behind(due + MINUTE)


def test_what_is_due_lies_within_a_page():
    """The oldest come first."""
    made = noted(*range(10))

    assert [at(each) for each in (0, 1, 2)] == made.due(at(60), 3)


def test_what_is_proved_is_not_read_again():
    """Whatever it was before."""
    made = noted(0, 1)
    made.prove(at(0))
    made.prove(at(7))

    assert at(0) not in made
    assert [at(1)] == made.due(at(60), 10)
    assert 1 == made.proved


@pytest.mark.parametrize(
    ("latest", "now", "final"),
    [
        (at(2), at(2) - 1, False),  # not settled
        (at(0), at(9), False),  # REST has not passed it
        (at(2), at(2), True),  # by a minute
        (at(1), at(2), False),  # perhaps by a moment
    ],
)
def test_when_a_read_is_not_too_early(latest, now, final):
    """After ``settle``, by an answer that was made some seconds after the end."""
    made = noted(0)
    made.saw(latest, now)

    assert final == made.is_final(at(0), latest, now)


def test_a_later_candle_for_some_seconds_is_proof():
    """Of long candles the next but one is too far away."""
    made = noted(0)
    made.saw(at(0), at(1) + 3 * SECOND)
    made.saw(at(1), at(2))
    assert not made.is_final(at(0), at(1), at(2) + 5 * SECOND - 1)
    made.saw(at(1), at(2) + 5 * SECOND)
    assert made.is_final(at(0), at(1), at(2) + 5 * SECOND)


def test_what_was_read_too_early_becomes_due_again():
    """After another ``settle``, and the later the older it is; nothing else is delayed by it."""
    made = noted(0, 1)
    made.repeat([at(0)], at(2) + 20 * SECOND)
    assert [at(1)] == made.due(at(3) + 20 * SECOND - 1, 10)
    assert [at(0), at(1)] == made.due(at(3) + 20 * SECOND, 10)
    made.repeat([at(0)], at(41))
    assert [at(1)] == made.due(at(51) - 1, 10)
    assert [at(0), at(1)] == made.due(at(51), 10)
    assert 2 == made.repeated


def test_they_are_bounded():
    """The oldest are given up, and counted."""
    made = noted(*range(7), most=5)

    assert [at(each) for each in range(2, 7)] == made.due(at(60), 10)
    assert (5, 2) == (len(made), made.dropped)


@given(st.lists(st.integers(0, 90), min_size=1), st.integers(0, 200))
def test_the_series_that_waits_longest_comes_first(places, minute):
    """None where nothing is due."""
    series = [noted(each) for each in places]
    turn = longest_due(series, at(minute) + 5 * SECOND)
    due = [each for each in places if each + 2 <= minute]

    assert (turn is None) == (not due)
    if turn is not None:
        assert min(due) == places[turn]


@given(st.integers(1, 10_000), st.floats(0.5, 600), st.integers(1, 60))
def test_a_third_of_each_limit(weight, seconds, request):
    """Over a longer time where a third is less than one request."""
    (share,) = share_of([RateLimit(weight, seconds)], request)

    assert share.weight >= request
    assert share.weight / share.seconds <= weight / seconds / 3 * (1 + 1e-9)


def simulated(exchange, interval, count, *, minutes=30, answer_s=0.2, pause_s=1.0):
    """
    What second reads cost where each closed candle needs one: requests and candles a minute, the part of the weight
    that they use, and the greatest age of a candle that is due, in seconds; all after the first half of the time.
    """
    adapter = ExchangeRegistry.create(exchange)
    symbol, grid = adapter.symbol(first_example(adapter)), adapter.grid(interval)
    series = [Provisional(grid, adapter.settle) for _ in range(count)]
    budget, now, closed = Budget(), START, START
    requests, weights, candles, oldest = [], [], 0, 0
    half = START + minutes * MINUTE // 2
    while now < START + minutes * MINUTE:
        while grid.step(closed) <= now:
            for each in series:
                each.put(CandleData(closed, 1.0, 1.0, 1.0, 1.0, 1.0))
            closed = grid.step(closed)
        place = longest_due(series, now)
        if place is None:
            now += round(pause_s * SECOND)
            continue
        turn = series[place]
        oldest = max(oldest, turn.behind(now)[1]) if now >= half else 0
        due = turn.due(now, adapter.page_size)
        request = adapter.candles_request(symbol, interval, Span(due[0], grid.step(due[-1])))
        share = share_of(request.limits, request.weight)
        now = budget.book(share, request.weight, now=now, latest=now + HOUR)
        turn.begin(now)
        for opened in turn.due(now, adapter.page_size):
            candles += now >= half
            turn.prove(opened)
        if now >= half:
            requests.append(now)
            weights.append(request.weight)
        now += round(answer_s * SECOND)
    past = minutes / 2
    allowed = min(limit.weight / limit.seconds for limit in request.limits) * 60
    return {
        "requests a minute": len(requests) / past,
        "candles a request": candles / max(len(requests), 1),
        "part of the weight": sum(weights) / past / allowed,
        "oldest due s": oldest / SECOND,
        "dropped": sum(each.dropped for each in series),
    }


def test_ninety_series_of_kraken():
    """One request a second is allowed: a third are twenty a minute, each of which covers the candles of five minutes."""
    found = simulated("kraken_spot", Interval.MINUTE_1, 90)

    assert 18 <= found["requests a minute"] <= 20
    assert 4 <= found["candles a request"] <= 5
    assert found["oldest due s"] < 5 * 60
    assert 0 == found["dropped"]


def test_candles_of_a_second_take_one_request_a_minute():
    """All that closed meanwhile."""
    found = simulated("binance_spot", Interval.SECOND_1, 1)

    assert 1 == found["requests a minute"]
    assert 60 == found["candles a request"]


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_cost_on_every_exchange(capsys):
    """At most a third of the weight, whatever is asked for, and nothing is given up."""
    rows = []
    for exchange in wires():
        for count in (10, 90, 300):
            # The second half is measured: twenty minutes are four whole windows of the longest limit, five minutes.
            long = exchange.startswith(_SLOW)
            found = simulated(exchange, Interval.MINUTE_1, count, minutes=40 if long else 12, pause_s=5.0)
            rows.append((exchange, count, found))
    with capsys.disabled():
        print("\nseries of 1m        count  requests/min  candles/request  of the weight  oldest due")  # noqa: T201
        for exchange, count, found in rows:
            print(  # noqa: T201
                f"{exchange:24} {count:4} {found['requests a minute']:7.1f} {found['candles a request']:6.1f}"
                f" {found['part of the weight']:7.1%} {found['oldest due s']:7.0f} s"
            )

    assert all(found["part of the weight"] <= 1.01 / 3 for _, _, found in rows)
    assert all(found["dropped"] == 0 for _, _, found in rows)
    assert all(found["oldest due s"] < MOST * 60 for _, _, found in rows)
