"""How live candles come."""

from __future__ import annotations

import asyncio
import re

import pytest

from chandlery.core.interval import Interval
from chandlery.core.time import HOUR, SECOND
from chandlery.feed.events import Missing, Rejected
from chandlery.feed.strategies import FALL_BACK_AFTER, RESTPollingStrategy, WebSocketStrategy
from chandlery.feed.stream import LiveStream
from chandlery.sim.faults import Fault, FaultKind
from fixtures.candle_feed import QUICK, Heard, Quick, check_whole, tasks_left


class Asked:
    """A clock that notes when it is read by REST: by each request for candles."""

    def __init__(self, sim):
        self.sim = sim

    def spans(self):
        return [
            tuple(int(each) for each in re.search(r"startTime=(\d+)&endTime=(\d+)", path).groups())
            for _, path, _ in self.sim.log
            if "klines" in path
        ]


async def test_polling_follows_the_close(sim_of, feed_of, market):
    """One request for each candle, right after its close and the exchange's delay; each closed candle is there then."""
    sim = await sim_of(clock=Quick(speed=4))
    feed, heard = feed_of(sim)
    times = []

    def note(update):
        if getattr(update, "closed", False):
            times.append(sim.clock() - update.open_time - SECOND)
        heard(update)

    feed._on_update = note
    await feed.start("polling")
    del times[:]
    before = len(Asked(sim).spans())
    await heard.until_closed(8)
    requests = len(Asked(sim).spans()) - before

    assert 7 <= requests <= 9
    delay = feed.group.network.adapter.close_delay
    assert all(delay <= each < delay + SECOND // 2 for each in times[1:])
    check_whole(feed, market, heard)


async def test_polling_a_running_candle_once_a_minute(sim_of, feed_of):
    """Longer candles grow between their closes."""
    # Twenty minutes into an hour, so that none ends meanwhile, which would take two requests more.
    sim = await sim_of(clock=Quick(20 * 60 * SECOND - Quick()() % HOUR, speed=300))
    feed, _ = feed_of(sim, interval="1h", max_records=3)
    await feed.start("polling")
    volume, minute = feed.get_candles()[-1].volume, sim.clock() // (60 * SECOND)
    before = len(Asked(sim).spans())
    async with asyncio.timeout(20):
        while sim.clock() // (60 * SECOND) < minute + 5:
            await asyncio.sleep(0.02)
    minutes = sim.clock() // (60 * SECOND) - minute

    assert abs(len(Asked(sim).spans()) - before - minutes) <= 1
    assert feed.get_candles()[-1].volume != volume


async def test_polling_goes_on_after_failures(sim_of, feed_of, http_of, market):
    """They are told, asked again after growing waits, and nothing is lost."""
    sim = await sim_of()
    feed, heard = feed_of(sim, http=http_of(retry_count=0))
    await feed.start("polling")
    sim.faults.append(Fault(FaultKind.SERVER_ERROR, "klines", 5))
    await heard.until_event(Rejected, 5)
    await heard.until_closed(5)
    assert all("could not be fetched" in each.reason for each in heard.of(Rejected))
    check_whole(feed, market, heard)
    assert [] == heard.of(Missing)


@pytest.mark.parametrize("kind", [RESTPollingStrategy, WebSocketStrategy])
async def test_series_come_and_go(sim_of, network_of, kind):
    """Before and while it runs; and when it is cancelled, nothing is left."""
    sim = await sim_of()
    network = network_of(sim)
    heards = [Heard() for _ in range(3)]
    streams = [
        LiveStream(network, f"C00{at}USDT", Interval.SECOND_1, max_records=5, publish=heard, on_begun=lambda: None)
        for at, heard in enumerate(heards)
    ]
    strategy = kind(network, streams[:1], sleep=sim.clock.sleep, pace=QUICK)
    strategy.add(streams[1])
    strategy.remove(streams[1])
    running = asyncio.create_task(strategy.run())
    await heards[0].until_closed(6)
    strategy.add(streams[2])
    await heards[2].until_closed(6)
    strategy.remove(streams[0])
    told = len(heards[0].updates)
    await heards[2].until_closed(3)

    assert told == len(heards[0].updates)
    assert [] == heards[1].updates
    assert streams[2:] == strategy.streams
    running.cancel()
    await asyncio.wait({running})
    assert [] == tasks_left()
    strategy.add(streams[1])
    assert [] == tasks_left()


def test_when_polling_helps_out():
    """After three connects in vain."""
    assert 3 == FALL_BACK_AFTER
