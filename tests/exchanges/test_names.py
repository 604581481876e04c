"""Names in any script, of every exchange: each listing by its own spelling, and by its instrument's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery import DataSourceManager
from chandlery.adapter.live import CandleStream, Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidSymbol
from chandlery.core.gaps import Span
from chandlery.core.instrument import Instrument, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import running
from chandlery.sim.wires import wires
from chandlery.testing.contradictions import applies
from fixtures.offline_adapter import DATED, EXPIRING, OfflineAdapter, listed, offline, same, signed_in, values_of

NOW = 1_740_000_000_000_000
EACH = pytest.mark.parametrize("exchange", ExchangeRegistry.names())
CHINESE = "币安人生"
BY_LIST = frozenset({"hyperliquid_spot"})
"""Whose pairs are called by an index that their list alone tells."""
SCRIPTS = st.text(
    st.characters(categories=("Lo", "Nd", "So"), max_codepoint=0x2FFFF).filter(lambda letter: letter > "~"),
    min_size=1,
    max_size=5,
)
"""Letters without case, digits and pictures."""


def market_of(*bases):
    """A market of these bases, in all currencies that the exchanges quote in, and of two dated contracts."""
    linear = [f"{base}{quote}" for quote in ("USDT", "USDC", "USD") for base in ("BTC", "MSFT", *bases)]
    return SyntheticMarket(
        symbols={
            MarketType.SPOT: linear,
            MarketType.FUTURES_USDT: linear,
            MarketType.FUTURES_COIN: [f"{base}USD_PERP" for base in ("BTC", *bases)],
        }
    )


@pytest.mark.parametrize("exchange", offline())
@settings(max_examples=8)
@given(base=SCRIPTS)
def test_each_listing_is_named_by_its_symbol_and_by_its_instrument(exchange, base):
    """By an adapter that has read the list and, where the exchange has rules, by one that has not."""
    facing = OfflineAdapter(exchange, NOW, market_of(base))
    listings = listed(facing)
    adapters = [facing.adapter] if exchange in BY_LIST else [facing.adapter, ExchangeRegistry.create(exchange)]

    assert listings
    for each in listings:
        for adapter in adapters:
            assert each.symbol == adapter.symbol(each.symbol) == adapter.symbol(str(each.instrument))


def in_any_script(adapter):
    """Whether an exchange can spell such a name; one without a wire is skipped anyway."""
    return adapter.id not in wires() or applies("names odd", OfflineAdapter(adapter.id, NOW))


@pytest.mark.parametrize("exchange", offline(in_any_script))
def test_a_chinese_name_is_listed(exchange):
    """And understood in the short forms too."""
    facing = OfflineAdapter(exchange, NOW, market_of(CHINESE))
    found = [each for each in listed(facing) if each.instrument.base == CHINESE]

    assert found
    for each in found:
        instrument = each.instrument
        for text in (f"{CHINESE}/{instrument.quote}", f"{CHINESE}/{instrument.quote}".lower()):
            assert each.symbol == facing.adapter.symbol(text)


@pytest.mark.parametrize(
    ("exchange", "instrument", "symbol"),
    [
        ("binance_perpetual", "BTC/USDT:USDT-260327", "BTCUSDT_260327"),
        ("binance_inverse", "BTC/USD:BTC-260327", "BTCUSD_260327"),
        ("okx_perpetual", "BTC/USDT:USDT-260327", "BTC-USDT-260327"),
        ("okx_inverse", "BTC/USD:BTC-260327", "BTC-USD-260327"),
        ("bybit_perpetual", "BTC/USDT:USDT-260327", "BTCUSDT-27MAR26"),
        ("bybit_perpetual", "BTC/USDC:USDC-260327", "BTC-27MAR26"),
        ("bybit_inverse", "BTC/USD:BTC-260327", "BTCUSDH26"),
        ("kucoin_inverse", "BTC/USD:BTC-260327", "XBTMH26"),
        ("htx_perpetual", "BTC/USDT:USDT-260327", "BTC-USDT-260327"),
        ("htx_inverse", "BTC/USD:BTC-260327", "BTC260327"),
        ("gate_perpetual", "BTC/USDT:USDT-260327", "BTC_USDT_20260327"),
        ("cryptocom_perpetual", "BTC/USD:USD-260327", "BTCUSD-260327"),
    ],
)
def test_contracts_that_expire(exchange, instrument, symbol):
    """Each exchange writes the day in its own way."""
    adapter = ExchangeRegistry.create(exchange)

    assert symbol == adapter.symbol(instrument) == adapter.symbol(symbol) == adapter.symbol(symbol.lower())
    assert date(2026, 3, 27) == adapter.instrument(instrument).expiry


def test_every_exchange_with_contracts_that_expire_takes_part():
    """A new one stands among them, too."""
    assert {each for each, _, _ in DATED} == {
        each for each in ExchangeRegistry.names() if ExchangeRegistry.get(each).expiring
    }


@pytest.mark.parametrize(("exchange", "symbol", "known"), DATED)
def test_contracts_that_expire_are_listed_and_have_candles(exchange, symbol, known):
    """Past and live, each by its own spelling, beside the perpetual and the contract of another day."""
    facing = OfflineAdapter(exchange, NOW, EXPIRING)
    adapter = facing.adapter
    listings = {each.symbol: each.instrument for each in listed(facing)}
    assert {each for each in listings if adapter.expires(each)} == {
        each for each, instrument in listings.items() if instrument.expiry
    }
    instrument = listings[symbol]
    assert date(2026, 3, 27) == instrument.expiry
    for other in (adapter, ExchangeRegistry.create(exchange)):
        assert symbol == other.symbol(symbol) == other.symbol(str(instrument))
    others = {
        each.expiry for each in listings.values() if each.base == instrument.base and each.quote == instrument.quote
    }
    assert None in others

    facing.native, facing.symbol = symbol, known
    span = Span(NOW // MINUTE * MINUTE - 50 * MINUTE, NOW // MINUTE * MINUTE)
    found = facing.expected(Interval.MINUTE_1, span)
    assert 50 == len(found)
    same(facing.pages(Interval.MINUTE_1, span), found)

    if not adapter.is_streamed(symbol):
        return
    interval = Interval.MINUTE_1 if Interval.MINUTE_1 in adapter.live_intervals else next(iter(adapter.live_intervals))
    session = facing.open(Channel.CANDLES)
    facing.tell(session, adapter.subscribe([CandleStream(symbol, interval)]))
    (want,) = session.wants.values()
    (candle,) = facing.view.live(known, interval, Span(0, NOW + 1), 1)
    (live,) = [
        each
        for frame in facing.frames(facing.wire.candles(session, want, [candle]), want.key)
        for each in adapter.live_rows(frame)
    ]
    assert (symbol, interval) == (live.symbol, live.interval)
    assert facing.values(candle)[:5] == values_of(live.candle)[:5]


@EACH
def test_a_contract_that_expires_is_never_taken_for_one_that_does_not(exchange):
    """Where an exchange has none, its text is refused."""
    adapter = ExchangeRegistry.create(exchange)
    for text in ("BTC/USDT:USDT-260327", "BTC/USDC:USDC-260327", "BTC/USD:USD-260327", "BTC/USD:BTC-260327"):
        try:
            dated = adapter.symbol(text)
        except InvalidSymbol:
            continue
        assert adapter.expires(dated)
        assert dated != adapter.symbol(text.partition("-")[0])


def test_contracts_of_all_types_are_listed():
    """Shares are perpetuals, what is being delivered is delisted, what expires says when, and a new type is no error."""
    market = SyntheticMarket(symbols={MarketType.FUTURES_USDT: ["TSLAUSDT", "BTCUSDT_260327", "BTCUSDT"]})
    facing = OfflineAdapter("binance_perpetual", NOW, market)
    found = {each.symbol: each.instrument for each in listed(facing)}
    adapter = ExchangeRegistry.create("binance_perpetual")
    row = b'{"symbol":"%s","baseAsset":"%s","quoteAsset":"USDT","status":"%s","contractType":"%s"}'
    rows = [
        row % (b"AUSDT", b"A", b"TRADING", b"PERPETUAL DELIVERING"), row % (b"BUSDT", b"B", b"NEW", b"NEVER_SEEN"),
        row % (b"CUSDT", b"C", b"PENDING_TRADING", b""),
    ]  # fmt: skip
    others, _ = adapter.instruments(b'{"symbols":[' + b",".join(rows) + b"]}")

    assert {
        "TSLAUSDT": "TSLA/USDT:USDT",
        "BTCUSDT_260327": "BTC/USDT:USDT-260327",
        "BTCUSDT": "BTC/USDT:USDT",
    } == {symbol: str(instrument) for symbol, instrument in found.items()}
    assert [ListingStatus.DELISTED, ListingStatus.HALTED, ListingStatus.UPCOMING] == [each.status for each in others]


@pytest.mark.parametrize(
    ("exchange", "base"),
    [
        ("binance_spot", CHINESE), ("gate_perpetual", CHINESE), ("htx_spot", CHINESE), ("okx_perpetual", CHINESE),
        ("kucoin_spot", CHINESE), ("bybit_perpetual", CHINESE), ("mexc_perpetual", CHINESE), ("coinbase_spot", CHINESE),
        ("kraken_spot", CHINESE), ("kraken_spot", "AAPLx"),
    ],
)  # fmt: skip
def test_past_candles_through_the_cache(exchange, base, tmp_path):
    """By the instrument, from REST and again from the cache, without a request."""
    adapter = ExchangeRegistry.get(exchange)
    quote = "USD" if "USD," in adapter.example or "-USD " in adapter.example else "USDT"
    end = datetime.now(UTC).replace(second=0, microsecond=0, minute=0)
    start = end - timedelta(hours=5)
    with (
        running(market_of(base), exchanges=[exchange]) as sim,
        DataSourceManager(
            adapter.market_type, adapter.provider, cache_dir=tmp_path, endpoints=sim.endpoints
        ) as manager,
    ):
        first = manager.get_data(f"{base}/{quote}", start, end, "1m", enforce_source="rest")
        again = manager.get_data(str(Instrument.of(base, quote, adapter.market_type)), start, end, "1m")

    assert len(first) == len(again) == (end - start).total_seconds() // 60
    assert first["close"].tolist() == again["close"].tolist()
    assert signed_in(exchange) is not None
