"""Spot, linear and inverse never collide."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from chandlery.core.errors import InvalidSymbol
from chandlery.core.instrument import Instrument, MarketType

CAPITALS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=8)
LETTERS = st.characters(exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn")).filter(
    lambda letter: letter > "~" or (letter.isalnum())
)
CODES = st.builds(str.__add__, CAPITALS, st.text(LETTERS, max_size=8))
"""Codes in any script and case; the first letter is a capital or a digit."""
EXPIRIES = st.none() | st.dates(date(2000, 1, 1), date(2099, 12, 31))
MARKETS = st.sampled_from(MarketType)


@example("0", "0AAA00", MarketType.SPOT)
@given(CAPITALS, CAPITALS, MARKETS)
def test_case_and_separator_do_not_matter_where_nothing_is_in_capitals(base, quote, market):
    """``btc/usdt`` and ``BTC-USDT`` are ``BTC/USDT``; codes may look much like a day, but for the name of a month."""
    assume(base != quote)
    assume(not re.fullmatch(r"\d{1,2}(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d\d", quote))
    instrument = Instrument.parse(f"{base}/{quote}", market)

    assert instrument.market is market
    assert instrument == Instrument.parse(str(instrument).lower(), market)
    assert instrument == Instrument.parse(f"{base}-{quote}", market)


@given(CODES, CODES, MARKETS, EXPIRIES)
def test_text_round_trips(base, quote, market, expiry):
    """In any script and case, spot, perpetual and dated: the text parses to the same instrument."""
    assume(base != quote)
    instrument = Instrument.of(base, f"{quote}Q", market, expiry if market is not MarketType.SPOT else None)

    assert instrument == Instrument.parse(str(instrument)) == Instrument.parse(str(instrument), market)


@given(CODES, CODES)
def test_the_markets_and_days_of_a_pair_have_names_of_their_own(base, quote):
    """Text and key differ between spot, linear, inverse, and contracts that expire."""
    assume(base != quote)
    several = [Instrument.of(base, quote, market) for market in MarketType]
    several += [Instrument.of(base, quote, MarketType.FUTURES_USDT, date(2026, month, 27)) for month in (3, 6)]

    assert 5 == len(set(several))
    assert 5 == len({str(each) for each in several})


@pytest.mark.parametrize(
    ("text", "market", "settle"),
    [
        ("BTC/USDT", MarketType.SPOT, None),
        ("BTC/USDT:USDT", MarketType.FUTURES_USDT, "USDT"),
        ("BTC/USD:BTC", MarketType.FUTURES_COIN, "BTC"),
        ("BTC/USDT:USDT-260327", MarketType.FUTURES_USDT, "USDT"),
        ("BTC/USD:BTC-260327", MarketType.FUTURES_COIN, "BTC"),
        ("币安人生/USDT:USDT", MarketType.FUTURES_USDT, "USDT"),
        ("AAPLx/USD", MarketType.SPOT, None),
    ],
)
def test_text_as_ccxt_writes_it(text, market, settle):
    """The suffix alone tells the market."""
    instrument = Instrument.parse(text)

    assert (market, settle, text) == (instrument.market, instrument.settle, str(instrument))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "BTC", "BTCUSDT", "BTC/", "/USDT", "BTC-USD-SWAP", "BTC/USDT:USDC", "BTC/USD:BTC-249939", "../ETC",
        "A/B\n", "A/B\0", "A/../B", "BTC/USDT:USDT-260327-50000-C", "BTC/USDT-260327", "BTCUSDT-27MAR26",
        "A" * 99 + "/B", None, 7, b"BTC/USDT",
    ],
)  # fmt: skip
def test_what_is_no_instrument_is_refused(text):
    """The message shows what to write, what it may settle in, or what the text lacks."""
    with pytest.raises(
        InvalidSymbol, match=r"write BTC/USDT for spot|it settles in|symbol is empty|a symbol |unprintable|write YYMMDD"
    ):
        Instrument.parse(text)


@given(st.text(max_size=12))
def test_any_other_text_is_refused_by_our_error_alone(text):
    """Either an instrument of codes that print, or ``InvalidSymbol``."""
    try:
        instrument = Instrument.parse(text)
    except InvalidSymbol:
        return

    for code in (instrument.base, instrument.quote):
        assert code.isprintable()
        assert all(letter > "~" or letter.isalnum() or letter == "." for letter in code)
        assert not code.startswith(".")


def test_a_market_that_the_text_contradicts_is_refused():
    """``:USDT`` is never dropped to make a spot of a perpetual."""
    with pytest.raises(InvalidSymbol, match="FUTURES_USDT, not of SPOT"):
        Instrument.parse("BTC/USDT:USDT", MarketType.SPOT)
