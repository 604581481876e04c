"""Statements of document 001, the data service; ``statements.toml`` has those that other tests prove."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from inspect import isabstract

import pyarrow as pa
import pytest
import pytest_asyncio
from fastapi import FastAPI
from mcp.client import Client

from chandlery.connector import DataSourceConnectorImpl
from chandlery.core.candle import CandleData
from chandlery.core.errors import Closed, InvalidInput, InvalidRange, InvalidToken, UnknownName
from chandlery.core.gaps import GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.series_id import SeriesId
from chandlery.core.time import DAY, MINUTE
from chandlery.database.coins import CoinRepository
from chandlery.database.listings import ListingRepository
from chandlery.database.raw import BookSnapshot
from chandlery.database.series_ids import SeriesIds
from chandlery.database.sqlite import SqliteDatabase
from chandlery.net.clock import system_clock
from chandlery.service import (
    AuthenticationModuleImpl,
    CoinCollectionList,
    DatabaseConnectionImpl,
    DataCollectionManagerImpl,
    FastAPIApp,
    HistoricalDataManagerImpl,
    IAuthenticationModule,
    IDatabaseConnection,
    IDataCollectionManager,
    IHistoricalDataManager,
    IRawDataRepository,
    IStorageManager,
    MCPRouter,
    RawDataRepositoryImpl,
    RawOrderBookEntry,
    StorageManagerImpl,
    TokenValidator,
)
from chandlery.service.auth.interfaces import Subject
from chandlery.service.collection.broadcaster import Update
from chandlery.service.collection.pushed import MOST_WAITING, Pushing
from chandlery.service.historical.report import AnswerReport
from chandlery.service.instruments import InstrumentSearch
from chandlery.service.workload import Workload
from chandlery.tables.frame import open_times
from chandlery.testing.repositories import book_entry
from fixtures.service import offline, service_of
from fixtures.waiting import until


def check_interface(interface, *methods):
    """It has the methods, and cannot be made without them."""
    assert isabstract(interface)
    assert set(methods) <= set(dir(interface))
    with pytest.raises(TypeError):
        interface()


class Tokens(IAuthenticationModule):
    """Lets in whoever has no token at all, as in this process; remembers who asked."""

    def __init__(self):
        self.asked = []

    async def validate_token(self, token):
        self.asked.append(token)
        if token is not None:
            raise InvalidToken("a wrong token")
        return Subject("somebody", "somebody", frozenset({"read", "collect"}), "tests")


class Collection(IDataCollectionManager):
    """Remembers what it was to collect."""

    def __init__(self):
        self.coins = []

    async def add_coin(self, coin, exchange):
        self.coins.append((coin, exchange))

    async def check_availability(self, coin, exchange):
        return coin == "BTC/USDT"

    async def stream_realtime_data(self, coin, ws):
        raise NotImplementedError


class History(IHistoricalDataManager):
    """Has nothing."""

    async def stream_historical_data(self, coin, start, end, ws):
        raise NotImplementedError

    async def get_most_current_data(self, coin):
        return None


async def test_1_05_mcp_depends_on_interfaces(tmp_path):
    """Tools over a collection and an authentication that have the documented methods only."""
    collection, connector = Collection(), DataSourceConnectorImpl()
    router = MCPRouter(
        collection,
        History(),
        Tokens(),
        system_clock,
        Workload(8),
        resolve=connector.resolve,
        instruments=InstrumentSearch(connector, ListingRepository(SqliteDatabase(tmp_path / "unused")), system_clock),
        url="http://127.0.0.1:8700",
    )
    coin = {"exchange": "binance", "symbol": "BTC/USDT"}
    async with Client(router._server) as client:
        found = await client.call_tool("check_availability", coin)
        added = await client.call_tool("add_coin", coin)

    assert found.structured_content["available"]
    assert not added.is_error, added.content
    assert [("BTC/USDT", "binance")] == collection.coins


def test_1_06_the_interface_of_authentication():
    """``validate_token``, as the token validator has it."""
    check_interface(IAuthenticationModule, "validate_token")
    assert callable(TokenValidator.validate_token)


def test_1_17_the_interface_of_collecting():
    """With its three methods."""
    check_interface(IDataCollectionManager, "add_coin", "check_availability", "stream_realtime_data")


def test_1_27_the_interface_of_the_past():
    """With its two methods."""
    check_interface(IHistoricalDataManager, "stream_historical_data", "get_most_current_data")


def test_1_38_the_interfaces_of_the_storage():
    """The database, the manager over it, and the repository, by the names of the document."""
    check_interface(IDatabaseConnection)
    check_interface(IStorageManager, "store_raw_data", "get_raw_data_range", "get_latest_raw_entry")
    check_interface(IRawDataRepository, "save", "find_by_range", "find_latest")


@pytest.fixture(scope="module")
def parts(exchange, tmp_path_factory):
    """The parts of a service that is not opened."""
    return service_of(exchange, tmp_path_factory.mktemp("service"), no_auth=False)


@pytest.fixture
async def storage(tmp_path):
    """Over an empty database."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
        yield StorageManagerImpl(RawDataRepositoryImpl(SeriesIds(database)))


