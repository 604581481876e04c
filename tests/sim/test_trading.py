"""Terms on which an exchange trades."""

import pytest

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR
from chandlery.sim import SyntheticMarket
from chandlery.sim.trading import ALWAYS, FUNDING_EVERY, Trading
from fixtures.support import LINEAR, SPOT, micros

START = micros(2024, 3, 10)
SPAN = Span(START, START + 4 * DAY)
LIVES = (Span(START - DAY, START + DAY), Span(START + 2 * DAY, ALWAYS.end))


def test_a_symbol_without_lives_always_trades():
    """There is no pause."""
    assert [] == Trading().pauses("BTCUSDT")
    assert Trading().trades("BTCUSDT", 0)


def test_pauses_lie_between_lives():
    """Before the first, between them, and after the last where it ended."""
    terms = Trading(lives={"BTCUSDT": (*LIVES[:1], Span(START + 2 * DAY, START + 3 * DAY))})
    assert LIVES[0] == terms.life("BTCUSDT", START)
    assert terms.life("BTCUSDT", START + DAY) is None

    assert [(0, START - DAY), (START + DAY, START + 2 * DAY), (START + 3 * DAY, ALWAYS.end)] == [
        (each.start, each.end) for each in terms.pauses("BTCUSDT")
    ]
    assert [True, False, True, False] == [terms.trades("BTCUSDT", START + day * DAY) for day in range(4)]


@pytest.mark.parametrize("interval", [Interval.MINUTE_1, Interval.HOUR_4, Interval.DAY_1])
def test_a_reused_symbol_has_two_lives(interval):
    """Nothing opens between them; in them all is as it was; another symbol does not pause."""
    market = SyntheticMarket()
    reused = market.on(Trading(lives={"BTCUSDT": LIVES}))
    whole = market.candles(SPOT, "BTCUSDT", interval, SPAN)

    rows = reused.candles(SPOT, "BTCUSDT", interval, SPAN)

    keep = (whole["open_time"] < LIVES[0].end) | (whole["open_time"] >= LIVES[1].start)
    assert whole["open_time"][keep].tolist() == rows["open_time"].tolist()
    assert whole["volume"][keep].tolist() == rows["volume"].tolist()
    assert interval.floor(START - DAY) == reused.first(SPOT, "BTCUSDT", interval)
    assert not reused.has(SPOT, "BTCUSDT", interval, Span(START + DAY, START + 2 * DAY))
    assert len(whole["open_time"]) == len(reused.lines(SPOT, "ETHUSDT", interval, SPAN))


def test_funding_becomes_more_frequent():
    """Eight hours until a moment, then four; rates before it are the same."""
    market = SyntheticMarket()
    changed = market.on(Trading(funding=((START + DAY, 4 * HOUR), (START + 2 * DAY, HOUR))))

    before, after = (each.funding(LINEAR, "BTCUSDT", SPAN) for each in (market, changed))

    hours = [round(moment / HOUR) - START // HOUR for moment in after["open_time"].tolist()]
    assert [0, 8, 16, *range(24, 48, 4), *range(48, 96)] == hours
    assert before["funding_rate"][:3].tolist() == after["funding_rate"][:3].tolist()
    assert 8 * HOUR == FUNDING_EVERY


def test_further_symbols_trade():
    """Names that the market does not have by itself, in any script."""
    market = SyntheticMarket(symbols={SPOT: ["BTCUSDT"]}).on(Trading(symbols=("币安人生USDT",)))

    assert ("BTCUSDT", "币安人生USDT") == market.symbols(SPOT)
    assert 4 == len(market.lines(SPOT, "币安人生USDT", Interval.DAY_1, SPAN))
