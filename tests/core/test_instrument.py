"""Spot, linear and inverse never collide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import InvalidSymbol
from chandlery.core.instrument import Instrument, MarketType

CODES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=8)
MARKETS = st.sampled_from(MarketType)


@given(CODES, CODES, MARKETS)
def test_text_round_trips(base, quote, market):
    """What an instrument prints parses to the same instrument, with or without the market given."""
    if base == quote:
        return
    instrument = Instrument.parse(f"{base}/{quote}", market)

    assert instrument.market is market
    assert instrument == Instrument.parse(str(instrument))
    assert instrument == Instrument.parse(str(instrument).lower(), market)
    assert instrument == Instrument.parse(f"{base}-{quote}", market)


@given(CODES, CODES)
def test_the_three_markets_of_a_pair_have_three_names(base, quote):
    """Text and key differ between spot, linear and inverse."""
    if base == quote:
        return
    three = [Instrument.parse(f"{base}/{quote}", market) for market in MarketType]

    assert 3 == len(set(three))
    assert 3 == len({str(each) for each in three})


@pytest.mark.parametrize(
    ("text", "market", "settle"),
    [
        ("BTC/USDT", MarketType.SPOT, None),
        ("BTC/USDT:USDT", MarketType.FUTURES_USDT, "USDT"),
        ("BTC/USD:BTC", MarketType.FUTURES_COIN, "BTC"),
    ],
)
def test_text_as_ccxt_writes_it(text, market, settle):
    """The suffix alone tells the market."""
    instrument = Instrument.parse(text)

    assert (market, settle, text) == (instrument.market, instrument.settle, str(instrument))


@pytest.mark.parametrize(
    "text",
    ["", "BTC", "BTCUSDT", "BTC/", "/USDT", "BTC-USD-SWAP", "BTC/USDT:USDC", "BTC/USD:BTC-240329", "../ETC", "A/B\n"],
)
def test_what_is_no_instrument_is_refused(text):
    """The message shows what to write or what it may settle in."""
    with pytest.raises(InvalidSymbol, match=r"write BTC/USDT for spot|it settles in"):
        Instrument.parse(text)


@given(st.text(max_size=12))
def test_any_other_text_is_refused_by_our_error_alone(text):
    """Either an instrument of plain capitals and digits, or ``InvalidSymbol``."""
    try:
        instrument = Instrument.parse(text)
    except InvalidSymbol:
        return

    assert (instrument.base + instrument.quote).isascii()
    assert (instrument.base + instrument.quote).isalnum()


def test_a_market_that_the_text_contradicts_is_refused():
    """``:USDT`` is never dropped to make a spot of a perpetual."""
    with pytest.raises(InvalidSymbol, match="FUTURES_USDT, not of SPOT"):
        Instrument.parse("BTC/USDT:USDT", MarketType.SPOT)
