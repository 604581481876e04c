"""Classes with exactly the methods that the documents give an interface, used in the public ways."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from inspect import isabstract

import pandas as pd
import pytest

import chandlery
import chandlery.service
from chandlery import (
    OUTPUT_DTYPES,
    CandlesFeed,
    ChartType,
    DataClientFactory,
    DataClientInterface,
    DataProvider,
    DataSourceConnectorImpl,
    DataSourceManager,
    IDataSourceConnector,
    IExchangeAPIClient,
    MarketType,
    NativeExchangeClient,
    NetworkStrategy,
    PluginRegistry,
    Settings,
)
from chandlery.sim import SimServer, SyntheticMarket

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
CANDLE = {"timestamp": 0, **dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0), "closed": True}


class Plugin000(IExchangeAPIClient):
    """The four methods of document 000."""

    def __init__(self):
        self.closed = 0

    def get_exchange_name(self):
        return "acme"

    async def check_coin_availability(self, coin_symbol):
        return coin_symbol == "BTC/USDT"

    async def fetch_historical_data(self, coin_symbol, start_time, end_time, interval):
        return [{**CANDLE, "symbol": coin_symbol, "interval": interval, "range": (start_time, end_time)}]

    async def close(self):
        self.closed += 1


class Plugin001(IExchangeAPIClient):
    """The four methods of document 001."""

    def get_exchange_name(self):
        return "acme"

    async def fetch_historical_data(self, coin, start, end):
        return [{**CANDLE, "symbol": coin, "range": (start, end)}]

    async def start_realtime_stream(self, coin, callback):
        while True:
            callback(coin, CANDLE)
            await asyncio.sleep(0.01)

    async def check_coin_availability(self, coin):
        return coin == "BTC/USDT"


def connector_of(plugin):
    """A connector with a plugin, and nothing of this machine's environment."""
    registry = PluginRegistry()
    registry.add_plugin(plugin)
    return DataSourceConnectorImpl(registry, Settings(_env_file=None, env_file=None))


async def first_of(connector, coin="BTC/USDT", **options):
    """The first entry of a stream, which is stopped then."""
    entries = asyncio.Queue()
    stream = await connector.start_realtime_stream("acme", coin, lambda *entry: entries.put_nowait(entry), **options)
    entry = await asyncio.wait_for(entries.get(), 10)
    await stream.stop()
    return entry


@pytest.mark.parametrize("kind", [Plugin000, Plugin001])
async def test_plugins(kind):
    """Each is accepted, asked, fetched from with both spellings of the keywords, and closed."""
    plugin = kind()
    async with connector_of(plugin) as connector:
        (row,) = await connector.fetch_historical_data("acme", "BTC/USDT", START, END, "1m")
        assert ("BTC/USDT", "1m", (START, END)) == (row["symbol"], row["interval"], row["range"])
        named = {"exchange_name": "acme", "interval": "1m"}
        assert [row] == await connector.fetch_historical_data(coin="BTC/USDT", start=START, end=END, **named)
        assert [row] == await connector.fetch_historical_data(
            coin_symbol="BTC/USDT", start_time=START, end_time=END, **named
        )
        assert await connector.check_coin_availability("acme", "BTC/USDT")
        assert not await connector.check_coin_availability("acme", coin="NOPE/USDT")
    assert not hasattr(plugin, "closed") or plugin.closed == 1


async def test_a_plugin_of_document_001_streams():
    """It takes a coin and a callback, and returns nothing."""
    async with connector_of(Plugin001()) as connector:
        coin, entry = await first_of(connector)

    assert ("BTC/USDT", 1.0, "1m") == (coin, entry["close"], entry["interval"])


class Connector000(IDataSourceConnector):
    """The three methods of document 000."""

    def __init__(self, plugin):
        self.plugin = plugin

    def get_client(self, exchange_name):
        return self.plugin

    async def check_coin_availability(self, exchange_name, coin_symbol):
        return await self.plugin.check_coin_availability(coin_symbol)

    async def fetch_historical_data(self, exchange_name, coin_symbol, start_time, end_time, interval):
        return await self.plugin.fetch_historical_data(coin_symbol, start_time, end_time)


