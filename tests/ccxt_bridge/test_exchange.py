"""How ccxt's exchanges are made."""

from __future__ import annotations

import ccxt
import pytest

from chandlery.ccxt_bridge.exchange import default_kind, exchange_class, host_of, made
from chandlery.clients.settings import CCXTConfig, Credentials
from chandlery.core.errors import InvalidInput, UnknownName, UnsupportedRequest

CONFIG = CCXTConfig(_env_file=None)


def exchange_of(limiter, name, contract_type=None, config=CONFIG, **options):
    """An exchange of that name."""
    return made(exchange_class(ccxt, name, contract_type), config, limiter, contract_type=contract_type, **options)


@pytest.mark.parametrize("name", ccxt.exchanges)
def test_every_exchange_of_ccxt_can_be_made(name, limiter):
    """Each of ccxt's hundred, under its own id, with a host of its own; nothing is sent."""
    exchange = exchange_of(limiter, name)

    assert name == exchange.id
    assert isinstance(exchange, getattr(ccxt, name))
    assert exchange.chandlery_host


def test_unknown_exchanges():
    """What ccxt has not is refused with what it has."""
    with pytest.raises(UnknownName, match=r"ccxt has no exchange 'nowhere'; use one of .*binance"):
        exchange_class(ccxt, "nowhere")
    with pytest.raises(UnknownName, match="ccxt has no exchange 'binanc'; did you mean binance"):
        exchange_class(ccxt, "binanc")

    assert ccxt.htx is exchange_class(ccxt, "huobi")


@pytest.mark.parametrize(
    ("name", "contract_type", "word", "host"),
    [
        ("binance", "spot", "spot", "api.binance.com"),
        ("binance", "margin", "margin", "api.binance.com"),
        ("binance", "future", "future", "fapi.binance.com"),
        ("binance", "delivery", "delivery", "dapi.binance.com"),
        ("okx", "future", "swap", "www.okx.com"),
        ("kraken", "future", "swap", "futures.kraken.com"),
        ("kucoin", "future", "swap", "api-futures.kucoin.com"),
    ],
)
def test_kinds_of_contracts(name, contract_type, word, host, limiter):
    """Spot, margin and futures are distinct: ccxt is told in its own word for that exchange, and the host is the right one."""
    exchange = exchange_of(limiter, name, contract_type)

    assert word == exchange.options["defaultType"]
    assert host == exchange.chandlery_host == host_of(exchange, contract_type)


def test_contracts_that_an_exchange_has_not(limiter):
    """A kind of contract that an exchange does not trade is refused."""
    with pytest.raises(UnsupportedRequest, match="coinbase has no option in ccxt"):
        exchange_of(limiter, "coinbase", "option")
    with pytest.raises(InvalidInput, match="contract_type is 'futures'; use one of spot, margin, future"):
        exchange_of(limiter, "coinbase", "futures")


def test_the_default_kind_of_contract(limiter):
    """It applies to the exchanges that trade it; the others are connected as they are."""
    wanted = {name: default_kind(ccxt, name, "future") for name in ccxt.exchanges}

    assert {"future", None} == set(wanted.values())
    assert ["future", "future", None] == [wanted[name] for name in ("binance", "kraken", "upbit")]
    assert [None, "margin"] == [default_kind(ccxt, "kraken", None), default_kind(ccxt, "binance", "margin")]
    exchange_of(limiter, "upbit", wanted["upbit"])


def test_addresses_are_moved(limiter):
    """The longest beginning that fits counts; what none fits stays; testnets are moved, too."""
    config = CCXTConfig(
        _env_file=None,
        endpoints={
            "binance": {
                "https://api.binance.com": "http://127.0.0.1:1/a",
                "https://api.binance.com/api": "http://127.0.0.1:1/b",
                "https://testnet.binance.vision": "http://127.0.0.1:1/test",
            }
        },
    )
    exchange = exchange_of(limiter, "binance", config=config)

    assert "http://127.0.0.1:1/b/v3" == exchange.urls["api"]["public"]
    assert exchange.urls["api"]["sapi"].startswith("http://127.0.0.1:1/a/")
    assert exchange.urls["api"]["fapiPublic"].startswith("https://fapi.binance.com")
    assert (
        "http://127.0.0.1:1/test/api/v3"
        == exchange_of(limiter, "binance", config=config, testnet=True).urls["api"]["public"]
    )


@pytest.mark.parametrize(
    ("name", "contract_type"),
    [("binance", "spot"), ("binance", "future"), ("bybit", None), ("okx", None), ("gate", "spot")],
)
def test_a_testnet_is_one(name, contract_type, limiter):
    """With ``testnet`` nothing points at the exchange itself any more, but for OKX, whose requests say it instead."""
    exchange = exchange_of(limiter, name, contract_type, testnet=True)
    real = exchange_of(limiter, name, contract_type)

    assert exchange.urls["api"] != real.urls["api"] or exchange.isSandboxModeEnabled
    if name == "okx":
        assert "1" == exchange.headers["x-simulated-trading"]


@pytest.mark.parametrize("name", ["kraken", "mexc", "htx"])
def test_without_a_testnet_it_is_refused(name, limiter):
    """An exchange without a testnet is never reached in its place."""
    with pytest.raises(UnsupportedRequest, match=f"{name} has no testnet"):
        exchange_of(limiter, name, testnet=True)


def test_keys_reach_their_exchange(limiter):
    """Key, secret and password are set where they were given, and nowhere else."""
    exchange = exchange_of(limiter, "okx", credentials=Credentials.of("k", "s", "p"))

    assert ("k", "s", "p") == (exchange.apiKey, exchange.secret, exchange.password)
    assert not exchange_of(limiter, "okx").apiKey


def test_options_are_ccxt_s_own(limiter):
    """What the configuration says of an exchange goes to ccxt's constructor; the time-out is in seconds."""
    config = CCXTConfig(_env_file=None, timeout_s=3.5, options={"kraken": {"options": {"x": 1}}})
    exchange = exchange_of(limiter, "kraken", config=config)

    assert (3500, 1, True) == (exchange.timeout, exchange.options["x"], exchange.enableRateLimit)