def test_1_08_the_implementation_of_authentication(parts):
    """It is the service's."""
    assert issubclass(AuthenticationModuleImpl, IAuthenticationModule)
    assert isinstance(parts.authentication, AuthenticationModuleImpl)


class Socket:
    """As much of a WebSocket as the documented methods use; ``take_s`` is how long it takes a message."""

    def __init__(self, take_s=0.0):
        self.take_s = take_s
        self.sent = []

    async def send_json(self, message):
        await asyncio.sleep(self.take_s)
        self.sent += message if isinstance(message, list) else [message]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collecting(tmp_path_factory):
    """A service that collects order books and candles of seconds of one coin."""
    folder = tmp_path_factory.mktemp("collecting")
    async with offline("binance_spot") as sim, service_of(sim, folder) as service:
        await service.collection.add_coin("BTC/USDT", "binance", ["book", "candles:1s"])
        yield service


@pytest.mark.asyncio(loop_scope="module")
async def test_1_19_availability_of_a_coin(collecting):
    """Of an exchange; without it, of the one from which the coin is collected."""
    collection = collecting.collection

    assert await collection.check_availability("BTC/USDT")
    assert await collection.check_availability("ETH/USDT", "binance")
    assert not await collection.check_availability("NOPE/USDT", "binance")
    with pytest.raises(UnknownName, match="ETH/USDT is not collected"):
        await collection.check_availability("ETH/USDT")


async def test_1_23_a_coin_on_the_list(tmp_path):
    """``add_coin(coin, exchange)``: its order book and candles of minutes."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
        coins = CoinCollectionList(CoinRepository(database), system_clock)
        added = await coins.add_coin("BTC/USDT", "binance")

    assert ("binance", "BTC/USDT", ("book", "candles:1m")) == (added.exchange, added.symbol, added.channels)
    assert [added] == coins.all()


@pytest.mark.asyncio(loop_scope="module")
async def test_1_20_live_entries_of_a_coin(collecting):
    """``stream_realtime_data(coin, ws)`` sends what clients return, of all channels, until it is cancelled."""
    socket = Socket()
    streaming = asyncio.create_task(collecting.collection.stream_realtime_data("BTC/USDT", socket))
    await until(lambda: {True, False} == {"bids" in each for each in socket.sent})
    assert 2 == collecting.broadcaster.count()
    streaming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await streaming

    assert 0 == collecting.broadcaster.count()
    assert {("binance", "BTC/USDT")} == {(each["exchange"], each["symbol"]) for each in socket.sent}
    with pytest.raises(UnknownName, match="ETH/USDT is not collected; collected: BTC/USDT of binance"):
        await collecting.collection.stream_realtime_data("ETH/USDT", socket)
    with pytest.raises(UnknownName, match="ETH/USDT of binance is not collected"):
        await collecting.collection.stream_realtime_data("ETH/USDT", socket, exchange="binance")


async def test_a_slow_socket():
    """It gets the latest running candle alone, all closed ones, and an error once it is too far behind."""
    candles, pushing, socket = SeriesId.parse("binance", "BTC/USDT", "candles:1s"), Pushing(), Socket()
    for number in range(5):
        pushing.take(Update(candles, "running", {"number": number}))
        pushing.take(Update(candles, "gap", {"gap": number}))
    for number in range(MOST_WAITING - 1):
        pushing.take(Update(candles, "closed", {"number": number}))
    sending = asyncio.create_task(pushing.send(socket))
    await until(lambda: len(socket.sent) == MOST_WAITING)
    assert [4, *range(MOST_WAITING - 1)] == [each["number"] for each in socket.sent]

    socket.take_s = 60
    for number in range(MOST_WAITING + 2):
        pushing.take(Update(candles, "closed", {"number": number}))
    sending.cancel()
    with pytest.raises(Closed, match=f"more than {MOST_WAITING} entries wait"):
        await pushing.send(Socket())


def test_1_22_the_implementation_of_collecting(parts):
    """It is the service's."""
    assert issubclass(DataCollectionManagerImpl, IDataCollectionManager)
    assert isinstance(parts.collection, DataCollectionManagerImpl)


