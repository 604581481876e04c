"""Many series for long, while everything goes wrong."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress

import psutil
import pytest
from msgspec import structs

from chandlery.adapter.live import SocketRules
from chandlery.core.candle import CandleData
from chandlery.feed.book_feed import BookGroup, LiveBook
from chandlery.feed.events import Connected, Rejected
from chandlery.net.clock import system_clock
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.server import SimServer
from feeding import FAST, check_whole, everywhere, tasks_left

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


QUOTES = {"coinbase": "USD", "kraken": "USD", "hyperliquid": "USDC"}


async def books_of(exchange, count, *, seconds, delay_s=0.0, tick_s=1.0):
    """Start so many books and watch them for so long; what became of them."""
    quote = QUOTES.get(exchange.partition("_")[0], "USDT")
    async with SimServer(everywhere(60), exchanges=[exchange], tick_s=tick_s) as sim, late(sim, delay_s) as port:
        endpoints = dict(sim.endpoints[exchange])
        endpoints["ws"] = endpoints["ws"].replace(str(sim.port), str(port))
        group = BookGroup(exchange, endpoints={exchange: endpoints})
        changed = Counter()

        def count_books(symbol):
            return lambda update: changed.update([symbol] * isinstance(update, LiveBook))

        feeds = [group.add(f"C{number:03}-{quote}", on_update=count_books(number)) for number in range(count)]
        began = time.monotonic()
        await group.start(timeout_s=60)
        started_s = time.monotonic() - began
        await asyncio.sleep(seconds)
        changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                while len(changed) < count:
                    await asyncio.sleep(0.1)
        found = {
            "books": len(feeds),
            "started_s": round(started_s, 1),
            "ready": sum(feed.ready for feed in feeds),
            "live": len(changed),
            "failures": sum(feed.failures for feed in feeds),
            "resyncs": sum(feed.audit.resyncs for feed in feeds),
        }
        await group.stop()
    return found


@asynccontextmanager
async def late(sim, delay_s):
    """A port before the offline exchange that lets connections through so late."""

    async def pipe(reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def let_in(reader, writer):
        await asyncio.sleep(delay_s)
        there, back = await asyncio.open_connection("127.0.0.1", sim.port)
        await asyncio.gather(pipe(reader, back), pipe(there, writer), return_exceptions=True)

    server = await asyncio.start_server(let_in, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


TWELVE = [
    "ascendex_spot", "binance_spot", "bybit_spot", "coinbase_spot", "cryptocom_spot", "gate_spot", "htx_spot",
    "hyperliquid_perpetual", "kraken_spot", "kucoin_spot", "mexc_spot", "okx_spot",
]  # fmt: skip


async def test_a_few_books_of_every_exchange_stay_live():
    """Five of each of three exchanges that subscribe in different ways."""
    for exchange in ("htx_spot", "coinbase_spot", "hyperliquid_perpetual"):
        found = await books_of(exchange, 5, seconds=0.1, delay_s=0.05, tick_s=0.1)
        assert (5, 5, 0) == (found["ready"], found["live"], found["failures"])


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_three_hundred_books_stay_live(capsys):
    """Of twelve exchanges, for a minute; and the groups that once died at their start."""
    runs = [(exchange, 25, 0.0) for exchange in TWELVE]
    runs += [("htx_spot", 11, 0.0), ("ascendex_spot", 51, 0.0), ("hyperliquid_perpetual", 35, 0.0)]
    runs += [("coinbase_spot", 1, delay_s) for delay_s in (0.8, 0.9, 1.0)]
    gate = asyncio.Semaphore(2)

    async def one(exchange, count, delay_s):
        async with gate:
            return exchange, delay_s, await books_of(exchange, count, seconds=60, delay_s=delay_s)

    found = await asyncio.gather(*(one(*run) for run in runs))
    with capsys.disabled():
        for exchange, delay_s, row in found:
            print(f"\n{exchange:24} handshake {delay_s:3.1f} s  {row}", end="")  # noqa: T201

    assert [(row["books"], row["books"], 0) for _, _, row in found] == [
        (row["ready"], row["live"], row["failures"]) for _, _, row in found
    ]
    assert sum(row["books"] for _, _, row in found[:12]) == 300
