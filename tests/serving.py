"""The service on a real socket of this machine, over an offline exchange."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager

import aiohttp

from chandlery.clients.settings import CCXTConfig, Settings, StorageConfig
from chandlery.core.time import SECOND
from chandlery.net.clock import system_clock
from chandlery.net.limiter import RateLimiter
from chandlery.service.app import Service
from chandlery.service.settings import ServiceSettings
from chandlery.service.web.application import application
from chandlery.service.web.server import listening, serving
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import SimServer

MARKET = SyntheticMarket(7)
TIMEOUT_S = 40


def bound_socket():
    """A socket on a free port, and its URL."""
    bound = listening("127.0.0.1", 0)
    return bound, f"http://127.0.0.1:{bound.getsockname()[1]}"


def offline(*exchanges, **options):
    """An offline exchange on which it is the time that it is."""
    return SimServer(MARKET, exchanges=exchanges or ("binance_spot", "binance_perpetual"), tick_s=0.05, **options)


class FastClock:
    """A clock from ``now`` on, ``speed`` times as fast as that of the wall, and a sleep that follows it."""

    def __init__(self, now, speed):
        self._now = now
        self._speed = speed
        self._begun = time.monotonic()

    def __call__(self):
        return self._now + int((time.monotonic() - self._begun) * self._speed * SECOND)

    async def sleep(self, seconds):
        """Wait on this clock."""
        await asyncio.sleep(seconds / self._speed)


def library_settings(tmp_path, ccxt=None):
    """The library's settings, nothing of which comes from this machine's environment."""
    return Settings(
        _env_file=None,
        env_file=None,
        storage=StorageConfig(_env_file=None, cache_dir=tmp_path / "cache"),
        ccxt=ccxt or CCXTConfig(_env_file=None),
    )


def service_of(sim, tmp_path, url="http://127.0.0.1:1", **options):
    """A service over an offline exchange, not opened yet, which stores a book a second."""
    return service_with(sim, tmp_path, url, **({"snapshot_interval": "1s", "coalesce_ms": 1} | options))


def service_with(
    sim,
    tmp_path,
    url="http://127.0.0.1:1",
    *,
    hashes=None,
    clock=system_clock,
    sleep=asyncio.sleep,
    ccxt=None,
    **settings,
):
    """The same with nothing set but what a test machine needs, ``ccxt`` as the library's settings have it, and ``settings``."""
    return Service(
        ServiceSettings(_env_file=None, data_dir=tmp_path / "data", **({"no_auth": True} | settings)),
        url,
        library=library_settings(tmp_path, ccxt),
        endpoints=sim.endpoints,
        clock=clock,
        sleep=sleep,
        limiter=RateLimiter(tmp_path / "limits"),
        hashes=hashes,
    )


@asynccontextmanager
async def served(sim, tmp_path, **options):
    """A running service, and a session of a client."""
    bound, url = bound_socket()
    service = service_of(sim, tmp_path, url, **options)
    async with serving(application(service), bound), aiohttp.ClientSession(url) as session:
        yield service, session


class Client:
    """A client of the socket that remembers all it was told."""

    def __init__(self, socket):
        self.socket = socket
        self.told = []

    async def say(self, kind, **content):
        """Send a message."""
        await self.socket.send_json({"type": kind, **content})

    async def next(self):
        """The next message; a binary one under ``arrow``, the end under ``closed``."""
        async with asyncio.timeout(TIMEOUT_S):
            message = await self.socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            self.told.append(json.loads(message.data))
        elif message.type is aiohttp.WSMsgType.BINARY:
            self.told.append({"type": "binary", "arrow": message.data})
        else:
            self.told.append({"type": "closed", "code": self.socket.close_code})
        return self.told[-1]

    async def until(self, kind, test=lambda _: True):
        """The next message of a kind that passes."""
        while True:
            message = await self.next()
            if message["type"] == kind and test(message):
                return message
            assert message["type"] != "closed" or kind == "closed", self.told[-3:]

    def of(self, kind):
        """What it was told of a kind."""
        return [each for each in self.told if each["type"] == kind]


@asynccontextmanager
async def connected(session, **options):
    """A client of the socket."""
    async with session.ws_connect("/v1/ws", max_msg_size=0, **options) as socket:
        yield Client(socket)


async def until(condition, timeout_s=TIMEOUT_S):
    """Wait until something is so."""
    async with asyncio.timeout(timeout_s):
        while not (found := condition()):
            await asyncio.sleep(0.02)  # conditions are of any kind
    return found
