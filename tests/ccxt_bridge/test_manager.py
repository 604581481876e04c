"""The managers: whose keys, which connection, how many users; over real HTTP against the offline exchange."""

from __future__ import annotations

import threading
import time

import ccxt
import pytest

from chandlery.ccxt_bridge.manager import AuthenticatedExchangeManager, PublicExchangeManager
from chandlery.core.errors import (
    AuthenticationFailed,
    ExchangeUnavailable,
    InvalidInput,
    InvalidSymbol,
    MissingCredentials,
    RequestRejected,
    UnknownName,
    UnsupportedRequest,
)
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.server import running
from fixtures.ccxt_accounts import ACCOUNT, OTHER_ACCOUNT
from fixtures.offline_adapter import MARKET

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
KEYS = (ACCOUNT.key, ACCOUNT.secret)
EIGHT = ["binance", "kraken", "kucoin", "gate", "okx", "bybit", "mexc", "huobi"]


@pytest.mark.parametrize("name", EIGHT)
def test_every_documented_connect_works(em, name):
    """Each of the eight connects with keys of its own, and its exchange answers."""
    manager = em(AuthenticatedExchangeManager)
    keys = KEYS if name == "binance" else ("k" * 16, "s" * 16)
    manager.set_exchange_credentials(name, *keys, "password")
    exchange = getattr(manager, f"connect_to_{name}_with_credentials")()
    exchange.has["fetchCurrencies"] = False  # which most of them sign, and the offline exchanges do not know
    symbol = "BTC/USD" if name == "kraken" else "BTC/USDT"
    rows = manager.throttled_call(exchange.fetch_ohlcv, symbol, "1m", limit=3)

    assert keys == (exchange.apiKey, exchange.secret)
    assert [6] * len(rows) == [len(row) for row in rows] != []
    manager.release_exchange(name)


def test_balances_with_keys(em):
    """What needs an account is signed, and the answer is that account's."""
    manager = em(AuthenticatedExchangeManager, *KEYS)
    with manager.exchange_context("binance") as exchange:
        balance = manager.throttled_call(exchange.fetch_balance)

    assert 1000.0 == balance["USDT"]["free"]
    assert {0} == set(manager.refcounts().values())


def test_keys_of_one_exchange_are_never_offered_to_another(em, shared_sim):
    """The constructor's keys are the default exchange's; any other without keys of its own is refused, and nothing is sent."""
    manager = em(AuthenticatedExchangeManager, *KEYS)
    before = len(shared_sim.log)
    with pytest.raises(MissingCredentials, match="no keys for kraken: set KRAKEN_API_KEY and KRAKEN_API_SECRET"):
        manager.connect_to_kraken_with_credentials()
    with pytest.raises(MissingCredentials, match="no keys for htx: set HTX_API_KEY"):
        manager.connect_to_huobi_with_credentials()

    assert before == len(shared_sim.log)
    other = em(AuthenticatedExchangeManager, *KEYS, ccxt={"default_exchange": "kraken"})
    assert ACCOUNT.key == other.connect_to_kraken_with_credentials().apiKey
    with pytest.raises(MissingCredentials):
        other.connect_to_binance_with_credentials()


def test_keys_from_the_environment(em, monkeypatch):
    """``<EXCHANGE>_API_KEY`` and the others are found; those given to the call come first."""
    monkeypatch.setenv("OKX_API_KEY", "environment")
    monkeypatch.setenv("OKX_API_SECRET", "secret")
    manager = em(AuthenticatedExchangeManager)
    with pytest.raises(MissingCredentials, match="set OKX_PASSWORD"):
        manager.connect_to_okx_with_credentials()
    monkeypatch.setenv("OKX_PASSWORD", "pass")

    exchange = manager.connect_to_okx_with_credentials()

    assert ("environment", "pass") == (exchange.apiKey, exchange.password)
    assert "given" == manager.connect_to_okx_with_credentials("given", "secret", password="p").apiKey


