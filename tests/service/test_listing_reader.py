"""The lists of instruments are read again and again."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.plugins import PluginRegistry
from chandlery.connector import DataSourceConnectorImpl
from chandlery.core.errors import ExchangeUnavailable, UnsupportedRequest
from chandlery.core.time import HOUR, MINUTE, SECOND
from chandlery.database.listings import ListingRepository
from chandlery.database.sqlite import SqliteDatabase
from chandlery.net.clock import system_clock
from chandlery.service.instruments import InstrumentSearch
from chandlery.service.listing_reader import ListingReader
from fixtures.service import FastClock, served
from fixtures.waiting import until


class Listed(IExchangeAPIClient):
    """A client of Binance with a list that is out of order at its second reading; of the inverse market, with none."""

    family = "native"

    def __init__(self):
        self.asked = Counter()

    def get_exchange_name(self):
        """Binance."""
        return "binance"

    async def instruments(self, market=None):
        """Nothing is listed."""
        self.asked[market.value] += 1
        if market.value == "futures_coin":
            raise UnsupportedRequest("there is none")
        if market.value == "spot" and self.asked["spot"] == 2:
            raise ExchangeUnavailable("refused")
        if market.value == "futures_usdt" and self.asked["futures_usdt"] == 2:
            raise ZeroDivisionError("a mistake")
        return []

    async def fetch_historical_data(self, coin, start, end, interval="1m"):
        """Have none."""
        return []

    async def check_coin_availability(self, coin):
        """Have none."""
        return False


async def test_each_list_at_its_time(tmp_path, caplog):
    """One that fails is read again sooner, and logged once; whatever happens, the others are read."""
    client, waits = Listed(), []

    async def sleep(seconds):
        waits.append(seconds * SECOND)
        if len(waits) > 9:
            raise asyncio.CancelledError

    registry = PluginRegistry()
    registry.add_plugin(client)
    markets = [ExchangeRegistry.get(f"binance_{each}") for each in ("spot", "perpetual", "inverse")]
    async with SqliteDatabase(tmp_path / "d") as database:
        lists = InstrumentSearch(DataSourceConnectorImpl(registry), ListingRepository(database), system_clock)
        reader = ListingReader(lists, markets, HOUR, sleep)
        with pytest.raises(ZeroDivisionError):
            await reader.run()
        with pytest.raises(asyncio.CancelledError):
            await reader.run()

    assert [MINUTE, SECOND, SECOND, HOUR - 2 * SECOND, SECOND, 15 * MINUTE - SECOND, SECOND] == waits[:7]
    assert {"spot": 4, "futures_usdt": 4, "futures_coin": 1} == client.asked
    assert {"binance_spot": 3, "binance_perpetual": 3} == reader.reads
    assert {"binance_spot": 1} == reader.failures
    assert 1 == caplog.text.count("the list of instruments of binance_spot cannot be read: refused")


async def test_nobody_has_to_ask(sim, tmp_path):
    """The universe of each market is known soon after the start, and the readings are counted."""
    clock = FastClock(system_clock(), 100)
    options = {"clock": clock, "sleep": clock.sleep, "instruments_every": "1h"}
    async with served(sim, tmp_path, offline=True, **options) as (service, session):
        await until(lambda: len(service.listing_reader.reads) == 2)
        async with session.get(
            "/v1/universe", params={"exchange": "binance", "market": "linear", "at": "now"}
        ) as answer:
            found = await answer.json()
        async with session.get("/metrics") as answer:
            metrics = await answer.text()

    assert "BTC/USDT:USDT" in {each["symbol"] for each in found["instruments"]}
    assert 'chandlery_instrument_list_reads_total{exchange="binance_perpetual"} 1.0' in metrics
