"""The offline exchange in a process of its own, so that what it costs is not measured with what asks it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache

from chandlery.core.moment import to_micros

SYMBOL, INTERVAL = "BTCUSDT", "1m"
NOW = datetime(2025, 2, 1, tzinfo=UTC)
"""What time it is there; all that is asked for is in the archive by then."""

DISTANT, LATENCY_S = "BTCFDUSD", 0.02
"""The archive of one symbol answers late, as a distant server does."""

Endpoints = dict[str, dict[str, str]]


def clock() -> int:
    """What time it is there."""
    return to_micros(NOW)


def days(start: date, end: date) -> list[date]:
    """The days of ``[start, end)``."""
    return [start + timedelta(each) for each in range((end - start).days)]


def urls(endpoints: Endpoints, start: date, end: date, symbol: str = SYMBOL) -> list[str]:
    """The daily files of ``[start, end)``."""
    folder = f"{endpoints['binance_spot']['archive']}/data/spot/daily/klines/{symbol}/{INTERVAL}"
    return [f"{folder}/{symbol}-{INTERVAL}-{day}.zip" for day in days(start, end)]


def monthly_url(endpoints: Endpoints, month: date) -> str:
    """The file of a month."""
    folder = f"{endpoints['binance_spot']['archive']}/data/spot/monthly/klines/{SYMBOL}/{INTERVAL}"
    return f"{folder}/{SYMBOL}-{INTERVAL}-{month:%Y-%m}.zip"


def warm_up(addresses: list[str]) -> None:
    """Ask for each once: files are made when they are first asked for."""
    for address in addresses:
        with urllib.request.urlopen(address, timeout=60) as answer:
            answer.read()


@contextmanager
def served() -> Iterator[Endpoints]:
    """Where the exchange is; it ends with the block."""
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(30)


async def _serve() -> None:
    from chandlery.core.instrument import MarketType
    from chandlery.sim.faults import Fault, FaultKind
    from chandlery.sim.market import SyntheticMarket
    from chandlery.sim.server import SimServer

    faults = [Fault(FaultKind.SLOW, f"/{DISTANT}/", times=None, seconds=LATENCY_S)]
    market = SyntheticMarket(7, symbols={MarketType.SPOT: (SYMBOL, DISTANT)})
    server = SimServer(market, clock=clock, weight_limit=1_000_000_000, tick_s=None, faults=faults)
    # Files do not change while the clock stands still; making one anew for each question would be measured too.
    archive = server._archive  # noqa: SLF001  # the reason above
    answer = cache(lambda path, of=archive.answer: of(path, {}))
    archive.answer = lambda path, _query: answer(path)
    async with server:
        print(json.dumps(server.endpoints), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
