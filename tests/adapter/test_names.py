"""Spellings that a list has shown, and days of expiry."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from chandlery.adapter.names import Names, day_month_year, day_of, month_code
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidSymbol
from chandlery.core.instrument import Instrument, Listing, ListingStatus, MarketType


def listing(symbol, base, quote="USDT", market=MarketType.SPOT):
    """A symbol and what it is listed as."""
    return Listing(symbol, Instrument.of(base, quote, market), ListingStatus.LISTED)


def test_an_instrument_that_two_symbols_share_is_refused_with_both_named():
    """Whichever came first; a third instrument keeps its name."""
    names = Names()
    names.learn([listing("LUNA_USDT", "LUNA"), listing("LUNANEW_USDT", "LUNA")])
    names.learn([listing("BTC_USDT", "BTC")])

    assert "BTC_USDT" == names.symbol_of("BTC/USDT")
    assert names.lists("LUNA_USDT")
    assert names.symbol_of("ETH/USDT") is None
    with pytest.raises(InvalidSymbol, match="LUNANEW_USDT, LUNA_USDT"):
        names.symbol_of("LUNA/USDT")


def test_a_list_that_is_read_again_counts_once_and_may_rename():
    """A symbol has the instrument that it was last listed with."""
    names = Names()
    names.learn([listing("A", "OLD"), listing("B", "NEW")])
    names.learn([listing("A", "OTHER"), listing("B", "NEW")])

    assert names.symbol_of("OLD/USDT") is None
    assert ("A", "B") == (names.symbol_of("OTHER/USDT"), names.symbol_of("NEW/USDT"))


def test_an_adapter_refuses_by_text_and_answers_by_symbol():
    """By ccxt's text, by its short form and with a dash; each of the two by its own spelling."""
    adapter = ExchangeRegistry.create("binance_perpetual")
    row = {"status": "TRADING", "contractType": "PERPETUAL", "quoteAsset": "USDT", "filters": []}
    rows = [row | {"symbol": symbol, "baseAsset": "LIT"} for symbol in ("LITUSDT", "LITNEWUSDT")]
    adapter.instruments(msgspec.json.encode({"symbols": rows}))

    assert ["LITUSDT", "LITNEWUSDT"] == [adapter.symbol(text) for text in ("LITUSDT", "litnewusdt")]
    for text in ("LIT/USDT:USDT", "LIT/USDT", "LIT-USDT", "lit/usdt"):
        with pytest.raises(InvalidSymbol, match="LITNEWUSDT, LITUSDT"):
            adapter.symbol(text)


def test_days_as_contracts_write_them():
    """Independent of the locale; days before the tenth have one digit."""
    assert "6FEB26" == day_month_year(date(2026, 2, 6))
    assert ["F26", "H26", "Z30"] == [month_code(date(*day)) for day in ((2026, 1, 30), (2026, 3, 27), (2030, 12, 27))]
    assert date(2026, 3, 27) == day_of(1774598400000)
    assert [None, None] == [day_of(0), day_of(None)]


def test_only_news_changes_the_version():
    """A list that is read again without a change keeps what was looked up valid; a new or renamed symbol does not."""
    names, versions = Names(), []
    for each in (listing("A", "OLD"), listing("A", "OLD"), listing("A", "NEW"), listing("B", "NEW")):
        names.learn([each])
        versions.append(names.version)

    assert versions[0] == versions[1]
    assert 3 == len(set(versions))
