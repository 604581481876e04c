"""Raw order books in SQLite."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.core.errors import CorruptStorage
from chandlery.core.gaps import Span
from chandlery.core.series_id import SeriesId
from chandlery.database.book_history import BookHistory
from chandlery.database.books import RawDataRepositoryImpl, StorageManagerImpl
from chandlery.database.gaps import GapRepository
from chandlery.database.series_ids import SeriesIds
from chandlery.database.sqlite import SqliteDatabase
from chandlery.testing.repositories import book_entry as entry
from memory_repository import MemoryRawDataRepository


@pytest.fixture
async def database(tmp_path):
    """An open one."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as opened:
        yield opened


COINS, EXCHANGES, MOMENTS = st.sampled_from(["A/B", "C/D"]), st.sampled_from(["x", "y"]), st.integers(0, 20)
SAVES = st.lists(st.builds(entry, MOMENTS, COINS, EXCHANGES, st.floats(0.1, 9)), max_size=4).map(
    lambda each: ("save", each)
)
PRUNES = MOMENTS.map(lambda moment: ("prune", moment))
ASKED = st.tuples(COINS, MOMENTS, MOMENTS, st.integers(0, 5), st.integers(0, 5), st.none() | EXCHANGES)


@settings(max_examples=40)
@given(st.lists(SAVES | PRUNES, max_size=8), ASKED)
def test_it_is_the_memory_repository_in_a_file(tmp_path_factory, steps, asked):
    """Whatever is done to both, both answer alike."""

    async def run():
        model = MemoryRawDataRepository()
        async with SqliteDatabase(tmp_path_factory.mktemp("db") / "d.sqlite3") as database:
            made = RawDataRepositoryImpl(SeriesIds(database))
            for name, argument in steps:
                assert await getattr(model, name)(argument) == await getattr(made, name)(argument)
            coin, start, end, limit, offset, exchange = asked
            for each in (model, made):
                found.append(await each.find_by_range(coin, start, end, limit, offset, exchange=exchange))
                latest.append(await each.find_latest(coin, exchange=exchange))

    found, latest = [], []
    asyncio.run(run())
    assert found[0] == found[1]
    assert latest[0] == latest[1]


async def test_a_damaged_entry_is_named(database):
    """Which exchange, coin and moment, and never another book."""
    await RawDataRepositoryImpl(SeriesIds(database)).save([entry(10)])
    await database.write(("UPDATE books SET entry = ?", [(b"\x01" * 50,)]))
    with pytest.raises(CorruptStorage, match=r"binance BTC/USDT 1970-01-01T00:00:00\.000010Z"):
        await RawDataRepositoryImpl(SeriesIds(database)).find_by_range("BTC/USDT", 0, 100, 1)


async def test_a_damaged_entry_is_a_gap_of_its_moment(database):
    """The others of its page are there, wherever the page begins and ends; the newest is the newest that can be read."""
    repository = RawDataRepositoryImpl(SeriesIds(database))
    entries = [entry(at) for at in (10, 20, 30, 40, 50)]
    await repository.save(entries)
    await database.write(("UPDATE books SET entry = ? WHERE at = ?", [(b"\x01" * 50, at) for at in (10, 30, 50)]))
    for limit in range(1, 6):
        at, found, damaged = 0, [], []
        while at is not None:
            page = await repository.find_page("BTC/USDT", at, 100, limit, exchange="binance")
            assert 0 < len(page.entries) + len(page.damaged) <= limit
            found += page.entries
            damaged += page.damaged
            at = page.following
        assert [entries[1], entries[3]] == found
        assert [(10, 11), (30, 31), (50, 51)] == [(gap.start, gap.end) for gap in damaged]
    assert all("is damaged" in gap.evidence for gap in damaged)
    assert entries[3] == await repository.find_latest("BTC/USDT")
    history = BookHistory(StorageManagerImpl(repository), GapRepository(SeriesIds(database)))
    assert Span(10, 40) == await history.bounds(SeriesId.of_book("binance", "BTC/USDT"))
    await database.write(("UPDATE books SET entry = ?", [(b"",)]))
    assert None is await repository.find_latest("BTC/USDT")
    assert None is await history.bounds(SeriesId.of_book("binance", "BTC/USDT"))


async def test_the_manager_stores_and_finds(database):
    """By the plan's names."""
    manager = StorageManagerImpl(RawDataRepositoryImpl(SeriesIds(database)))
    entries = [entry(at) for at in (10, 20, 30)]
    for each in entries:
        await manager.store_raw_data(each.coin_symbol, each.data, exchange=each.exchange, timestamp=each.timestamp)

    assert entries[1:2] == await manager.get_raw_data_range("BTC/USDT", 0, 100, 1, 1)
    assert entries[2] == await manager.get_latest_raw_entry("BTC/USDT", exchange="binance")
