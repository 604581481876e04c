"""Search in lists of instruments."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from chandlery.clients.instruments import nearest_listed, row_of, select
from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.core.instrument import Instrument, Listing, ListingStatus, MarketType

LINEAR, INVERSE, SPOT = MarketType.FUTURES_USDT, MarketType.FUTURES_COIN, MarketType.SPOT
LISTED, DELISTED = ListingStatus.LISTED, ListingStatus.DELISTED


def listing(symbol, base, quote="USDT", market=SPOT, expiry=None, status=LISTED):
    return Listing(symbol, Instrument.of(base, quote, market, expiry), status, tick_size=0.1)


LISTINGS = [
    listing("WBTCUSDT", "WBTC"),
    listing("BTCSTUSDT", "BTCST"),
    listing("ETHBTC", "ETH", "BTC"),
    listing("BTCEUR", "BTC", "EUR", status=DELISTED),
    listing("BTCUSDT", "BTC"),
    listing("BTCUSDT", "BTC", market=LINEAR),
    listing("BTCUSD_PERP", "BTC", "USD", INVERSE),
    listing("BTCUSDT_260327", "BTC", market=LINEAR, expiry=date(2026, 3, 27)),
]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("btc perp", ["BTC/USD:BTC", "BTC/USDT:USDT"]),
        ("btc linear", ["BTC/USDT:USDT", "BTC/USDT:USDT-260327"]),
        ("BTC future", ["BTC/USDT:USDT-260327"]),
        ("btc usdt spot", ["BTC/USDT", "WBTC/USDT", "BTCST/USDT"]),
        ("btc/usdt", ["BTC/USDT", "BTC/USDT:USDT", "BTC/USDT:USDT-260327", "WBTC/USDT"]),
        ("260327", ["BTC/USDT:USDT-260327"]),
        ("eth btc", ["ETH/BTC"]),
        ("doge", []),
    ],
)
def test_search(search, expected):
    """All words match; assets that equal a word come first, then short names."""
    assert expected == [str(each.instrument) for each in select(LISTINGS, search=search)]


def test_market_and_status():
    """They apply before the search; delisted instruments come after active ones."""
    assert 8 == len(select(LISTINGS))
    assert ["BTCUSD_PERP"] == [each.symbol for each in select(LISTINGS, market=INVERSE)]
    assert ["BTCEUR"] == [each.symbol for each in select(LISTINGS, status=DELISTED)]
    assert "BTCEUR" == select(LISTINGS, search="btc", market=SPOT)[1].symbol


def test_a_row_has_every_spelling_and_the_kind():
    """Values of JSON only."""
    row = row_of(LISTINGS[-1], "binance_perpetual", "base")

    assert ("binance_perpetual", "linear", "future") == (row["exchange"], row["market"], row["kind"])
    assert ("BTC/USDT:USDT-260327", "BTCUSDT_260327") == (row["symbol"], row["exchange_symbol"])
    assert ("BTC", "USDT", "USDT", "2026-03-27") == (row["base"], row["quote"], row["settle"], row["expiry"])
    assert ("listed", 0.1, None, "base") == (row["status"], row["tick_size"], row["lot_size"], row["volume_unit"])
    assert ["spot", "perpetual"] == [each.kind for each in LISTINGS[4:6]]


class Silent(IExchangeAPIClient):
    """A client whose list never comes."""

    def get_exchange_name(self):
        """Any name."""
        return "silent"

    async def instruments(self, market=None):
        """Wait for ever."""
        await asyncio.Event().wait()

    async def fetch_historical_data(self, coin, start, end, interval="1m"):
        """Have none."""
        return []

    async def check_coin_availability(self, coin):
        """Have none."""
        return False


async def test_an_error_does_not_wait_for_a_list_that_does_not_come():
    """There is no nearest symbol then."""
    assert None is await nearest_listed(Silent(), "BTCUSTD", within_s=0.01)
