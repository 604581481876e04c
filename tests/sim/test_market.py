"""The synthetic market."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery import DataSourceManager
from chandlery.core.errors import InvalidSymbol
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, add_months
from chandlery.sim import SyntheticMarket, running
from fixtures.support import INVERSE, LINEAR, SPOT, at, body, rows, summed

NEW_YEAR = to_micros(datetime(2024, 12, 31, tzinfo=UTC))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(
        [Interval.SECOND_1, Interval.MINUTE_1, Interval.MINUTE_5, Interval.HOUR_4, Interval.DAY_1, Interval.WEEK_1]
    ),
    st.integers(0, 400),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 999_999),
)
def test_a_range_does_not_depend_on_how_it_is_asked_for(interval, offset, first, second, skew):
    """Two halves give what the whole gives, also where the cut lies between two opens."""
    market = SyntheticMarket()
    start = interval.floor(NEW_YEAR) + offset * 7 * SECOND + skew
    middle, end = start + first * (interval.micros // 7), start + (first + second) * (interval.micros // 7)
    lines = [
        market.lines(SPOT, "BTCUSDT", interval, Span(a, b)) for a, b in ((start, middle), (middle, end), (start, end))
    ]

    assert lines[2] == lines[0] + lines[1]
    opens = SyntheticMarket().candles(SPOT, "BTCUSDT", interval, Span(start, end))["open_time"]
    assert len(opens) == interval.count(start, end)


def test_seeds_symbols_and_markets_differ():
    """The same seed gives the same numbers, anything else others."""
    span = Span(NEW_YEAR, NEW_YEAR + HOUR)
    asked = [(7, SPOT, "BTCUSDT"), (8, SPOT, "BTCUSDT"), (7, SPOT, "BTCUSDC"), (7, LINEAR, "BTCUSDT")]
    closes = [tuple(SyntheticMarket(seed).candles(m, s, Interval.MINUTE_1, span)["close"]) for seed, m, s in asked]

    assert len(set(closes)) == len(closes)
    assert tuple(SyntheticMarket().candles(SPOT, "BTCUSDT", Interval.MINUTE_1, span)["close"]) == closes[0]


def test_nothing_opens_in_a_halt_or_before_the_listing():
    """The minutes of a halt are missing; a longer candle is what there is of it, or is missing too."""
    halt = Span(NEW_YEAR + 90 * MINUTE, NEW_YEAR + 4 * HOUR)
    market = SyntheticMarket(listed=NEW_YEAR + 10 * MINUTE, halts=[halt])
    day = Span(NEW_YEAR - DAY, NEW_YEAR + DAY)
    opens = market.candles(SPOT, "BTCUSDT", Interval.MINUTE_1, day)["open_time"]
    hours = market.candles(SPOT, "BTCUSDT", Interval.HOUR_1, day)

    assert len(opens) == 1440 - 10 - 150
    assert not any(halt.holds(moment) for moment in opens.tolist())
    assert ((hours["open_time"] - NEW_YEAR) // HOUR).tolist() == [0, 1, *range(4, 24)]
    seconds = market.candles(SPOT, "BTCUSDT", Interval.SECOND_1, Span(NEW_YEAR + HOUR, NEW_YEAR + 5 * HOUR))
    assert len(seconds["open_time"]) == 90 * 60
    assert market.first(SPOT, "BTCUSDT", Interval.HOUR_1) == NEW_YEAR
    assert not market.has(SPOT, "BTCUSDT", Interval.MINUTE_1, halt)
    assert market.has(SPOT, "BTCUSDT", Interval.MINUTE_1, Span(halt.end, halt.end + MINUTE))


def test_the_running_candle_holds_what_is_known():
    """At 01:01:30.5 the running hour is the sum of its first minute and 31 seconds; nothing later is there."""
    market = SyntheticMarket()
    now = NEW_YEAR + HOUR + 90 * SECOND + 500_000
    span = Span(NEW_YEAR, NEW_YEAR + DAY)
    hours = rows(market.lines(SPOT, "BTCUSDT", Interval.HOUR_1, span, now=now))
    seconds = rows(market.lines(SPOT, "BTCUSDT", Interval.SECOND_1, Span(NEW_YEAR + HOUR, now + 1), now=now))

    assert len(hours) == 2
    assert len(seconds) == 91
    assert body(hours[1]) == summed(seconds)
    assert rows(market.lines(SPOT, "BTCUSDT", Interval.HOUR_1, span))[0] == hours[0]


def test_funding_every_eight_hours():
    """Three a day, some milliseconds past the hour, from the listing on; spot has none."""
    market = SyntheticMarket()
    known = market.funding(LINEAR, "BTCUSDT", Span(NEW_YEAR, NEW_YEAR + 2 * DAY))
    past = known["open_time"] % (8 * HOUR)

    assert len(past) == 6
    assert ((0 <= past) & (past < 15_000)).all()
    assert (past % 1000 == 0).all()
    assert len(market.funding(SPOT, "BTCUSDT", Span(NEW_YEAR, NEW_YEAR + DAY))["open_time"]) == 0
    again = market.funding(LINEAR, "BTCUSDT", Span(int(known["open_time"][2]), int(known["open_time"][4])))
    assert again["funding_rate"].tolist() == known["funding_rate"][2:4].tolist()


def test_only_given_symbols_are_known():
    """With symbols given, others have neither a first candle nor any."""
    market = SyntheticMarket(symbols={SPOT: ["ABCUSDT"]})

    assert market.symbols(SPOT) == ("ABCUSDT",)
    assert market.knows(SPOT, "ABCUSDT")
    assert market.first(SPOT, "BTCUSDT", Interval.MINUTE_1) is None
    assert market.lines(SPOT, "BTCUSDT", Interval.MINUTE_1, Span(NEW_YEAR, NEW_YEAR + HOUR)) == []


@pytest.mark.parametrize("market_type", [LINEAR, INVERSE])
@pytest.mark.parametrize("interval", [Interval.SECOND_1, Interval.MINUTE_1])
def test_perpetuals_stay_near_their_spot(market_type, interval):
    """Every price of every candle is within 0.1 % of that of the spot market in the same quote currency."""
    for seed in (7, 99):
        market = SyntheticMarket(seed)
        for symbol in market.symbols(market_type):
            start = NEW_YEAR + 100 * DAY * len(symbol)
            span = Span(start, start + 120 * interval.longest)
            spot = market.candles(SPOT, symbol.removesuffix("_PERP"), interval, span)
            perpetual = market.candles(market_type, symbol, interval, span)
            for name in ("open", "high", "low", "close"):
                assert (abs(perpetual[name] / spot[name] - 1) < 0.001).all(), (seed, symbol, name)
            assert perpetual["volume"].tolist() != spot["volume"].tolist()


def test_well_known_coins_are_listed():
    """In each market in every usual quote, and none twice."""
    market = SyntheticMarket()
    for base in ("BTC", "XRP", "ADA", "DOGE", "DOT", "LTC", "LINK", "AVAX", "BCH", "TRX", "MKR", "RUNE", "VET", "HBAR"):
        assert {f"{base}USDT", f"{base}USDC", f"{base}USD"} <= set(market.symbols(SPOT))
        assert market.knows(LINEAR, f"{base}USDT")
        assert market.knows(INVERSE, f"{base}USD_PERP")
    for market_type in (SPOT, LINEAR, INVERSE):
        listed = market.symbols(market_type)
        assert len(set(listed)) == len(listed) >= 60


def test_what_is_not_listed_is_refused():
    """The usual symbols are a list; nothing else has candles, neither in the market nor in the library."""
    market = SyntheticMarket()

    assert {"BTCUSDT", "BTCUSD", "ETHUSDC"} <= set(market.symbols(SPOT))
    assert not market.knows(SPOT, "NOSUCHCOIN")
    with (
        running(market, exchanges=["binance_spot"], tick_s=None) as sim,
        DataSourceManager(use_cache=False, endpoints=sim.endpoints) as manager,
        pytest.raises(InvalidSymbol),
    ):
        manager.get_data("NOSUCHCOIN", at(2024, 1, 1), at(2024, 1, 2), "1h")


@pytest.mark.parametrize("provider", ["KRAKEN", "COINBASE"])
def test_the_documents_symbols_are_listed(provider):
    """Kraken and Coinbase trade BTC/USD offline too."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with (
        running(exchanges=[f"{provider.lower()}_spot"], tick_s=None) as sim,
        DataSourceManager(provider=provider, use_cache=False, endpoints=sim.endpoints) as manager,
    ):
        frame = manager.get_data("BTC/USD", now - timedelta(hours=4), now, "1h")

    assert 4 == len(frame)


def test_it_is_fast():
    """A year of minutes, a day of seconds and nine years of months are made in a moment."""
    market = SyntheticMarket()
    asked = [
        (Interval.MINUTE_1, Span(NEW_YEAR, NEW_YEAR + 365 * DAY), 3.0),
        (Interval.SECOND_1, Span(NEW_YEAR, NEW_YEAR + DAY), 0.9),
        (Interval.MONTH_1, Span(add_months(NEW_YEAR, -80), NEW_YEAR), 3.0),
    ]
    for interval, span, most in asked:
        started = time.process_time()
        market.candles(SPOT, "BTCUSDT", interval, span)
        assert time.process_time() - started < most
