"""The coins that are collected."""

from __future__ import annotations

import pytest
from msgspec import structs

from chandlery.database.coins import CoinRepository, CollectedCoin
from chandlery.database.sqlite import SqliteDatabase

COIN = CollectedCoin("binance", "BTC/USDT", ("book", "candles:1m"), 7)


@pytest.fixture
async def database(tmp_path):
    """An open one."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as opened:
        yield opened


async def test_coins_are_kept_until_they_are_removed(database):
    """Once an exchange and symbol; since when stays, what is collected changes."""
    coins = CoinRepository(database)
    other = CollectedCoin("kraken", "BTC/USDT", ("book",), 8)
    for each in (COIN, other, structs.replace(COIN, channels=("book",), since=9)):
        await coins.save(each)

    assert [structs.replace(COIN, channels=("book",)), other] == await coins.all()
    await coins.remove("binance", "BTC/USDT")
    assert [other] == await coins.all()
