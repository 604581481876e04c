"""``chandlery db``."""

from __future__ import annotations

import asyncio

import pyarrow.parquet as pq
import pytest

from chandlery.core.candle import CandleData
from chandlery.core.interval import Interval
from chandlery.storage.books import RawDataRepositoryImpl
from chandlery.storage.candles import CandleRepository
from chandlery.storage.series_ids import SeriesName
from chandlery.storage.sqlite import FILE_NAME, SqliteDatabase
from repositories import entry


@pytest.fixture
def data(tmp_path):
    """The folder of a service that has collected a little."""

    async def fill():
        async with SqliteDatabase(tmp_path / FILE_NAME) as database:
            await RawDataRepositoryImpl(database).save([entry(moment) for moment in range(300)])
            series = SeriesName.of_candles("binance", "BTC/USDT", Interval.MINUTE_1)
            candles = [CandleData(at * 60_000_000, 1.0, 2.0, 0.5, 1.5, 9.0) for at in range(11_000)]
            await CandleRepository(database).save(series, candles)

    asyncio.run(fill())
    return tmp_path


def test_migrate_makes_what_is_not_there(chandlery, tmp_path):
    """A folder, a file, its version; again is nothing."""
    for _ in range(2):
        assert (0, "version 4\n", "") == chandlery("db", "migrate", "--data-dir", tmp_path / "new")

    assert (tmp_path / "new" / FILE_NAME).is_file()


def test_check(chandlery, data):
    """Code 0 where all is in order, 1 and the entry's name where not."""
    assert (0, "all in order\n", "") == chandlery("db", "check", "--data-dir", data)

    async def damage():
        async with SqliteDatabase(data / FILE_NAME) as database:
            await database.write(("UPDATE books SET entry = x'00' WHERE at = ?", [(7,)]))

    asyncio.run(damage())
    code, out, _ = chandlery("db", "check", "--data-dir", data)
    assert 1 == code
    assert "binance BTC/USDT book 1970-01-01T00:00:00.000007Z" in out
    assert "1 problem" in out


def test_vacuum(chandlery, data):
    """It says what it has won."""
    code, out, _ = chandlery("db", "vacuum", "--data-dir", data)

    assert 0 == code
    assert "before" in out


@pytest.mark.parametrize(("channel", "rows"), [("candles:1m", 11_000), ("book", 900)])
def test_export(chandlery, data, channel, rows):
    """Every row of every page, by column."""
    target = data / "out.parquet"
    code, out, _ = chandlery("db", "export", "binance", "BTC/USDT", channel, "-o", target, "--data-dir", data)

    assert 0 == code
    assert f"{rows:,} rows" in out
    assert rows == pq.read_table(target).num_rows


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check",), "no chandlery.sqlite3"),
        (("export", "x", "A/B", "trades", "-o", "a.csv"), "'trades' is not an interval"),
        (("export", "x", "A/B", "book", "-o", "a.txt"), "suffix"),
    ],
)
def test_asked_wrongly(chandlery, tmp_path, arguments, said):
    """Code 2, and what would be right."""
    code, _, err = chandlery("db", *arguments, "--data-dir", tmp_path)

    assert 2 == code
    assert said in err


def test_nothing_to_export(chandlery, data):
    """It says so, and writes no file."""
    target = data / "out.csv"
    code, _, err = chandlery("db", "export", "binance", "ETH/USDT", "book", "-o", target, "--data-dir", data)

    assert 2 == code
    assert "nothing of binance ETH/USDT book" in err
    assert not target.exists()