def test_two_accounts_never_share_a_connection(em):
    """Other keys, another connection: each answers for its own account; the same keys share one."""
    manager = em(AuthenticatedExchangeManager, *KEYS)
    one = manager.connect_to_binance_with_credentials()
    two = manager.connect_to_exchange_with_credentials("binance", OTHER_ACCOUNT.key, OTHER_ACCOUNT.secret)

    assert one is not two
    assert one is manager.connect_to_binance_with_credentials(*KEYS)
    assert (1000.0, 7.0) == tuple(each.fetch_balance()["USDT"]["free"] for each in (one, two))
    assert not [key for key in manager.refcounts() if ACCOUNT.key in repr(key) or ACCOUNT.secret in repr(key)]


def test_several_keys_take_turns(em):
    """Round-robin over the accounts of an exchange; each has its own connection."""
    manager = em(AuthenticatedExchangeManager, *KEYS)
    manager.add_exchange_credentials("binance", OTHER_ACCOUNT.key, OTHER_ACCOUNT.secret)
    used = [manager.connect_to_binance_with_credentials() for _ in range(4)]

    assert [ACCOUNT.key, OTHER_ACCOUNT.key] * 2 == [each.apiKey for each in used]
    assert used[0] is used[2] is not used[1]
    with pytest.raises(InvalidInput, match="pass the exchange itself"):
        manager.release_exchange("binance")
    for each in used:
        manager.release_exchange(each)
    assert {0} == set(manager.refcounts().values())


def test_spot_margin_and_futures_are_distinct(em, monkeypatch):
    """Each kind of contract has a connection of its own, and asks that kind's interface."""
    manager = em(AuthenticatedExchangeManager, *KEYS)
    kinds = ["spot", "margin", "future"]
    exchanges = [manager.connect_to_binance_with_credentials(contract_type=kind) for kind in kinds]

    assert 3 == len(set(map(id, exchanges)))
    assert [1000.0] * 3 == [each.fetch_balance()["USDT"]["total"] for each in exchanges]
    monkeypatch.setenv("DEFAULT_CONTRACT_TYPE", "future")
    assert (
        "future" == em(AuthenticatedExchangeManager, *KEYS).connect_to_binance_with_credentials().options["defaultType"]
    )
    with pytest.raises(UnsupportedRequest, match="no option"):
        em(PublicExchangeManager).connect_to_exchange_with_no_credentials("coinbase", contract_type="option")


def test_the_testnet_is_the_testnet(em):
    """With ``testnet`` every request goes to the testnet, and none to the exchange."""
    with running(MARKET, accounts=[ACCOUNT]) as real, running(MARKET, accounts=[ACCOUNT]) as test:
        manager = em(AuthenticatedExchangeManager, *KEYS, True, sim=real, testnet_sim=test)
        exchange = manager.connect_to_binance_with_credentials(contract_type="spot")
        exchange.options["fetchMarkets"] = {"types": ["spot"]}
        exchange.has["fetchCurrencies"] = False
        exchange.fetch_balance()
        public = em(PublicExchangeManager, True, sim=real, testnet_sim=test)
        spot = public.connect_to_exchange_with_no_credentials("binance", contract_type="spot")
        spot.options["fetchMarkets"] = {"types": ["spot"]}
        spot.fetch_ohlcv("BTC/USDT", limit=2)

        assert [] == list(real.log)
        assert [] == list(real.offered)
        assert {("binance_spot", ACCOUNT.key)} == set(test.offered)
        assert len(test.log) >= 3


def test_a_wrong_key(em):
    """A wrong key, and a wrong secret, are errors of our tree that ccxt's ``except`` catches, and that hold neither."""
    manager = em(AuthenticatedExchangeManager, "wrong-key-0123456789", "wrong-secret-0123456789")
    exchange = manager.connect_to_binance_with_credentials()
    for kind in (AuthenticationFailed, ccxt.AuthenticationError):
        with pytest.raises(kind, match="check the key") as caught:
            manager.throttled_call(exchange.fetch_balance)
    assert "wrong" not in repr(caught.value) + repr(caught.value.__context__) + repr(caught.value.__cause__)
    exchange = manager.connect_to_exchange_with_credentials("binance", ACCOUNT.key, "wrong-secret-0123456789")
    with pytest.raises(RequestRejected, match="Signature"):
        manager.throttled_call(exchange.fetch_balance)


