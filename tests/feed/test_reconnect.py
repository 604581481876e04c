"""One connection that is made anew as often as it is lost."""

from __future__ import annotations

import asyncio
import re

from msgspec import structs

from chandlery.adapter.live import SocketRules
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import RateLimited
from chandlery.core.http import RateLimit
from chandlery.sim.faults import Fault, FaultKind
from fixtures.candle_feed import FAST, SPOT
from fixtures.waiting import until


async def test_ever_longer_waits(sim_of, connection_of):
    """Where nobody answers, and they begin anew only after data have flowed for a while."""
    pace = structs.replace(FAST, first_delay_s=0.1, longest_delay_s=0.8, stable_s=0.3)
    sim = await sim_of(Fault(FaultKind.SERVER_ERROR, "/ws", 5))
    connection, receiver, waits = connection_of(sim, pace=pace)
    await receiver.until(lambda: receiver.candles)

    assert [0.1, 0.2, 0.4, 0.8, 0.8] == waits.all
    assert 0 == connection.failures
    connection.kick("too early")
    await receiver.until(lambda: len(receiver.ups) == 2 and receiver.candles > 3)
    assert [0.8] == waits.all[5:]
    await until(lambda: connection._connection.flowed_s >= pace.stable_s)
    connection.kick("stable")
    await receiver.until(lambda: len(receiver.ups) == 3)
    assert [0.1] == waits.all[6:]
    assert ["too early", "stable"] == receiver.downs[5:]


async def test_a_server_that_accepts_and_cuts_is_not_hammered(sim_of, connection_of):
    """A handshake is no success: the waits grow as if there were no server."""
    sim = await sim_of(Fault(FaultKind.DROP, "kline", None))
    connection, receiver, waits = connection_of(sim, pace=structs.replace(FAST, first_delay_s=0.1, longest_delay_s=10))
    await receiver.until(lambda: len(receiver.downs) == 6)

    assert [0.1, 0.2, 0.4, 0.8, 1.6] == waits.all[:5]
    assert 6 == connection.failures == connection.attempts == len(receiver.ups)
    assert 0 == receiver.candles


async def test_the_pause_that_was_asked_for(sim_of, connection_of):
    """A 429 names it, and it is longer than ours."""
    sim = await sim_of(Fault(FaultKind.TOO_MANY_REQUESTS, "/ws", 1, retry_after=3))
    _, receiver, waits = connection_of(sim)
    await receiver.until(lambda: receiver.candles)

    assert [3.0] == waits.all


async def test_unreadable_messages(sim_of, connection_of, caplog):
    """Single ones are told, and logged once a minute; twenty in a row end the connection."""
    fault = Fault(FaultKind.GARBAGE, "kline", 3)
    sim = await sim_of(fault)
    connection, receiver, _ = connection_of(sim)
    await receiver.until(lambda: receiver.candles)
    assert 3 == len(receiver.rejected) == connection.bad_messages
    assert [] == receiver.downs
    (line,) = [each.getMessage() for each in caplog.records if "rejected" in each.getMessage()]
    assert re.fullmatch(r"\w+: rejected: .+: .+; rejections since the last such line: 1", line)
    sim.faults[:] = [Fault(FaultKind.GARBAGE, "kline", 20)]
    await receiver.until(lambda: receiver.downs)
    assert "20 consecutive messages" in receiver.downs[0]
    await receiver.until(lambda: len(receiver.ups) == 2)


async def test_the_shortcut_while_all_is_well(sim_of, connection_of):
    """It begins with the first data, and anew with those after a message that could not be read, which all count."""
    sim = await sim_of(tick_s=0.01)
    connection, receiver, _ = connection_of(sim)
    await receiver.until(lambda: receiver.short > 2)
    before = receiver.candles - receiver.short
    assert before > 0
    sim.faults[:] = [Fault(FaultKind.GARBAGE, "kline", 19)]
    await receiver.until(lambda: connection.bad_messages == 19 and receiver.candles - receiver.short > before)
    short = receiver.short
    await receiver.until(lambda: receiver.short > short + 2)
    assert [] == receiver.downs


