"""Statements of document 004, the data source manager; ``statements.toml`` has those that other tests prove."""

from __future__ import annotations

from enum import Enum, auto
from inspect import isabstract, signature

import pandas as pd
import pytest

from chandlery import (
    FUNDING_RATE_DTYPES,
    OUTPUT_DTYPES,
    BinanceFundingRateClient,
    ChartType,
    DataClientFactory,
    DataClientInterface,
    DataProvider,
    DataSource,
    DataSourceManager,
    Interval,
    MarketType,
)
from chandlery.core.errors import InvalidInput


def test_4_01_the_manager_and_its_sources():
    """Both are public classes."""
    assert isinstance(DataSourceManager, type)
    assert isinstance(DataSource, type)


def test_4_02_the_words_of_a_query():
    """Intervals, markets, kinds of data and providers."""
    assert all(isinstance(each, type) for each in (Interval, MarketType, ChartType, DataProvider))


def test_4_03_sources():
    """The best one, or one alone."""
    assert ["AUTO", "REST", "VISION"] == [each.name for each in DataSource]


def test_4_04_providers():
    """Both that the document names, by name and by item."""
    assert ["BINANCE", "TRADESTATION"] == [DataProvider.BINANCE.name, DataProvider.TRADESTATION.name]
    assert {DataProvider.BINANCE, DataProvider.TRADESTATION} <= set(DataProvider)


def test_4_05_kinds_of_data():
    """With the documented values."""
    assert ("klines", "fundingRate") == (ChartType.KLINES.value, ChartType.FUNDING_RATE.value)


def test_4_06_markets():
    """The documented ones, and the inverse one."""
    assert ["SPOT", "FUTURES_USDT", "FUTURES_COIN"] == [each.name for each in MarketType]


def test_4_07_intervals():
    """From a second to a month."""
    assert {Interval.SECOND_1, Interval.MINUTE_1, Interval.HOUR_1, Interval.HOUR_8, Interval.DAY_1} <= set(Interval)
    assert ("1s", "1h", "8h") == (Interval.SECOND_1.value, Interval.HOUR_1.value, Interval.HOUR_8.value)
    assert 16 == len(Interval)


DOCUMENTED = {
    DataSourceManager: {
        "market_type": MarketType.SPOT,
        "provider": DataProvider.BINANCE,
        "chart_type": ChartType.KLINES,
        "rest_client": None,
        "cache_dir": None,
        "use_cache": True,
        "max_concurrent": 50,
        "retry_count": 5,
        "max_concurrent_downloads": None,
    },
    DataSourceManager.get_data: {
        "interval": Interval.SECOND_1,
        "use_cache": True,
        "enforce_source": DataSource.AUTO,
        "provider": None,
        "chart_type": None,
    },
}


def parameters_of(call):
    """Names and defaults of the parameters that may be given by place, ``self`` left out."""
    found = [each for each in signature(call).parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD]
    return [(each.name, each.default) for each in found if each.name != "self"]


def test_4_09_the_constructor():
    """The documented parameters come first, in their order and with their defaults."""
    documented = list(DOCUMENTED[DataSourceManager].items())

    assert documented == parameters_of(DataSourceManager)[: len(documented)]


def test_4_10_the_main_method():
    """The documented parameters come first, in their order and with their defaults."""
    documented = list(DOCUMENTED[DataSourceManager.get_data].items())
    first, more = parameters_of(DataSourceManager.get_data)[:3], parameters_of(DataSourceManager.get_data)[3:]

    assert ["symbol", "start_time", "end_time"] == [name for name, _ in first]
    assert documented == more[: len(documented)]


def test_4_11_columns_of_candles():
    """Names, order and types; ``close_time`` has its zone."""
    assert [
        ("open", "float64"),
        ("high", "float64"),
        ("low", "float64"),
        ("close", "float64"),
        ("volume", "float64"),
        ("close_time", "datetime64[ns, UTC]"),
        ("quote_asset_volume", "float64"),
        ("count", "int64"),
        ("taker_buy_volume", "float64"),
        ("taker_buy_quote_volume", "float64"),
    ] == list(OUTPUT_DTYPES.items())


def test_4_13_columns_of_funding_rates():
    """Names, order and types."""
    assert [("contracts", "string"), ("funding_interval", "string"), ("funding_rate", "float64")] == list(
        FUNDING_RATE_DTYPES.items()
    )


class Gold(DataClientInterface):
    """Hours of another provider."""

    provider = DataProvider.register("STATEMENTS")
    market_type = MarketType.SPOT
    chart_type = ChartType.KLINES

    def fetch(self, start_time, end_time, **kwargs):
        opens = pd.date_range(start_time, end_time, freq="1h", inclusive="left", name="open_time", unit="ns")
        values = {name: pd.Series(3, opens, dtype) for name, dtype in OUTPUT_DTYPES.items() if name != "close_time"}
        return pd.DataFrame({**values, "close_time": opens + pd.Timedelta("59min59s")})[list(OUTPUT_DTYPES)]


def test_4_20_provider_and_kind_of_a_call(exchange):
    """They take the place of the manager's own, for that call."""
    DataClientFactory.register_client(
        provider=Gold.provider, market_type=MarketType.SPOT, chart_type=ChartType.KLINES, client_class=Gold
    )
    span = ("2024-01-01", "2024-01-02")
    with DataSourceManager(MarketType.FUTURES_USDT, use_cache=False, endpoints=exchange.endpoints) as manager:
        rates = manager.get_data("BTCUSDT", *span, Interval.HOUR_8, chart_type=ChartType.FUNDING_RATE)
    with DataSourceManager(use_cache=False, endpoints=exchange.endpoints) as manager:
        gold = manager.get_data("GOLD", *span, Interval.HOUR_1, provider=Gold.provider)
        usual = manager.get_data("BTCUSDT", *span, Interval.HOUR_1)

    assert list(FUNDING_RATE_DTYPES) == list(rates.columns)
    assert {3.0} == set(gold["close"]) != set(usual["close"])
    assert 24 == len(usual)


def test_4_33_the_example_of_a_registration():
    """A client that is registered already may be registered again; a call creates it."""
    kind = {
        "provider": DataProvider.BINANCE,
        "market_type": MarketType.FUTURES_USDT,
        "chart_type": ChartType.FUNDING_RATE,
    }
    DataClientFactory.register_client(**kind, client_class=BinanceFundingRateClient)

    assert BinanceFundingRateClient is DataClientFactory.client_class(*kind.values(), DataSource.REST)


def test_4_36_the_interface_of_a_data_client():
    """Three properties and ``fetch``."""
    assert {"provider", "market_type", "chart_type", "fetch"} == DataClientInterface.__abstractmethods__
    assert isabstract(DataClientInterface)


def test_4_37_an_enumeration_of_ones_own():
    """The document's block makes one: its members are refused at once, with those that there are."""

    class Providers(Enum):
        BINANCE = auto()
        NEW_PROVIDER = auto()

    with pytest.raises(InvalidInput, match="is not a DataProvider; use one of BINANCE"):
        DataClientFactory.register_client(
            provider=Providers.NEW_PROVIDER,
            market_type=MarketType.SPOT,
            chart_type=ChartType.KLINES,
            client_class=Gold,
        )
