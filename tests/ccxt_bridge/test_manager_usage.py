"""Every usage example of the exchange manager's document, as it stands there, against the offline exchange."""

from __future__ import annotations

import threading

import ccxt
import pytest

import chandlery
from chandlery import AuthenticatedExchangeManager, ExchangeConnectionFactory, ExchangeWrapper, PublicExchangeManager
from fixtures.ccxt_accounts import ACCOUNT
from fixtures.offline_adapter import MARKET

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def ExchangeManager(em):  # noqa: N802  # what the examples call
    """The class of the examples, which finds the offline exchange."""

    def manager(**options):
        given = {"your_key": ACCOUNT.key, "your_secret": ACCOUNT.secret}
        return em(chandlery.ExchangeManager, **{name: given.get(value, value) for name, value in options.items()})

    return manager


def test_basic_usage(ExchangeManager):  # noqa: N803  # as in the example
    """Both managers are there."""
    exchange_manager = ExchangeManager()

    authenticated = exchange_manager.authenticated
    public = exchange_manager.public

    assert isinstance(authenticated, AuthenticatedExchangeManager)
    assert isinstance(public, PublicExchangeManager)


def test_authenticated_operations(ExchangeManager):  # noqa: N803  # as in the example
    """A balance by a throttled call, and positions within a context."""
    em = ExchangeManager(api_key="your_key", api_secret="your_secret")

    exchange = em.authenticated.connect_to_binance_with_credentials()
    balance = em.authenticated.throttled_call(exchange.fetch_balance)

    with em.authenticated.exchange_context("binance") as exchange:
        positions = exchange.fetch_positions()

    assert 1000.0 == balance["total"]["USDT"]
    assert [] == positions


def test_public_operations(ExchangeManager):  # noqa: N803  # as in the example
    """A ticker without keys."""
    em = ExchangeManager()

    exchange = em.public.connect_to_exchange_with_no_credentials("binance")
    ticker = em.public.throttled_call(exchange.fetch_ticker, "BTC/USDT")
    em.public.exchange_priority_for_fallback = ["binance", "kraken", "coinbase"]

    assert "BTC/USDT" == ticker["symbol"]
    assert ticker["bid"] < ticker["ask"]
    assert ["binance", "kraken", "coinbase"] == em.exchange_priority_for_fallback


def test_multi_exchange_fallback(ExchangeManager, capsys):  # noqa: N803  # as in the example
    """The loop over exchanges ends with the first that answers."""
    em = ExchangeManager()

    for exchange_id in ["binance", "kraken", "kucoin"]:
        try:
            exchange = em.public.connect_to_exchange_with_no_credentials(exchange_id)
            ohlcv = exchange.fetch_ohlcv("BTC/USDT", "1h", limit=100)
            print(f"Successfully fetched from {exchange_id}")  # noqa: T201  # the example's
            break
        except Exception as e:  # noqa: BLE001  # the example's
            print(f"{exchange_id} failed: {e}")  # noqa: T201  # the example's
            continue

    assert "Successfully fetched from binance\n" == capsys.readouterr().out
    assert 100 == len(ohlcv)


def test_reference_counting(ExchangeManager):  # noqa: N803  # as in the example
    """By hand, and by the context manager."""
    em = ExchangeManager(api_key="your_key", api_secret="your_secret")

    exchange = em.authenticated.connect_to_exchange_with_credentials("binance")
    assert exchange.id == "binance"
    em.authenticated.release_exchange("binance")

    with em.authenticated.exchange_context("binance") as exchange:
        balance = exchange.fetch_balance()

    assert 0.5 == balance["free"]["BTC"]
    assert [0] == list(em.authenticated.refcounts().values())


def test_resource_cleanup(ExchangeManager):  # noqa: N803  # as in the example
    """Cleaning up, and closing one exchange."""
    em = ExchangeManager()
    em.public.connect_to_exchange_with_no_credentials("binance")

    assert [] == em.cleanup_unused_exchanges(max_age_hours=1.0)
    assert 1 == em.close_exchange("binance")


def test_the_factory(ExchangeManager):  # noqa: N803  # as in the example
    """It is made without arguments, and connects a manager."""
    factory = ExchangeConnectionFactory()
    em = ExchangeManager(api_key="your_key", api_secret="your_secret")

    assert "binance" == factory.connect_to_binance_with_credentials(em.authenticated).id


