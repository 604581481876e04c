"""Contradictions of the offline exchange, on every wire of every market."""

from __future__ import annotations

import pytest

from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND
from chandlery.sim import SimServer, SyntheticMarket, Unlike, running
from chandlery.sim.unlike import contradictions
from chandlery.sim.wires import wires
from facing import Facing
from support import LINEAR, SPOT, micros

NOW = micros(2025, 3, 12, 10, 20, 30)
EXCHANGES = list(wires())
SPAN = Span(NOW - 21 * MINUTE, NOW)


@pytest.fixture(params=EXCHANGES)
def facing(request):
    """One exchange and its adapter."""
    return Facing(request.param, NOW)


def asked(facing: Facing, span: Span = SPAN) -> list[int]:
    """The opens of the closed minutes of ``span`` in one answer by REST."""
    body = facing.body(facing.adapter.candles_request(facing.native, Interval.MINUTE_1, span))
    opens = facing.adapter.candles(body, Interval.MINUTE_1).open_time
    return [each for each in opens if span.start <= each < min(span.end, facing.now - facing.now % MINUTE)]


def test_a_shorter_page(facing):
    """However many candles are asked for, the answer holds no more, and all of them are the market's."""
    whole = asked(facing)
    facing.view.differ(Unlike(page_size=7))
    page = asked(facing)

    assert 20 <= len(whole)
    assert 6 <= len(page) <= 7
    assert page in (whole[: len(page)], whole[-len(page) :])


def test_a_page_is_empty_once(facing):
    """The second page is empty, and is not when it is asked for again."""
    whole = asked(facing)
    facing.view.differ(Unlike(empty_once=2))

    assert [whole, [], whole] == [asked(facing) for _ in range(3)]


def test_rows_come_late(facing):
    """By REST there is no candle that closed less than ``late_s`` ago; sockets have it."""
    whole = asked(facing)
    facing.view.differ(Unlike(late_s=600))

    assert [each for each in whole if each + MINUTE <= NOW - 600 * SECOND] == asked(facing)
    live = facing.view.live(facing.symbol, Interval.MINUTE_1, Span(SPAN.start, NOW + 1), 5)
    assert NOW - NOW % MINUTE == live[-1].open_time


def test_a_shifted_grid(facing):
    """Candles open later, by REST and on sockets, and are sums of the same trades."""
    facing.view.differ(Unlike(anchor={"1h": 1800, "4h": 3600}))
    interval = Interval.HOUR_4 if Interval.HOUR_4 in facing.adapter.intervals else Interval.HOUR_1
    shift = {Interval.HOUR_4: HOUR, Interval.HOUR_1: HOUR // 2}[interval]
    span = Span(NOW - 2 * DAY, NOW - DAY)
    raw = facing.view.candles(facing.symbol, interval, span, 100, newest=False)
    minutes = facing.view.candles(
        facing.symbol, Interval.MINUTE_1, Span(raw[0].open_time, raw[0].end), 500, newest=False
    )

    assert {shift} == {each.open_time % interval.longest for each in raw}
    assert (minutes[0].open, minutes[-1].close) == (raw[0].open, raw[0].close)
    assert max(float(each.high) for each in minutes) == float(raw[0].high)
    live = facing.view.live(facing.symbol, interval, Span(0, NOW + 1), 1)
    assert shift == live[0].open_time % interval.longest
    assert not live[0].closed


def test_a_shorter_memory(facing):
    """REST has the latest candles alone, the running one among them."""
    whole = asked(facing)
    facing.view.differ(Unlike(memory=5))

    assert whole[-4:] == asked(facing)
    assert [] == asked(facing, span=Span(NOW - HOUR, NOW - HOUR // 2))


def test_a_skewed_clock(facing):
    """An exchange that is behind has less, and says so where it gives the time."""
    whole = asked(facing)
    facing.view.differ(Unlike(clock_skew_s=-180))

    assert NOW - 3 * MINUTE == facing.wire.now
    assert whole[:-3] == [each for each in asked(facing) if each + MINUTE <= facing.wire.now]


def test_the_archive_has_the_same_grid():
    """Files of days hold the candles that the exchange has."""
    with running(exchanges=["binance_spot"], unlike={"binance_spot": {"anchor": {"1w": 86400}}}) as exchange:
        market = exchange.view("binance_spot").market
        opens = market.candles(SPOT, "BTCUSDT", Interval.WEEK_1, Span(NOW - 60 * DAY, NOW))["open_time"]

    assert {5 * DAY} == {int(each) % (7 * DAY) for each in opens}


def test_fields_of_one_come_before_those_of_all():
    """What is given for an exchange takes the place of what is given for all, field by field."""
    given = {"*": {"page_size": 10, "memory": 20}, "okx_spot": Unlike(page_size=5)}

    found = contradictions(given, ("okx_spot", "kraken_spot"))

    assert {"okx_spot": Unlike(page_size=5, memory=20), "kraken_spot": Unlike(page_size=10, memory=20)} == found


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"okx": {}}, UnknownName, r"no offline exchange okx; there is \*, okx_spot"),
        ({"okx_spot": {"pages": 3}}, InvalidInput, "there is no pages; there is page_size, "),
        ({"okx_spot": {"page_size": 0}}, InvalidInput, "unlike of okx_spot: .* >= 1"),
        ({"okx_spot": {"page_size": "x"}}, InvalidInput, "unlike of okx_spot: Expected `int"),
        ({"okx_spot": {"late_s": -1}}, InvalidInput, "unlike of okx_spot: .* >= 0"),
        ({"*": {"anchor": {"3d": 30}}}, InvalidInput, "anchor of 3d: 30 s; it takes whole minutes"),
        ({"*": {"anchor": {"1h": 7200}}}, InvalidInput, "less than the interval"),
        ({"*": {"anchor": {"9d": 60}}}, InvalidInput, "'9d' is not an interval"),
    ],
)
def test_impossible_contradictions(given, error, said):
    """Each is refused at once, with what there is."""
    with pytest.raises(error, match=said):
        SimServer(SyntheticMarket(), exchanges=["okx_spot"], unlike=given)


def test_contradictions_end():
    """The same exchange behaves as documented again."""
    with running(exchanges=["binance_perpetual"], unlike={"*": {"memory": 3}}) as exchange:
        view = exchange.view("binance_perpetual")
        few = view.candles("BTCUSDT", Interval.MINUTE_1, Span(0, 2**60), 10, newest=True)
        exchange.differ({})
        many = view.candles("BTCUSDT", Interval.MINUTE_1, Span(0, 2**60), 10, newest=True)

    assert (3, 10) == (len(few), len(many))
    assert LINEAR is view.market_type
