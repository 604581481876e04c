"""Addresses of ccxt's exchanges are replaced, or the settings are refused."""

from __future__ import annotations

import ccxt
import ccxt.pro
import pytest

from chandlery.ccxt_bridge.addresses import filled, leaves
from chandlery.ccxt_bridge.client import CCXTExchangeClient
from chandlery.ccxt_bridge.exchange import exchange_class, made
from chandlery.clients.settings import CCXTConfig
from chandlery.core.errors import InvalidInput, UnknownName

NEW = "http://127.0.0.1:9"


def exchange_of(limiter, name, endpoints, module=ccxt, contract_type=None):
    """An exchange with other addresses."""
    config = CCXTConfig(_env_file=None, endpoints=endpoints)
    return made(exchange_class(module, name, contract_type), config, limiter, contract_type=contract_type)


def addresses(exchange):
    """All addresses to which an exchange sends requests, as it sends them."""
    return [filled(exchange, name, url) for name, url in leaves(exchange.urls["api"])]


@pytest.mark.parametrize("module", [ccxt, ccxt.pro])
def test_the_address_that_each_exchange_uses_is_replaced(module, limiter):
    """As its documentation has it: ccxt writes ``{hostname}`` in that of 26 exchanges."""
    hidden = 0
    for name in module.exchanges:
        real = addresses(exchange_of(limiter, name, {}, module))
        hidden += any("{" in url for _, url in leaves(exchange_of(limiter, name, {}, module).urls["api"]))
        hosts = {"/".join(url.split("/")[:3]) for url in real}

        moved = addresses(exchange_of(limiter, name, {name: dict.fromkeys(hosts, NEW)}, module))

        assert [NEW + "".join(f"/{part}" for part in url.split("/")[3:]) for url in real] == moved, name
    assert hidden >= 20


def test_markets_of_one_exchange_with_hosts_of_their_own(limiter):
    """HTX has a host for spot and another for contracts, both written as ``{hostname}``."""
    urls = exchange_of(limiter, "htx", {"Huobi": {"https://api.hbdm.vn": NEW}}).urls["api"]

    assert NEW == urls["contract"]
    assert "https://{hostname}" == urls["spot"]


def test_the_spelling_of_ccxt(limiter):
    """It goes on to work."""
    assert {NEW} == set(exchange_of(limiter, "okx", {"okx": {"https://{hostname}": NEW}}).urls["api"].values())


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("binance", "https://api.binance.co"),
        ("binance", "https://api.binance.com/typo"),
        ("bybit", "http://api.bybit.com"),
        ("okx", "https://okx.com"),
    ],
)
def test_an_address_that_fits_none_is_refused(name, old, limiter):
    """Its requests, signed ones too, would go to the exchange itself."""
    with pytest.raises(InvalidInput, match=f"endpoints of {name}: no address begins with '{old}'; .* at https://"):
        exchange_of(limiter, name, {name: {old: NEW}})


def test_addresses_of_websockets(limiter):
    """They are refused by classes that have WebSockets, and ignored by those that have none."""
    wrong = {"okx": {"wss://ws.okx.co": NEW}}

    exchange_of(limiter, "okx", wrong)
    with pytest.raises(InvalidInput, match=r"no address begins with 'wss://ws.okx.co'; .* wss://ws.okx.com"):
        exchange_of(limiter, "okx", wrong, ccxt.pro)


def test_exchanges_that_ccxt_has_under_another_name(limiter):
    """A name that ccxt does not have is refused, and so are addresses of a class that is not used."""
    with pytest.raises(UnknownName, match="ccxt has no exchange 'binanec'; did you mean binance"):
        exchange_of(limiter, "binance", {"binanec": {"https://api.binance.com": NEW}})
    with pytest.raises(InvalidInput, match="has addresses of kraken, whose futures are krakenfutures in ccxt"):
        exchange_of(limiter, "kraken", {"kraken": {"https://api.kraken.com": NEW}}, contract_type="future")


async def test_the_client_says_from_where_its_data_comes():
    """In any spelling of the exchange's name, before ccxt is imported."""
    config = CCXTConfig(_env_file=None, endpoints={"GateIO": {"https://api.gateio.ws": NEW}})

    assert "127.0.0.1:9" == str(CCXTExchangeClient(config, "gate").origin("BTC/USDT"))
    futures = {"krakenfutures": {"https://futures.kraken.com": NEW}}
    config = CCXTConfig(_env_file=None, default_contract_type="future", endpoints=futures)
    assert "127.0.0.1:9" == str(CCXTExchangeClient(config, "kraken").origin("BTC/USD:USD"))
    config = CCXTConfig(_env_file=None, endpoints=futures)
    assert CCXTExchangeClient(config, "kraken").origin("BTC/USD") is None
