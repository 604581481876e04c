"""The whole service where something under it fails: a disk that takes no more, an exchange that is not there."""

from __future__ import annotations

import asyncio
import resource

import pytest

from chandlery.core.candle import CandleData
from chandlery.core.errors import StorageError, StorageFull, StorageUnavailable
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import SECOND
from chandlery.database.candles import CandleRepository
from chandlery.database.series_ids import SeriesIds, always
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from chandlery.net.clock import system_clock
from chandlery.tables.frame import open_times
from fixtures.candle_feed import truth
from fixtures.full_disk import with_room, without_room
from fixtures.processes import output_of, serving_process
from fixtures.service import MARKET, connected, offline, served, service_of
from fixtures.waiting import until

BTC = {"exchange": "binance", "symbol": "BTC/USDT"}
SECONDS = SeriesId.parse("binance", "BTC/USDT", "candles:1s")
BOOKS = SeriesId.of_book("binance", "BTC/USDT")
EVER = Span(0, 2**60)
OFFLINE = always(MARKET.origin)


def closed(client):
    """The closed candles that a client was told: their opens in seconds, and their closes."""
    told = [each["data"] for each in client.of("realtime_data") if each["data"].get("closed")]
    return [(each["timestamp"] // 1000, each["close"]) for each in told]


def check_without_a_hole(told):
    """Each second once, in order, with the exchange's number."""
    first, last = told[0][0], told[-1][0]
    span = Span(first * SECOND, (last + 1) * SECOND)
    expected = truth(MARKET, "BTCUSDT", Interval.SECOND_1, span)
    assert [(each.open_time // SECOND, each.close) for each in expected] == told


async def told_of(service, client, count):
    """Hear so many closed candles more."""
    wanted = len(closed(client)) + count
    while len(closed(client)) < wanted:
        await client.next()


async def kept_candles(database):
    """The opens of the closed candles in a database, in seconds."""
    table = await CandleRepository(SeriesIds(database, OFFLINE)).table(SECONDS, EVER, 100_000)
    return [each // SECOND for each in open_times(table).tolist()]


async def test_a_database_without_room(sim, tmp_path):
    """Not ready, and what would have to be written is refused; with room it is ready again."""
    async with served(sim, tmp_path) as (service, session):
        await without_room(service.database)
        with pytest.raises(StorageFull):
            await service.candles.save(SECONDS, [CandleData(at * SECOND, *[1.0] * 5) for at in range(10_000)])
        async with session.get("/readyz") as answer:
            assert 503 == answer.status
        async with session.get("/healthz") as answer:
            assert 200 == answer.status
        await with_room(service.database)
        async with session.post("/v1/coins", json=BTC) as answer:
            assert 201 == answer.status
        async with session.get("/readyz") as answer:
            assert 200 == answer.status


@pytest.mark.soak
async def test_a_disk_that_takes_no_more(tmp_path):
    """Not ready, and failed, with the reason; nobody is told what is not kept; with room it goes on without a hole."""
    data_dir = tmp_path / "data"
    async with (
        serving_process(data_dir, "--no-auth", "--snapshot-interval", 1) as service,
        connected(service.session) as client,
    ):
        await client.say("subscribe", channel="book", **BTC)
        await client.say("subscribe", channel="candles", interval="1s", **BTC)
        await told_of(service, client, 2)
        # What is in the file stays; nothing can be added to it.
        written = (data_dir / f"{FILE_NAME}-wal").stat().st_size
        unlimited = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (written, unlimited[1]))

        async def not_ready():
            status, content = await service.get("/readyz")
            return content if status == 503 else None

        async def failed():
            channel = (await service.channels())["BTC/USDT", "candles:1s"]
            return channel if channel["state"] == "failed" else None

        problem, channel = await service.until(not_ready), await service.until(failed)
        async with SqliteDatabase(data_dir / FILE_NAME) as database:
            there = await kept_candles(database)
        assert ("not_ready", True) == (problem["code"], problem["detail"].startswith(FILE_NAME))
        assert channel["error"].startswith("Storage")
        assert {opened for opened, _ in closed(client)} <= set(there)
        assert 200 == (await service.get("/healthz"))[0]
        async with service.session.post("/v1/coins", json={"exchange": "binance", "symbol": "ETH/USDT"}) as answer:
            assert 503 == answer.status
            assert (await answer.json(content_type=None))["retryable"]

        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, unlimited)
        await service.until_running()
        await told_of(service, client, 3)
        assert (200, {"status": "ok"}) == await service.get("/readyz")

        async def unhurt():
            return not [each for each in (await service.channels()).values() if each["error"]]

        await service.until(unhurt)
        check_without_a_hole(closed(client))
        await service.kill()
    async with SqliteDatabase(data_dir / FILE_NAME) as database:
        assert {opened for opened, _ in closed(client)} <= set(await kept_candles(database))
    assert (0, "all in order\n") == await output_of("db", "check", "--data-dir", data_dir)


async def test_a_number_that_does_not_fit(sim, tmp_path):
    """An exchange's candle with a count of 67 bits is refused; the service stays ready and goes on writing."""
    async with served(sim, tmp_path) as (service, session):
        with pytest.raises(StorageError, match="does not fit"):
            await service.candles.save(SECONDS, [CandleData(0, 1.0, 1.0, 1.0, 1.0, 1.0, count=10**20)])
        async with session.get("/readyz") as answer:
            assert 200 == answer.status
        async with session.post("/v1/coins", json=BTC) as answer:
            assert 201 == answer.status


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_of_the_database_that_has_ended(sim, tmp_path):
    """It is not ready, and what would have to be written is refused at once."""

    def end_this_thread():
        raise SystemExit

    async with served(sim, tmp_path) as (service, session):
        service.database._connection.create_scalar_function("end_this_thread", end_this_thread)
        with pytest.raises(StorageUnavailable):
            await service.database.write(("SELECT end_this_thread()", [()]))
        await until(lambda: service.database.failure)
        async with session.get("/readyz") as answer:
            assert 503 == answer.status
            assert "chandlery-db-write has ended" in (await answer.json(content_type=None))["detail"]
        async with session.post("/v1/coins", json=BTC) as answer:
            assert 503 == answer.status


async def test_an_exchange_that_cannot_be_reached_for_a_while(tmp_path):
    """It shows in the state; then the candles of that time are told in order, and the order book's time is a gap."""
    async with (
        offline("binance_spot") as first,
        served(first, tmp_path) as (service, session),
        connected(session) as client,
    ):
        await client.say("subscribe", channel="book", **BTC)
        await client.say("subscribe", channel="candles", interval="1s", **BTC)
        await told_of(service, client, 2)

        def states():
            (coin,) = service.collection.list_coins()
            return {each.channel: each.state for each in coin.channels}

        assert {"book": "running", "candles:1s": "running"} == states()
        lost = system_clock()
        await first.__aexit__(None, None, None)
        await until(lambda: {"book": "reconnecting", "candles:1s": "reconnecting"} == states())
        (coin,) = service.collection.list_coins()
        assert all(each.error for each in coin.channels)
        async with session.get("/metrics") as answer:
            assert (
                'chandlery_stream_running{channel="book",exchange="binance",symbol="BTC/USDT"} 0.0'
                in await answer.text()
            )
        async with session.get("/readyz") as answer:
            assert 200 == answer.status
        await until(lambda: system_clock() - lost > 1.2 * SECOND)
        gone = system_clock()
        async with offline("binance_spot", port=first.port):
            await until(lambda: {"book": "running", "candles:1s": "running"} == states())
            back = system_clock()
            while closed(client)[-1][0] * SECOND < back:
                await client.next()
            check_without_a_hole(closed(client))
            gaps = await service.historical.get_gaps(BOOKS, EVER)
            assert [gap for gap in gaps if gap.start <= lost + SECOND and gap.end >= gone]
            assert client.of("gap")
            assert {"book"} == {each["channel"] for each in client.of("gap")}


async def begun_again_without_the_exchange(tmp_path, away_s):
    """Kept order books, a restart while the exchange is away, and its return: no second without a book or a gap."""
    async with offline("binance_spot") as sim, service_of(sim, tmp_path) as service:
        await service.collection.add_coin("BTC/USDT", "binance", ["book"])
        last = await until_new(service, 0)
    await until(lambda: system_clock() - last > 3 * SECOND)
    async with service_of(sim, tmp_path) as service:
        begun = system_clock()
        assert "starting" == service.collection.list_coins()[0].channels[0].state
        await until(lambda: system_clock() - begun > away_s * SECOND, timeout_s=away_s + 10)
        async with offline("binance_spot", port=sim.port):
            back = await until_new(service, last + SECOND)
            gaps = [gap.span for gap in await service.historical.get_gaps(BOOKS, EVER)]
        failures = service.collection.stream_supervisors()[0].failures

    seconds = range(last + SECOND, back, SECOND)
    assert len(seconds) >= 3
    assert [] == [at for at in seconds if not any(gap.start < at <= gap.end for gap in gaps)]
    return failures


async def test_begun_again_while_the_exchange_cannot_be_reached(tmp_path):
    """The gap of the order book begins with the last one that was kept."""
    assert 0 == await begun_again_without_the_exchange(tmp_path, 1)


@pytest.mark.soak
@pytest.mark.timeout(240)
async def test_begun_again_long_before_the_exchange_can_be_reached(tmp_path):
    """The same where starting the stream is given up meanwhile, and tried again."""
    assert 1 <= await begun_again_without_the_exchange(tmp_path, 62)


async def until_new(service, known):
    """When the first order book after a known one was kept, once there is one."""
    async with asyncio.timeout(40):
        while not (found := await service.storage.get_raw_data_range("BTC/USDT", known + 1, 2**60, 1)):
            await asyncio.sleep(0.05)  # it is in a file
    return found[0].timestamp
