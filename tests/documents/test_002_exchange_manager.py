"""Statements of document 002, the exchange manager; ``statements.toml`` has those that other tests prove."""

from __future__ import annotations

import time

import ccxt
import pytest

from chandlery import (
    AuthenticatedExchangeManager,
    ExchangeConnectionFactory,
    ExchangeManager,
    PublicExchangeManager,
    Settings,
)
from chandlery.core.errors import MissingCredentials

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
EIGHT = {
    "binance": "binance", "kraken": "kraken", "kucoin": "kucoin", "gate": "gate", "okx": "okx", "bybit": "bybit",
    "mexc": "mexc", "huobi": "htx",
}  # fmt: skip
KEYS = ("key-0123456789", "secret-0123456789")


@pytest.mark.parametrize("name", ["kucoin", "okx"])
def test_2_16_keys_that_need_a_password(em, name):
    """KuCoin and OKX sign with one: without it nothing is connected, and the error names the variable."""
    connect = getattr(ExchangeConnectionFactory(), f"connect_to_{name}_with_credentials")
    manager = em(kind=AuthenticatedExchangeManager)
    with pytest.raises(MissingCredentials, match=f"set {name.upper()}_PASSWORD"):
        connect(manager, *KEYS)

    assert (KEYS[0], "phrase") == ((made := connect(manager, *KEYS, password="phrase")).apiKey, made.password)


@pytest.mark.parametrize(("name", "connected"), EIGHT.items())
def test_2_23_the_eight_methods_of_the_facade(em, name, connected):
    """Each connects with the keys of its call."""
    exchange = getattr(em(), f"connect_to_{name}_with_credentials")(*KEYS, password="phrase")

    assert (connected, *KEYS) == (exchange.id, exchange.apiKey, exchange.secret)


@pytest.mark.parametrize(("name", "connected"), list(EIGHT.items())[1:])
def test_2_28_keys_from_the_environment(em, monkeypatch, name, connected):
    """Of the other seven, by their prefix."""
    for part, value in (("API_KEY", KEYS[0]), ("API_SECRET", KEYS[1]), ("PASSWORD", "phrase")):
        monkeypatch.setenv(f"{name.upper()}_{part}", value)
    exchange = getattr(em(), f"connect_to_{name}_with_credentials")()

    assert (connected, *KEYS) == (exchange.id, exchange.apiKey, exchange.secret)


@pytest.mark.parametrize("kind", ["future", "spot", "margin"])
def test_2_29_the_default_kind_of_contract(em, monkeypatch, kind):
    """``DEFAULT_CONTRACT_TYPE`` says it, with and without keys."""
    monkeypatch.setenv("DEFAULT_CONTRACT_TYPE", kind)
    manager = em()
    exchanges = [
        manager.connect_to_binance_with_credentials(*KEYS),
        manager.connect_to_exchange_with_no_credentials("binance"),
    ]

    assert [kind] * 2 == [exchange.options["defaultType"] for exchange in exchanges]


def test_2_35_a_direct_call_is_not_throttled(em):
    """However long the pause between throttled calls is."""
    manager = em(request_pause=60)
    exchange = manager.public.connect_to_exchange_with_no_credentials("binance")
    manager.public.throttled_call(exchange.load_markets)
    began = time.monotonic()
    tickers = [exchange.fetch_ticker("BTC/USDT") for _ in range(2)]

    assert ["BTC/USDT"] * 2 == [each["symbol"] for each in tickers]
    assert time.monotonic() - began < 30


def test_2_39_every_exchange_of_ccxt_with_keys(em):
    """Each has the keys that it was connected with, and no other's; to connect sends nothing."""
    manager = em(kind=AuthenticatedExchangeManager, settings=Settings.of(None))
    found = {}
    for name in ccxt.exchanges:
        exchange = manager.connect_to_exchange_with_credentials(name, f"key-of-{name}", "secret", password="phrase")
        found[name] = (exchange.id, exchange.apiKey)

    assert {name: (name, f"key-of-{name}") for name in ccxt.exchanges} == found


def test_2_46_who_shares_a_connection(em):
    """Exchange, testnet and kind of contract are the same; each other one has its own."""
    manager = em(*KEYS)
    series = [
        {}, {"contract_type": "spot"}, {"contract_type": "future"}, {"testnet": True},
        {"testnet": True, "contract_type": "future"},
    ]  # fmt: skip
    first, again = ([manager.connect_to_binance_with_credentials(**each) for each in series] for _ in range(2))

    assert all(one is other for one, other in zip(first, again, strict=True))
    assert len(series) == len({id(each) for each in first})


def test_2_49_keys_and_testnet_by_place(em):
    """``ExchangeManager(api_key, api_secret, testnet)``: both managers are on the testnet."""
    manager = em(*KEYS, True)
    exchanges = [
        manager.connect_to_binance_with_credentials(contract_type="spot"),
        manager.connect_to_exchange_with_no_credentials("binance", contract_type="spot"),
    ]

    assert [KEYS[0], ""] == [each.apiKey or "" for each in exchanges]
    assert all("testnet" in each.urls["api"]["public"] for each in exchanges)


def test_2_51_a_connect_method_of_ones_own(em):
    """As the document adds one: on the factory, over the manager."""

    class Factory(ExchangeConnectionFactory):
        def connect_to_new_exchange_with_credentials(self, manager, **options):
            return manager.connect_to_exchange_with_credentials("bitfinex", **options)

    manager = em(kind=AuthenticatedExchangeManager)
    exchange = Factory().connect_to_new_exchange_with_credentials(manager, api_key=KEYS[0], api_secret=KEYS[1])

    assert ("bitfinex", KEYS[0]) == (exchange.id, exchange.apiKey)
    assert manager.holds(exchange)


def test_2_50_the_parts_by_themselves():
    """Each manager is made without the facade, which is made of the same classes."""
    manager = ExchangeManager()

    assert (AuthenticatedExchangeManager, PublicExchangeManager) == (type(manager.authenticated), type(manager.public))
    assert (
        "..."
        == AuthenticatedExchangeManager(api_key="...", api_secret="...").connect_to_binance_with_credentials().apiKey
    )
