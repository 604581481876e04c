"""What is too old."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.core.candle import CandleData
from chandlery.core.errors import StorageFull
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.series_ids import SeriesIds
from chandlery.database.sqlite import SqliteDatabase
from chandlery.service.retention import Retention
from chandlery.testing.repositories import book_entry as entry
from memory_repository import MemoryRawDataRepository


async def test_each_kind_by_its_own_length(tmp_path):
    """What is kept for ever is left alone."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
        books, candles = RawDataRepositoryImpl(SeriesIds(database)), CandleRepository(SeriesIds(database))
        await books.save([entry(at) for at in range(10)])
        series = SeriesId.of_candles("x", "A/B", Interval.SECOND_1)
        await candles.save(series, [CandleData(0, 1.0, 1.0, 1.0, 1.0, 1.0)])

        assert {"books": 4} == await Retention(books, candles, {"books": 6}, lambda: 10).apply()
        assert 6 == len(await books.find_by_range("BTC/USDT", 0, 100, 100))
        assert None is not await candles.latest(series)


async def test_a_database_that_cannot_be_written_to_is_tried_again(caplog):
    """And it is said."""

    class Full(MemoryRawDataRepository):
        async def prune(self, before):
            raise StorageFull("no room")

    over = asyncio.Event()

    async def sleep(seconds):
        assert seconds > 60
        over.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Retention(Full(), None, {"books": 5}, lambda: 10).run(sleep))
    await asyncio.wait_for(over.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert "no room" in caplog.text
