"""The lists of instruments as they were."""

from __future__ import annotations

import pytest
from msgspec import structs

from chandlery.core.errors import InvalidRange
from chandlery.core.instrument import Instrument, Listing, ListingStatus, MarketType
from chandlery.core.listing_changes import ListingChangeKind
from chandlery.core.time import HOUR
from chandlery.database.listings import ListingRepository
from chandlery.database.sqlite import SqliteDatabase


def listed(*symbols, **more):
    def one(symbol):
        instrument = Instrument.of(symbol.removesuffix("USDT"), "USDT", MarketType.FUTURES_USDT)
        return Listing(symbol, instrument, ListingStatus.LISTED, 1.0, 0.1, 0.001, listed_at=7, **more)

    return {symbol: one(symbol) for symbol in symbols}


async def test_the_past_has_what_was_delisted_since(tmp_path):
    """Each time has the instruments and steps of its list, also in another process; the first list changes nothing."""
    first = listed("BTCUSDT", "LUNAUSDT")
    finer = structs.replace(first["BTCUSDT"], tick_size=0.01)
    async with SqliteDatabase(tmp_path / "d") as database:
        store = ListingRepository(database)
        assert [] == await store.record("binance_perpetual", first, HOUR)
        assert [] == await store.record("binance_perpetual", first, 2 * HOUR)
        changes = await store.record("binance_perpetual", {"BTCUSDT": finer, **listed("SUIUSDT")}, 3 * HOUR)
        assert [] == await store.record("binance_perpetual", first, 2 * HOUR), "an older list changes nothing"

    async with SqliteDatabase(tmp_path / "d") as database:
        store = ListingRepository(database)
        past, now = [await store.universe("binance_perpetual", at) for at in (3 * HOUR - 1, 9 * HOUR)]
        back = await store.record("binance_perpetual", first, 4 * HOUR)
        again = await store.universe("binance_perpetual", 5 * HOUR)
        with pytest.raises(InvalidRange, match="the first one is of 1970-01-01T01:00:00Z"):
            await store.universe("binance_perpetual", HOUR - 1)

    assert [("BTCUSDT", "changed"), ("LUNAUSDT", "delisted"), ("SUIUSDT", "new")] == [
        (each.symbol, each.kind.value) for each in changes
    ]
    assert list(first.values()) == past.listings
    assert [finer, *listed("SUIUSDT").values()] == now.listings
    assert (HOUR, 3 * HOUR) == (now.first_at, now.last_at)
    assert ListingChangeKind.NEW in {each.kind for each in back if each.symbol == "LUNAUSDT"}
    assert list(first.values()) == again.listings


async def test_origins_and_markets_are_apart(tmp_path):
    """The lists of an offline exchange are not those of the exchange."""
    async with SqliteDatabase(tmp_path / "d") as database:
        await ListingRepository(database, {"okx_spot": "offline-7"}).record("okx_spot", listed("BTCUSDT"), HOUR)
        for store, market in (
            (ListingRepository(database), "okx_spot"),
            (ListingRepository(database, {"okx_spot": "offline-7"}), "gate_spot"),
        ):
            with pytest.raises(InvalidRange, match="none is stored yet"):
                await store.universe(market, HOUR)