def test_every_failure_is_its_own(em):
    """No network, an unknown exchange, an unknown symbol, one of another market: distinct, and each says what to do."""
    cut = Fault(FaultKind.RESET, path="klines", times=None)
    with running(MARKET, faults=[cut]) as sim:
        manager = em(PublicExchangeManager, sim=sim)
        exchange = manager.connect_to_exchange_with_no_credentials("binance")
        with pytest.raises(ExchangeUnavailable, match="try again, or another exchange"):
            manager.throttled_call(exchange.fetch_ohlcv, "BTC/USDT")
        with pytest.raises(InvalidSymbol, match=r"see exchange\.markets"):
            manager.throttled_call(exchange.fetch_ohlcv, "NOPE/USDT")
        with pytest.raises(UnknownName, match="ccxt has no exchange 'nowhere'; use one of"):
            manager.connect_to_exchange_with_no_credentials("nowhere")
        kraken = manager.connect_to_exchange_with_no_credentials("kraken")
        with pytest.raises(InvalidSymbol):
            manager.throttled_call(kraken.fetch_ohlcv, "BTC/USD:USD")


def test_public_connections_are_shared_and_counted(em):
    """The same exchange, however it is spelled, is one connection; each connect counts."""
    manager = em(PublicExchangeManager)
    one = manager.connect_to_exchange_with_no_credentials("htx")
    assert one is manager.connect_to_exchange_with_no_credentials("huobi")
    assert one is manager.connect_to_exchange_with_no_credentials("htx")
    assert [3] == list(manager.refcounts().values())
    for name in ("htx", "huobi", one):
        manager.release_exchange(name)

    assert [0] == list(manager.refcounts().values())
    with pytest.raises(InvalidInput):
        manager.release_exchange("htx")
    with pytest.raises(InvalidInput):
        manager.release_exchange("binance")


