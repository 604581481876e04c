"""The service killed while it collects: all that it had told anybody is there afterwards."""

from __future__ import annotations

import asyncio
import random
import time

import aiohttp
import pytest

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.series_id import SeriesId
from chandlery.core.time import SECOND, iso
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.checkup import problems
from chandlery.database.gaps import GapRepository
from chandlery.database.series_ids import SeriesIds, always
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from chandlery.tables.frame import open_times
from fixtures.candle_feed import truth
from fixtures.processes import output_of, serving_process
from fixtures.service import MARKET, connected
from fixtures.waiting import until

SYMBOLS = {"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT"}
COLUMNS = ("open", "high", "low", "close", "volume")
EVER = Span(0, 2**60)
OFFLINE = always(MARKET.origin)


class Witness:
    """Notes what it is told: closed candles over the socket, kept order books over HTTP."""

    def __init__(self):
        self.candles = {symbol: {} for symbol in SYMBOLS}
        self.books = {symbol: {} for symbol in SYMBOLS}

    @property
    def has_seen_all(self):
        """Whether it was told something of each kind."""
        return all((*self.candles.values(), *self.books.values()))

    async def hear(self, service):
        """Until the connection breaks."""
        async with connected(service.session) as client:
            for symbol in SYMBOLS:
                await client.say("subscribe", channel="candles", exchange="binance", symbol=symbol, interval="1s")
            while (told := await client.next())["type"] != "closed":
                if told["type"] == "realtime_data" and told["data"]["closed"]:
                    data = told["data"]
                    self.candles[told["symbol"]][data["timestamp"] * 1000] = [data[name] for name in COLUMNS]

    async def look(self, service, start):
        """Until nobody answers."""
        while True:
            for symbol in SYMBOLS:
                try:
                    _, page = await service.get("/v1/books", exchange="binance", symbol=symbol, start=start, limit=200)
                except aiohttp.ClientError:
                    return
                for book in page["books"]:
                    self.books[symbol][to_micros(book["timestamp"])] = levels(book["bids"], book["asks"])
            await asyncio.sleep(0.05)


def levels(bids, asks):
    """The levels of an order book, however they came."""
    return [tuple(map(tuple, side)) for side in (bids, asks)]


async def in_the_file(data_dir, symbol):
    """All closed candles, order books and gaps of a coin, read without the service; the file is in order."""
    async with SqliteDatabase(data_dir / FILE_NAME) as database:
        series = SeriesId.parse("binance", symbol, "candles:1s")
        table = await CandleRepository(SeriesIds(database, OFFLINE)).table(series, EVER, 100_000)
        values = zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True)
        candles = dict(zip(open_times(table).tolist(), map(list, values), strict=True))
        entries = await RawDataRepositoryImpl(SeriesIds(database, OFFLINE)).find_by_range(
            symbol, 0, 2**60, 100_000, exchange="binance"
        )
        books = {entry.timestamp: levels(entry.data.bids, entry.data.asks) for entry in entries}
        gaps = await GapRepository(SeriesIds(database, OFFLINE)).find(SeriesId.of_book("binance", symbol), EVER)
        assert [] == await problems(database)
    return candles, books, [gap.span for gap in gaps]


def check_all_is_there(told, found):
    """What was told is what was found."""
    assert {} == {at: value for at, value in told.items() if found.get(at) != value}


def check_whole(symbol, candles, books, gaps):
    """Each second has its candle, that of the exchange, and its order book or a gap that says that there is none."""
    first, last = min(candles), max(candles)
    expected = truth(MARKET, SYMBOLS[symbol], Interval.SECOND_1, Span(first, last + SECOND))
    assert {each.open_time: [getattr(each, name) for name in COLUMNS] for each in expected} == candles
    missing = [at for at in range(min(books), max(books), SECOND) if at not in books]
    assert [] == [at for at in missing if not any(gap.start < at <= gap.end for gap in gaps)]


async def one_life(data_dir, witness, lives_s, *, first):
    """Start it, have it collect, note what it tells, and kill it after so long; the first time, it tells something before."""
    begun = int(time.time() * 1000)
    async with serving_process(data_dir, "--no-auth", "--snapshot-interval", 1) as service:
        noting = [asyncio.create_task(witness.hear(service)), asyncio.create_task(witness.look(service, begun))]
        if first:
            for symbol in SYMBOLS:
                coin = {"exchange": "binance", "symbol": symbol, "channels": ["book", "candles:1s"]}
                async with service.session.post("/v1/coins", json=coin) as answer:
                    assert 201 == answer.status
            await until(lambda: witness.has_seen_all)
        await asyncio.sleep(lives_s)
        await service.kill()
        await asyncio.gather(*noting)


async def killed_again_and_again(data_dir, kills, seed, *, longest_s=2.0):
    """Kill it at random moments; nothing that it told may be lost, and the last one serves all of it."""
    witness, dice = Witness(), random.Random(seed)
    for number in range(kills):
        await one_life(data_dir, witness, dice.uniform(0.2, longest_s), first=number == 0)
        for symbol in SYMBOLS:
            candles, books, _ = await in_the_file(data_dir, symbol)
            check_all_is_there(witness.candles[symbol], candles)
            check_all_is_there(witness.books[symbol], books)
    assert (0, "all in order\n") == await output_of("db", "check", "--data-dir", data_dir)

    async with serving_process(data_dir, "--no-auth", "--snapshot-interval", 1) as service:
        await service.until_running()
        since = time.time()
        await check_served(service, witness, since)
        await service.kill()
    for symbol in SYMBOLS:
        check_whole(symbol, *await in_the_file(data_dir, symbol))
    assert witness.has_seen_all
    return witness


async def check_served(service, witness, since):
    """Over HTTP, all that was told is there, the backfill and something new too."""
    for symbol in SYMBOLS:
        told = witness.candles[symbol]
        query = {"exchange": "binance", "symbol": symbol}

        async def fresh(symbol=symbol, query=query):
            _, page = await service.get("/v1/books", **query, start=int(since * 1000), limit=1)
            return page["books"]

        await service.until(fresh)
        span = {"start": min(told) // 1000, "end": int(time.time()) * 1000}
        _, page = await service.get("/v1/candles", **query, **span, interval="1s", limit=50_000)
        places = [page["columns"].index(name) for name in COLUMNS]
        served = {row[0] * 1000: [row[place] for place in places] for row in page["rows"]}
        check_all_is_there(told, served)
        assert [] == page["gaps"]
        assert {"database"} == {each["source"] for each in page["sources"][:1]}
        for at, book in witness.books[symbol].items():
            span = {"start": iso(at), "end": iso(at + SECOND)}
            _, page = await service.get("/v1/books", **query, **span)
            assert [book] == [levels(each["bids"], each["asks"]) for each in page["books"]]


async def test_killed_once(tmp_path):
    """Every acknowledged candle and order book is there, the file is in order, and collecting goes on by itself."""
    await killed_again_and_again(tmp_path / "data", 1, seed=1, longest_s=0.4)


@pytest.mark.soak
async def test_killed_three_times(tmp_path):
    """The same, also for what was stored in another life."""
    await killed_again_and_again(tmp_path / "data", 3, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_killed_twenty_times(tmp_path):
    """The same, at many more moments."""
    witness = await killed_again_and_again(tmp_path / "data", 20, seed=2, longest_s=6)
    print({symbol: (len(witness.candles[symbol]), len(witness.books[symbol])) for symbol in SYMBOLS})  # noqa: T201  # the figures of a long run