@pytest.mark.asyncio(loop_scope="module")
async def test_1_28_the_past_of_a_coin(collecting):
    """``stream_historical_data(coin, start, end, ws)``: candles of minutes, or another channel by name."""
    end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    candles, books = Socket(), Socket()
    await collecting.historical.stream_historical_data("BTC/USDT", end - timedelta(minutes=10), end, candles)
    await until_stored(collecting)
    await collecting.historical.stream_historical_data(
        "BTC/USDT", end, datetime.now(UTC) + timedelta(minutes=5), books, channel="book"
    )

    first = round(end.timestamp() * 1000) - 600_000
    assert [first + 60_000 * place for place in range(10)] == [each["timestamp"] for each in candles.sent]
    assert all(each["closed"] for each in candles.sent)
    assert books.sent[0]["bids"][0][0] < books.sent[0]["asks"][0][0]
    with pytest.raises(UnknownName, match="ETH/USDT is not collected"):
        await collecting.historical.stream_historical_data("ETH/USDT", end, end, candles)


async def until_stored(service):
    """Wait for an order book in the database."""
    async with asyncio.timeout(20):
        while await service.storage.get_latest_raw_entry("BTC/USDT") is None:
            await asyncio.sleep(0.05)  # it is in a file


@pytest.mark.asyncio(loop_scope="module")
async def test_1_29_the_latest_of_a_coin(collecting):
    """``get_most_current_data(coin)``: the candle of a minute, or another channel by name; of another exchange, too."""
    historical = collecting.historical
    candle = await historical.get_most_current_data("BTC/USDT")
    second = await historical.get_most_current_data("BTC/USDT", interval="1s")
    book = await historical.get_most_current_data("BTC/USDT", channel="book")
    other = await historical.get_most_current_data("ETH/USDT", exchange="binance")

    assert ["1m", "1s", "1m"] == [each["interval"] for each in (candle, second, other)]
    assert book["bids"][0][0] < book["asks"][0][0]
    assert ("binance", "ETH/USDT") == (other["exchange"], other["symbol"])


def test_1_31_the_implementation_of_the_past(parts):
    """It is the service's."""
    assert issubclass(HistoricalDataManagerImpl, IHistoricalDataManager)
    assert isinstance(parts.historical, HistoricalDataManagerImpl)


async def test_1_33_a_data_entry_is_stored(storage):
    """``store_raw_data(coin, data)``: a client's order book names its exchange and time, and so does an entry."""
    book = {
        "exchange": "binance", "symbol": "BTC/USDT", "timestamp": 1_704_067_200_000, "received_at": 1_704_067_200_007,
        "sequence": 5, "bids": [[1, 2.5]], "asks": [(2.0, 1.0)],
    }  # fmt: skip
    await storage.store_raw_data("BTC/USDT", book)
    stored = await storage.get_latest_raw_entry("BTC/USDT")
    await storage.store_raw_data("ETH/USDT", stored)
    await storage.store_raw_data("SOL/USDT", book, exchange="okx", timestamp=datetime(2024, 1, 2, tzinfo=UTC))

    at = 1_704_067_200_000_000
    snapshot = BookSnapshot([(1.0, 2.5)], [(2.0, 1.0)], at + 7_000, 5, at)
    assert RawOrderBookEntry("binance", "BTC/USDT", at, snapshot) == stored
    assert RawOrderBookEntry("binance", "ETH/USDT", at, snapshot) == await storage.get_latest_raw_entry("ETH/USDT")
    moved = RawOrderBookEntry("okx", "SOL/USDT", at + DAY, snapshot)
    assert moved == await storage.get_latest_raw_entry("SOL/USDT")
    for wrong, text in [
        ({"bids": [], "asks": []}, "needs its exchange"),
        ({"exchange": "binance", "bids": [], "asks": []}, "needs its timestamp"),
        ({"exchange": "binance", "timestamp": 1_704_067_200_000, "bids": [1]}, "has bids, a list of price and size"),
        ({"exchange": "binance", "timestamp": 1_704_067_200_000, "bids": []}, "has asks"),
    ]:
        with pytest.raises(InvalidInput, match=text):
            await storage.store_raw_data("BTC/USDT", wrong)


