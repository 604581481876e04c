"""One data folder, and services over different servers: what each collects is seen by nobody else."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from chandlery.core.candle import CandleData
from chandlery.core.errors import InvalidInput
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.moment import to_micros
from chandlery.core.series_id import SeriesId
from chandlery.core.time import MINUTE, SECOND, iso
from chandlery.database.raw import BookSnapshot
from chandlery.database.sqlite import FILE_NAME
from chandlery.net.limiter import RateLimiter
from chandlery.service.app import Service
from chandlery.service.settings import ServiceSettings
from chandlery.service.web.application import application
from chandlery.service.web.server import serving
from fixtures.mcp_client import model_of
from fixtures.service import bound_socket, connected, library_settings, offline, served
from fixtures.service_accounts import quick_hashes

KINDS = ("real", "offline", "address")
SECONDS = SeriesId.parse("binance", "BTC/USDT", "candles:1s")
BOOKS = SeriesId.of_book("binance", "BTC/USDT")
DAY = Span(to_micros(datetime(2024, 1, 8, tzinfo=UTC)), to_micros(datetime(2024, 1, 9, tzinfo=UTC)))
MADE = Path(__file__).parent.parent / "fixtures" / "version_1" / "chandlery.db"


def endpoints_of(sim, kind):
    """The endpoints of an exchange: the offline one, one by its address, or a mirror of the real one, as good as that."""
    if kind == "offline":
        return sim.endpoints
    mirror = {"mirror": True} if kind == "real" else {}
    return {
        name: {key: value for key, value in urls.items() if key != "origin"} | mirror
        for name, urls in sim.endpoints.items()
    }


@asynccontextmanager
async def served_by(sim, kind, tmp_path):
    """A running service over such an exchange, on the one folder of the test, and a session of a client."""
    bound, url = bound_socket()
    settings = ServiceSettings(
        _env_file=None,
        data_dir=tmp_path / "data",
        no_auth=True,
        snapshot_interval="1s",
        coalesce_ms=1,
        offline=kind == "offline",
    )
    service = Service(
        settings,
        url,
        library=library_settings(tmp_path),
        endpoints=endpoints_of(sim, kind),
        limiter=RateLimiter(tmp_path / "limits"),
    )
    async with serving(application(service), bound), aiohttp.ClientSession(url) as session:
        yield service, session


async def collected(service, close):
    """Store a minute of candles, a book, a gap and a coin as the service does that collects."""
    candles = [CandleData(at, 1.0, 1.0, 1.0, close, 1.0) for at in range(DAY.start, DAY.start + MINUTE, SECOND)]
    await service.candles.save(SECONDS, candles)
    book = BookSnapshot([(close, 2.0)], [(close + 1, 1.0)], DAY.start)
    await service.storage.store_raw_data("BTC/USDT", book, exchange="binance", timestamp=DAY.start)
    await service.gaps.record(BOOKS, Gap(DAY.start, DAY.start + SECOND, GapKind.NOT_COLLECTED, "test"))
    await service.collection.coins.add_coin("BTC/USDT", "binance", ("book",))


def rows_of(tmp_path, origin):
    """All rows of an origin, by table."""
    connection = sqlite3.connect(tmp_path / "data" / FILE_NAME)
    tables = {
        table: sorted(
            connection.execute(f"SELECT t.* FROM {table} t JOIN series s ON s.id = series WHERE origin = ?", (origin,))
        )
        for table in ("candles", "books", "gaps")
    }
    tables["coins"] = connection.execute("SELECT * FROM coins WHERE origin = ?", (origin,)).fetchall()
    connection.close()
    return tables


async def answers(session):
    """What a caller gets: symbols, closes and sources of the minute's candles, best bids, recorded gaps."""
    asked = {"exchange": "binance", "symbol": "BTC/USDT"}
    minute = {"start": iso(DAY.start), "end": iso(DAY.start + MINUTE)}
    async with session.get("/v1/coins") as answer:
        symbols = [each["symbol"] for each in (await answer.json())["coins"]]
    async with session.get("/v1/candles", params=asked | minute | {"interval": "1s"}) as answer:
        page = await answer.json()
    async with session.get("/v1/books", params=asked | minute) as answer:
        books = await answer.json()
    closes = {row[page["columns"].index("close")] for row in page["rows"]}
    bids = [each["bids"][0][0] for each in books["books"]]
    gaps = [each["evidence"] for each in books["gaps"]].count("test")
    return symbols, closes, [each["source"] for each in page["sources"]], bids, gaps


