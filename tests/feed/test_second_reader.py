"""Second reads in the background of an offline exchange."""

from __future__ import annotations

import asyncio

from chandlery.core.candle import CandleData
from chandlery.core.http import RateLimit
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.feed.events import Rejected
from chandlery.feed.second_reader import SecondReader
from chandlery.feed.stream import LiveStream
from chandlery.sim.faults import Fault, FaultKind
from fixtures.candle_feed import FAST, Heard, Stopped
from fixtures.support import micros

START = micros(2025, 3, 12)


def series(network, *symbols):
    """Series of minutes, and what hears them."""
    heard = [Heard() for _ in symbols]
    made = [
        LiveStream(network, symbol, Interval.MINUTE_1, max_records=5, publish=each, on_begun=lambda: None)
        for symbol, each in zip(symbols, heard, strict=True)
    ]
    return made, heard


def close(stream, place):
    """Have a clock close a candle of that minute."""
    stream.provisional.put(CandleData(START + place * MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0))


def asked(sim):
    """The symbols that were asked for, in order."""
    return [path.partition("symbol=")[2].partition("&")[0] for _, path, _ in sim.log if "klines" in path]


async def running(reader, condition):
    """Run until it holds."""
    task = asyncio.create_task(reader.run())
    try:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_longest_due_comes_first_and_all_due_at_once(sim_of, network_of):
    """One request a series, whatever is due of it; what is not due waits."""
    clock = Stopped(START + 10 * MINUTE)
    sim = await sim_of(clock=clock)
    network = network_of(sim)
    streams, _ = series(network, "AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT")
    reader = SecondReader(network, pace=FAST)
    for stream, places in zip(streams, ((4, 5, 6), (2,), (3, 7), (9,)), strict=True):
        reader.add(stream)
        for each in places:
            close(stream, each)
    assert (6, 355.0) == (reader.counts["due"], reader.counts["behind_s"])
    await running(reader, lambda: reader.counts["proved"] == 6)

    assert ["BBBUSDT", "CCCUSDT", "AAAUSDT"] == asked(sim)
    expected = {"requests": 3, "restated": 6, "waiting": 1, "due": 0, "behind_s": 0.0}
    assert expected == {name: reader.counts[name] for name in expected}
    reader.remove(streams[0])
    assert 6 == reader.counts["proved"]


async def test_a_read_that_fails_is_repeated(sim_of, network_of):
    """It is told, and the other series are read meanwhile."""
    clock = Stopped(START + 10 * MINUTE)
    sim = await sim_of(Fault(FaultKind.SERVER_ERROR, "AAAUSDT", 1), clock=clock)
    network = network_of(sim)
    streams, heard = series(network, "AAAUSDT", "BBBUSDT")
    reader = SecondReader(network, pace=FAST, random=lambda: 0.0)
    for place, stream in enumerate(streams):
        reader.add(stream)
        close(stream, place)
    await running(reader, lambda: reader.counts["proved"] == 1)
    assert ["AAAUSDT", "BBBUSDT"] == asked(sim)
    assert "could not be read again" in heard[0].of(Rejected)[0].reason
    assert 1 == reader.counts["repeated"]
    clock.now += 10 * MINUTE
    await running(reader, lambda: reader.counts["proved"] == 2)

    assert "AAAUSDT" == asked(sim)[-1]


async def test_nothing_waits_for_second_reads(sim_of, network_of, adapter_of):
    """Where their third of the weight is used up they wait, and other requests do not."""
    clock = Stopped(START + 10 * MINUTE)
    sim = await sim_of(clock=clock)
    network = network_of(sim, adapter_of(limits=(RateLimit(18, 3600),)))
    await network.now()
    streams, _ = series(network, *(f"C{number:03}USDT" for number in range(9)))
    reader = SecondReader(network, pace=FAST)
    for stream in streams:
        reader.add(stream)
        close(stream, 1)
    task = asyncio.create_task(reader.run())
    async with asyncio.timeout(10):
        while network.second_reads < 3:
            await asyncio.sleep(0.01)
        for stream in streams[:4]:
            await stream.refresh()
    task.cancel()
    await asyncio.wait({task})

    assert 3 == network.second_reads
    assert 6 == reader.counts["due"]