async def test_1_36_ranges_of_datetimes(storage):
    """Of the storage and of the repository; a naive one is refused."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    entries = [book_entry(to_micros(begin + timedelta(minutes=5 * place))) for place in range(4)]
    for each in entries:
        await storage.store_raw_data("BTC/USDT", each)
    span = (begin + timedelta(minutes=5), begin + timedelta(minutes=15))

    assert entries[1:3] == await storage.get_raw_data_range("BTC/USDT", *span)
    assert entries[1:3] == await storage._repository.find_by_range("BTC/USDT", *span, 10)
    with pytest.raises(InvalidRange, match=r"start .* has no time zone"):
        await storage.get_raw_data_range("BTC/USDT", begin.replace(tzinfo=None), span[1])


def test_1_37_the_implementation_of_the_storage(parts):
    """It is the service's."""
    assert issubclass(StorageManagerImpl, IStorageManager)
    assert isinstance(parts.storage, StorageManagerImpl)


def test_1_39_the_implementation_of_the_database(parts):
    """It is the service's."""
    assert issubclass(DatabaseConnectionImpl, IDatabaseConnection)
    assert isinstance(parts.database, DatabaseConnectionImpl)


async def test_1_40_one_entry_is_saved(tmp_path):
    """``save(entry)`` takes one, as well as several at once."""
    one, other = book_entry(7), book_entry(8)
    async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
        repository = RawDataRepositoryImpl(SeriesIds(database))
        await repository.save(one)
        assert one == await repository.find_latest("BTC/USDT")
        await repository.save([one, other])
        assert [one, other] == await repository.find_by_range("BTC/USDT", 0, 10, 10)


def test_1_43_the_implementation_of_the_repository(parts):
    """It is made of a database, as the service does."""
    assert issubclass(RawDataRepositoryImpl, IRawDataRepository)
    assert isinstance(RawDataRepositoryImpl(SeriesIds(parts.database)), IRawDataRepository)


def test_1_44_a_raw_order_book():
    """Its coin, its time and its data."""
    entry = RawOrderBookEntry(
        exchange="binance", coin_symbol="BTC/USDT", timestamp=7, data=BookSnapshot(((1.0, 1.0),), ((2.0, 1.0),), 6)
    )

    assert ("BTC/USDT", 7, ((1.0, 1.0),)) == (entry.coin_symbol, entry.timestamp, entry.data.bids)


async def test_1_66_the_past_that_only_storage_has(tmp_path):
    """Kraken serves 720 candles: older ones that were stored are sent, and what nobody has any more is a gap."""
    minutes = SeriesId.parse("kraken", "BTC/USD", "candles:1m")
    begin = Interval.MINUTE_1.floor(system_clock()) - 3 * DAY
    stored = Span(begin + 10 * MINUTE, begin + 40 * MINUTE)
    own = [CandleData(at, 1.0, 1.0, 1.0, 1.0, 1.0) for at in range(stored.start, stored.end, MINUTE)]
    report, tables = AnswerReport(), []
    async with offline("kraken_spot") as sim, service_of(sim, tmp_path) as service:
        await service.candles.save(minutes, own)
        series = service.collection.resolve(minutes)
        async for piece in service.historical.pieces(series, Span(begin, begin + 60 * MINUTE), rows=1000):
            report.add(piece)
            tables.append(piece.table)

    assert [each.open_time for each in own] == open_times(pa.concat_tables(tables)).tolist()
    assert {GapKind.NO_LONGER_SERVED} == {gap.kind for gap in report.gaps}
    assert [(begin, stored.start), (stored.end, begin + 60 * MINUTE)] == [(gap.start, gap.end) for gap in report.gaps]


def test_1_71_an_application_of_fastapi(parts):
    """It has the endpoints of the service, and their description."""
    app = FastAPIApp(parts)

    assert isinstance(app, FastAPI)
    assert {"/v1/coins", "/v1/availability", "/v1/candles", "/v1/books/latest"} <= set(app.openapi()["paths"])
