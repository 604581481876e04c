"""An offline exchange for all statements that change nothing on it, and settings that reach nothing else."""

from __future__ import annotations

import pytest

from chandlery.ccxt_bridge.facade import ExchangeManager
from chandlery.clients.settings import Settings, StorageConfig
from chandlery.net.limiter import RateLimiter
from chandlery.sim.server import running
from fixtures.ccxt_accounts import ACCOUNT, ccxt_settings, config_of
from fixtures.offline_adapter import MARKET


@pytest.fixture(scope="session")
def exchange():
    """One on which it is the time that it is."""
    with running(MARKET, accounts=[ACCOUNT]) as sim:
        yield sim


@pytest.fixture(scope="session")
def limits(tmp_path_factory):
    """A limiter for all."""
    return RateLimiter(tmp_path_factory.mktemp("limits"))


@pytest.fixture
def settings(exchange, tmp_path):
    """Settings of the library, under which our clients and ccxt's reach that exchange as Binance."""
    return Settings(
        _env_file=None,
        env_file=None,
        endpoints=exchange.endpoints,
        storage=StorageConfig(_env_file=None, cache_dir=tmp_path / "cache"),
        ccxt=config_of(exchange, "binance_spot"),
    )


@pytest.fixture
def em(exchange, tmp_path, limits):
    """Makes exchange managers that reach it, and closes them afterwards."""
    made = []

    def manager(*arguments, kind=ExchangeManager, ccxt=None, **options):
        options = {"settings": ccxt_settings(exchange, tmp_path, **(ccxt or {})), "limiter": limits} | options
        made.append(kind(*arguments, **options))
        return made[-1]

    yield manager
    for each in made:
        each.close()
