"""A service with parts that have exactly the methods that document 001 gives their interfaces."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta

import aiohttp
import pytest

from chandlery import IDataSourceConnector, IExchangeAPIClient
from chandlery.core.errors import InvalidInput, InvalidToken, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import MINUTE
from chandlery.database.schema import MIGRATIONS
from chandlery.net.limiter import RateLimiter
from chandlery.service import (
    IAuthenticationModule,
    IDatabaseConnection,
    IDataCollectionManager,
    IHistoricalDataManager,
    IRawDataRepository,
    IStorageManager,
    Service,
    ServiceSettings,
)
from chandlery.service.auth.interfaces import Subject
from chandlery.service.web.application import application
from chandlery.service.web.server import serving
from fixtures.service import bound_socket, connected, library_settings, offline
from fixtures.waiting import until

COIN = {"exchange": "binance", "symbol": "BTC/USDT"}
CANDLE = {**dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0), "closed": True}
BOOK = {"bids": [(1.0, 2.0)], "asks": [(3.0, 4.0)]}


class Tokens(IAuthenticationModule):
    async def validate_token(self, token):
        if token != "right":
            raise InvalidToken("a wrong token")
        return Subject("somebody", scopes=frozenset({"read", "collect"}))


class Collection(IDataCollectionManager):
    def __init__(self):
        self.coins = []

    async def add_coin(self, coin):
        self.coins.append(coin)

    async def check_availability(self, coin):
        return coin == "BTC/USDT"

    async def stream_realtime_data(self, coin, ws):
        number = 0
        while True:
            await ws.send_json({**CANDLE, "timestamp": number})
            await asyncio.sleep(0.01)
            number += 60_000


class History(IHistoricalDataManager):
    async def stream_historical_data(self, coin, start, end, ws):
        while start < end:
            await ws.send_json({"data": [{**CANDLE, "timestamp": round(start.timestamp() * 1000)}]})
            await ws.send_json({**BOOK, "timestamp": round(start.timestamp() * 1000)})
            start += timedelta(minutes=1)

    async def get_most_current_data(self, coin):
        return {**CANDLE, "timestamp": 0, "closed": False}


class Storage(IStorageManager):
    def __init__(self):
        self.entries = []

    async def store_raw_data(self, coin, data):
        self.entries.append(data)

    async def get_raw_data_range(self, coin, start, end, limit, offset):
        found = [each for each in self.entries if each.coin_symbol == coin and start <= each.timestamp < end]
        return sorted(found, key=lambda each: each.timestamp)[offset : offset + limit]

    async def get_latest_raw_entry(self, coin):
        return max(self.entries, key=lambda each: each.timestamp, default=None)


class Repository(IRawDataRepository):
    def __init__(self):
        self.entries = []

    async def save(self, entry):
        self.entries.append(entry)

    async def find_by_range(self, coin, start, end, limit, offset):
        found = [each for each in self.entries if each.coin_symbol == coin and start <= each.timestamp < end]
        return sorted(found, key=lambda each: each.timestamp)[offset : offset + limit]

    async def find_latest(self, coin):
        return max(self.entries, key=lambda each: each.timestamp, default=None)


class Database(IDatabaseConnection):
    """The document names no methods; these two have no default."""

    def __init__(self):
        self.sqlite = sqlite3.connect(":memory:")
        for migration in MIGRATIONS:
            for statement in migration:
                self.sqlite.execute(statement)

    async def read(self, sql, parameters=()):
        return self.sqlite.execute(sql, parameters).fetchall()

    async def write(self, *statements):
        with self.sqlite:
            for sql, rows in statements:
                self.sqlite.executemany(sql, rows)


def service_with(sim, folder, url="http://127.0.0.1:1", *, no_auth=True, **parts):
    settings = ServiceSettings(_env_file=None, data_dir=folder / "data", no_auth=no_auth, snapshot_interval="1s")
    limiter = RateLimiter(folder / "limits")
    return Service(settings, url, library=library_settings(folder), endpoints=sim.endpoints, limiter=limiter, **parts)


async def test_managers_and_authentication(tmp_path):
    """HTTP and the WebSocket use them in place of the service's own."""
    bound, url = bound_socket()
    collection = Collection()
    headers = {"Authorization": "Bearer right"}
    span = {"start": "2024-01-01", "end": "2024-01-01T00:10:00Z"}
    async with offline() as sim:
        parts = {"authentication": Tokens(), "collection": collection, "historical": History()}
        service = service_with(sim, tmp_path, url, no_auth=False, **parts)
        async with serving(application(service), bound), aiohttp.ClientSession(url) as session:

            async def get(path, **parameters):
                async with session.get(path, params=COIN | parameters, headers=headers) as answer:
                    return answer.status, await answer.json()

            async with session.get("/v1/coins", headers={"Authorization": "Bearer wrong"}) as refused:
                assert 401 == refused.status
            async with session.post("/v1/coins", json=COIN, headers=headers) as added:
                assert 201 == added.status
            assert ["BTC/USDT"] == collection.coins
            assert (await get("/v1/availability"))[1]["available"]
            status, page = await get("/v1/candles", **span)
            assert (200, 10) == (status, len(page["rows"]))
            status, page = await get("/v1/books", **span, limit=4)
            assert (200, 4) == (status, len(page["books"]))
            assert page["next"] is not None
            async with session.delete("/v1/coins", params=COIN, headers=headers) as removed:
                assert 422 == removed.status
            async with connected(session, headers=headers) as client:
                await client.say("subscribe", **COIN, channel="candles")
                first = await client.until("realtime_data")
                await client.say("request_historical", **COIN, channel="candles", **span)
                chunks = await client.until("historical_data_complete")
                await client.say("most_current", **COIN, channel="candles")
                current = await client.until("most_current_data")
    assert ("binance", "BTC/USDT", 1.0) == tuple(first["data"][name] for name in ("exchange", "symbol", "close"))
    assert 10 == chunks["rows"]
    assert not current["data"]["closed"]


