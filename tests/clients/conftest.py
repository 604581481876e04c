"""Settings under which everything is reached at an offline exchange."""

from __future__ import annotations

import pytest

from chandlery.clients.settings import CCXTConfig, Settings, StorageConfig
from fixtures.offline import last, limiter, offline

__all__ = ["last", "limiter", "offline", "settings_of"]


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
