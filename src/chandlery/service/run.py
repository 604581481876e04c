"""The service as a process that runs until it is stopped."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from chandlery.clients.settings import Settings
from chandlery.core.endpoints import Endpoints
from chandlery.core.errors import InvalidInput
from chandlery.net.limiter import RateLimiter
from chandlery.service.app import Service
from chandlery.service.settings import ServiceSettings
from chandlery.service.web.application import application
from chandlery.service.web.server import listening, serving

if TYPE_CHECKING:
    from chandlery.sim.server import SimServer

_OFFLINE_TICK_S = 0.1
_OFFLINE_SEED = 7


def offline_exchange() -> SimServer:
    """Run the exchange of ``--offline`` while the context is entered."""
    from chandlery.sim.market import SyntheticMarket  # noqa: PLC0415  # takes 25 MB that only --offline needs
    from chandlery.sim.server import SimServer  # noqa: PLC0415  # the same

    return SimServer(SyntheticMarket(_OFFLINE_SEED), tick_s=_OFFLINE_TICK_S)


@asynccontextmanager
async def running(
    settings: ServiceSettings,
    *,
    library: Settings | None = None,
    endpoints: Endpoints | None = None,
    limiter: RateLimiter | None = None,
) -> AsyncIterator[Service]:
    """
    Serve until the end of the block; ``service.url`` is the address.

    Raises:
        InvalidInput: The settings conflict, offline is combined with endpoints, or the port is in use.
        StorageError: The database cannot be opened.
    """
    settings.check()
    if settings.offline and endpoints:
        raise InvalidInput("use either --offline or --exchange-endpoints, not both")
    async with AsyncExitStack() as stack:
        if settings.offline:
            endpoints = (await stack.enter_async_context(offline_exchange())).endpoints
        bound = listening(settings.host, settings.port)
        stack.callback(bound.close)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = settings.public_url or f"http://{host}:{bound.getsockname()[1]}"
        service = Service(settings, url.rstrip("/"), library=library, endpoints=endpoints, limiter=limiter)
        await stack.enter_async_context(serving(application(service), bound))
        yield service


async def until_stopped(
    settings: ServiceSettings,
    on_ready: Callable[[Service], object],
    on_stop: Callable[[], object] = lambda: None,
    *,
    library: Settings | None = None,
    endpoints: Endpoints | None = None,
) -> None:
    """
    Serve until SIGTERM or SIGINT.

    On the signal, ``on_stop`` is called, open responses end, queued writes are committed and clients are notified.
    """
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    try:
        async with running(settings, library=library, endpoints=endpoints) as service:
            on_ready(service)
            await over.wait()
            on_stop()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
