"""Both managers in one."""

from __future__ import annotations

import inspect

import pytest

from chandlery.ccxt_bridge.facade import ExchangeManager
from chandlery.ccxt_bridge.manager import AuthenticatedExchangeManager, PublicExchangeManager
from fixtures.ccxt_accounts import ACCOUNT

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def test_every_documented_method_is_one_of_it():
    """All that the two managers do, the facade does."""
    documented = {
        name for kind in (AuthenticatedExchangeManager, PublicExchangeManager)
        for name, _ in inspect.getmembers(kind) if not name.startswith("_")
    }  # fmt: skip

    assert set() == documented - set(dir(ExchangeManager)) - {"holds", "refcounts", "add_exchange_credentials"}


def test_it_releases_by_whoever_connected(em):
    """A release finds the manager of the connection, by the exchange and by its id."""
    manager = em(ExchangeManager, ACCOUNT.key, ACCOUNT.secret)
    ours = manager.connect_to_binance_with_credentials()
    public = manager.connect_to_exchange_with_no_credentials("kraken")
    manager.release_exchange(public)
    manager.release_exchange("binance")

    assert ours is not public
    assert [0] == list(manager.authenticated.refcounts().values()) == list(manager.public.refcounts().values())


def test_it_closes_and_cleans_both(em):
    """Cleaning up and closing reach both managers."""
    manager = em(ExchangeManager, ACCOUNT.key, ACCOUNT.secret)
    for _ in range(2):
        with manager.exchange_context("binance"):
            pass
        manager.connect_to_exchange_with_no_credentials("binance")
        manager.release_exchange("binance")
        assert ["binance", "binance"] == manager.cleanup_unused_exchanges(max_age_hours=0)
    manager.connect_to_binance_with_credentials()
    manager.connect_to_exchange_with_no_credentials("binance")

    assert 2 == manager.close_exchange("binance")


def test_the_pause_is_both_s(em):
    """Set on the facade it holds for both; each may have its own."""
    manager = em(ExchangeManager)
    manager.request_pause = 0.25

    assert (0.25, 0.25) == (manager.authenticated.request_pause, manager.public.request_pause)
    manager.public.request_pause = 0
    assert 0.25 == manager.request_pause


def test_the_managers_can_be_replaced(em):
    """A manager of one's own takes the place of either."""
    manager = em(ExchangeManager)
    manager.authenticated = em(AuthenticatedExchangeManager, request_pause=0.5)

    assert 0.5 == manager.request_pause


def test_as_a_context_manager(em):
    """Leaving the block closes everything."""
    with em(ExchangeManager) as manager:
        manager.connect_to_exchange_with_no_credentials("binance")

    assert {} == manager.public.refcounts()
