"""Whether a database is in order."""

from __future__ import annotations

import pytest

from chandlery.core.candle import CandleData
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.checkup import problems
from chandlery.database.series_ids import SeriesIds
from chandlery.database.sqlite import SqliteDatabase
from chandlery.testing.repositories import book_entry as entry


@pytest.fixture
async def database(tmp_path):
    """With order books and candles."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as opened:
        await RawDataRepositoryImpl(SeriesIds(opened)).save([entry(moment) for moment in range(3)])
        series = SeriesId.of_candles("binance", "BTC/USDT", Interval.MINUTE_1)
        candles = [CandleData(at * 60_000_000, 1.0, 2.0, 0.5, 1.5, 9.0) for at in range(3)]
        await CandleRepository(SeriesIds(opened)).save(series, candles)
        yield opened


async def test_all_in_order(database):
    """Nothing to tell."""
    assert [] == await problems(database)


async def test_each_problem_is_told(database):
    """Which entry, and what is wrong with it."""
    await database.write(
        ("UPDATE books SET entry = x'0102' WHERE at = ?", [(1,)]),
        ("UPDATE candles SET open_time = open_time + ? WHERE open_time = ?", [(1, 60_000_000)]),
        ("INSERT INTO series (origin, exchange, symbol, channel) VALUES ('', ?, ?, ?)", [("x", "A/B", "trades")]),
    )
    found = await problems(database)

    assert 3 == len(found)
    assert found[0].startswith("binance BTC/USDT book 1970-01-01T00:00:00.000001Z: an order book of 2 bytes")
    assert "binance BTC/USDT candles:1m 1970-01-01T00:01:00.000001Z: off the grid" == found[1]
    assert found[2].startswith("x A/B trades: 'trades' is not a channel")
