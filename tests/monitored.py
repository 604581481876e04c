"""A service, and an offline exchange with a coin that trades seldom, each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from chandlery.core.instrument import MarketType
from chandlery.core.time import MINUTE
from chandlery.service.web.application import application
from chandlery.service.web.server import serving
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import SimServer
from loop_monitor import MonitoredLoop
from serving import bound_socket, service_of

START_TIMEOUT_S = 240


class ThinMarket(SyntheticMarket):
    """A market in whose coin THIN nobody trades in every fifth minute."""

    def _minutes(self, market_type, symbol, span):
        """Without those minutes, in whatever form they are asked for."""
        known = super()._minutes(market_type, symbol, span)
        if "THIN" not in symbol:
            return known
        traded = np.flatnonzero(known["open_time"] // MINUTE % 5 != 4)
        return {name: values[traded] for name, values in known.items()}


async def _exchange():
    """Serve the market until killed."""
    market = ThinMarket(7, symbols={MarketType.SPOT: ("BTCUSDT", "THINUSDT")})
    async with SimServer(market, exchanges=["binance_spot", "kucoin_spot"], tick_s=None) as sim:
        print(json.dumps(sim.endpoints), flush=True)  # noqa: T201  # what the parent reads
        await asyncio.Event().wait()


async def _service(endpoints, folder):
    """Serve until killed; at each line of input, tell the longest callbacks since the last."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    bound, url = bound_socket()
    service = service_of(SimpleNamespace(endpoints=json.loads(endpoints)), Path(folder), url)
    async with serving(application(service), bound):
        print(url, flush=True)  # noqa: T201
        while await lines.readline():
            print(json.dumps(loop.slowest.most_common(3)), flush=True)  # noqa: T201
            loop.slowest.clear()


class Monitored:
    """A running service on a monitored loop."""

    def __init__(self, child, url):
        self.url = url
        self._child = child

    async def slowest(self):
        """The longest callbacks since this was last asked, by what ran, in seconds."""
        self._child.stdin.write(b"\n")
        async with asyncio.timeout(START_TIMEOUT_S):
            return json.loads(await self._child.stdout.readline())


@asynccontextmanager
async def monitored_service(folder):
    """A service over the offline exchange, neither of which takes processor time from the other's loop."""
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(_process("exchange"))
        endpoints = (await _line(exchange)).decode()
        service = await stack.enter_async_context(_process("service", endpoints, str(folder)))
        yield Monitored(service, (await _line(service)).decode().strip())


async def _line(child):
    async with asyncio.timeout(START_TIMEOUT_S):
        line = await child.stdout.readline()
    assert line, "it has ended; its output says why"
    return line


@asynccontextmanager
async def _process(*args):
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, *args, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        child._transport.close()


if __name__ == "__main__":
    part, *given = sys.argv[1:]
    if part == "exchange":
        asyncio.run(_exchange())
    else:
        with asyncio.Runner(loop_factory=MonitoredLoop) as runner:
            runner.run(_service(*given))