@pytest.mark.parametrize("parts", [{"storage": Storage}, {"repository": Repository, "database": Database}])
async def test_storages(tmp_path, parts):
    """Order books of two exchanges are collected into them and read from them."""
    made = {name: kind() for name, kind in parts.items()}
    async with offline() as sim, service_with(sim, tmp_path, **made) as service:
        for exchange in ("binance_spot", "binance_perpetual"):
            coin = "BTC/USDT" if exchange == "binance_spot" else "BTC/USDT:USDT"
            await service.collection.add_coin(coin, exchange, ["book"])
        entries = next(each for each in made.values() if hasattr(each, "entries")).entries
        await until(lambda: len({each.exchange for each in entries}) == 2)
        found = await service.storage.get_latest_book("BTC/USDT", exchange="binance_spot")
        page = await service.storage.get_book_page("BTC/USDT", 0, 2**60, 1, exchange="binance_spot")

    assert found in entries
    assert entries[0].exchange == page.entries[0].exchange or page.entries[0] in entries
    assert "database" not in made or made["database"].sqlite.execute("SELECT count(*) FROM coins").fetchone() == (2,)


async def test_what_they_cannot_do_is_said(tmp_path):
    """No value is made up."""
    with pytest.raises(UnsupportedRequest, match="Repository removes nothing"):
        await Repository().prune(0)
    async with offline() as sim:
        with pytest.raises(InvalidInput, match="no_auth accepts every caller"):
            service_with(sim, tmp_path, authentication=Tokens())


class Plugin(IExchangeAPIClient):
    def get_exchange_name(self):
        return "acme"

    async def check_coin_availability(self, coin):
        return True

    async def fetch_historical_data(self, coin, start, end):
        return [{**CANDLE, "symbol": coin, "timestamp": round(start.timestamp() * 1000)}]


class Connector(IDataSourceConnector):
    def get_client(self, exchange_name):
        return Plugin()

    async def check_coin_availability(self, exchange_name, coin):
        return await self.get_client(exchange_name).check_coin_availability(coin)

    async def fetch_historical_data(self, exchange_name, coin, start, end):
        return await self.get_client(exchange_name).fetch_historical_data(coin, start, end)


async def test_a_connector(tmp_path):
    """The service asks it alone, here for candles that it also stores."""
    async with offline() as sim, service_with(sim, tmp_path, connector=Connector()) as service:
        assert await service.collection.check_availability("BTC/USDT", "acme")
        series = service.connector.resolve(SeriesId.parse("acme", "BTC/USDT", "candles:1m"))
        span = Span(0, MINUTE)
        pieces = [piece async for piece in service.historical.pieces(series, span, rows=10)]
        again = [piece async for piece in service.historical.pieces(series, span, rows=10)]

    assert [["acme"], ["database"]] == [[each.source for each in found[0].sources] for found in (pieces, again)]
    assert [1.0] == again[0].table.column("close").to_pylist()
