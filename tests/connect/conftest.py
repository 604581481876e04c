"""An offline exchange, and settings under which everything is reached there."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from chandlery.connect.ccxt_client import CCXTExchangeClient
from chandlery.connect.facade import ExchangeManager
from chandlery.connect.settings import CCXTConfig, Settings, StorageConfig
from chandlery.core.interval import Interval
from chandlery.core.time import to_datetime
from chandlery.feed.backoff import PACE
from chandlery.net.limiter import RateLimiter
from chandlery.sim.server import SimServer, running
from connecting import ACCOUNT, OTHER_ACCOUNT, ccxt_settings, config_of, held
from facing import MARKET


@pytest.fixture
def limiter(tmp_path):
    """A limiter of this test alone."""
    return RateLimiter(tmp_path / "limits")


@pytest.fixture
def settings_of(tmp_path):
    """Settings that know the addresses of an offline exchange, and nothing of this machine's environment."""

    def made(sim, **ccxt):
        return Settings(
            _env_file=None,
            env_file=None,
            endpoints=sim.endpoints,
            storage=StorageConfig(_env_file=None, cache_dir=tmp_path / "cache"),
            ccxt=CCXTConfig(_env_file=None, **ccxt),
        )

    return made


@pytest.fixture
def offline():
    """Opens offline exchanges on which it is the time that it is."""

    @asynccontextmanager
    async def opened(*exchanges, faults=(), market=MARKET, **options):
        async with SimServer(market, exchanges=exchanges or None, faults=faults, **{"tick_s": 0.1, **options}) as sim:
            yield sim

    return opened


@pytest.fixture
def last():
    """The last so many whole candles before a moment, as datetimes: start and end."""

    def span(count, clock, interval=Interval.MINUTE_1):
        end = interval.step(interval.floor(clock()), -1)
        return to_datetime(interval.step(end, -count)), to_datetime(end)

    return span


@pytest.fixture(scope="session")
def shared_sim():
    """One offline exchange for all that changes nothing on it; two accounts at Binance."""
    with running(MARKET, accounts=[ACCOUNT, OTHER_ACCOUNT]) as sim:
        yield sim


@pytest.fixture
def em(shared_sim, tmp_path, limiter):
    """Makes exchange managers that reach the offline exchange, and closes them afterwards."""
    made = []

    def manager(kind=ExchangeManager, *args, sim=shared_sim, testnet_sim=None, ccxt=None, **options):
        settings = ccxt_settings(sim, tmp_path, testnet_sim=testnet_sim, **(ccxt or {}))
        made.append(kind(*args, **{"settings": settings, "limiter": limiter, "request_pause": 0, **options}))
        return made[-1]

    yield manager
    for each in made:
        each.close()


@pytest.fixture
def client_of(limiter):
    """Opens clients of an offline exchange."""

    @asynccontextmanager
    async def opened(sim, exchange, *, credentials=None, pace=PACE, **options):
        config = config_of(sim, exchange, **options)
        async with CCXTExchangeClient(
            config, held(exchange)["class"], credentials=credentials, limiter=limiter, clock=sim.clock, pace=pace
        ) as client:
            yield client

    return opened