async def test_messages_at_the_pace_of_the_exchange(sim_of, connection_of, adapter_of):
    """Forty messages, twenty in any half second: evenly spread, so that on the way they do not crowd."""
    rules = SocketRules(per_message=5, messages=RateLimit(20, 0.5))
    sim = await sim_of(tick_s=None)
    sent = []

    async def sleep(seconds):
        sent.append(seconds)
        await asyncio.sleep(seconds)

    began = asyncio.get_running_loop().time()
    _, receiver, _ = connection_of(sim, adapter=adapter_of(socket=rules), count=200, sleep=sleep)
    await receiver.until(lambda: receiver.ups)

    assert asyncio.get_running_loop().time() - began >= 39 * 0.025 - 0.001
    assert max(sent) <= 0.026
    await receiver.until(lambda: len(sim.subscriptions[SPOT]) == 200)


async def test_a_limit_for_long_does_not_slow_the_first_messages(sim_of, connection_of, adapter_of):
    """Of hundreds an hour the first may follow each other at once, or nearly so."""
    rules = SocketRules(per_message=50, messages=RateLimit(480, 3600))
    sim = await sim_of(tick_s=None)
    _, receiver, waits = connection_of(sim, adapter=adapter_of(socket=rules), count=200)
    await receiver.until(lambda: receiver.ups)

    assert 3 == len(waits.all)
    assert max(waits.all) <= 0.25


async def test_pings_and_pauses(sim_of, connection_of, adapter_of):
    """The exchange's ping is sent as often as it wants, and nothing before it may be."""
    rules = SocketRules(ping_every_s=0.1, pause_s=0.7)
    asked = '{"method":"LIST_SUBSCRIPTIONS","id":7}'
    answers = []

    def reply(self, message):
        answers.append(message)

    sim = await sim_of(tick_s=None)
    _, receiver, waits = connection_of(sim, adapter=adapter_of(socket=rules, ping=lambda _: asked, reply=reply))
    await receiver.until(lambda: receiver.ups)
    began = asyncio.get_running_loop().time()
    await until(lambda: sum(b'"id":7' in each for each in answers) >= 5)

    assert [0.7] == waits.all
    assert asyncio.get_running_loop().time() - began > 0.35


async def test_replaced_before_its_life_ends(sim_of, connection_of, adapter_of):
    """The new connection brings data before the old one is closed; where there is none, the old one stays."""
    sim = await sim_of()
    adapter = adapter_of(socket=SocketRules(lifetime_s=0.5))
    connection, receiver, _ = connection_of(sim, adapter=adapter)
    await receiver.until(lambda: connection.rotations == 2)
    assert [] == receiver.downs
    refused = Fault(FaultKind.SERVER_ERROR, "/ws", 2)
    sim.faults.append(refused)
    await receiver.until(lambda: connection.rotations == 3)
    assert 2 == refused.used
    assert [] == receiver.downs
    assert [1, 2, 3, 6] == receiver.ups
    assert connection.connected


async def test_old_and_new_overlap(sim_of, connection_of, adapter_of):
    """While the new one is silent, the old one goes on."""
    sim = await sim_of()
    pace = structs.replace(FAST, overlap_s=60)
    connection, receiver, _ = connection_of(sim, adapter=adapter_of(socket=SocketRules(lifetime_s=0.5)), pace=pace)
    await receiver.until(lambda: receiver.candles)
    old = sim._streams[SPOT]._connections.copy()
    await receiver.until(lambda: len(sim._streams[SPOT]._connections) == 2)
    for new in sim._streams[SPOT]._connections - old:
        new.stalled = True
    await receiver.until(lambda: connection.rotations == 1)
    at = receiver.candles
    await receiver.until(lambda: receiver.candles > at + 5)

    assert 2 == len(sim.subscriptions[SPOT])
    assert [] == receiver.downs


