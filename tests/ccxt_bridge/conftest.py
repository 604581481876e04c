"""ccxt's clients and exchange managers, which reach an offline exchange."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from chandlery.ccxt_bridge.client import CCXTExchangeClient
from chandlery.ccxt_bridge.facade import ExchangeManager
from chandlery.feed.backoff import PACE
from chandlery.sim.server import running
from fixtures.ccxt_accounts import ACCOUNT, OTHER_ACCOUNT, ccxt_settings, config_of, held
from fixtures.offline import last, limiter, offline
from fixtures.offline_adapter import MARKET

__all__ = ["client_of", "em", "last", "limiter", "offline", "shared_sim"]


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
