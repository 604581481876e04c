"""Many series for long, while everything goes wrong."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import psutil
import pytest
from msgspec import structs

from chandlery.adapter.live import SocketRules
from chandlery.core.candle import CandleData
from chandlery.feed.events import Connected, Rejected
from chandlery.net.clock import system_clock
from chandlery.sim.faults import Fault, FaultKind
from feeding import FAST, check_whole, tasks_left

_MIB = 1 << 20
PATIENT = structs.replace(FAST, grace_s=1.2)


class Tally:
    """How often each closed candle was told, and how many events there were."""

    def __init__(self):
        self.closed = Counter()
        self.events = Counter()

    def __call__(self, update):
        if not isinstance(update, CandleData):
            self.events[type(update)] += 1
        elif update.closed:
            self.closed[update.open_time] += 1


async def run(sim_of, group_of, adapter_of, market, *, symbols, seconds, per_connection, cut_every):
    """Feed so many symbols for so long; what it was like."""
    faults = [
        Fault(FaultKind.DROP, r"kline", None, 1 / cut_every),
        Fault(FaultKind.POLICY_CLOSE, r"kline", None, 0.2 / cut_every),
        Fault(FaultKind.GARBAGE, r"kline", None, 0.01),
        Fault(FaultKind.DUPLICATE, r"kline", None, 0.02),
        Fault(FaultKind.OUT_OF_ORDER, r"kline", None, 0.01),
        Fault(FaultKind.SERVER_ERROR, r"klines", None, 0.01),
    ]
    sim = await sim_of(*faults, tick_s=0.5, clock=system_clock)
    group = group_of(sim, adapter=adapter_of(socket=SocketRules(streams=per_connection)), pace=PATIENT)
    tallies = [Tally() for _ in range(symbols)]
    feeds = [group.add(f"C{number:03}-USDT", "1s", 100, on_update=each) for number, each in enumerate(tallies)]
    process = psutil.Process()
    await group.start(timeout_s=60)
    sizes = []
    for _ in range(4):
        await asyncio.sleep(seconds / 4)
        gc.collect()
        sizes.append(process.memory_info().rss / _MIB)
    sim.faults.clear()
    await asyncio.sleep(3)
    for feed, tally in zip(feeds, tallies, strict=True):
        check_whole(feed, market)
        assert {1} == set(tally.closed.values())
        assert {each.open_time for each in feed.get_candles() if each.closed} <= set(tally.closed)
    connects = Counter(path.partition("?")[0].rpartition("/")[2] for _, path, _ in sim.log)
    await group.stop()
    assert [] == tasks_left()
    return {
        "closed": sum(each.closed.total() for each in tallies),
        "connections": sum(each.events[Connected] for each in tallies) // symbols,
        "rejected": sum(each.events[Rejected] for each in tallies),
        "requests": dict(connects),
        "rss_mib": [round(each, 1) for each in sizes],
    }


async def test_a_few_seconds_of_everything(sim_of, group_of, adapter_of, market):
    """Twenty series on four connections, each cut again and again: whole at the end."""
    found = await run(sim_of, group_of, adapter_of, market, symbols=20, seconds=3, per_connection=5, cut_every=20)

    assert found["connections"] > 2


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_minute_of_everything(sim_of, group_of, adapter_of, market, capsys):
    """Two hundred series, connections cut every few seconds: whole at the end, and the memory flat."""
    found = await run(sim_of, group_of, adapter_of, market, symbols=200, seconds=60, per_connection=25, cut_every=250)
    with capsys.disabled():
        print(f"\nsoak: {found}")  # noqa: T201

    assert found["connections"] > 10
    assert found["rss_mib"][-1] < found["rss_mib"][1] * 1.05
