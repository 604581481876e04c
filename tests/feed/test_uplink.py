"""One connection that is made anew as often as it is lost."""

from __future__ import annotations

import asyncio
import re

from msgspec import structs

from chandlery.adapter.live import SocketRules
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import RateLimited
from chandlery.core.wire import RateLimit
from chandlery.sim.faults import Fault, FaultKind
from feeding import FAST, SPOT


async def test_ever_longer_waits(sim_of, uplink_of):
    """Where nobody answers, and they begin anew only after data have flowed for a while."""
    pace = structs.replace(FAST, first_delay_s=0.1, longest_delay_s=0.8, stable_s=0.3)
    sim = await sim_of(Fault(FaultKind.SERVER_ERROR, "/ws", 5))
    uplink, ear, waits = uplink_of(sim, pace=pace)
    await ear.until(lambda: ear.candles)

    assert [0.1, 0.2, 0.4, 0.8, 0.8] == waits.all
    assert 0 == uplink.failures
    uplink.kick("too early")
    await ear.until(lambda: len(ear.ups) == 2 and ear.candles > 3)
    assert [0.8] == waits.all[5:]
    await asyncio.sleep(0.6)
    uplink.kick("stable")
    await ear.until(lambda: len(ear.ups) == 3)
    assert [0.1] == waits.all[6:]
    assert ["too early", "stable"] == ear.downs[5:]


async def test_a_server_that_accepts_and_cuts_is_not_hammered(sim_of, uplink_of):
    """A handshake is no success: the waits grow as if there were no server."""
    sim = await sim_of(Fault(FaultKind.DROP, "kline", None))
    uplink, ear, waits = uplink_of(sim, pace=structs.replace(FAST, first_delay_s=0.1, longest_delay_s=10))
    await ear.until(lambda: len(ear.downs) == 6)

    assert [0.1, 0.2, 0.4, 0.8, 1.6] == waits.all[:5]
    assert 6 == uplink.failures == uplink.attempts == len(ear.ups)
    assert 0 == ear.candles


async def test_the_pause_that_was_asked_for(sim_of, uplink_of):
    """A 429 names it, and it is longer than ours."""
    sim = await sim_of(Fault(FaultKind.TOO_MANY_REQUESTS, "/ws", 1, retry_after=3))
    _, ear, waits = uplink_of(sim)
    await ear.until(lambda: ear.candles)

    assert [3.0] == waits.all


async def test_unreadable_messages(sim_of, uplink_of):
    """Single ones are told; twenty in a row end the connection."""
    fault = Fault(FaultKind.GARBAGE, "kline", 3)
    sim = await sim_of(fault)
    uplink, ear, _ = uplink_of(sim)
    await ear.until(lambda: ear.candles)
    assert 3 == len(ear.rejected) == uplink.bad_messages
    assert [] == ear.downs
    sim.faults[:] = [Fault(FaultKind.GARBAGE, "kline", 20)]
    await ear.until(lambda: ear.downs)
    assert "20 messages in a row" in ear.downs[0]
    await ear.until(lambda: len(ear.ups) == 2)


async def test_the_shortcut_while_all_is_well(sim_of, uplink_of):
    """It begins with the first data, and anew with those after a message that could not be read, which all count."""
    sim = await sim_of(tick_s=0.01)
    uplink, ear, _ = uplink_of(sim)
    await ear.until(lambda: ear.short > 2)
    before = ear.candles - ear.short
    assert before > 0
    sim.faults[:] = [Fault(FaultKind.GARBAGE, "kline", 19)]
    await ear.until(lambda: uplink.bad_messages == 19 and ear.candles - ear.short > before)
    short = ear.short
    await ear.until(lambda: ear.short > short + 2)
    assert [] == ear.downs


async def test_messages_at_the_pace_of_the_exchange(sim_of, uplink_of, adapter_of):
    """Forty messages, twenty in any half second: evenly spread, so that on the way they do not crowd."""
    rules = SocketRules(per_message=5, messages=RateLimit(20, 0.5))
    sim = await sim_of(tick_s=None)
    sent = []

    async def sleep(seconds):
        sent.append(seconds)
        await asyncio.sleep(seconds)

    began = asyncio.get_running_loop().time()
    _, ear, _ = uplink_of(sim, adapter=adapter_of(socket=rules), count=200, sleep=sleep)
    await ear.until(lambda: ear.ups)

    assert asyncio.get_running_loop().time() - began >= 39 * 0.025 - 0.001
    assert max(sent) <= 0.026
    await ear.until(lambda: len(sim.subscriptions[SPOT]) == 200)


async def test_a_limit_for_long_does_not_slow_the_first_messages(sim_of, uplink_of, adapter_of):
    """Of hundreds an hour the first may follow each other at once, or nearly so."""
    rules = SocketRules(per_message=50, messages=RateLimit(480, 3600))
    sim = await sim_of(tick_s=None)
    _, ear, waits = uplink_of(sim, adapter=adapter_of(socket=rules), count=200)
    await ear.until(lambda: ear.ups)

    assert 3 == len(waits.all)
    assert max(waits.all) <= 0.25


