"""Lists of instruments, read now and then."""

from __future__ import annotations

import re

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.connect.listings import READ_AGAIN_AFTER, Listings
from chandlery.core.time import SECOND
from chandlery.net.http import HttpClient
from chandlery.net.tokens import Accounts
from facing import MARKET, first_example, signed_in


@pytest.mark.parametrize("exchange", ExchangeRegistry.names())
async def test_every_exchange_tells_what_trades(exchange, offline, limiter):
    """The example of each market trades; a symbol that nobody lists does not, whether or not there is a list."""
    async with offline(exchange) as sim, HttpClient(limiter=limiter) as http:
        adapter = ExchangeRegistry.create(exchange, sim.endpoints)
        listings = Listings(Accounts(http, signed_in(exchange)), sim.clock)
        example = adapter.symbol(first_example(adapter))

        assert await listings.trades(adapter, example)
        assert not await listings.trades(adapter, re.sub("BTC|XBT|btc|MSFT", "QQQ", example))


async def test_a_list_is_read_again_when_it_is_old(offline, limiter):
    """Within ten minutes the list is remembered; afterwards it is read again."""
    now = [0]
    async with offline("binance_spot") as sim, HttpClient(limiter=limiter) as http:
        adapter = ExchangeRegistry.create("binance_spot", sim.endpoints)
        listings = Listings(Accounts(http), lambda: now[0])
        for moment in (0, READ_AGAIN_AFTER - SECOND, READ_AGAIN_AFTER):
            now[0] = moment
            assert await listings.trades(adapter, "BTCUSDT")

        assert 2 == sum("exchangeInfo" in path for _, path, _ in sim.log)
    assert MARKET.knows(adapter.market_type, "BTCUSDT")
