"""The list of coins."""

from __future__ import annotations

import pytest

from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.database.coins import CoinRepository
from chandlery.database.sqlite import SqliteDatabase
from chandlery.service.collection.coins import CoinCollectionList


@pytest.fixture
async def repository(tmp_path):
    """An empty table."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
        yield CoinRepository(database)


async def test_it_outlives_the_process(repository):
    """Coins with their channels and since when, in the order of their adding."""
    moments = iter(range(10))
    coins = CoinCollectionList(repository, lambda: next(moments))
    await coins.add_coin("BTC/USDT", "binance", ("book",))
    await coins.add_coin("ETH/USDT", "binance", ("book",))
    await coins.add_coin("BTC/USDT", "binance", ("candles:1m", "book"))
    again = CoinCollectionList(repository, lambda: 99)

    assert coins.all() == await again.load()
    assert [("BTC/USDT", ("book", "candles:1m"), 0), ("ETH/USDT", ("book",), 1)] == [
        (each.symbol, each.channels, each.since) for each in again.all()
    ]


async def test_which_exchange(repository):
    """The only one; several, or none, must be named."""
    coins = CoinCollectionList(repository, lambda: 0)
    await coins.add_coin("BTC/USDT", "binance", ("book",))
    assert "binance" == coins.get_exchange("BTC/USDT")
    await coins.add_coin("BTC/USDT", "kraken", ("book",))
    with pytest.raises(InvalidInput, match="binance, kraken"):
        coins.get_exchange("BTC/USDT")
    with pytest.raises(UnknownName, match="collected: BTC/USDT of binance"):
        coins.get_exchange("ETH/USDT")


async def test_removed(repository):
    """Once; what is not there is named."""
    coins = CoinCollectionList(repository, lambda: 0)
    await coins.add_coin("BTC/USDT", "binance", ("book",))
    await coins.remove_coin("BTC/USDT", "binance")

    assert [] == await coins.load()
    with pytest.raises(UnknownName, match="collected: nothing"):
        await coins.remove_coin("BTC/USDT", "binance")
