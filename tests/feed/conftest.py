"""Offline exchanges, and feeds of them that lose no time."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import pytest_asyncio

from chandlery.adapter.live import Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.http import RateLimit
from chandlery.core.time import SECOND
from chandlery.feed.candles_feed import FeedGroup
from chandlery.feed.network import NetworkClient
from chandlery.feed.reconnect import PersistentConnection
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.sim import SimServer
from fixtures.candle_feed import FAST, QUICK, SPOT, Heard, Quick, Receiver, Tenth, tasks_left
from fixtures.support import listing

_numbers = itertools.count()


@pytest.fixture
def market():
    return listing("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT", *(f"C{number:03}USDT" for number in range(201)))


@pytest_asyncio.fixture
async def sim_of(market):
    """Makes offline exchanges whose time flies."""
    servers = []

    async def make(*faults, exchanges=(SPOT,), tick_s=0.01, market=market, clock=None, **options):
        clock = clock or Quick()
        server = SimServer(
            market, exchanges=exchanges, faults=faults, tick_s=tick_s, clock=clock, weight_limit=10**9, **options
        )
        servers.append(await server.__aenter__())
        return server

    yield make
    for server in servers:
        await server.__aexit__(None, None, None)


@pytest.fixture
def adapter_of():
    """Registers variants of an adapter, and forgets them after the test."""
    made = []

    def make(base=SPOT, **declared):
        kind = ExchangeRegistry.get(base)
        fields = {"close_delay": SECOND // 20, "limits": (RateLimit(10**6, 60),)} | declared
        name = f"test_{next(_numbers)}"
        made.append(name)
        return ExchangeRegistry.register(name)(type(f"Test{name}", (kind,), fields))

    yield make
    for name in made:
        ExchangeRegistry._adapters.pop(name)


@pytest_asyncio.fixture
async def http_of(tmp_path):
    """Makes HTTP clients whose limits are those of the test."""
    made = []

    def make(**options):
        made.append(HttpClient(limiter=RateLimiter(tmp_path / "limits"), **options))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest_asyncio.fixture
async def group_of(adapter_of, http_of):
    """Makes groups for an offline exchange, of an adapter that is the exchange's own but for what is said."""
    groups = []

    def make(sim, *, base=SPOT, adapter=None, **options):
        adapter = adapter or adapter_of(base)
        quick = {"clock": sim.clock, "sleep": sim.clock.sleep, "pace": QUICK} if isinstance(sim.clock, Quick) else {}
        options = {"pace": FAST} | quick | options
        http = options.pop("http", None) or http_of()
        endpoints = {adapter.id: sim.endpoints[base]}
        groups.append(FeedGroup(adapter.id, endpoints=endpoints, http=http, **options))
        return groups[-1]

    yield make
    for group in groups:
        await group.stop()


@pytest.fixture
def feed_of(group_of):
    """Makes a feed of BTC-USDT, in a group of its own, and what hears its updates."""

    def make(sim, pair="BTC-USDT", interval="1s", max_records=20, **options):
        heard = Heard()
        group = group_of(sim, **options)
        return group.add(pair, interval, max_records, on_update=heard), heard

    return make


@pytest_asyncio.fixture
async def network_of(adapter_of, http_of, tmp_path):
    """Makes clients of an offline exchange."""
    made = []

    def make(sim, adapter=None, **options):
        adapter = (adapter or adapter_of())(sim.endpoints[SPOT])
        options = {"http": http_of(retry_count=0), "clock": sim.clock} | options
        made.append(NetworkClient(adapter, limiter=RateLimiter(tmp_path / "limits"), **options))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest_asyncio.fixture
async def connection_of(adapter_of, http_of, tmp_path):
    """Makes connections of an offline exchange, and what hears them."""
    running = []

    def make(sim, *, adapter=None, count=1, **options):
        adapter = (adapter or adapter_of())(sim.endpoints[SPOT])
        network = NetworkClient(adapter, http=http_of(), limiter=RateLimiter(tmp_path / "limits"))
        receiver, waits = Receiver(adapter, count), Tenth()
        options = {"sleep": waits, "random": lambda: 1.0, "pace": FAST} | options
        connection = PersistentConnection(network, Channel.CANDLES, receiver, **options)
        running.append(asyncio.create_task(connection.run()))
        return connection, receiver, waits

    yield make
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert [] == tasks_left()