async def test_pings_and_pauses(sim_of, uplink_of, adapter_of):
    """The exchange's ping is sent as often as it wants, and nothing before it may be."""
    rules = SocketRules(ping_every_s=0.1, pause_s=0.7)
    asked = '{"method":"LIST_SUBSCRIPTIONS","id":7}'
    answers = []

    def reply(self, message):
        answers.append(message)

    sim = await sim_of(tick_s=None)
    _, ear, waits = uplink_of(sim, adapter=adapter_of(socket=rules, ping=lambda _: asked, reply=reply))
    await ear.until(lambda: ear.ups)
    await asyncio.sleep(0.55)

    assert [0.7] == waits.all
    assert 4 <= sum(b'"id":7' in each for each in answers) <= 6


async def test_replaced_before_its_life_ends(sim_of, uplink_of, adapter_of):
    """The new connection brings data before the old one is closed; where there is none, the old one stays."""
    sim = await sim_of()
    adapter = adapter_of(socket=SocketRules(lifetime_s=0.5))
    uplink, ear, _ = uplink_of(sim, adapter=adapter)
    await ear.until(lambda: uplink.rotations == 2)
    assert [] == ear.downs
    refused = Fault(FaultKind.SERVER_ERROR, "/ws", 2)
    sim.faults.append(refused)
    await ear.until(lambda: uplink.rotations == 3)
    assert 2 == refused.used
    assert [] == ear.downs
    assert [1, 2, 3, 6] == ear.ups
    assert uplink.connected


async def test_old_and_new_overlap(sim_of, uplink_of, adapter_of):
    """While the new one is silent, the old one goes on."""
    sim = await sim_of()
    pace = structs.replace(FAST, overlap_s=60)
    uplink, ear, _ = uplink_of(sim, adapter=adapter_of(socket=SocketRules(lifetime_s=0.5)), pace=pace)
    await ear.until(lambda: ear.candles)
    old = sim._streams[SPOT]._connections.copy()
    await ear.until(lambda: len(sim._streams[SPOT]._connections) == 2)
    for new in sim._streams[SPOT]._connections - old:
        new.stalled = True
    await ear.until(lambda: uplink.rotations == 1)
    at = ear.candles
    await ear.until(lambda: ear.candles > at + 5)

    assert 2 == len(sim.subscriptions[SPOT])
    assert [] == ear.downs


async def test_without_a_connection_nothing_is_sent(sim_of, uplink_of):
    """The next connect subscribes to everything anyway."""
    sim = await sim_of(Fault(FaultKind.SERVER_ERROR, "/ws", None))
    uplink, _, _ = uplink_of(sim)
    await uplink.send(["hello"])
    uplink.kick("nothing there")

    assert not uplink.connected


async def test_an_announced_close_is_forestalled(sim_of, uplink_of, adapter_of):
    """The connection is replaced at once, without a moment between the old one and the new; one that cannot be stays."""
    words = '{"method":"LIST_SUBSCRIPTIONS","id":7}'
    sim = await sim_of()
    rules = SocketRules(closing=re.compile(rb'"id":\s*7'))
    uplink, ear, _ = uplink_of(sim, adapter=adapter_of(socket=rules))
    await ear.until(lambda: ear.candles)
    await uplink.send([words, words])
    await ear.until(lambda: uplink.rotations == 1)
    refused = Fault(FaultKind.SERVER_ERROR, "/ws", 1)
    sim.faults.append(refused)
    await uplink.send([words])
    await ear.until(lambda: refused.used)
    at = ear.candles
    await ear.until(lambda: ear.candles > at + 3)

    assert ([], [1, 2]) == (ear.downs, ear.ups)


async def test_no_command_before_the_welcome(sim_of, uplink_of, adapter_of):
    """Nothing is sent until it comes; where it does not, the connection is given up."""
    sim = await sim_of(tick_s=None)
    rules = SocketRules(welcome=re.compile(rb"hello"))
    _, ear, _ = uplink_of(sim, adapter=adapter_of(socket=rules))
    async with asyncio.timeout(5):
        while not (connections := sim._streams[SPOT]._connections):
            await asyncio.sleep(0.01)
    (connection,) = connections
    await asyncio.sleep(0.2)
    assert ([], []) == (sim.subscriptions[SPOT], ear.ups)
    await connection.send('{"id":"hello","type":"welcome"}')
    await ear.until(lambda: ear.ups)
    async with asyncio.timeout(5):
        while not sim.subscriptions[SPOT]:
            await asyncio.sleep(0.01)


async def test_a_welcome_that_does_not_come(sim_of, uplink_of, adapter_of):
    """The connection is given up in time."""
    sim, pace = await sim_of(), structs.replace(FAST, welcome_s=0.2)
    _, ear, _ = uplink_of(sim, adapter=adapter_of(socket=SocketRules(welcome=re.compile(rb"hello"))), pace=pace)
    await ear.until(lambda: ear.downs)

    assert "no welcome within 0.2 s" in ear.downs[0]
    assert [] == ear.ups


async def test_commands_that_came_too_fast_are_sent_again(sim_of, uplink_of, adapter_of):
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
    _, ear, waits = uplink_of(sim, adapter=adapter, count=3)
    await ear.until(lambda: len(ear.rejected) == 3)
    async with asyncio.timeout(5):
        while len(acknowledged) < 6:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)

    assert 6 == len(acknowledged)
    assert [] == ear.aside
    assert [FAST.first_delay_s] == [each for each in waits.all if each == FAST.first_delay_s]
