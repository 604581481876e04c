"""The instruments of an exchange over HTTP."""

from __future__ import annotations

import pytest
from msgspec import structs

import chandlery
from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.plugins import PluginRegistry
from chandlery.connector import DataSourceConnectorImpl
from chandlery.core.instrument import Instrument, Listing, ListingStatus
from chandlery.core.time import HOUR, iso
from chandlery.database.listings import ListingRepository
from chandlery.database.sqlite import SqliteDatabase
from chandlery.net.clock import system_clock
from chandlery.service.instruments import InstrumentSearch


async def get(session, **params):
    """Status and content."""
    async with session.get("/v1/instruments", params=params) as answer:
        return answer.status, await answer.json()


async def test_what_matches_best_comes_first(running):
    """In any spelling of exchange and market; the answer names the server in place of the exchange."""
    status, found = await get(running[1], exchange="Binance", search="btc usdt", market="perpetual", status="listed")
    (first, *_) = found["instruments"]

    assert (200, "offline-7") == (status, found["origin"])
    assert ("BTC/USDT:USDT", "BTCUSDT", "binance_perpetual") == (
        first["symbol"],
        first["exchange_symbol"],
        first["exchange"],
    )
    assert ("linear", "perpetual", "listed", "base") == tuple(
        first[name] for name in ("market", "kind", "status", "volume_unit")
    )
    assert len(found["instruments"]) == found["total"]


async def test_the_total_counts_what_the_limit_leaves_out(running):
    """Of one market by its id."""
    status, found = await get(running[1], exchange="binance_spot", limit=2)

    assert (200, 2) == (status, len(found["instruments"]))
    assert found["total"] > 10


async def test_the_universe_of_the_past(running, tmp_path):
    """It begins with the first list that was read; what is delisted later stays in it."""
    service, session = running
    heard = []
    service.instruments.listen(lambda market, changes: heard.append((market, changes)))

    async def universe(at):
        params = {"exchange": "binance_spot", "at": at}
        async with session.get("/v1/universe", params=params) as answer:
            return answer.status, await answer.json()

    assert 422 == (await universe("now"))[0]
    _, listed = await get(session, exchange="binance_spot")
    read_at = service.clock()
    (gone, *others) = await service.instruments.read("binance_spot", None)
    stored = ListingRepository(service.database, service.origins)
    (change,) = await stored.record("binance_spot", {each.symbol: each for _, each in others}, read_at + 1)

    past, now = await universe(iso(read_at)), await universe(iso(read_at + 1))
    assert (200, 200) == (past[0], now[0])
    assert {each["symbol"] for each in listed["instruments"]} == {each["symbol"] for each in past[1]["instruments"]}
    assert str(gone[1].instrument) not in {each["symbol"] for each in now[1]["instruments"]}
    assert (gone[1], None) == (change.before, change.after)
    assert 422 == (await universe("2020-01-01"))[0]
    assert [] == heard, "nothing changed while it listened"

    here = chandlery.universe(
        "binance_spot", at=iso(read_at), data_dir=tmp_path / "data", origin="offline-7", search="btc"
    )
    assert str(gone[1].instrument) in {each["symbol"] for each in past[1]["instruments"]}
    assert [str(each.instrument) for each in here] == [
        each["symbol"] for each in past[1]["instruments"] if each["base"] == "BTC" or each["quote"] == "BTC"
    ]


class Lists(IExchangeAPIClient):
    """A client of Binance spot whose list is another one at each reading."""

    family = "native"

    def __init__(self, *lists):
        self.lists = iter(lists)
        self.read_at = 0

    def get_exchange_name(self):
        """Binance spot."""
        return "binance_spot"

    async def instruments(self, market=None):
        """The next list."""
        self.read_at += HOUR
        return [("binance_spot", each) for each in next(self.lists)]

    def listed_at(self, market=None):
        """An hour later each time."""
        return self.read_at

    async def fetch_historical_data(self, coin, start, end, interval="1m"):
        """Have none."""
        return []

    async def check_coin_availability(self, coin):
        """Have none."""
        return False


async def test_a_change_reaches_a_listener(tmp_path):
    """New, delisted and changed instruments, once they are stored; not those of the first list, and none after it left."""
    bitcoin, luna, sui = (
        Listing(f"{each}USDT", Instrument(each, "USDT"), ListingStatus.LISTED, tick_size=0.1)
        for each in ("BTC", "LUNA", "SUI")
    )
    finer = structs.replace(bitcoin, tick_size=0.01)
    heard, registry = [], PluginRegistry()
    registry.add_plugin(Lists([bitcoin, luna], [finer, sui], [finer, sui], [sui]))
    async with SqliteDatabase(tmp_path / "d") as database:
        stored = ListingRepository(database)
        search = InstrumentSearch(DataSourceConnectorImpl(registry), stored, system_clock)
        leave = search.listen(lambda market, changes: heard.append((market, changes)))
        for _ in range(3):
            await search.read("binance_spot", None)
        leave()
        await search.read("binance_spot", None)
        past = await stored.universe("binance_spot", 2 * HOUR - 1)

    ((market, changes),) = heard
    assert "binance_spot" == market
    assert [("changed", bitcoin, finer), ("delisted", luna, None), ("new", None, sui)] == [
        (each.kind.value, each.before, each.after) for each in changes
    ]
    assert [bitcoin, luna] == past.listings


@pytest.mark.parametrize("symbol", ["BTC/USTD", "BTCUSTD"])
async def test_the_nearest_is_suggested_everywhere(running, symbol):
    """For past candles, stored books, and a coin to collect."""
    _, session = running
    coin = {"exchange": "binance_spot", "symbol": symbol}
    past = coin | {"start": "2026-09-01", "end": "2026-09-02"}
    answers = [
        await session.get("/v1/candles", params=past),
        await session.get("/v1/books", params=past),
        await session.post("/v1/coins", json=coin),
    ]

    details = [(await each.json())["detail"] for each in answers]
    assert ["did you mean BTCUSDT?"] * 3 == [each[-21:] for each in details], details


@pytest.mark.parametrize(
    ("params", "status", "says"),
    [
        ({"exchange": "nowhere"}, 404, "nowhere"),
        ({"exchange": "binance", "market": "lineer"}, 404, "did you mean linear?"),
        ({"exchange": "binance", "status": "gone"}, 422, "use one of listed"),
        ({"exchange": "binance", "limit": 0}, 422, ""),
        ({"exchange": "binance", "words": "btc"}, 422, "words"),
        ({}, 422, ""),
    ],
)
async def test_asked_wrongly(running, params, status, says):
    """A problem document that says what would be right."""
    found, content = await get(running[1], **params)

    assert (status, status) == (found, content["status"])
    assert says in content["detail"]
