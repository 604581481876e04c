"""Many deep order books as files and pages: bounded memory, and no callback keeps the loop from others."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from chandlery.core.time import SECOND
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.raw import BookSnapshot, RawOrderBookEntry
from chandlery.database.series_ids import SeriesIds, always
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from fixtures.monitored_service import monitored_service

START = 1_793_491_200_000_000
BOOKS, LEVELS = 1_000, 1_000
ASKED = {"exchange": "binance", "symbol": "BTC/USDT", "start": "2026-11-01", "end": "2026-11-02"}
LONGEST_CALLBACK_S = 0.005
MOST_MEMORY_MB = 250
"""Of a piece in several forms; the whole in memory would take several times as much."""
CASES = {
    "csv": {"format": "csv"},
    "arrow": {"format": "arrow"},
    "parquet": {"format": "parquet"},
    "wide": {"format": "csv", "layout": "wide", "levels": 10},
    "json": {"limit": 200},
}


async def fill(folder):
    """Store the books of a service over the offline exchange."""
    bids, asks = ([(100 + side * level / 100, 1.0 + level) for level in range(LEVELS)] for side in (-1, 1))
    async with SqliteDatabase(folder / FILE_NAME) as database:
        books = RawDataRepositoryImpl(SeriesIds(database, always("offline-7")))
        for first in range(0, BOOKS, 100):
            times = [START + number * SECOND for number in range(first, first + 100)]
            await books.save(
                [RawOrderBookEntry("binance", "BTC/USDT", at, BookSnapshot(bids, asks, at)) for at in times]
            )


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_files_of_many_order_books(tmp_path):
    """Two million levels in each form, twice: the longest callback by form, and the memory at most."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    await fill(folder)
    async with monitored_service(tmp_path) as service, aiohttp.ClientSession(service.url) as session:

        async def read(**query):
            async with session.get("/v1/books", params=ASKED | query) as answer:
                assert 200 == answer.status, await answer.text()
                return sum([len(part) async for part in answer.content.iter_any()])

        for query in CASES.values():
            await read(**query, end="2026-11-01T00:00:01Z")
        await service.slowest()  # what is loaded once
        before = memory_mb(service)
        longest = {}
        for name, query in [*CASES.items()] * 2:
            size = await read(**query)
            what, seconds = (await service.slowest())[0]
            longest[name] = max(longest.get(name, (0, "")), (seconds, what))
            assert size > 100_000
        after = memory_mb(service)

    assert {} == {name: each for name, each in longest.items() if each[0] > LONGEST_CALLBACK_S}
    assert after - before < MOST_MEMORY_MB


def memory_mb(service):
    """The largest resident memory of the service's process."""
    lines = Path(f"/proc/{service.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
