"""
Makes the cache and the database beside it, with chandlery 0.1 (commit 53a3352): run it there, not here.

They hold an offline exchange's market, since 0.1 did not record who filled them. Of BTCUSDT 1h:
2024-01-01 by archive, 2024-01-02 by archive with a halt that REST answered for, 2024-01-03 half by
REST and half by archive, 2024-01-04 by REST. Of BTCUSDT 3d, on a grid that Binance does not have: one file, and
one with the candle that Binance opens on 2024-01-07, stored as closed on 2024-01-09, while it was running.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from chandlery import DataSource, DataSourceManager
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import HOUR
from chandlery.sim import SyntheticMarket, running
from chandlery.storage.books import RawDataRepositoryImpl
from chandlery.storage.candles import CandleRepository
from chandlery.storage.control import CoinRepository, CollectedCoin, GapRepository
from chandlery.storage.raw import BookSnapshot, RawOrderBookEntry
from chandlery.storage.series_ids import SeriesName
from chandlery.storage.sqlite import SqliteDatabase

HERE = Path(__file__).parent
NOW = datetime(2024, 1, 8, tzinfo=UTC)
HALT = Span(to_micros(datetime(2024, 1, 2, 10, tzinfo=UTC)), to_micros(datetime(2024, 1, 2, 12, tzinfo=UTC)))


def at(day: int, hour: int = 0) -> datetime:
    """A moment of January 2024."""
    return datetime(2024, 1, day, hour, tzinfo=UTC)


def make_cache() -> None:
    """Four days of hours, and one candle of three days."""
    shutil.rmtree(HERE / "cache", ignore_errors=True)
    clock = lambda: to_micros(NOW)  # noqa: E731
    with (
        running(SyntheticMarket(7, halts=[HALT]), exchanges=["binance_spot"], clock=clock, tick_s=None) as sim,
        DataSourceManager(cache_dir=HERE / "cache", endpoints=sim.endpoints, clock=clock) as manager,
    ):
        for first, last, interval, source in (
            (at(1), at(3), "1h", DataSource.AUTO),
            (at(3, 12), at(4), "1h", DataSource.VISION),
            (at(3), at(3, 12), "1h", DataSource.REST),
            (at(4), at(5), "1h", DataSource.REST),
            (at(2), at(5), "3d", DataSource.REST),
        ):
            frame = manager.get_data("BTCUSDT", first, last, interval, enforce_source=source)
            print(interval, len(frame), frame.attrs["chandlery"].spans, frame.attrs["chandlery"].gaps)  # noqa: T201


class Running(BaseHTTPRequestHandler):
    """Binance's REST, as far as it has the one candle that runs."""

    def do_GET(self) -> None:
        """The candle, or the time."""
        opened = int(at(7).timestamp() * 1000)
        row = [opened, "7.0", "7.0", "7.0", "7.0", "7.0", opened + 3 * 86_400_000 - 1, "7.0", 7, "7.0", "7.0", "0"]
        body = json.dumps(
            [row] if "/klines" in self.path else {"serverTime": int(at(9, 12).timestamp() * 1000)}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def make_running_candle() -> None:
    """A candle that runs until 2024-01-10, and that 0.1 took for one that ran until 2024-01-09."""
    server = HTTPServer(("127.0.0.1", 0), Running)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    endpoints = {"binance_spot": {"rest": url, "archive": url}}
    clock = lambda: to_micros(at(9, 12))  # noqa: E731
    with DataSourceManager(cache_dir=HERE / "cache", endpoints=endpoints, clock=clock) as manager:
        frame = manager.get_data("BTCUSDT", at(6), at(9), "3d", enforce_source=DataSource.REST)
        print(len(frame), frame.attrs["chandlery"].spans, frame.attrs["chandlery"].gaps)  # noqa: T201
    server.shutdown()
    server.server_close()


async def make_database() -> None:
    """A coin that is collected, with a candle, a book and a gap."""
    path = HERE / "chandlery.db"
    path.unlink(missing_ok=True)
    async with SqliteDatabase(path) as database:
        candles, books = CandleRepository(database), RawDataRepositoryImpl(database)
        series = SeriesName.of_candles("binance_spot", "BTC/USDT", Interval.MINUTE_1)
        opened = to_micros(NOW)
        await candles.save(series, [CandleData(opened, 1.0, 2.0, 0.5, 1.5, 10.0, closed=True)])
        book = BookSnapshot([(1.0, 2.0)], [(2.0, 1.0)], opened)
        await books.save([RawOrderBookEntry("binance_spot", "BTC/USDT", opened, book)])
        gap = Gap(opened - HOUR, opened, GapKind.NOT_COLLECTED, "not connected")
        await GapRepository(database).record(series, gap)
        await CoinRepository(database).save(CollectedCoin("binance_spot", "BTC/USDT", ("candles:1m", "book"), opened))


if __name__ == "__main__":
    make_cache()
    make_running_candle()
    asyncio.run(make_database())