@pytest.mark.parametrize("first", KINDS)
async def test_what_one_collects_the_others_do_not_have(sim, tmp_path, first):
    """Neither coins nor candles nor books, and they change none of them, though all go by the same names."""
    others = [kind for kind in KINDS if kind != first]
    async with served_by(sim, first, tmp_path) as (service, session):
        await collected(service, 7.0)
        own = (["BTC/USDT"], {7.0}, ["database"], [7.0], 1)
        assert own == await answers(session)
        origin = service._origin_of("binance", "BTC/USDT")
    before = rows_of(tmp_path, origin)
    assert all(before.values())
    for close, kind in enumerate(others):
        async with served_by(sim, kind, tmp_path) as (service, session):
            symbols, closes, sources, bids, gaps = await answers(session)
            assert ([], [], 0) == (symbols, bids, gaps)
            assert 7.0 not in closes
            assert "database" not in sources
            async with session.get("/v1/books/latest", params={"exchange": "binance", "symbol": "BTC/USDT"}) as answer:
                assert 404 == answer.status
            await collected(service, float(close))
    assert before == rows_of(tmp_path, origin)
    async with served_by(sim, first, tmp_path) as (_, session):
        # Since then it was not collected, which is one gap more.
        assert own[:-1] == (await answers(session))[:-1]


async def test_each_answer_names_the_origin(sim, tmp_path):
    """Of HTTP, socket and tools, in the body and in the sources; of the exchange's own data nothing is said."""
    asked = {"exchange": "binance", "symbol": "BTC/USDT"}
    minute = {"start": iso(DAY.start), "end": iso(DAY.start + 2 * MINUTE)}
    async with served(sim, tmp_path, no_auth=False, hashes=quick_hashes()) as (service, _):
        client, secret = await service.accounts.create_client("bot", ["read", "collect"])
        token = (await service.accounts.login("client", client.id, secret)).text
        headers = {"Authorization": f"Bearer {token}"}
        await collected(service, 7.0)
        async with aiohttp.ClientSession(service.url, headers=headers) as session:
            found = {
                path: await got(session, f"/v1/{path}", asked | more)
                for path, more in {
                    "candles": minute | {"interval": "1s"},
                    "funding": minute | {"symbol": "BTC/USDT:USDT"},
                    "books": minute,
                    "books/latest": {},
                    "availability": {},
                }.items()
            }
            (found["coins"],) = (await got(session, "/v1/coins", {}))["coins"]
            async with session.post("/v1/coins", json=asked | {"channels": ["book"]}) as answer:
                found["coin"] = await answer.json()
            real = await got(session, "/v1/books", {"exchange": "kraken", "symbol": "BTC/USD"} | minute)
            async with connected(session) as socket:
                await socket.say("subscribe", channel="book", **asked)
                found["subscribed"] = await socket.until("subscribed")
                await socket.say("request_historical", interval="1m", **asked, **minute)
                found["historical_data_chunk"] = await socket.until("historical_data_chunk")
                found["historical_data_complete"] = await socket.until("historical_data_complete")
                await socket.say("most_current", channel="book", **asked)
                found["most_current_data"] = await socket.until("most_current_data")
                await socket.say("unsubscribe", channel="book", **asked)
                found["unsubscribed"] = await socket.until("unsubscribed")
        async with model_of(service.accounts, service.url, "read", "collect") as model:
            for tool, more in {
                "download_historical_data": {"interval": "1s"} | minute,
                "summarize_candles": {"interval": "1s"} | minute,
                "get_most_current_data": {"channel": "book"},
                "check_availability": {},
                "add_coin": {"channels": ["book"]},
            }.items():
                found[tool] = (await model.call_tool(tool, asked | more)).structured_content
            listed = (await model.call_tool("list_coins", {})).structured_content["coins"]
            found |= {f"list_coins {each['symbol']}": each for each in listed}

    assert {} == {name: answer for name, answer in found.items() if answer.get("origin") != "offline-7"}
    sources = [source for answer in found.values() for source in answer.get("sources", ())]
    assert {"database"} < {source["source"] for source in sources}
    assert {"offline-7"} == {source.get("origin") for source in sources}
    gap = {
        "start": minute["start"],
        "end": minute["end"],
        "kind": "not_collected",
        "evidence": "no order book is stored",
    }
    assert {"books": [], "gaps": [gap], "next": None} == real, "whether the exchange lists it cannot be asked here"


