"""Exchanges are found by being there, those of third parties by their entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.instrument import MarketType
from chandlery.core.query import DataProvider
from chandlery.exchanges.binance.markets import BinanceSpot

THIRD_PARTY = '''
from chandlery import BaseAdapter, DataProvider, ExchangeRegistry, MarketType
from chandlery.exchanges.binance.markets import BinanceSpot

ACME = DataProvider.register("ACME")


@ExchangeRegistry.register("acme_spot")
class AcmeSpot(BinanceSpot):
    """An exchange that speaks Binance's protocol elsewhere."""

    provider = ACME
    rest_url = "https://acme.example"


assert issubclass(AcmeSpot, BaseAdapter)
'''


def test_the_exchanges_of_the_package_are_found():
    """Binance's three markets, sorted by id."""
    assert {"binance_inverse", "binance_perpetual", "binance_spot"} <= set(ExchangeRegistry.names())
    assert sorted(ExchangeRegistry.names()) == ExchangeRegistry.names()


@pytest.mark.parametrize(
    ("market", "exchange"),
    [
        (MarketType.SPOT, "binance_spot"),
        (MarketType.FUTURES_USDT, "binance_perpetual"),
        (MarketType.FUTURES_COIN, "binance_inverse"),
    ],
)
def test_a_provider_and_a_market_name_one_adapter(market, exchange):
    """The documented enumerations lead to the adapter."""
    adapter = ExchangeRegistry.of_market(DataProvider.BINANCE, market)

    assert exchange == adapter.id
    assert adapter is ExchangeRegistry.get(exchange)


@pytest.mark.parametrize(
    ("published", "exchange"),
    [
        ("gate_io_spot", "gate_spot"),
        ("gate_io_perpetual", "gate_perpetual"),
        ("huobi_spot", "htx_spot"),
        ("huobi_perpetual", "htx_perpetual"),
        ("coinbase_advanced_trade", "coinbase_spot"),
        ("ascend_ex_spot", "ascendex_spot"),
    ],
)
def test_published_spellings_are_accepted(published, exchange):
    """They lead to the same adapter, and are no names of their own."""
    assert ExchangeRegistry.get(exchange) is ExchangeRegistry.get(published)
    assert exchange in ExchangeRegistry.names()
    assert published not in ExchangeRegistry.names()
    assert published in ExchangeRegistry.aliases(exchange)
    for name in (published, exchange):
        assert "http://x" == ExchangeRegistry.create(published, {name: {"rest": "http://x"}}).rest_url


def test_unknown_names_are_refused_with_the_known_ones():
    """Nothing is guessed."""
    with pytest.raises(UnknownName, match=r"'binance' is not an exchange; use one of .*binance_spot"):
        ExchangeRegistry.get("binance")
    with pytest.raises(UnknownName, match="has no adapter for FUTURES_COIN"):
        ExchangeRegistry.of_market(DataProvider.TRADESTATION, MarketType.FUTURES_COIN)


def test_an_id_belongs_to_one_adapter():
    """Another class cannot take it; the same class, loaded again, may."""
    ExchangeRegistry.names()
    with pytest.raises(
        InvalidInput, match=r"registered already, as chandlery\.exchanges\.binance\.markets\.BinanceSpot"
    ):
        ExchangeRegistry.register("binance_spot")(type("Impostor", (BinanceSpot,), {}))

    assert BinanceSpot is ExchangeRegistry.register("binance_spot")(BinanceSpot)


def test_a_third_party_adds_an_exchange_by_its_entry_point(tmp_path):
    """An installed package is found without a line of ours naming it."""
    (tmp_path / "acme_chandlery.py").write_text(THIRD_PARTY)
    info = tmp_path / "acme_chandlery-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-chandlery\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chandlery.exchanges]\nacme = acme_chandlery\n")
    code = dedent(
        """
        from chandlery import DataProvider, ExchangeRegistry, MarketType
        assert "acme_spot" in ExchangeRegistry.names(), ExchangeRegistry.names()
        adapter = ExchangeRegistry.of_market(DataProvider.ACME, MarketType.SPOT)()
        assert adapter.server_time_request().url == "https://acme.example/api/v3/time"
        assert ExchangeRegistry.of_market(DataProvider.BINANCE, MarketType.SPOT).id == "binance_spot"
        """
    )

    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})


def test_a_third_partys_module_that_cannot_be_imported_is_named(tmp_path):
    """Nothing else of a user's program says which of the installed packages it is."""
    (tmp_path / "acme_chandlery.py").write_text("from chandlery.exchanges.binance import NoSuchAdapter\n")
    info = tmp_path / "acme_chandlery-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-chandlery\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chandlery.exchanges]\nacme = acme_chandlery\n")
    used = subprocess.run(
        [sys.executable, "-c", "from chandlery import ExchangeRegistry; ExchangeRegistry.names()"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert "InvalidInput: the entry point acme = acme_chandlery of chandlery.exchanges cannot be" in used.stderr


def test_the_names_of_published_code():
    """They are those of the registry's own methods."""
    ExchangeRegistry.discover_adapters()

    assert ExchangeRegistry.names() == ExchangeRegistry.list_available_adapters()
    assert ExchangeRegistry.names() == ExchangeRegistry.get_registered_exchanges()
    assert ExchangeRegistry.get("kraken_spot") is ExchangeRegistry.get_adapter_class("kraken_spot")
    for make in (ExchangeRegistry.get_adapter, ExchangeRegistry.get_adapter_instance):
        assert isinstance(make("kraken_spot"), ExchangeRegistry.get("kraken_spot"))
