"""``chandlery universe``."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec import structs

from chandlery.core.instrument import Instrument, Listing, ListingStatus
from chandlery.core.time import DAY, HOUR
from chandlery.database.listings import ListingRepository
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of a service that read two lists: LUNA is in the first one alone."""
    folder = tmp_path_factory.mktemp("data")
    luna, bitcoin = (
        Listing(f"{each}USDT", Instrument(each, "USDT"), ListingStatus.LISTED, tick_size=0.01)
        for each in ("LUNA", "BTC")
    )
    halted = structs.replace(
        bitcoin, symbol="ETHUSDT", instrument=Instrument("ETH", "USDT"), status=ListingStatus.HALTED
    )

    async def fill():
        async with SqliteDatabase(folder / FILE_NAME) as database:
            stored = ListingRepository(database)
            await stored.record("binance_spot", {each.symbol: each for each in (luna, bitcoin, halted)}, HOUR)
            await stored.record("binance_spot", {bitcoin.symbol: bitcoin}, 2 * DAY)

    asyncio.run(fill())
    return folder


def test_what_was_listed_then(chandlery, data):
    """What was delisted since is in it, what was halted is not by default; as JSON, with the columns of today's lists."""
    code, out, _ = chandlery("universe", "binance", "--market", "spot", "--at", "1970-01-02", "--data-dir", data)
    _, text, _ = chandlery(
        "universe", "binance_spot", "--at", "1970-01-04", "--status", "all", "--json", "--data-dir", data
    )
    (only,) = json.loads(text)

    assert 0 == code
    assert ["BTC/USDT", "LUNA/USDT"] == [line.split()[0] for line in out.splitlines()[2:4]]
    assert "2 instruments of 3; lists are stored since 1970-01-01T01:00:00Z" in " ".join(out.split())
    assert ("binance_spot", "BTC/USDT", "base", 0.01) == tuple(
        only[name] for name in ("exchange", "symbol", "volume_unit", "tick_size")
    )


def test_mistakes(chandlery, data, tmp_path):
    """One line that says what would be right."""
    for args, said in (
        (("binance_spot", "--at", "1970-01-01"), "the first one is of 1970-01-01T01:00:00Z"),
        (("okx_spot", "--at", "now"), "none is stored yet"),
        (("binanec", "--at", "now"), "did you mean binance"),
        (("binance_spot", "--at", "soon"), "--at"),
        (("binance_spot", "--at", "now", "--data-dir", tmp_path), "give the data folder of the service"),
    ):
        code, out, err = chandlery("universe", *args, *(() if "--data-dir" in args else ("--data-dir", data)))
        assert (2, "", True) == (code, out, said in " ".join(err.split())), err