class Connector001(IDataSourceConnector):
    """The four methods of document 001."""

    def __init__(self, plugin):
        self.plugin = plugin

    def get_client(self, exchange_name):
        return self.plugin

    async def check_coin_availability(self, exchange_name, coin):
        return await self.plugin.check_coin_availability(coin)

    async def start_realtime_stream(self, exchange_name, coin, callback):
        await self.plugin.start_realtime_stream(coin, callback)

    async def fetch_historical_data(self, exchange_name, coin, start, end):
        return await self.plugin.fetch_historical_data(coin, start, end)


async def test_a_connector_of_document_000_has_the_rest():
    """What it does not define works over the clients that it returns."""
    async with Connector000(Plugin001()) as connector:
        _, entry = await first_of(connector)
        found = await connector.fetch_with_fallback("BTC/USDT", START, END, exchanges=["acme"])

    assert 1.0 == entry["close"]
    assert ["acme"] == [each.exchange for each in found.spans]


async def test_both_spellings_of_keywords_at_our_own_clients():
    """Two spellings of one parameter at once are an error, as for any function."""
    async with NativeExchangeClient("binance_spot", Settings(_env_file=None, env_file=None)) as client:
        with pytest.raises(TypeError, match="both coin and coin_symbol, which mean the same"):
            await client.check_coin_availability(coin="BTC/USDT", coin_symbol="BTC/USDT")


class Client004(DataClientInterface):
    """The three properties and the method of document 004."""

    @property
    def provider(self):
        return DataProvider.register("DOCUMENT_004")

    @property
    def market_type(self):
        return MarketType.SPOT

    @property
    def chart_type(self):
        return ChartType.KLINES

    def fetch(self, start_time, end_time, **kwargs):
        opens = pd.date_range(start_time, end_time, freq="1h", inclusive="left", name="open_time", unit="ns")
        values = {name: pd.Series(1, opens, dtype) for name, dtype in OUTPUT_DTYPES.items() if name != "close_time"}
        return pd.DataFrame({**values, "close_time": opens + pd.Timedelta("59min59s")})[list(OUTPUT_DTYPES)]


def test_a_data_client_of_document_004(tmp_path):
    """It is registered as the document does, and a manager gets its rows."""
    provider = DataProvider.register("DOCUMENT_004")
    DataClientFactory.register_client(
        provider=provider, market_type=MarketType.SPOT, chart_type=ChartType.KLINES, client_class=Client004
    )
    with DataSourceManager(provider=provider, cache_dir=tmp_path) as manager:
        frame = manager.get_data("GOLD", START, END, "1h")

    assert 24 == len(frame)
    assert {1.0} == set(frame["close"])


class Strategy003(NetworkStrategy):
    """The document names no methods; this one has no default."""

    async def feed(self, stream):
        await self.fill(stream)


async def test_a_strategy_of_document_003():
    """A feed starts with it."""
    async with SimServer(SyntheticMarket(7), exchanges=("binance_spot",)) as sim:
        feed = CandlesFeed("binance_spot", "BTC-USDT", "1s", 10, endpoints=sim.endpoints)
        await feed.start(Strategy003(feed.group.network))
        candles = feed.get_candles()
        await feed.stop()

    assert 10 == len(candles)


def test_the_methods_of_our_own_interfaces_are_documented(project):
    """Where the documents name none, the page of names has those that must be written; none is private."""
    page = (project / "docs/names.md").read_text()
    kinds = [
        value
        for package in (chandlery, chandlery.service)
        for name in package.__all__
        if isabstract(value := getattr(package, name))
    ]

    assert {"feed"} == NetworkStrategy.__abstractmethods__
    assert {"read", "write"} == chandlery.service.IDatabaseConnection.__abstractmethods__
    assert "A `NetworkStrategy` implements `feed(stream)`" in page
    assert "An `IDatabaseConnection` implements `read(sql, parameters)` and `write(*statements)`" in page
    assert not [name for kind in kinds for name in kind.__abstractmethods__ if name.startswith("_")]
