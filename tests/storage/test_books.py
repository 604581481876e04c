"""Raw order books in SQLite."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.core.errors import CorruptStorage
from chandlery.storage.books import RawDataRepositoryImpl, StorageManagerImpl
from chandlery.storage.memory import MemoryRawDataRepository
from chandlery.storage.sqlite import SqliteDatabase
from repositories import RawRepositoryTests, entry


@pytest.fixture
async def database(tmp_path):
    """An open one."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as opened:
        yield opened


class TestRawDataRepositoryImpl(RawRepositoryTests):
    """It does what every repository does."""

    @pytest.fixture
    def made(self, database):
        """An empty one."""
        return RawDataRepositoryImpl(database)


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
            made = RawDataRepositoryImpl(database)
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
    await RawDataRepositoryImpl(database).save([entry(10)])
    await database.write(("UPDATE books SET entry = ?", [(b"\x01" * 50,)]))
    with pytest.raises(CorruptStorage, match=r"binance BTC/USDT 1970-01-01T00:00:00\.000010Z"):
        await RawDataRepositoryImpl(database).find_latest("BTC/USDT")


async def test_the_manager_stores_and_finds(database):
    """By the plan's names."""
    manager = StorageManagerImpl(RawDataRepositoryImpl(database))
    entries = [entry(at) for at in (10, 20, 30)]
    for each in entries:
        await manager.store_raw_data(each.coin_symbol, each.data, exchange=each.exchange, timestamp=each.timestamp)

    assert entries[1:2] == await manager.get_raw_data_range("BTC/USDT", 0, 100, 1, 1)
    assert entries[2] == await manager.get_latest_raw_entry("BTC/USDT", exchange="binance")