async def test_without_a_connection_nothing_is_sent(sim_of, connection_of):
    """The next connect subscribes to everything anyway."""
    sim = await sim_of(Fault(FaultKind.SERVER_ERROR, "/ws", None))
    connection, _, _ = connection_of(sim)
    await connection.send(["hello"])
    connection.kick("nothing there")

    assert not connection.connected


async def test_an_announced_close_is_forestalled(sim_of, connection_of, adapter_of):
    """The connection is replaced at once, without a moment between the old one and the new; one that cannot be stays."""
    words = '{"method":"LIST_SUBSCRIPTIONS","id":7}'
    sim = await sim_of()
    rules = SocketRules(closing=re.compile(rb'"id":\s*7'))
    connection, receiver, _ = connection_of(sim, adapter=adapter_of(socket=rules))
    await receiver.until(lambda: receiver.candles)
    await connection.send([words, words])
    await receiver.until(lambda: connection.rotations == 1)
    refused = Fault(FaultKind.SERVER_ERROR, "/ws", 1)
    sim.faults.append(refused)
    await connection.send([words])
    await receiver.until(lambda: refused.used)
    at = receiver.candles
    await receiver.until(lambda: receiver.candles > at + 3)

    assert ([], [1, 2]) == (receiver.downs, receiver.ups)


async def test_no_command_before_the_welcome(sim_of, connection_of, adapter_of):
    """Nothing is sent until it comes; where it does not, the connection is given up."""
    sim = await sim_of(tick_s=None)
    rules = SocketRules(welcome=re.compile(rb"hello"))
    heard = []
    _, receiver, _ = connection_of(
        sim, adapter=adapter_of(socket=rules, reply=lambda _, message: heard.append(message))
    )
    (connection,) = await until(lambda: sim._streams[SPOT]._connections)
    await connection.send('{"id":"other","type":"news"}')
    await until(lambda: heard)
    assert ([], []) == (sim.subscriptions[SPOT], receiver.ups)
    await connection.send('{"id":"hello","type":"welcome"}')
    await receiver.until(lambda: receiver.ups)
    await until(lambda: sim.subscriptions[SPOT])


async def test_a_welcome_that_does_not_come(sim_of, connection_of, adapter_of):
    """The connection is given up in time."""
    sim, pace = await sim_of(), structs.replace(FAST, welcome_s=0.2)
    _, receiver, _ = connection_of(
        sim, adapter=adapter_of(socket=SocketRules(welcome=re.compile(rb"hello"))), pace=pace
    )
    await receiver.until(lambda: receiver.downs)

    assert "no welcome message within 0.2 s" in receiver.downs[0]
    assert [] == receiver.ups


async def test_commands_that_came_too_fast_are_sent_again(sim_of, connection_of, adapter_of):
    """Once, after a pause, however many were turned away; not what data were heard of."""
    kind, acknowledged = ExchangeRegistry.get(SPOT), []

    def live_rows(self, message):
        if b'"result":null' in message:
            acknowledged.append(message)
            if len(acknowledged) <= 3:
                raise RateLimited("slower")
        return kind.live_rows(self, message)

    sim = await sim_of(tick_s=None)
    adapter = adapter_of(live_rows=live_rows, socket=SocketRules(per_message=1))
    _, receiver, waits = connection_of(sim, adapter=adapter, count=3)
    await receiver.until(lambda: len(receiver.rejected) == 3)
    await until(lambda: len(acknowledged) >= 6)
    await asyncio.sleep(0.2)  # within this time more would be sent

    assert 6 == len(acknowledged)
    assert [] == receiver.aside
    assert [FAST.first_delay_s] == [each for each in waits.all if each == FAST.first_delay_s]