def test_counts_are_exact_under_100_threads(em):
    """100 threads of 1000 connects and releases each leave nothing behind and lose nothing."""
    manager = em(PublicExchangeManager)
    first = manager.connect_to_exchange_with_no_credentials("binance")
    wrong = []

    def use():
        for _ in range(1000):
            if manager.connect_to_exchange_with_no_credentials("binance") is not first:
                wrong.append(1)
            manager.release_exchange("binance")

    threads = [threading.Thread(target=use) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong
    assert [1] == list(manager.refcounts().values())


@pytest.mark.parametrize("kind", [AuthenticatedExchangeManager, PublicExchangeManager])
def test_the_context_releases_whatever_happens(em, kind):
    """After the block, also after an exception in it, the connection has one user less."""
    manager = em(kind, *(KEYS if kind is AuthenticatedExchangeManager else ()))

    def fail():
        with manager.exchange_context("binance"):
            assert [1] == list(manager.refcounts().values())
            raise RuntimeError("in the block")

    with pytest.raises(RuntimeError, match="in the block"):
        fail()
    assert [0] == list(manager.refcounts().values())


def test_cleanup_closes_what_is_old_and_unused(em):
    """What is in use, or was of late, stays; whoever connects after a cleanup gets a new connection that works."""
    now = [0.0]
    manager = em(PublicExchangeManager, clock=lambda: now[0])
    used = manager.connect_to_exchange_with_no_credentials("binance")
    unused = manager.connect_to_exchange_with_no_credentials("kraken")
    manager.release_exchange("kraken")
    now[0] = 3599.0
    assert [] == manager.cleanup_unused_exchanges(max_age_hours=1.0)
    now[0] = 3600.0
    assert ["kraken"] == manager.cleanup_unused_exchanges()
    assert used is manager.connect_to_exchange_with_no_credentials("binance")
    again = manager.connect_to_exchange_with_no_credentials("kraken")

    assert again is not unused
    assert again.fetch_ohlcv("BTC/USD", limit=2)
    for wrong in (-1, None):
        with pytest.raises(InvalidInput, match="use 0 or more hours"):
            manager.cleanup_unused_exchanges(wrong)


def test_closing_an_exchange_closes_it_at_once(em):
    """Also in use; a later release is nothing, and whoever connects gets a new one."""
    manager = em(PublicExchangeManager)
    one = manager.connect_to_exchange_with_no_credentials("binance")
    assert 1 == manager.close_exchange("binance")
    assert 0 == manager.close_exchange("binance")
    two = manager.connect_to_exchange_with_no_credentials("binance")
    manager.release_exchange(one)

    assert one is not two
    assert [1] == list(manager.refcounts().values())
    manager.connect_to_exchange_with_no_credentials("binance", contract_type="future")
    assert 0 == manager.close_exchange("binance", testnet=True)
    assert 1 == manager.close_exchange("binance", contract_type="future")
    assert [1] == list(manager.refcounts().values())


def test_three_slow_calls_take_the_time_of_one(em):
    """Calls of a second each on three exchanges take about a second."""
    slow = [Fault(FaultKind.SLOW, path="(klines|OHLC|candles)", seconds=1.0, times=None)]
    with running(MARKET, faults=slow) as sim:
        manager = em(PublicExchangeManager, sim=sim, request_pause=0.5)
        exchanges = [manager.connect_to_exchange_with_no_credentials(each) for each in ("binance", "kraken", "okx")]
        for exchange in exchanges:
            exchange.load_markets()
        symbols = ["BTC/USDT", "BTC/USD", "BTC/USDT"]
        threads = [
            threading.Thread(target=manager.throttled_call, args=(each.fetch_ohlcv, symbol))
            for each, symbol in zip(exchanges, symbols, strict=True)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert 1.0 <= time.monotonic() - began < 1.6


def test_a_pause_that_an_exchange_asks_for_is_everybody_s(em, limiter):
    """After a 429 nobody asks that host before the time is over, not even without ``throttled_call``."""
    fault = Fault(FaultKind.TOO_MANY_REQUESTS, path="klines", retry_after=1)
    with running(MARKET, faults=[fault]) as sim:
        manager = em(PublicExchangeManager, sim=sim)
        exchange = manager.connect_to_exchange_with_no_credentials("binance")
        exchange.load_markets()
        began = time.monotonic()
        with pytest.raises(ccxt.NetworkError):
            manager.throttled_call(exchange.fetch_ohlcv, "BTC/USDT")
        assert limiter.is_paused(f"127.0.0.1:{sim.port}")
        exchange.fetch_ohlcv("BTC/USDT")

    assert time.monotonic() - began >= 1.0


def test_fallback_takes_the_first_that_can(em):
    """By priority: one that is down, and one that does not list the symbol, are passed over; what is given back is counted."""
    down = Fault(FaultKind.SERVER_ERROR, path="binance", times=None)
    with running(MARKET, faults=[down]) as sim:
        manager = em(PublicExchangeManager, sim=sim)
        manager.exchange_priority_for_fallback = ["binance", "kraken", "okx"]
        exchange = manager.connect_with_fallback("BTC/USDT")

        assert "kraken" == exchange.id
        assert {exchange.id: 1} == {key.exchange: count for key, count in manager.refcounts().items() if count}
        with pytest.raises(ExchangeUnavailable, match=r"binance: .*; kraken: does not list NOPE/X; okx"):
            manager.connect_with_fallback("NOPE/X")
        manager.exchange_priority_for_fallback = ["okx"]
        with pytest.raises(InvalidSymbol, match="no exchange for NOPE/X: okx: does not list"):
            manager.connect_with_fallback("NOPE/X")


@pytest.mark.parametrize("order", [[], "binance", [1]])
def test_priorities_that_are_none(em, order):
    """An order of exchanges is a list of ids."""
    with pytest.raises(InvalidInput, match="must be a list of exchanges"):
        em(PublicExchangeManager).exchange_priority_for_fallback = order
