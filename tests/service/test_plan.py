"""The two workflows of the plan, step by step, from outside: every step is seen where it happens."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import MINUTE, SECOND
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.series_ids import SeriesIds, always
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from chandlery.net.clock import system_clock
from chandlery.sim.faults import Fault, FaultKind
from chandlery.tables.frame import open_times
from chandlery.testing import no_waiting
from fixtures.candle_feed import truth
from fixtures.mcp_client import model_of
from fixtures.service import MARKET, connected, offline, served
from fixtures.service_accounts import quick_hashes
from fixtures.waiting import until

BTC = {"exchange": "binance", "symbol": "BTC/USDT"}
SECONDS = SeriesId.parse("binance", "BTC/USDT", "candles:1s")
MINUTES = SeriesId.parse("binance", "BTC/USDT", "candles:1m")
EVER = Span(0, 2**60)
MARK = 123.456
OFFLINE = always(MARKET.origin)


@pytest.fixture
async def guarded(sim, tmp_path):
    """A service that asks for tokens, and a session of a client."""
    async with served(sim, tmp_path, no_auth=False, hashes=quick_hashes()) as both:
        yield both


@pytest.fixture
async def stored(guarded, tmp_path):
    """The database of the service, as another process sees it."""
    async with SqliteDatabase(tmp_path / "data" / FILE_NAME) as database:
        yield database


async def bearer(service, *scopes):
    """The header of a token for a new client."""
    client, secret = await service.accounts.create_client("bot", scopes)
    return {"Authorization": f"Bearer {(await service.accounts.login('client', client.id, secret)).text}"}


def asked(sim, word):
    """The requests that the exchange got about something."""
    return [path for _, path, _ in sim.log if word in path]


async def test_a_coin_is_added(sim, guarded, stored):
    """Token, availability, stream, storage, push, success: in this order, each where it happens."""
    service, session = guarded

    # Without a token nobody is heard, and the exchange is not asked.
    async with session.post("/mcp", json={}) as answer:
        assert 401 == answer.status
    assert [] == list(sim.log)
    assert [] == sim.subscriptions["binance_spot"]

    async with model_of(service.accounts, service.url, "collect") as model:
        added = await model.call_tool("add_coin", {**BTC, "channels": ["book", "candles:1s"]})

    # The exchange was asked whether it trades the coin, then for its streams.
    assert not added.is_error
    assert {"book": "running", "candles:1s": "running"} == {
        each["channel"]: each["state"] for each in added.structured_content["channels"]
    }
    requests = [path for _, path, _ in sim.log]
    listing = next(at for at, path in enumerate(requests) if "exchangeInfo" in path)
    assert all(listing < at for at, path in enumerate(requests) if "/ws" in path or "/stream" in path)
    streams = sim.subscriptions["binance_spot"]
    assert {"btcusdt@depth", "btcusdt@kline"} == {"_".join(each.split("_")[:1]).split("@100ms")[0] for each in streams}

    # What comes is pushed to whoever subscribes, who need only be allowed to read.
    async with connected(session, headers=await bearer(service, "read")) as client:
        await client.say("subscribe", channel="candles", interval="1s", **BTC)
        await client.say("subscribe", channel="book", **BTC)
        closed = await client.until("realtime_data", lambda each: each["data"].get("closed"))
        book = await client.until("realtime_data", lambda each: each["channel"] == "book")
    assert book["data"]["bids"][0][0] < book["data"]["asks"][0][0]

    # It had been stored before that, where other processes find it.
    table = await CandleRepository(SeriesIds(stored, OFFLINE)).table(SECONDS, EVER, 100)
    at = open_times(table).tolist().index(closed["data"]["timestamp"] * 1000)
    assert closed["data"]["close"] == table.column("close")[at].as_py()
    async with asyncio.timeout(10):
        while not (
            entry := await RawDataRepositoryImpl(SeriesIds(stored, OFFLINE)).find_latest("BTC/USDT", exchange="binance")
        ):
            await asyncio.sleep(0.05)  # it is in a file
    assert entry.timestamp % SECOND == 0


@pytest.mark.parametrize("symbol", ["NOSUCH/USDT", "BTC/USDT"])
async def test_a_coin_that_cannot_be_added(sim, guarded, stored, symbol):
    """Not traded, or not allowed: a failure that says why, and nothing is collected, subscribed or stored."""
    service, session = guarded
    scope = "collect" if symbol == "NOSUCH/USDT" else "read"
    async with model_of(service.accounts, service.url, scope) as model:
        failed = await model.call_tool("add_coin", {"exchange": "binance", "symbol": symbol})
    async with session.get("/v1/coins", headers=await bearer(service, "read")) as answer:
        coins = await answer.json()

    code, said = (
        ("invalid_symbol", "does not know the symbol") if scope == "collect" else ("insufficient_scope", "collect")
    )
    assert failed.is_error
    assert code == failed.structured_content["code"]
    assert said in failed.structured_content["message"]
    assert (scope == "collect") == bool(asked(sim, "exchangeInfo"))
    assert {"coins": []} == coins
    assert [] == sim.subscriptions["binance_spot"]
    assert [(0,)] == await stored.read("SELECT count(*) FROM coins")
    assert [(0,)] == await stored.read("SELECT (SELECT count(*) FROM candles) + (SELECT count(*) FROM books)")


async def keep_marked(repository, *spans):
    """Put candles into the database that no exchange has."""
    for span in spans:
        opens = range(span.start, span.end, MINUTE)
        await repository.save(MINUTES, [CandleData(at, MARK, MARK, MARK, MARK, 1.0) for at in opens])


async def history(client, span, number):
    """The rows of a request, how many each chunk had, and the message that ends it."""
    await client.say(
        "request_historical", **BTC, interval="1m", start=span.start // 1000, end=span.end // 1000, id=number
    )
    complete = await client.until("historical_data_complete", lambda each: each["id"] == number)
    chunks = [each for each in client.of("historical_data_chunk") if each["id"] == number]
    assert [*range(1, len(chunks) + 1)] == [each["number"] for each in chunks]
    assert complete == client.told[-1]
    close = chunks[0]["columns"].index("close")
    rows = [(row[0] * 1000, row[close]) for chunk in chunks for row in chunk["rows"]]
    return rows, [len(chunk["rows"]) for chunk in chunks], complete


async def test_the_past_is_requested(sim, guarded, stored):
    """Token, collected from then on, chunks from storage, the rest from the exchange and stored, completion."""
    service, session = guarded
    end = Interval.MINUTE_1.floor(system_clock()) - 10 * MINUTE
    span, seam = Span(end - 8_000 * MINUTE, end), end - 1_900 * MINUTE
    # Also the latest, since collecting begins by fetching what is missing after those.
    await keep_marked(
        CandleRepository(SeriesIds(stored, OFFLINE)), Span(span.start, seam), Span(end, end + 10 * MINUTE)
    )

    # Nobody is answered before it is known who asks.
    async with connected(session) as client:
        await client.say("request_historical", **BTC, start=span.start // 1000, id=1)
        assert "invalid_token" == (await client.until("error"))["code"]
        assert [] == list(sim.log)
        await client.say("auth", token=(await bearer(service, "read", "collect"))["Authorization"].split()[1])
        await client.until("authenticated")

        rows, sizes, complete = await history(client, span, 2)
        fetched = asked(sim, "klines") + asked(sim, "/data/")
        (coin,) = service.collection.list_coins()
        streams = sim.subscriptions["binance_spot"]
        sim.log.clear()
        again, _, told = await history(client, span, 3)

    # What is stored, then what the exchange has, in whole chunks: every minute once, in order.
    assert [500] * 16 == sizes
    expected = [(each.open_time, each.close) for each in truth(MARKET, "BTCUSDT", Interval.MINUTE_1, Span(seam, end))]
    assert [(at, MARK) for at in range(span.start, seam, MINUTE)] + expected == rows
    assert fetched
    assert not [path for path in fetched if f"startTime={span.start // 1000}" in path]
    # Collected from now on.
    assert [("candles:1m", "running")] == [(each.channel, each.state) for each in coin.channels]
    assert ["btcusdt@kline_1m"] == streams
    # The account of it, and stored on the way: asked again, nobody is asked.
    assert (16, 8_000, [], False) == tuple(complete[each] for each in ("chunks", "rows", "gaps", "following"))
    assert ("database", 6_100) == (complete["sources"][0]["source"], complete["sources"][0]["rows"])
    assert 1_900 == sum(each["rows"] for each in complete["sources"][1:])
    assert rows == again
    assert not [each for each in told["sources"] if not each["source"].startswith(("database", "cache"))]
    assert [] == asked(sim, "klines") + asked(sim, "/data/")


async def test_the_past_that_cannot_be_had_whole(tmp_path):
    """What storage has is sent all the same, and the completion says what is missing and why."""
    end = Interval.MINUTE_1.floor(system_clock()) - 10 * MINUTE
    span, seam = Span(end - 20 * MINUTE, end), end - 5 * MINUTE
    asked = (seam - MINUTE) // 1000  # with the candle before
    faults = [Fault(FaultKind.SERVER_ERROR, f"klines.*startTime={asked}|/data/", times=10_000)]
    async with offline(faults=faults) as sim, served(sim, tmp_path) as (service, session), connected(session) as client:
        await keep_marked(service.candles, Span(span.start, seam), Span(end, end + 10 * MINUTE))
        with no_waiting():
            rows, _, complete = await history(client, span, "x")
        await until(service.collection.list_coins)

    assert [(at, MARK) for at in range(span.start, seam, MINUTE)] == rows
    (gap,) = complete["gaps"]
    assert ("fetch_failed", 15) == (gap["kind"], complete["rows"])
