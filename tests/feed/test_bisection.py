"""Which of many subscriptions an exchange refuses."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.adapter.live import CandleStream, SocketRules
from chandlery.core.errors import (
    ExchangeUnavailable,
    InvalidSymbol,
    MalformedResponse,
    NotFound,
    RateLimited,
    RequestRejected,
)
from chandlery.core.interval import Interval
from chandlery.feed.bisection import refuses
from fixtures.candle_feed import SPOT


@pytest.mark.parametrize("kind", [InvalidSymbol, RequestRejected, NotFound])
def test_what_refuses(kind):
    """Whatever says no to what was asked for."""
    assert refuses(kind("no"))


@pytest.mark.parametrize("kind", [RateLimited, ExchangeUnavailable, MalformedResponse])
def test_what_refuses_nothing(kind):
    """Requests for a pause, and what cannot be read."""
    assert not refuses(kind("later"))


REFUSED = {7, 8, 30, 59}


def closes(symbols):
    return {SPOT: {"closes_at": [f"C{each:03}USDT" for each in symbols]}}


async def test_the_culprits_among_many_are_found(sim_of, connection_of, adapter_of):
    """Four of sixty that close the connection without a word: all others are subscribed to, on a connection that stays."""
    sim = await sim_of(unlike=closes(REFUSED))
    adapter = adapter_of(socket=SocketRules(per_message=25))
    connection, receiver, _ = connection_of(sim, adapter=adapter, count=60)
    await receiver.until(lambda: len(receiver.refused) >= len(REFUSED))
    async with asyncio.timeout(10):
        while len(set(sim.subscriptions[SPOT])) < 56:
            await asyncio.sleep(0.02)

    assert {f"C{each:03}USDT" for each in REFUSED} == {symbol for symbol, _ in receiver.refused}
    assert {RequestRejected} == {type(error) for _, error in receiver.refused}
    assert all(connection.is_aside(CandleStream(symbol, Interval.SECOND_1)) for symbol, _ in receiver.refused)
    assert 3 >= connection.attempts
    assert 1 >= len(receiver.downs) - (connection.attempts - 1)


async def test_what_is_refused_is_tried_again(sim_of, connection_of):
    """As long as it is wanted, after growing pauses; once it is taken, it is subscribed to like the others."""
    sim = await sim_of(unlike=closes({1}))
    connection, receiver, _ = connection_of(sim, count=3)
    await receiver.until(lambda: len(receiver.refused) == 2)
    attempts, item = connection.attempts, CandleStream("C001USDT", Interval.SECOND_1)
    assert connection.is_aside(item)
    sim.differ({})
    await receiver.until(lambda: "C001USDT" in receiver.taken)
    async with asyncio.timeout(5):
        while len(sim.subscriptions[SPOT]) != 3:
            await asyncio.sleep(0.01)
    assert not connection.is_aside(item)
    assert attempts == connection.attempts


async def test_a_refused_one_that_is_left_is_forgotten(sim_of, connection_of):
    """It is neither tried again nor unsubscribed from; joined again, it is subscribed to."""
    sim = await sim_of(unlike=closes({1}))
    connection, receiver, _ = connection_of(sim, count=2)
    await receiver.until(lambda: receiver.refused)
    item = CandleStream("C001USDT", Interval.SECOND_1)
    await connection.leave([item])
    assert not connection.is_aside(item)
    sim.differ({})
    await connection.join([item])
    async with asyncio.timeout(5):
        while len(sim.subscriptions[SPOT]) != 2:
            await asyncio.sleep(0.01)


async def test_an_exchange_that_cuts_everybody_refuses_nobody(sim_of, connection_of):
    """Where no connection lasts, a cut says nothing of what was subscribed to: nothing is given up, and nobody hammered."""
    sim = await sim_of(unlike={SPOT: {"close_on_subscribe": 8}})
    connection, receiver, _ = connection_of(sim, count=4)
    async with asyncio.timeout(15):
        while len(sim.subscriptions[SPOT]) != 4 or any(map(connection.is_aside, receiver.subscriptions())):
            await asyncio.sleep(0.02)

    assert [] == receiver.refused