async def got(session, path, params):
    """The content of an answer."""
    async with session.get(path, params=params) as answer:
        return await answer.json()


async def test_the_tag_of_an_answer_is_that_of_its_origin(sim, tmp_path):
    """Or a caller would keep what was made up for what is real."""
    asked = {"exchange": "binance", "symbol": "BTC/USDT", "interval": "1s", "start": iso(DAY.start), "end": iso(DAY.start + MINUTE)}  # fmt: skip
    tags = []
    for kind in ("offline", "address"):
        async with served_by(sim, kind, tmp_path) as (service, session):
            await collected(service, 7.0)
            async with session.get("/v1/candles", params=asked) as answer:
                tags.append(answer.headers["ETag"])

    assert 2 == len(set(tags))


async def test_a_database_of_0_1_is_ignored_until_it_is_adopted(sim, tmp_path, caplog):
    """One warning says so; nothing of it is collected or listed."""
    (tmp_path / "data").mkdir()
    shutil.copy(MADE, tmp_path / "data" / FILE_NAME)
    for kind in ("real", "offline"):
        caplog.clear()
        async with served_by(sim, kind, tmp_path) as (_, session), session.get("/v1/coins") as answer:
            assert {"coins": []} == await answer.json()
        said = [each.getMessage() for each in caplog.records if "chandlery db adopt" in each.getMessage()]
        assert [("2 series and 1 coins of an older release have no origin, and are not used; "
                "chandlery db adopt marks them as the exchanges' own data")] == said  # fmt: skip


async def test_two_markets_are_the_origins_of_their_own_symbols(tmp_path):
    """Where only the perpetuals of an exchange are replaced, its spot is the exchange's own."""
    async with offline("binance_perpetual") as sim:
        service = Service(
            ServiceSettings(_env_file=None, data_dir=tmp_path / "data", no_auth=True),
            "http://127.0.0.1:1",
            library=library_settings(tmp_path),
            endpoints=sim.endpoints,
        )
        async with service:
            assert "offline-7" == service._origin_of("binance", "BTC/USDT:USDT")
            assert "" == service._origin_of("binance", "BTC/USDT")
            assert "" == service._origin_of("kraken", "BTC/USD")


def test_endpoints_of_two_markets_for_one_exchange_are_refused(tmp_path):
    """Before anything is opened: candles of REST and of the socket would meet in one series."""
    with pytest.raises(InvalidInput, match="different markets"):
        Service(
            ServiceSettings(_env_file=None, data_dir=tmp_path / "data", no_auth=True),
            "http://127.0.0.1:1",
            library=library_settings(tmp_path),
            endpoints={"binance_spot": {"rest": "http://127.0.0.1:1"}},
        )
