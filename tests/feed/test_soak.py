"""Many series for long, while everything goes wrong."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import psutil
import pytest
from msgspec import structs

from chandlery.adapter.live import SocketRules
from chandlery.core.candle import CandleData
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND
from chandlery.feed.book_feed import BookGroup, LiveBook
from chandlery.feed.events import Connected, Rejected
from chandlery.feed.seam import CandleSeam
from chandlery.net.clock import system_clock
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import SimServer
from fixtures.candle_feed import FAST, check_whole, tasks_left

_MIB = 1 << 20
PATIENT = structs.replace(FAST, grace_s=1.2)


class Tally:
    """How often each closed candle was told, in which order those get them who want order, and how many events there were."""

    def __init__(self):
        self.closed = Counter()
        self.events = Counter()
        self.in_order = []
        self._ordering = CandleSeam(Interval.SECOND_1, most=100)

    def __call__(self, update):
        told = self._ordering.take([update])
        self.in_order += [each.open_time for each in told if isinstance(each, CandleData) and each.closed]
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
    await asyncio.sleep(3)  # what the last faults cost is fetched meanwhile
    for feed, tally in zip(feeds, tallies, strict=True):
        check_whole(feed, market)
        assert {1} == set(tally.closed.values())
        assert list(range(tally.in_order[0], tally.in_order[-1] + 1, SECOND)) == tally.in_order
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


@asynccontextmanager
async def beside(exchange):
    """The endpoints of an offline exchange in this event loop."""
    async with SimServer(SyntheticMarket(), exchanges=[exchange], tick_s=0.1) as sim:
        yield sim.endpoints[exchange]


@asynccontextmanager
async def apart(exchange):
    """The endpoints of an offline exchange in a process of its own, which takes no time from the feeds."""
    program = "from chandlery.cli import main; main()"
    arguments = (sys.executable, "-c", program, "sim", "--exchange", exchange)
    process = await asyncio.create_subprocess_exec(*arguments, stdout=PIPE, stderr=DEVNULL)
    try:
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        yield json.loads(line)[exchange]
    finally:
        process.terminate()
        await process.wait()


async def books_of(offline, exchange, count, *, seconds, delay_s=0.0):
    """Start so many books and watch them for so long; what became of them."""
    quote = QUOTES.get(exchange.partition("_")[0], "USDT")
    bases = [each.removesuffix("USDT") for each in SyntheticMarket().symbols(MarketType.SPOT) if each.endswith("USDT")]
    async with offline(exchange) as urls, late(urlsplit(urls["ws"]).port, delay_s) as port:
        endpoints = urls | {"ws": urls["ws"].replace(str(urlsplit(urls["ws"]).port), str(port))}
        group = BookGroup(exchange, endpoints={exchange: endpoints})
        changed = Counter()

        def count_books(symbol):
            return lambda update: changed.update([symbol] * isinstance(update, LiveBook))

        feeds = [group.add(f"{base}-{quote}", on_update=count_books(base)) for base in bases[:count]]
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
async def late(port, delay_s):
    """A port before that of the offline exchange that lets connections through so late."""

    async def pipe(reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def let_in(reader, writer):
        await asyncio.sleep(delay_s)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, back), pipe(there, writer), return_exceptions=True)

    server = await asyncio.start_server(let_in, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


THIRTEEN = [
    "ascendex_spot", "binance_spot", "bitstamp_spot", "bybit_spot", "coinbase_spot", "cryptocom_spot", "gate_spot", "htx_spot",
    "hyperliquid_perpetual", "kraken_spot", "kucoin_spot", "mexc_spot", "okx_spot",
]  # fmt: skip


async def test_a_few_books_of_every_exchange_stay_live():
    """Five of each of three exchanges that subscribe in different ways."""
    for exchange in ("htx_spot", "coinbase_spot", "hyperliquid_perpetual"):
        found = await books_of(beside, exchange, 5, seconds=0.1, delay_s=0.05)
        assert (5, 5, 0) == (found["ready"], found["live"], found["failures"])


@pytest.mark.soak
@pytest.mark.timeout(360)
async def test_three_hundred_books_stay_live(capsys):
    """Of thirteen exchanges, for a minute; and the groups that once died at their start."""
    runs = [(exchange, 25, 0.0) for exchange in THIRTEEN]
    runs += [("htx_spot", 11, 0.0), ("ascendex_spot", 51, 0.0), ("hyperliquid_perpetual", 35, 0.0)]
    runs += [("coinbase_spot", 1, delay_s) for delay_s in (0.8, 0.9, 1.0)]
    # An exchange with 25 books takes a sixth of a core, so more at once would starve on two.
    gate = asyncio.Semaphore(6)

    async def one(exchange, count, delay_s):
        async with gate:
            row = await books_of(apart, exchange, count, seconds=60, delay_s=delay_s)
        with capsys.disabled():
            print(f"\n{exchange:24} handshake {delay_s:3.1f} s  {row}", end="", flush=True)  # noqa: T201
        return row

    rows = await asyncio.gather(*(one(*run) for run in runs))

    assert [(row["books"], row["books"], 0) for row in rows] == [
        (row["ready"], row["live"], row["failures"]) for row in rows
    ]
    assert sum(row["books"] for row in rows[:12]) == 300
