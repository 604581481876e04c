"""What older releases stored without its origin."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.moment import to_micros
from chandlery.core.series_id import SeriesId
from chandlery.core.time import HOUR, MINUTE
from chandlery.database.adoption import Unknown, adopt, unknown
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.coins import CoinRepository, CollectedCoin
from chandlery.database.gaps import GapRepository
from chandlery.database.series_ids import SeriesIds, always
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from chandlery.testing.repositories import book_entry as entry

MADE = Path(__file__).parent.parent / "fixtures" / "version_1" / "chandlery.db"
"""By 0.1: a coin, two series, of which a candle, a book and a gap."""
OPENED = to_micros(datetime(2024, 1, 8, tzinfo=UTC))
EVER = Span(0, 2**60)
CANDLES = SeriesId.parse("binance_spot", "BTC/USDT", "candles:1m")


@pytest.fixture
async def database(tmp_path):
    """The database that 0.1 made, open."""
    shutil.copy(MADE, tmp_path / FILE_NAME)
    async with SqliteDatabase(tmp_path / FILE_NAME) as opened:
        yield opened


async def served(database, *origin):
    """What a service finds: opens of candles, moments of books, gaps, coins."""
    candles = await CandleRepository(SeriesIds(database, *origin)).table(CANDLES, EVER, 100)
    books = await RawDataRepositoryImpl(SeriesIds(database, *origin)).find_by_range("BTC/USDT", 0, EVER.end, 100)
    gaps = await GapRepository(SeriesIds(database, *origin)).find(CANDLES, EVER)
    coins = await CoinRepository(database, *origin).all()
    return candles.column("close").to_pylist(), [each.timestamp for each in books], len(gaps), len(coins)


async def rows(database):
    """How many rows there are of anything."""
    tables = ("candles", "books", "gaps", "coins")
    return [(await database.read(f"SELECT count(*) FROM {table}"))[0][0] for table in tables]


@pytest.mark.parametrize("origin", ["", "offline-7"])
async def test_rows_of_0_1_are_ignored_and_stay(database, origin):
    """Nobody is served them, neither as real nor as invented, and none of them goes, by age either."""
    assert Unknown(series=2, coins=1) == await unknown(database)
    assert ([], [], 0, 0) == await served(database, always(origin))

    await CandleRepository(SeriesIds(database, always(origin))).prune(2**60)
    await RawDataRepositoryImpl(SeriesIds(database, always(origin))).prune(2**60)
    await CoinRepository(database, always(origin)).remove("binance_spot", "BTC/USDT")
    assert [1, 1, 1, 1] == await rows(database)


async def test_what_is_adopted_is_served(database):
    """As the exchange's own and as nothing else; a second time there is nothing to adopt."""
    assert Unknown(2, 1) == await adopt(database)

    assert ([1.5], [OPENED], 1, 1) == await served(database)
    assert ([], [], 0, 0) == await served(database, always("offline-7"))
    assert not await unknown(database)
    assert not await adopt(database)
    assert ([1.5], [OPENED], 1, 1) == await served(database)


async def test_what_was_collected_since_is_kept(database):
    """Of a moment with two rows the one of known origin stays, and rows of both are one series."""
    later = [CandleData(OPENED + at * MINUTE, 2.0, 2.0, 2.0, 2.0, 1.0) for at in range(2)]
    await CandleRepository(SeriesIds(database)).save(CANDLES, later)
    await RawDataRepositoryImpl(SeriesIds(database)).save([entry(OPENED + HOUR, exchange="binance_spot")])
    await CoinRepository(database).save(CollectedCoin("binance_spot", "BTC/USDT", ("book",), OPENED + HOUR))
    await adopt(database)

    assert ([2.0, 2.0], [OPENED, OPENED + HOUR], 1, 1) == await served(database)
    assert ("book",) == (await CoinRepository(database).all())[0].channels
    assert [2, 2, 1, 1] == await rows(database)


async def test_data_of_different_origins_never_meet(tmp_path):
    """Each repository writes, reads, prunes and removes what is of its origin, under the same names."""
    async with SqliteDatabase(tmp_path / FILE_NAME) as database:
        for at, origin in enumerate(("", "offline-7", "127.0.0.1:8080")):
            of = always(origin)
            await CandleRepository(SeriesIds(database, of)).save(
                CANDLES, [CandleData(0, 1.0, 1.0, 1.0, float(at), 1.0)]
            )
            await RawDataRepositoryImpl(SeriesIds(database, of)).save([entry(at)])
            await CoinRepository(database, of).save(CollectedCoin("binance", "BTC/USDT", ("book",), at))
        assert ([1.0], [1], 0, 1) == await served(database, always("offline-7"))

        await CandleRepository(SeriesIds(database, always("offline-7"))).prune(2**60)
        await RawDataRepositoryImpl(SeriesIds(database, always("offline-7"))).prune(2**60)
        await CoinRepository(database, always("offline-7")).remove("binance", "BTC/USDT")
        assert ([], [], 0, 0) == await served(database, always("offline-7"))
        assert ([0.0], [0], 0, 1) == await served(database)
        assert ([2.0], [2], 0, 1) == await served(database, always("127.0.0.1:8080"))
