"""The service, with an exchange of a third party beside the offline one, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from fastapi import FastAPI
from service_feed import EXCHANGE, SETTLE_S, SYMBOL, book, paced, update

from chandlery import IExchangeAPIClient
from chandlery.clients.streaming import RealtimeStream, deliver
from chandlery.core.series_id import SeriesId
from chandlery.service.app import Service
from chandlery.service.collection.broadcaster import Broadcaster, Update
from chandlery.service.settings import ServiceSettings
from chandlery.service.web.application import application
from chandlery.service.web.server import listening, serving

_BOOK, _CANDLES = SeriesId.of_book(EXCHANGE, SYMBOL), SeriesId.parse(EXCHANGE, SYMBOL, "candles:1m")


class Plugin(IExchangeAPIClient):
    """An exchange whose books come at the ``rate`` of each coin that is set; until then it is silent."""

    family = "third"

    def __init__(self) -> None:
        self.rate = 0.0
        self.until = 0.0
        self.begun = asyncio.Event()

    def get_exchange_name(self) -> str:
        """A name that no other has."""
        return EXCHANGE

    async def fetch_historical_data(
        self, coin: str, start: datetime, end: datetime, interval: Any = "1m"
    ) -> list[dict[str, Any]]:
        """Nothing was."""
        return []

    async def check_coin_availability(self, coin: str) -> bool:
        """Every coin is."""
        return True

    async def start_realtime_stream(
        self, coin: str, callback: Any, *, channel: str = "candles", **options: object
    ) -> RealtimeStream:
        """Books, each of the moment that ``sent`` says, in seconds of the monotonic clock."""
        latest = book(0, coin)

        async def run() -> None:
            nonlocal latest
            while True:
                await self.begun.wait()
                number, began = 0, time.monotonic()
                while (due := began + number / self.rate) < self.until:
                    await asyncio.sleep(max(due - time.monotonic(), 0))
                    while (due := began + number / self.rate) <= time.monotonic():
                        latest = book(number, coin)
                        latest["sent"] = due
                        await deliver(callback, coin, latest)
                        number += 1
                await asyncio.sleep(1)

        async def silent() -> None:
            await asyncio.Event().wait()

        return RealtimeStream(
            f"{coin} {channel}", run() if channel == "book" else silent(), book=lambda _: latest | {"sent": None}
        )

    async def close(self) -> None:
        """Nothing is open."""


class Lags:
    """How late each update was published."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def take(self, update: Update) -> None:
        """Note it."""
        self.seconds.append(time.monotonic() - update.content["sent"])


def with_controls(app: FastAPI, service: Service, plugin: Plugin) -> None:
    """Doors by which the benchmark says what is to be measured."""

    @app.post("/bench/feed")
    async def feed(rate: float, seconds: float) -> dict[str, float]:
        began, published = time.process_time(), 0
        async for number in paced(rate, seconds):
            channel, row = update(number)
            series, kind = (_BOOK, "book") if channel == "book" else (_CANDLES, "closed")
            service.broadcaster.publish(Update(series, kind, row))
            published += 1
        await asyncio.sleep(SETTLE_S)
        return {"cpu": time.process_time() - began, "published": published}

    @app.post("/bench/ingest")
    async def ingest(rate: float, seconds: float, coins: int) -> dict[str, float]:
        symbols = [f"C{number}/USDT" for number in range(coins)]
        await asyncio.gather(*(service.collection.add_coin(each, EXCHANGE, ["book"]) for each in symbols))
        lags = Lags()
        _subscribe(service.broadcaster, symbols, lags)
        kept = await _snapshots(service, symbols)
        began, busy = time.monotonic(), time.process_time()
        plugin.rate, plugin.until = rate / coins, began + seconds
        plugin.begun.set()
        await asyncio.sleep(seconds)
        plugin.begun.clear()
        busy, took = time.process_time() - busy, time.monotonic() - began
        await asyncio.sleep(SETTLE_S)
        median, late, worst = np.percentile(lags.seconds, [50, 99, 100])
        return {
            "handled": len(lags.seconds) / took,
            "median": median,
            "p99": late,
            "worst": worst,
            "busy": busy / took,
            "snapshots": await _snapshots(service, symbols) - kept,
        }


def _subscribe(broadcaster: Broadcaster, symbols: Sequence[str], lags: Lags) -> None:
    for symbol in symbols:
        broadcaster.subscribe(SeriesId.of_book(EXCHANGE, symbol), lags)


async def _snapshots(service: Service, symbols: Sequence[str]) -> int:
    """How many snapshots are kept."""
    now = service.clock()
    kept = await asyncio.gather(
        *(
            service.storage.get_raw_data_range(each, now - 3_600_000_000, now + 1, 10_000, exchange=EXCHANGE)
            for each in symbols
        )
    )
    return sum(map(len, kept))


async def main() -> None:
    """Serve until nobody holds the standard input any more."""
    endpoints = json.loads(sys.argv[1])
    bound = listening("127.0.0.1", 0)
    port = bound.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="chandlery-bench-", dir=sys.argv[2]) as folder:
        settings = ServiceSettings(_env_file=None, data_dir=Path(folder), snapshot_interval="1s", no_auth=True)
        service = Service(settings, f"http://127.0.0.1:{port}", endpoints=endpoints)
        plugin = Plugin()
        service.connector.registry.add_plugin(plugin)
        app = application(service)
        with_controls(app, service, plugin)
        async with serving(app, bound):
            print(port, flush=True)
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
