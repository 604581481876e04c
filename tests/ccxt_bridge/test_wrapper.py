"""Connections and their users."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.ccxt_bridge.wrapper import ConnectionKey, Connections, ExchangeWrapper
from chandlery.core.errors import InvalidInput

KEY = ConnectionKey("binance", "", testnet=False, contract_type=None)


class Exchange:
    """What is connected to."""

    id = "binance"


def test_the_names_of_published_code():
    """They are methods there, and properties here."""
    wrapper = ExchangeWrapper(object())
    assert wrapper.increment_refcount()

    assert (1, True) == (wrapper.get_refcount(), wrapper.is_in_use()) == (wrapper.refcount, wrapper.in_use)


def test_a_wrapper_counts():
    """Each user counts once; none too many can leave; the last to leave sets when it was last used."""
    now = [5.0]
    wrapper = ExchangeWrapper(Exchange(), clock=lambda: now[0])

    assert (0, False, 5.0) == (wrapper.refcount, wrapper.in_use, wrapper.last_used)
    assert wrapper.increment_refcount()
    assert wrapper.increment_refcount()
    now[0] = 7.0
    assert wrapper.decrement_refcount()
    assert (1, True, 5.0) == (wrapper.refcount, wrapper.in_use, wrapper.last_used)
    assert wrapper.decrement_refcount()
    assert (0, False, 7.0) == (wrapper.refcount, wrapper.in_use, wrapper.last_used)
    assert not wrapper.decrement_refcount()


def test_a_retired_wrapper_is_not_used_any_more():
    """Nobody gets what was closed; what is in use, or was of late, is not closed for its age."""
    now = [0.0]
    wrapper = ExchangeWrapper(Exchange(), clock=lambda: now[0])
    wrapper.increment_refcount()
    now[0] = 100.0
    assert not wrapper.retire(max_age_s=10.0)
    wrapper.decrement_refcount()
    assert not wrapper.retire(max_age_s=10.0)
    now[0] = 110.0
    assert wrapper.retire(max_age_s=10.0)
    assert not wrapper.increment_refcount()


def test_counts_are_exact_under_100_threads():
    """100 threads of 1000 acquisitions and releases each leave the count where it was."""
    connections = Connections()
    exchange = connections.acquire(KEY, Exchange).exchange

    def use():
        for _ in range(1000):
            wrapper = connections.acquire(KEY, Exchange)
            assert wrapper.exchange is exchange
            connections.release(exchange)

    threads = [threading.Thread(target=use) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {KEY: 1} == connections.refcounts()


def test_nobody_gets_a_connection_that_was_closed_meanwhile():
    """While one thread closes whatever is unused, those who acquire always hold one that is open."""
    connections = Connections()
    stop = threading.Event()
    wrong = []

    def close():
        while not stop.is_set():
            for exchange in connections.retire(max_age_s=0.0):
                exchange.closed = True

    def use():
        for _ in range(2000):
            wrapper = connections.acquire(KEY, Exchange)
            if hasattr(wrapper.exchange, "closed"):
                wrong.append(wrapper)
            connections.release(wrapper.exchange)

    closer = threading.Thread(target=close)
    users = [threading.Thread(target=use) for _ in range(8)]
    for thread in (closer, *users):
        thread.start()
    for thread in users:
        thread.join()
    stop.set()
    closer.join()

    assert [] == wrong


@given(st.lists(st.sampled_from(["acquire", "release", "cleanup", "close"]), max_size=40))
def test_any_order_of_events_counts_right(events):
    """Whatever happens in whatever order, the count is that of a plain model."""
    connections = Connections()
    held, owed = [], []
    for event in events:
        if event == "acquire":
            held.append(connections.acquire(KEY, Exchange).exchange)
        elif event == "release" and (held or owed):
            connections.release((held or owed).pop())
        elif event == "cleanup":
            assert bool(connections.retire(max_age_s=0.0)) <= (not held)
        elif event == "close":
            connections.retire(exchange="binance")
            owed += held
            held = []

        assert len(held) == connections.refcounts().get(KEY, 0)


def test_releasing_what_is_not_in_use():
    """More releases than acquisitions, and exchanges of others, are refused; a late release of a closed one is nothing."""
    connections = Connections()
    exchange = connections.acquire(KEY, Exchange).exchange
    connections.release(exchange)
    with pytest.raises(InvalidInput, match="more often than"):
        connections.release(exchange)
    with pytest.raises(InvalidInput, match="not connected by this manager"):
        connections.release(Exchange())
    with pytest.raises(InvalidInput, match="no connection to binance is in use"):
        connections.release_by_name("binance", testnet=None, contract_type=None)
    connections.acquire(KEY, Exchange)
    connections.retire(exchange="binance")
    connections.release(exchange)
    connections.release_by_name("binance", testnet=None, contract_type=None)


def test_a_name_must_mean_one():
    """By its name a connection is released where it is the only one in use; what tells them apart may be said."""
    connections = Connections()
    margin = KEY._replace(contract_type="margin")
    connections.acquire(KEY, Exchange)
    connections.acquire(margin, Exchange)
    with pytest.raises(InvalidInput, match="2 connections to binance are in use; pass the exchange itself"):
        connections.release_by_name("binance", testnet=None, contract_type=None)
    connections.release_by_name("binance", testnet=None, contract_type="margin")

    assert {KEY: 1, margin: 0} == connections.refcounts()
    connections.release_by_name("binance", testnet=None, contract_type=None)
    assert {KEY: 0, margin: 0} == connections.refcounts()
