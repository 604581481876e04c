"""A service over an offline exchange, and the official client of the protocol."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import pytest

from chandlery.core.time import SECOND
from chandlery.net.clock import system_clock
from chandlery.service.app import Service
from chandlery.service.settings import ServiceSettings
from chandlery.service.web.application import application
from chandlery.service.web.server import listening, serving
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import SimServer
from fixtures.mcp_client import model_of
from fixtures.service_accounts import quick_hashes

HASHES = quick_hashes()


class Later:
    """The time of this machine, moved on."""

    def __init__(self):
        self.seconds = 0

    def __call__(self):
        return system_clock() + self.seconds * SECOND


@pytest.fixture
async def sim():
    """The offline exchange."""
    async with SimServer(SyntheticMarket(7), exchanges=["binance_spot"], tick_s=0.1) as server:
        yield server


@pytest.fixture
async def start(sim, tmp_path):
    """Starts a service: its URL, its parts, its server and its clock."""
    async with AsyncExitStack() as stack:

        async def started(*, no_auth=False):
            bound = listening("127.0.0.1", 0)
            url = f"http://127.0.0.1:{bound.getsockname()[1]}"
            settings = ServiceSettings(_env_file=None, data_dir=tmp_path, no_auth=no_auth)
            clock = Later()
            service = Service(settings, url, endpoints=sim.endpoints, clock=clock, hashes=HASHES)
            server = await stack.enter_async_context(serving(application(service), bound))
            return SimpleNamespace(url=url, service=service, server=server, clock=clock, accounts=service.accounts)

        yield started


@pytest.fixture
def connected():
    """Connects the official client of an account with those scopes; it finds out by itself where its token is had."""

    @asynccontextmanager
    async def connect(running, *scopes, mode="auto"):
        async with model_of(running.accounts, running.url, *scopes, mode=mode) as client:
            yield client

    return connect
