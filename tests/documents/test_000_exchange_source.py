"""Statements of document 000, the exchange source; ``statements.toml`` has those that other tests prove."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from inspect import isabstract

import pytest

from chandlery import (
    CCXTConfig,
    CCXTExchangeClient,
    DataSourceConnectorImpl,
    IDataSourceConnector,
    IExchangeAPIClient,
    NativeExchangeClient,
    PluginRegistry,
    Settings,
    StorageConfig,
)
from chandlery.clients.streaming import RealtimeStream

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
COIN = "BTC/USDT"
END = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
START = END - timedelta(minutes=5)


@pytest.fixture(params=[NativeExchangeClient, CCXTExchangeClient])
async def client(request, settings, limits):
    """Each of our clients of Binance."""
    given = (settings.ccxt, "binance") if request.param is CCXTExchangeClient else ("binance", settings)
    async with request.param(*given, limiter=limits) as made:
        yield made


def test_0_01_the_interface_of_a_client():
    """It can be imported, and only what implements it can be made."""
    assert isabstract(IExchangeAPIClient)
    assert {"get_exchange_name", "check_coin_availability", "fetch_historical_data", "close"} <= set(
        dir(IExchangeAPIClient)
    )
    with pytest.raises(TypeError):
        IExchangeAPIClient()
    assert all(issubclass(each, IExchangeAPIClient) for each in (NativeExchangeClient, CCXTExchangeClient))


async def test_0_02_the_name_of_the_exchange(client):
    """A text, the same of both clients."""
    assert "binance" == client.get_exchange_name()


async def test_0_04_availability_by_its_keyword(client):
    """``coin_symbol``, as the document names it."""
    assert await client.check_coin_availability(coin_symbol=COIN)
    assert not await client.check_coin_availability(coin_symbol="NOPE/USDT")


async def test_0_06_past_rows_by_keywords(client):
    """``coin_symbol``, ``start_time`` and ``end_time``: the rows of the positional call."""
    rows = await client.fetch_historical_data(coin_symbol=COIN, start_time=START, end_time=END, interval="1m")

    assert 5 == len(rows)
    assert rows == await client.fetch_historical_data(COIN, START, END, "1m")


class Plugin(IExchangeAPIClient):
    """A plugin with all methods and a family."""

    family = "acme_labs"

    def get_exchange_name(self):
        return "acme"

    async def check_coin_availability(self, coin):
        return coin == "GOLD/USD"

    async def fetch_historical_data(self, coin, start, end, interval="1m"):
        return [{"from": (coin, start, end, interval)}]

    async def start_realtime_stream(self, coin, callback, **options):
        async def run():
            callback(coin, {"bids": [(1.0, 1.0)], "asks": [(2.0, 1.0)]})

        return RealtimeStream(coin, run())

    async def close(self):
        self.closed = True


async def test_0_11_a_plugin_with_a_family(settings):
    """Calls by its exchange's name, and by its full name, reach it."""
    plugin, registry, told = Plugin(), PluginRegistry(), []
    registry.add_plugin(plugin)
    async with DataSourceConnectorImpl(registry, settings) as connector:
        for name in ("acme", "acme_labs.acme"):
            assert plugin is connector.get_client(name)
            assert await connector.check_coin_availability(name, "GOLD/USD")
            (row,) = await connector.fetch_historical_data(name, "GOLD/USD", START, END, "1h")
            assert ("GOLD/USD", START, END, "1h") == row["from"]
        stream = await connector.start_realtime_stream("acme", "GOLD/USD", lambda *each: told.append(each))
        await stream.wait()

    assert ["GOLD/USD"] == [coin for coin, _ in told]
    assert plugin.closed


def test_0_16_the_interface_of_a_connector():
    """It can be imported, and only what implements it can be made."""
    assert isabstract(IDataSourceConnector)
    assert issubclass(DataSourceConnectorImpl, IDataSourceConnector)
    with pytest.raises(TypeError):
        IDataSourceConnector()


def test_0_21_a_connector_of_a_registry_and_settings(settings):
    """By place; both are its attributes."""
    registry = PluginRegistry()
    connector = DataSourceConnectorImpl(registry, settings)

    assert registry is connector.registry
    assert settings is connector.settings


async def test_0_25_all_pages_of_a_range(settings, limits):
    """Three days of minutes through ccxt: each of the 4,320 once, in order."""
    start = END - timedelta(days=3)
    async with CCXTExchangeClient(settings.ccxt, "binance", limiter=limits) as client:
        rows = await client.fetch_historical_data(COIN, start, END, "1m")

    first = round(start.timestamp() * 1000)
    assert [first + 60_000 * place for place in range(4320)] == [row["timestamp"] for row in rows]


def test_0_34_settings_have_parts():
    """Those of ccxt, of the storage, and others."""
    settings = Settings.of(None)

    assert isinstance(settings.ccxt, CCXTConfig)
    assert settings.storage.use_cache
    assert {} == settings.endpoints


def test_0_35_the_settings_of_the_storage(tmp_path):
    """A class of its own, which is a part of the settings."""
    settings = Settings.of(None)

    assert isinstance(settings.storage, StorageConfig)
    assert tmp_path == StorageConfig(_env_file=None, cache_dir=tmp_path).cache_dir


def test_0_36_the_default_exchange(monkeypatch):
    """An argument, or ``CCXT_DEFAULT_EXCHANGE``."""
    assert "kraken" == CCXTConfig(_env_file=None, default_exchange="kraken").default_exchange
    monkeypatch.setenv("CCXT_DEFAULT_EXCHANGE", "okx")

    assert "okx" == CCXTConfig(_env_file=None).default_exchange == Settings.of(None).ccxt.default_exchange