def test_the_wrapper():
    """It wraps an exchange, and counts."""
    wrapper = ExchangeWrapper(ccxt.binance())
    wrapper.increment_refcount()

    assert (1, "binance") == (wrapper.refcount, wrapper.exchange.id)


def test_configuration(em, monkeypatch, ExchangeManager):  # noqa: N803  # as in the example
    """Default keys and the contract type come from the environment; priority and pause are set."""
    monkeypatch.setenv("BINANCE_API_KEY", ACCOUNT.key)
    monkeypatch.setenv("BINANCE_API_SECRET", ACCOUNT.secret)
    monkeypatch.setenv("DEFAULT_CONTRACT_TYPE", "future")
    manager = ExchangeManager()
    manager.public.exchange_priority_for_fallback = [
        "binance",
        "kraken",
        "kucoin",
        "gate",
        "okx",
        "bybit",
        "mexc",
        "huobi",
    ]
    manager.authenticated = em(AuthenticatedExchangeManager, request_pause=0.5)
    manager.public = em(PublicExchangeManager, request_pause=0.5)
    exchange = manager.authenticated.connect_to_binance_with_credentials()

    assert (ACCOUNT.key, "future") == (exchange.apiKey, exchange.options["defaultType"])
    assert (0.5, 0.5) == (manager.authenticated.request_pause, manager.public.request_pause)


def test_the_managers_are_made_without_settings():
    """As the document makes them; nothing is sent, and the pause is what was given."""
    authenticated = AuthenticatedExchangeManager(request_pause=0.5)
    public = PublicExchangeManager(request_pause=0.5)
    direct = AuthenticatedExchangeManager(api_key="...", api_secret="...")

    assert (0.5, 0.5) == (authenticated.request_pause, public.request_pause)
    assert "..." == direct.connect_to_binance_with_credentials().apiKey
    direct.close()


def test_connection_errors(ExchangeManager, capsys):  # noqa: N803  # as in the example
    """A connection that cannot be made says why."""
    em = ExchangeManager()

    try:
        em.public.connect_to_exchange_with_no_credentials("binanceee")
    except Exception as e:  # noqa: BLE001  # the example's
        print(f"Connection failed: {e}")  # noqa: T201  # the example's

    assert "Connection failed: ccxt has no exchange 'binanceee'" in capsys.readouterr().out


def test_api_errors(ExchangeManager, capsys):  # noqa: N803  # as in the example
    """Ccxt's own exceptions catch what comes out of a throttled call."""
    em = ExchangeManager(api_key="not-a-key-0123456789", api_secret="your_secret")

    try:
        exchange = em.authenticated.connect_to_binance_with_credentials()
        em.authenticated.throttled_call(exchange.fetch_balance)
    except ccxt.AuthenticationError as e:
        print(f"Authentication failed: {e}")  # noqa: T201  # the example's
    except ccxt.NetworkError as e:
        print(f"Network error: {e}")  # noqa: T201  # the example's

    assert "Authentication failed: binance" in capsys.readouterr().out


def test_thread_safety(ExchangeManager):  # noqa: N803  # as in the example
    """Two threads share a connection."""
    em = ExchangeManager()
    got = {}

    def fetch_data(symbol):
        exchange = em.public.connect_to_exchange_with_no_credentials("binance")
        got[symbol] = em.public.throttled_call(exchange.fetch_ticker, symbol)

    threads = [
        threading.Thread(target=fetch_data, args=("BTC/USDT",)),
        threading.Thread(target=fetch_data, args=("ETH/USDT",)),
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()

    assert {"BTC/USDT", "ETH/USDT"} == {ticker["symbol"] for ticker in got.values()}
    assert [2] == list(em.public.refcounts().values())


def test_handling_errors_by_another_exchange(em):
    """The document's best practice: on a network error the other exchange answers."""
    from chandlery.sim.faults import Fault, FaultKind
    from chandlery.sim.server import running

    with running(MARKET, faults=[Fault(FaultKind.RESET, path="binance_spot/api/v3/klines", times=None)]) as sim:
        manager = em(chandlery.ExchangeManager, sim=sim)
        try:
            exchange = manager.public.connect_to_exchange_with_no_credentials("binance")
            data = manager.public.throttled_call(exchange.fetch_ohlcv, "BTC/USDT")
        except ccxt.NetworkError:
            exchange = manager.public.connect_to_exchange_with_no_credentials("kraken")
            data = manager.public.throttled_call(exchange.fetch_ohlcv, "BTC/USD")

    assert "kraken" == exchange.id
    assert len(data) > 100
